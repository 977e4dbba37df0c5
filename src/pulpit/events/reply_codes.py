"""The reply codes of AMQP 0-9-1, which brokers and the door give."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ReplyCode"]


class ReplyCode(IntEnum):
    """What connection.close and channel.close carry; the names stand before their texts."""

    SUCCESS = 200
    CONNECTION_FORCED = 320
    ACCESS_REFUSED = 403
    NOT_FOUND = 404
    RESOURCE_LOCKED = 405
    PRECONDITION_FAILED = 406
    FRAME_ERROR = 501
    SYNTAX_ERROR = 502
    COMMAND_INVALID = 503
    CHANNEL_ERROR = 504
    UNEXPECTED_FRAME = 505
    RESOURCE_ERROR = 506
    NOT_ALLOWED = 530
    NOT_IMPLEMENTED = 540
    INTERNAL_ERROR = 541

    def text(self, reason: str) -> str:
        """Return ``NAME - reason``, within the 255 octets that a reply text may have."""
        full = f"{self.name} - {reason}"
        return full.encode(errors="replace")[:255].decode(errors="ignore")
