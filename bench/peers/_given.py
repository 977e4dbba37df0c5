"""What a peer in Python is given, and how it answers."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Given", "Stopwatch", "given"]


@dataclass(frozen=True, kw_only=True)
class Given:
    """The command line: PORT EXCHANGE WINDOW MESSAGES and the rest."""

    port: int
    exchange: str
    window: int
    #: Each with the names of AMQP's properties, ``routing_key``, ``headers`` and ``body``.
    messages: list[dict[str, Any]]
    rest: list[str]

    @property
    def url(self) -> str:
        """The broker."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"


def given() -> Given:
    """Return what the command line says."""
    port, exchange, window, path, *rest = sys.argv[1:]
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return Given(
        port=int(port),
        exchange=exchange,
        window=int(window),
        messages=[json.loads(line) for line in lines],
        rest=rest,
    )


@dataclass(kw_only=True)
class Stopwatch:
    """Begins when it is made."""

    began: float = field(default_factory=time.monotonic)

    def tell(self) -> None:
        """Print begin and end."""
        print(json.dumps({"began": self.began, "ended": time.monotonic()}), flush=True)
