"""The little of a structured logger that the door uses."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Log"]


class Log(Protocol):
    """Writes named events with fields, as structlog's loggers do."""

    def info(self, event: str, /, **fields: Any) -> Any:
        """Write what is good to know."""

    def warning(self, event: str, /, **fields: Any) -> Any:
        """Write what an operator should look at."""
