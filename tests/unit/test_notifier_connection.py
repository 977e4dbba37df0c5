"""What comes on a connection to a receiver, however it is cut and whatever it is."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulpit.events.notifiers.http_connection import (
    BODY_READ,
    Answer,
    BadAnswer,
    Closed,
    Connection,
)

HEAD = b"POST / HTTP/1.1\r\nHost: zoo.example\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-A: b\r\n\r\nthanks"
CHUNKED = (
    b"HTTP/1.1 202 Taken\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4;note\r\nthan\r\n2\r\nks\r\n0\r\nX-Last: c\r\n\r\n"
)
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that remembers, and ends when it is told to."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.sent = bytearray()
        #: What is called after each write.
        self.heed: Callable[[], None] = lambda: None
        self.unsent = 0
        self.is_aborted = False
        connection.connection_made(self)

    def write(self, data: Any) -> None:
        self.sent += data
        self.heed()

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        if not self.is_aborted:
            self.is_aborted = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)


class Came:
    """What came of one exchange."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.error: Exception | None = None
        #: Whether the connection could be used again, at once and after all else that came.
        self.is_usable = False

    @property
    def told(self) -> tuple[int, bytes] | str:
        """Return status and body, or the kind of the error."""
        if self.answer is None:
            return type(self.error).__name__
        return self.answer.status, self.answer.body


def exchange(*pieces: bytes, ends: bool = False, seconds: float = 60.0) -> Came:
    """Return what comes of an exchange with a receiver that sends these pieces.

    Args:
        pieces: each of which comes by itself.
        ends: whether the receiver closes the connection then.
        seconds: for which the head of the answer is waited for.
    """

    async def run() -> Came:
        loop, came, lost = asyncio.get_running_loop(), Came(), list[Connection]()
        connection = Connection(lost.append)
        wire = Wire(connection)
        asking = asyncio.create_task(connection.exchange(HEAD, b"{}", until=loop.time() + seconds))
        await asyncio.sleep(0)
        assert wire.sent == HEAD + b"{}"
        for piece in pieces:
            connection.data_received(piece)
        if ends:
            connection.connection_lost(None)
        try:
            came.answer = await asking
        except (BadAnswer, OSError) as error:
            came.error = error
        came.is_usable = connection.is_usable
        # what can't be used again is ended
        assert came.is_usable or wire.is_aborted or ends
        return came

    return asyncio.run(run())


