"""The server's own log."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from typing import Any

import structlog

from pulpit.config import LogType, Settings

__all__ = ["configure_logs", "set_log_level"]


def configure_logs(settings: Settings) -> Any:
    """Let all logs of this process go where the settings say; return the server's logger."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    log_type = settings.server.log_type
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if log_type is LogType.CONSOLE
        else structlog.processors.JSONRenderer()
    )
    handler: logging.Handler = (
        logging.handlers.SysLogHandler("/dev/log")
        if log_type is LogType.SYSLOG
        else logging.StreamHandler(sys.stderr)
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        ),
    )
    logging.basicConfig(handlers=[handler], level=settings.server.log_level.value, force=True)
    # libraries tell of their own doings at a level that is ours to speak at
    for name in ("alembic", "asyncio", "uvicorn", "amqp"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return structlog.get_logger("pulpit")


def set_log_level(settings: Settings) -> None:
    """Let the log tell from now on what the settings say."""
    logging.getLogger().setLevel(settings.server.log_level.value)
