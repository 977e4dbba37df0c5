"""How the publisher works, and how it is doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pulpit.events.amqp.reasons import Reason

__all__ = ["CURSOR", "FOLDED", "PublisherSettings", "PublisherStatus"]

#: The name of the publisher's cursor; drop it when the publisher is turned off.
CURSOR = "amqp-publisher"
#: The name under which the publisher keeps up to where it may have folded.
FOLDED = "amqp-publisher-folded"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherSettings:
    """How the publisher works."""

    #: URLs of brokers, separated by ``;``, in the order in which they are tried.
    urls: str
    #: PEM file of the authorities that sign brokers' certificates; None: those of the system.
    cacert: Path | None = None
    #: PEM file with our certificate and its key, without a password.
    clientcert: Path | None = None
    #: How many messages may be unconfirmed.
    window: int = 500
    #: How many bytes of bodies may be unconfirmed.
    window_bytes: int = 16 << 20
    #: Progress is folded when the journal is more events ahead than this; None: never.
    fold_above: int | None = 1_000
    #: How many events are read from the journal at once; more than fold_above, if that is set.
    read_ahead: int = 2_000
    #: Seconds between two savings of the cursor, at least.
    cursor_interval: float = 0.1
    #: Seconds until a failed connection is tried again, at first.
    retry_first: float = 0.2
    #: Seconds until a failed connection is tried again, at most.
    retry_longest: float = 15.0
    #: Seconds until a broker that refused us is tried again.
    retry_refused: float = 30.0
    #: Seconds until messages that the broker refused (nack) are sent again, at first.
    resend_first: float = 0.2
    #: Seconds for each step of connecting.
    connect_timeout: float = 5.0
    #: Seconds between heartbeats.
    heartbeat: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherStatus:
    """How the publisher is doing."""

    connected: bool
    #: The broker takes no messages for now (memory or disk alarm).
    blocked: bool
    #: The broker in use or tried last, without a password.
    url: str
    #: How far the confirmed events are behind the journal, in sequence numbers.
    lag: int
    #: Messages sent, each counted once.
    published: int
    confirmed: int
    #: Progress events told by a later message.
    folded: int
    #: Messages sent again.
    resent: int
    #: What is wrong now, or what was wrong last; None if nothing ever was.
    last_error: str | None
    #: What is wrong now; None if nothing is.
    reason: Reason | None = None
    #: How often each reason has come up; of NACKED, how many messages were refused.
    failures: Mapping[Reason, int] = field(default_factory=dict)
