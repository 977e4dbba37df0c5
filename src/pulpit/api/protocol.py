"""HTTP on the wire, with bounds on what a stranger may send before anybody asks who it is."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["BoundedHttp"]


class BoundedHttp(HttpToolsProtocol):
    """Uvicorn's protocol, which by itself takes heads of any length at any pace."""

    #: Bytes that may come without completing a head, a piece of a body, or a request.
    head_bytes: ClassVar[int] = 64 << 10
    #: Seconds in which a head must come, from the connection or its first byte on.
    head_seconds: ClassVar[float] = 30.0

    _pending = 0
    _got_on = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._got_on = False
        super().data_received(data)
        self._pending = 0 if self._got_on else self._pending + len(data)
        if self._pending > self.head_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._got_on = True
        self._forget_deadline()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._got_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._got_on = True
        super().on_message_complete()

    def _expect_head(self) -> None:
        """Begin to wait for a head, unless that is so already."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(
                self.head_seconds, self._refuse, HTTPStatus.REQUEST_TIMEOUT
            )

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: HTTPStatus) -> None:
        """End the connection, with a word if no answer is on its way."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            self.transport.write(
                f"{head}content-length: 0\r\nconnection: close\r\n\r\n".encode("ascii")
            )
        self.transport.close()
