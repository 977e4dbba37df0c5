"""A connection to a receiver, and the answers that come on it: bounded in size and in time.

Parsed by llhttp, through httptools. Whatever comes that nobody has asked for ends the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

__all__ = ["BODY_READ", "Answer", "BadAnswer", "Closed", "Connection"]

#: Bytes of a body that are read; the connection is of no use to the next delivery if more come.
BODY_READ = 4 << 10
#: Bytes of a head, of one line of it, and how many lines it has.
_MOST_HEAD, _LONGEST_LINE, _MOST_HEADERS = 64 << 10, 8_190, 100
#: Bytes of all that comes, whatever it is: chunks may have notes, and a body lines after it.
_MOST = 2 * _MOST_HEAD
#: Seconds for which a body is waited for: the status has decided already.
_PATIENCE = 1.0
#: Bytes of a body that are sent at once.
_PIECE = 256 << 10
_FIRST_FINAL, _SWITCHED = 200, 101


class Closed(ConnectionError):
    """The receiver has closed the connection, and no answer came."""


class BadAnswer(Exception):
    """What came is no answer by HTTP, or one with too large a head.

    Args:
        is_too_large: the latter.
    """

    def __init__(self, *, is_too_large: bool = False) -> None:
        super().__init__("too large" if is_too_large else "no HTTP")
        self.is_too_large = is_too_large


class Answer:
    """What a receiver has answered, as it came."""

    __slots__ = ("body", "headers", "reason", "status")

    def __init__(self) -> None:
        self.status = 0
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        #: The beginning, ``BODY_READ`` bytes at the most.
        self.body = b""

    def header(self, name: bytes) -> str | None:
        """Return the value of the first header of this name, which is given in lower case."""
        for each, value in self.headers:
            if each.lower() == name:
                return value.decode("utf-8", "replace")
        return None


class Connection(asyncio.Protocol):
    """One request at a time; for use in one event loop.

    Args:
        lost: called once, when it has ended.
    """

    def __init__(self, lost: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        # as lenient with receivers as browsers are: none of this can change where an answer ends
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
            lenient_data_after_close=True,
        )
        self._answer = Answer()
        #: Of whoever waits for the answer, and whoever waits until more can be sent.
        self._waiter: asyncio.Future[Exception | None] | None = None
        self._writable: asyncio.Future[None] | None = None
        #: Ends the waiting, at a time of the loop.
        self._timer: asyncio.TimerHandle | None = None
        #: Bytes that came, and those of headers.
        self._received = self._size = 0
        self._has_head = self._is_too_large = self._is_paused = self._waits_for_body = False
        #: Whether something came before the first request, as no server by HTTP speaks first.
        self._is_new, self._has_spoken = True, False
        #: Whether the answer is over, and another request may follow.
        self._may_go_on = False
        #: When it was last of use, in seconds of the loop.
        self.since = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent."""
        return self._may_go_on and self._transport is not None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self._transport is not None

    @property
    def peer(self) -> object:
        """The address at the other end."""
        return self._transport.get_extra_info("peername") if self._transport else None

    def abort(self) -> None:
        """End the connection at once."""
        self._may_go_on = False
        if self._transport is not None:
            self._transport.abort()

    async def exchange(self, head: bytes, body: bytes, *, until: float) -> Answer:
        """Send a request and return what is answered; it is aborted if that is not all over.

        Args:
            head: of the request, with the empty line after it.
            body: of the request.
            until: time of the loop until which the head of the answer must be there.

        Raises:
            TimeoutError: it is not.
            BadAnswer: it can't be read.
            OSError: the connection has ended before.
        """
        transport = self._transport
        if self._has_spoken:
            raise BadAnswer
        if transport is None:
            raise Closed
        self._is_new = False
        answer = self._answer = Answer()
        self._received = self._size = 0
        self._has_head = self._is_too_large = self._waits_for_body = self._may_go_on = False
        waiter = self._waiter = self._loop.create_future()
        self._timer = self._loop.call_at(until, self._expired)
        try:
            if len(body) <= _PIECE:
                transport.write(head + body)
            else:
                await self._send(transport, head, body)
            if (error := await waiter) is not None:
                raise error
            return answer
        finally:
            self._timer.cancel()
            self._waiter = None
            # a receiver that answered before it has read all might never read on
            if not self._may_go_on or transport.get_write_buffer_size():
                self.abort()

    async def _send(self, transport: asyncio.Transport, head: bytes, body: bytes) -> None:
        """Send piece by piece, as fast as the receiver takes it, until it has answered."""
        transport.write(head)
        rest = memoryview(body)
        while rest and self._is_waited_for():
            if self._is_paused:
                self._writable = self._loop.create_future()
                await self._writable
                continue
            transport.write(rest[:_PIECE])
            rest = rest[_PIECE:]

    def _is_waited_for(self) -> bool:
        """Tell whether somebody waits for an answer still."""
        return self._waiter is not None and not self._waiter.done()

    def _settle(self, error: Exception | None = None) -> None:
        """Let whoever waits go on: with the answer, or with what was wrong."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(error)
        self._write_on()

    def _write_on(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def _expired(self) -> None:
        """Wait no longer: for a body that is no failure."""
        self._settle(None if self._has_head else TimeoutError())

    # what the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._write_on()

    def data_received(self, data: bytes) -> None:
        if not self._is_waited_for():
            self._has_spoken = self._is_new
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            # asked for by nobody; what is not HTTP any more is not read
            self._may_go_on = False
        except HttpParserError:
            self._may_go_on = False
            # of an answer whose head is whole, the rest changes nothing
            self._settle(None if self._has_head else BadAnswer(is_too_large=self._is_too_large))
            return
        self._received += len(data)
        if not self._has_head:
            if self._is_too_large or self._received > _MOST_HEAD:
                self._settle(BadAnswer(is_too_large=True))
        elif self._is_waited_for():
            self._wait_for_body()

    def _wait_for_body(self) -> None:
        """Wait a little for what is left of the answer."""
        if self._received > _MOST:
            self._settle()
        elif self._timer is not None and not self._waits_for_body:
            self._waits_for_body = True
            self._timer.cancel()
            at = min(self._timer.when(), self._loop.time() + _PATIENCE)
            self._timer = self._loop.call_at(at, self._expired)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport, self._may_go_on = None, False
        self._settle(None if self._has_head else exc or Closed())
        self._lost(self)

    # what the parser tells

    def on_message_begin(self) -> None:
        # a second answer that nobody has asked for
        self._may_go_on = False

    def on_status(self, reason: bytes) -> None:
        if not self._has_head and self._fits(len(reason)):
            self._answer.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head and self._fits(len(name) + len(value)):
            self._answer.headers.append((name, value))

    def _fits(self, size: int) -> bool:
        """Tell whether the head may have a line of this size more."""
        self._size += size
        if (
            size > _LONGEST_LINE
            or self._size > _MOST_HEAD
            or len(self._answer.headers) >= _MOST_HEADERS
        ):
            self._is_too_large = True
        return not self._is_too_large

    def on_headers_complete(self) -> None:
        if self._has_head:
            return
        status = self._parser.get_status_code()
        if status < _FIRST_FINAL and status != _SWITCHED:
            # more is to come; what came is counted on
            self._answer.reason = b""
            self._answer.headers.clear()
            return
        self._answer.status = status
        # one that is too large is none
        self._has_head = not self._is_too_large

    def on_body(self, body: bytes) -> None:
        if not self._is_waited_for():
            return
        answer = self._answer
        if (room := BODY_READ - len(answer.body)) > 0:
            answer.body += body[:room]
        if len(body) > room:
            self._settle()

    def on_message_complete(self) -> None:
        if self._has_head and self._is_waited_for():
            self._may_go_on = self._parser.should_keep_alive()
            self._settle()
