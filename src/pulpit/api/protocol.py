"""HTTP on the wire, with bounds on what a stranger may send before anybody asks who it is."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pulpit.api.client_certificates import CERTIFICATE, of_connection
from pulpit.api.peers import PeerWatch, keep_watch, seen

__all__ = ["ABORT", "GONE", "BoundedHttp"]

#: Keys of the state in a request's scope: what ends the connection, whatever is still to be sent;
#: and whether the client was given up, since nothing was heard of it.
ABORT, GONE = "pulpit.abort", "pulpit.gone"
#: How often a client is looked at before it can be given up.
_LOOKS = 10


class BoundedHttp(HttpToolsProtocol):
    """Uvicorn's protocol, which by itself takes heads of any length at any pace."""

    #: Bytes that may come without completing a head, a piece of a body, or a request.
    head_bytes: ClassVar[int] = 64 << 10
    #: Seconds in which a head must come, from the connection or its first byte on.
    head_seconds: ClassVar[float] = 30.0
    #: Bytes and seconds for which a client whose head is too long is still listened to: what it
    #: sent in the meantime would reset the connection, and with it the answer.
    late_bytes: ClassVar[int] = 256 << 10
    late_seconds: ClassVar[float] = 2.0
    #: Seconds of silence after which a client is given up; well above the two minutes between
    #: two signs of one that lives but reads nothing.
    silent_seconds: ClassVar[float] = 300.0

    _pending = 0
    _got_on = False
    _refused = False
    _deadline: asyncio.TimerHandle | None = None
    _next_look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()
        self._socket = transport.get_extra_info("socket")
        self._certificate = of_connection(transport)
        self._watch = PeerWatch(self.silent_seconds)
        keep_watch(self._socket, seconds=self.silent_seconds)
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        if self._next_look is not None:
            self._next_look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._refused:
            self._pending += len(data)
            if self._pending > self.late_bytes:
                self.transport.close()
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
        state = self.scope.setdefault("state", {})
        state[ABORT] = self.transport.abort
        state[CERTIFICATE] = self._certificate

    def on_body(self, body: bytes) -> None:
        self._got_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._got_on = True
        super().on_message_complete()

    def _look_later(self) -> None:
        self._next_look = self.loop.call_later(self.silent_seconds / _LOOKS, self._look)

    def _look(self) -> None:
        """End the connection if the client is gone."""
        look = seen(self._socket, waiting=self.transport.get_write_buffer_size())
        if self._watch.is_gone(look, now=self.loop.time()):
            if self.cycle is not None:
                self.cycle.scope.setdefault("state", {})[GONE] = True
            self.transport.abort()
        else:
            self._look_later()

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
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()
            return
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        self.transport.write(
            f"{head}content-length: 0\r\nconnection: close\r\n\r\n".encode("ascii")
        )
        if status is HTTPStatus.REQUEST_TIMEOUT:
            self.transport.close()
            return
        self._refused, self._pending = True, 0
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._forget_deadline()
        self._deadline = self.loop.call_later(self.late_seconds, self.transport.close)
