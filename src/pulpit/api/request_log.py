"""A line of the log for each request, for those who ask for it."""

from __future__ import annotations

import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["RequestLog"]


class RequestLog:
    """Passes requests on and tells of each once it is answered; of a stream, once it ends.

    The query is left out: it may hold what nobody else should read.

    Args:
        app: what answers.
        log: a structlog logger.
    """

    def __init__(self, app: ASGIApp, *, log: Any) -> None:
        self._app, self._log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        status, sent = 0, 0

        async def count(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, count)
        finally:
            self._log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                bytes=sent,
                seconds=round(time.monotonic() - began, 4),
                peer=(scope.get("client") or ("",))[0],
            )