def pieces_of(whole: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Return the parts of bytes between the places of the cuts."""
    places = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    return [whole[start:end] for start, end in itertools.pairwise(places)]


@given(
    whole=st.sampled_from([PLAIN, CHUNKED, EMPTY, EARLY + PLAIN, EARLY * 3 + EMPTY]),
    cuts=st.lists(st.integers(min_value=0, max_value=500), max_size=8),
)
@settings(max_examples=60)
def test_answers_are_read_alike_however_they_are_cut(whole: bytes, cuts: list[int]) -> None:
    """Neither status, nor body, nor what becomes of the connection depends on the network."""
    once, cut = exchange(whole), exchange(*pieces_of(whole, cuts))
    assert once.told == cut.told
    assert once.answer is not None
    assert cut.answer is not None
    assert (once.answer.reason, once.answer.headers) == (cut.answer.reason, cut.answer.headers)
    assert once.is_usable
    assert cut.is_usable


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 300), max_size=4))
@settings(max_examples=60)
def test_whatever_comes_ends_in_an_answer_or_an_error_that_is_known(
    garbage: bytes, cuts: list[int]
) -> None:
    """No bytes make an error of our own, and those after an answer keep no connection."""
    assert exchange(*pieces_of(garbage, cuts), ends=True).told in ("BadAnswer", "Closed")
    followed = exchange(EMPTY + garbage)
    assert followed.told == (204, b"")
    # empty lines between answers mean nothing
    assert followed.is_usable == (not garbage.strip(b"\r\n"))


@pytest.mark.parametrize(
    ("whole", "told", "is_usable"),
    [
        # what comes after the end of an answer was not asked for
        (PLAIN + PLAIN, (200, b"thanks"), False),
        # an answer without an end of its own ends with the connection
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", (200, b""), False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", (200, b""), False),
        (
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
            (200, b""),
            True,
        ),
        (b"HTTP/1.1 101 Other\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nzzz", (101, b""), False),
        # lines that end as they should not, and characters that have no place in a header
        (b"HTTP/1.1 200 OK\nX-A: \x07\nContent-Length: 0\n\n", (200, b""), True),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", (200, b""), True),
        # both kinds of length: the two could be read as two answers
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "BadAnswer",
            False,
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "BadAnswer", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "BadAnswer", False),
        # a length that no number holds
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
            "BadAnswer",
            False,
        ),
        (b"HTTP/2 200 OK\r\n\r\n", "BadAnswer", False),
    ],
)
def test_where_an_answer_ends_is_never_guessed(
    whole: bytes, told: tuple[int, bytes] | str, is_usable: bool
) -> None:
    """A connection is used again only where both sides agree on what was answered."""
    came = exchange(whole)
    assert (came.told, came.is_usable) == (told, is_usable)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 9_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"y" * 8_000 + b"\r\n") * 9,
        b"HTTP/1.1 200 " + b"y" * 70_000 + b"\r\n",
        (b"HTTP/1.1 100 Continue\r\n\r\n") * 3_000,
    ],
)
def test_a_head_is_bounded(head: bytes) -> None:
    """Neither lines, nor their number, nor answers before the answer are without end."""
    for pieces in ([head + b"\r\n"], [head[:5_000], head[5_000:], b"\r\n"], [head]):
        came = exchange(*pieces, ends=True)
        if isinstance(came.error, BadAnswer):
            assert came.error.is_too_large
        else:
            # its head is not over yet
            assert isinstance(came.error, Closed)
            assert pieces == [head]


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"y" * 50_000),
        (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"y" * 50_000),
        (b"HTTP/1.1 500 No\r\nContent-Length: 9999999\r\n\r\n", b"y" * 50_000),
        (b"HTTP/1.1 500 No\r\n\r\n", b"y" * 50_000),
    ],
)
def test_what_follows_a_head_is_bounded(start: bytes, more: bytes) -> None:
    """Notes of chunks and lines after a body are no way to send without end."""
    came = exchange(start, more, more, more)
    assert came.answer is not None
    assert came.answer.status == 500
    assert len(came.answer.body) <= BODY_READ
    assert not came.is_usable


def test_a_body_that_fills_what_is_read_keeps_the_connection() -> None:
    """One byte more does not."""
    for size, is_usable in ((BODY_READ, True), (BODY_READ + 1, False)):
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
        came = exchange(head, b"y" * size)
        assert came.answer is not None
        assert (len(came.answer.body), came.is_usable) == (BODY_READ, is_usable)


def test_what_nobody_has_asked_for_ends_the_connection() -> None:
    """A receiver that answers in advance could answer for another listener."""

    async def run() -> None:
        loop, lost = asyncio.get_running_loop(), list[Connection]()
        connection = Connection(lost.append)
        wire = Wire(connection)
        until = loop.time() + 60
        for _ in range(2):
            asking = asyncio.create_task(connection.exchange(HEAD, b"", until=until))
            await asyncio.sleep(0)
            connection.data_received(EMPTY)
            assert (await asking).status == 204
        connection.data_received(EMPTY)
        assert wire.is_aborted
        await asyncio.sleep(0)
        with pytest.raises(Closed):
            await connection.exchange(HEAD, b"", until=until)
        assert lost == [connection]

    asyncio.run(run())


def test_who_speaks_first_speaks_no_http() -> None:
    """Such as a mail server: whether its greeting comes before the request or after it."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(lambda _: None)
        wire = Wire(connection)
        connection.data_received(b"220 zoo.example ESMTP\r\n")
        assert wire.is_aborted
        await asyncio.sleep(0)
        with pytest.raises(BadAnswer):
            await connection.exchange(HEAD, b"", until=loop.time() + 60)
        assert not wire.sent

    asyncio.run(run())
    assert exchange(b"220 zoo.example ESMTP\r\n").told == "BadAnswer"


def test_a_large_body_is_sent_as_fast_as_it_is_taken() -> None:
    """Nothing is written while the receiver takes nothing, and nothing after its answer."""

    async def run(answers_early: bool) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(lambda _: None)
        wire = Wire(connection)
        body = bytes(range(256)) * 8_192
        wire.heed = connection.pause_writing
        asking = asyncio.create_task(connection.exchange(HEAD, body, until=loop.time() + 60))
        sent = 0
        while len(wire.sent) < len(HEAD) + len(body):
            await asyncio.sleep(0)
            assert wire.sent[: len(HEAD)] == HEAD
            assert len(wire.sent) <= sent + (256 << 10) + len(HEAD)
            if answers_early and sent:
                wire.unsent = 1
                break
            sent = len(wire.sent)
            connection.resume_writing()
        connection.data_received(PLAIN)
        assert (await asking).body == b"thanks"
        if answers_early:
            assert len(wire.sent) < len(body) // 2
            assert wire.is_aborted
        else:
            assert wire.sent == HEAD + body
            assert connection.is_usable

    for answers_early in (False, True):
        asyncio.run(run(answers_early))


@pytest.mark.parametrize(
    ("piece", "told"),
    [(b"", "TimeoutError"), (b"HTTP/1.1 200 OK\r\nX: ", "TimeoutError")],
)
def test_a_head_has_its_time(piece: bytes, told: str) -> None:
    """Time is over for what has not told its status."""
    came = exchange(piece, seconds=0.01) if piece else exchange(seconds=0.01)
    assert (came.told, came.is_usable) == (told, False)
