"""The two ways in which the door says no."""

from __future__ import annotations

from pulpit.events.reply_codes import ReplyCode

__all__ = ["ChannelRefusal", "ConnectionRefusal"]


class _Refusal(Exception):
    """Something that a client asked for and does not get."""

    def __init__(self, code: ReplyCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.text = code.text(reason)


class ChannelRefusal(_Refusal):
    """Ends the channel; the connection goes on."""


class ConnectionRefusal(_Refusal):
    """Ends the connection."""
