"""The server's own log."""

from __future__ import annotations

import logging
import logging.handlers
import sys
import threading
from typing import Any, TextIO

import structlog

from pulpit.app.log_texts import clean, indented
from pulpit.config import LogType, Settings

__all__ = ["configure_logs", "set_log_level"]


def configure_logs(settings: Settings, *, stream: TextIO | None = None) -> Any:
    """Let all logs of this process go where the settings say; return the server's logger.

    Args:
        settings: of the server.
        stream: what takes lines that do not go to syslog; None is standard error.
    """
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
    stream = stream or sys.stderr
    handler = _handler(log_type, stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # of libraries' records; else a renderer might show the values of variables
                structlog.processors.format_exc_info,
                clean,
                *_rendering(log_type, colors=stream.isatty()),
            ],
        ),
    )
    logging.basicConfig(handlers=[handler], level=settings.server.log_level.value, force=True)
    # libraries tell of their own doings at a level that is ours to speak at
    for name in ("alembic", "asyncio", "uvicorn", "amqp"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # what fails there is told by who calls it, in one line
    for name in ("procrastinate", "psycopg.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    log = structlog.get_logger("pulpit")
    _catch_the_rest(log)
    return log


def set_log_level(settings: Settings) -> None:
    """Let the log tell from now on what the settings say."""
    logging.getLogger().setLevel(settings.server.log_level.value)


def _handler(log_type: LogType, stream: TextIO) -> logging.Handler:
    """Return what takes the lines."""
    if log_type is not LogType.SYSLOG:
        return logging.StreamHandler(stream)
    syslog = logging.handlers.SysLogHandler("/dev/log")
    syslog.ident = "pulpit: "
    return syslog


def _rendering(log_type: LogType, *, colors: bool) -> list[Any]:
    """Return the processors that make a line of an event."""
    if log_type is LogType.CONSOLE:
        return [indented, structlog.dev.ConsoleRenderer(colors=colors)]
    # ASCII alone: what is escaped can't harm whoever prints the line
    return [structlog.processors.JSONRenderer(allow_nan=False)]


def _catch_the_rest(log: Any) -> None:
    """Let the log tell what Python would write to standard error by itself."""

    def tell(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is None:
            return
        log.error(
            "a thread failed",
            thread=failed.thread.name if failed.thread else "",
            exc_info=(failed.exc_type, failed.exc_value, failed.exc_traceback),
        )

    threading.excepthook = tell
    logging.captureWarnings(capture=True)
