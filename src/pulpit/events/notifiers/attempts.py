"""How far an attempt to deliver has come, so that a failure can be told in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Attempted", "Phase"]


class Phase(StrEnum):
    """What an attempt waits for; the values end a sentence."""

    CERTIFICATES = "reading the files of certificates"
    NAME = "looking up the name of the host"
    CONNECTION = "connecting"
    HANDSHAKE = "the TLS handshake"
    ANSWER = "waiting for the answer"


@dataclass(slots=True)
class Attempted:
    """One attempt, while it is made; written by whoever works for it."""

    phase: Phase = Phase.CONNECTION
    #: Whether a connection was opened for it, not kept from an earlier one.
    is_fresh: bool = False
    #: Why it must not connect there.
    refused: str | None = None
    #: The address that was connected to, with its port.
    peer: str = ""
    #: Lines of what was sent; filled only if they are asked for.
    sent: tuple[str, ...] = ()
    wants_lines: bool = False
