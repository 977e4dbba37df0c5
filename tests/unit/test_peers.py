"""Clients that are gone, and those that only seem to be."""

from __future__ import annotations

import socket
import sys

import pytest

from pulpit.api.peers import PeerWatch, Seen, keep_watch, seen


def _judge(*looks: tuple[float, bool, float]) -> list[bool]:
    """Return what a watch of 300 seconds says: of a time, whether it is owed, its silence."""
    watch = PeerWatch(300)
    return [
        watch.is_gone(Seen(is_owed=owed, silent=silent), now=now) for now, owed, silent in looks
    ]


def test_who_acknowledges_nothing_is_gone() -> None:
    """After so many seconds of silence with something owed, and not before."""
    looks = [(1_000 + 30 * number, True, 30.0 * number) for number in range(12)]
    assert _judge(*looks) == [False] * 10 + [True] * 2


def test_who_acknowledges_probes_is_there() -> None:
    """A client that reads nothing for days acknowledges something every two minutes."""
    looks = [(30 * number, True, 30.0 * (number % 5)) for number in range(10_000)]
    assert not any(_judge(*looks))


def test_who_was_owed_nothing_is_not_late() -> None:
    """An idle client has acknowledged nothing for long; then there is something to send."""
    assert not any(_judge((0, False, 5_000.0), (30, True, 5_030.0), (60, True, 0.0)))
    looks = [(30.0 * number, True, 5_000.0 + 30 * number) for number in range(12)]
    assert _judge((0, False, 5_000.0), *looks) == [False] * 11 + [True] * 2


def test_what_was_settled_counts_no_longer() -> None:
    """Owed twice, with a time in between in which all was acknowledged."""
    looks = [
        *[(30.0 * number, True, 30.0 * number) for number in range(9)],
        (270, False, 1.0),
        *[(300.0 + 30 * number, True, 31.0 + 30 * number) for number in range(9)],
    ]
    assert not any(_judge(*looks))


def test_nothing_seen_is_nobody_gone() -> None:
    """Where the kernel tells nothing, nobody is given up."""
    watch = PeerWatch(300)
    assert not watch.is_gone(None, now=0)
    assert not watch.is_gone(Seen(is_owed=True, silent=400), now=400)


def test_other_sockets_are_left_alone() -> None:
    """A Unix socket has no such options, and tells nothing."""
    one, other = socket.socketpair()
    with one, other:
        keep_watch(one, seconds=300)
        assert seen(one, waiting=1) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's words are Linux'")
def test_a_socket_of_tcp_tells() -> None:
    """Nothing is owed on one that was never used; what waits here is."""
    with socket.socket() as connection:
        keep_watch(connection, seconds=300)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 50
        look = seen(connection, waiting=0)
        assert look
        assert not look.is_owed
        look = seen(connection, waiting=1)
        assert look
        assert look.is_owed
