"""What an operator may set about the door, and the limits that keep it in bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["DoorSettings", "Tls"]

#: Makes the protocol of a client that begins with a handshake, after which comes what is given.
Tls = Callable[[Callable[[], asyncio.Protocol]], asyncio.Protocol]


@dataclass(frozen=True, kw_only=True)
class DoorSettings:
    """Address and limits of the door; sizes are in bytes, times in seconds."""

    host: str = "127.0.0.1"
    #: 0 takes a free port.
    port: int = 5672
    #: Lets guest/guest and the mechanism ANONYMOUS in from loopback peers.
    anonymous_loopback: bool = False
    #: Bounds the handshakes in number and time, and reads certificates; None: no TLS.
    tls: Tls | None = None

    #: From the first byte to an open connection.
    handshake_seconds: float = 3
    #: How long wrong credentials wait for their answer.
    refusal_seconds: float = 1
    #: How long a peer may take to answer a close.
    close_seconds: float = 2
    #: 0 lets a client choose to have none.
    heartbeat: int = 60

    max_connections: int = 10_000
    #: Connections that are not logged in yet; the oldest gives way to a new one.
    max_handshakes: int = 500
    #: Password checks that run at the same time.
    max_authentications: int = 4
    frame_max: int = 131_072
    channel_max: int = 64
    #: A longer method frame is an error, before and after the login.
    method_bytes_before_login: int = 8_192
    method_bytes: int = 16_384

    #: Of one connection.
    max_queues: int = 64
    max_consumers: int = 256
    max_bindings: int = 5_000
    #: Deliveries that wait for their acknowledgement; more are held back.
    max_unacknowledged: int = 8_000
    #: Replies that the peer does not read; past this the connection is cut.
    unread_reply_bytes: int = 1 << 20
    #: Deliveries stop while more than this waits to be sent to the peer.
    write_buffer_bytes: int = 1 << 18

    #: Entries that wait in a queue before progress is folded.
    fold_after: int = 32
    #: Progress entries that wait in a queue; the oldest give way.
    queue_progress_limit: int = 1_000
    #: Status changes that wait in a queue; a queue that reaches it is closed.
    queue_status_limit: int = 10_000
    #: Bodies that wait in a queue, progress dropped first, then the queue is closed.
    queue_bytes_limit: int = 1 << 26
