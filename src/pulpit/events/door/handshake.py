"""From the protocol header to an open connection: login, negotiation, virtual host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

from pamqp import base, commands

from pulpit.events.door.credentials import Gate
from pulpit.events.door.refusals import ConnectionRefusal
from pulpit.events.door.settings import DoorSettings
from pulpit.events.reply_codes import ReplyCode

__all__ = ["Handshake", "Stage"]

_FRAME_MIN: Final = 4_096
_VIRTUAL_HOST: Final = "/"
_CAPABILITIES: Final = (
    "authentication_failure_close",
    "basic.nack",
    "consumer_cancel_notify",
    "per_consumer_qos",
    "publisher_confirms",
)


class Stage(StrEnum):
    """What is awaited next."""

    START_OK = "connection.start-ok"
    CREDENTIALS = "the check of the credentials"
    TUNE_OK = "connection.tune-ok"
    OPEN = "connection.open"
    DONE = "nothing"


class Handshake:
    """The state of one login, until the connection is open."""

    def __init__(
        self, gate: Gate, settings: DoorSettings, host: str, send: Callable[[base.Frame], None]
    ) -> None:
        self.stage = Stage.START_OK
        self.frame_max = settings.frame_max
        self.channel_max = settings.channel_max
        self.heartbeat = 0
        self.login = ""
        self._capabilities: Mapping[str, Any] = {}
        self._gate = gate
        self._settings = settings
        self._host = host
        self._send = send

    @property
    def done(self) -> bool:
        """True once the connection is open."""
        return self.stage is Stage.DONE

    def begin(self) -> None:
        """Send connection.start."""
        self._send(
            commands.Connection.Start(
                server_properties={
                    "product": "Pulpit",
                    "platform": "Python",
                    "information": "Events of tasks, for consumers; nothing can be published here.",
                    "capabilities": dict.fromkeys(_CAPABILITIES, True),
                },
                mechanisms=self._gate.mechanisms(self._host),
            )
        )

    def understands(self, capability: str) -> bool:
        """Return whether the client says that it knows *capability*."""
        return self._capabilities.get(capability) is True

    def handle(self, method: base.Frame) -> commands.Connection.StartOk | None:
        """Go on by one step; connection.start-ok is returned, to be given to :meth:`admit`.

        Raises:
            ConnectionRefusal: it is not *method*'s turn, or its values are out of bounds.
        """
        match self.stage, method:
            case Stage.START_OK, commands.Connection.StartOk():
                capabilities = method.client_properties.get("capabilities")
                self._capabilities = capabilities if isinstance(capabilities, dict) else {}
                self.stage = Stage.CREDENTIALS
                return method
            case Stage.TUNE_OK, commands.Connection.TuneOk():
                self._tune(method)
                self.stage = Stage.OPEN
            case Stage.OPEN, commands.Connection.Open():
                if method.virtual_host != _VIRTUAL_HOST:
                    raise ConnectionRefusal(
                        ReplyCode.NOT_ALLOWED,
                        f"vhost {method.virtual_host} not found; the only one is {_VIRTUAL_HOST}",
                    )
                self._send(commands.Connection.OpenOk())
                self.stage = Stage.DONE
            case _:
                raise ConnectionRefusal(
                    ReplyCode.COMMAND_INVALID, f"{method.name} where {self.stage} is awaited"
                )
        return None

    async def admit(self, start_ok: commands.Connection.StartOk) -> bool:
        """Check the credentials; when they are good, send connection.tune."""
        login = await self._gate.admit(start_ok, self._host)
        if login is None:
            return False
        self.login = login
        self.stage = Stage.TUNE_OK
        settings = self._settings
        self._send(
            commands.Connection.Tune(
                channel_max=settings.channel_max,
                frame_max=settings.frame_max,
                heartbeat=settings.heartbeat,
            )
        )
        return True

    def _tune(self, method: commands.Connection.TuneOk) -> None:
        """Take what the client chose, within what was offered."""
        self.frame_max = _bounded("frame_max", method.frame_max, _FRAME_MIN, self.frame_max)
        self.channel_max = _bounded("channel_max", method.channel_max, 1, self.channel_max)
        self.heartbeat = method.heartbeat


def _bounded(name: str, value: int, least: int, most: int) -> int:
    """Return *value*; 0, which means no limit, is past any limit."""
    if not least <= value <= most:
        raise ConnectionRefusal(
            ReplyCode.NOT_ALLOWED, f"negotiated {name} = {value} is not within {least} to {most}"
        )
    return value
