"""Telling a client that is gone from one that is slow, or reads nothing at all.

The kernel of a client that lives acknowledges what it gets, and the probes that are sent while it
takes nothing more; their interval grows to two minutes. Who acknowledges nothing for much longer
is gone. (TCP_USER_TIMEOUT ends both.)
"""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass

__all__ = ["PeerWatch", "Seen", "keep_watch", "seen"]

#: Of Linux' ``struct tcp_info``: segments that are not acknowledged, milliseconds since the last
#: acknowledgement, and bytes that are not sent yet.
_UNACKED, _LAST_ACK, _UNSENT = (struct.Struct(f"{offset}xI") for offset in (24, 56, 144))
_INFO_BYTES = 148
#: Bytes that the kernel takes for a client that does not read; it is faster with more to send.
_UNSENT_BYTES = 128 << 10
#: How often a silent client is asked before it is given up.
_PROBES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the kernel tells of a connection."""

    #: Whether something waits to be sent, or to be acknowledged.
    is_owed: bool
    #: Seconds since the client has acknowledged anything.
    silent: float


class PeerWatch:
    """Judges one connection by what is seen of it from time to time.

    Args:
        seconds: of silence, with something owed all the time, after which a client is gone.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: Since when something was owed whenever it was looked at.
        self._owed_since: float | None = None

    def is_gone(self, look: Seen | None, *, now: float) -> bool:
        """Tell whether the client is gone.

        Args:
            look: what is seen; None when nothing can be.
            now: seconds of a monotonic clock.
        """
        if look is None or not look.is_owed:
            self._owed_since = None
            return False
        if self._owed_since is None:
            self._owed_since = now
        # an old acknowledgement says nothing of a client that was owed nothing since
        return min(look.silent, now - self._owed_since) >= self._seconds


def keep_watch(connection: socket.socket, *, seconds: float) -> None:
    """Let the kernel ask a client of whom nothing is heard, and take little for one that is slow.

    Args:
        connection: a socket; one that is not of TCP is left alone.
        seconds: after which a silent client that is owed nothing is given up.
    """
    interval = max(int(seconds / (_PROBES + 1)), 1)
    options = {
        "TCP_KEEPIDLE": interval,
        "TCP_KEEPINTVL": interval,
        "TCP_KEEPCNT": _PROBES,
        "TCP_NOTSENT_LOWAT": _UNSENT_BYTES,
    }
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in options.items():
            # not every system knows all
            if option := getattr(socket, name, None):
                connection.setsockopt(socket.IPPROTO_TCP, option, value)


def seen(connection: socket.socket, *, waiting: int) -> Seen | None:
    """Return what the kernel tells of a connection; None where it tells nothing.

    Args:
        connection: a socket.
        waiting: bytes that the kernel has not taken yet.
    """
    if not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return None
    if len(info) < _INFO_BYTES:
        return None
    unacked, unsent, last_ack = (
        part.unpack_from(info)[0] for part in (_UNACKED, _UNSENT, _LAST_ACK)
    )
    return Seen(is_owed=bool(waiting or unacked or unsent), silent=last_ack / 1_000)
