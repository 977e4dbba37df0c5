"""Whether the server lives, and whether requests should be sent to it, with the reasons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pulpit.app.bounded import Bounded
from pulpit.events.amqp import PublisherStatus

__all__ = ["Health", "Phase"]

#: Seconds that a probe waits for database and disk.
_PATIENCE = 1.0


class Phase(StrEnum):
    """Where the server stands between its start and its end."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class _Status(StrEnum):
    """What a check came to."""

    OK = "ok"
    #: The server does its work all the same.
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    """One thing that was looked at; the reason is for everybody, so it names no place or person."""

    name: str
    status: _Status = _Status.OK
    reason: str = ""

    @classmethod
    def of(cls, name: str, failure: str) -> _Check:
        """Return a check that failed if there is a reason."""
        return cls(name=name, status=_Status.FAILED if failure else _Status.OK, reason=failure)

    def document(self) -> dict[str, str]:
        """Return it as JSON."""
        return {"name": self.name, "status": self.status.value, "reason": self.reason}


class Health:
    """Answers probes; for use in the event loop, which lives when it answers.

    Args:
        phase: returns where the server stands.
        engine_alive: tells whether tasks are looked after.
        publisher: returns how the publisher is doing, or None if there is none.
        schema_fits: asks the database whether this version may run on it; may block.
        has_workers: tells whether anybody is there to run tasks; may block.
        room: returns the bytes that are free on the disk; may block.
        floor: bytes that must be free there.
        patience: seconds that a probe waits for database and disk.
    """

    def __init__(
        self,
        *,
        phase: Callable[[], Phase],
        engine_alive: Callable[[], bool],
        publisher: Callable[[], PublisherStatus | None],
        schema_fits: Callable[[], bool],
        has_workers: Callable[[], bool],
        room: Callable[[], int],
        floor: int,
        patience: float = _PATIENCE,
    ) -> None:
        self._phase, self._engine_alive, self._publisher = phase, engine_alive, publisher
        self._floor = floor
        self._silence = f"no answer within {patience:g} s"
        self._asked = Bounded(
            lambda: (schema_fits(), has_workers()), seconds=patience, name="ready-database"
        )
        self._disk = Bounded(room, seconds=patience, name="ready-disk")

    def live(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the server lives, and the document that says so."""
        return _summary([_Check(name="event_loop"), self._engine()])

    async def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether requests should come here, and the document that says why.

        A broker that is away is told, and is no reason to send requests elsewhere.
        """
        database, disk = await asyncio.gather(self._database(), self._room())
        phase = self._phase()
        at_work = phase is Phase.RUNNING
        server = _Check.of("server", "" if at_work else f"the server is {phase.value}")
        return _summary([server, self._engine(), *database, disk, *self._broker()])

    def _engine(self) -> _Check:
        """Look at the thread that runs tasks; before and after its time it need not be there."""
        gone = self._phase() is Phase.RUNNING and not self._engine_alive()
        return _Check.of("engine", "tasks are not looked after: restart the server" if gone else "")

    async def _database(self) -> Sequence[_Check]:
        """Look at the database, its schema, and the workers that it knows."""
        try:
            fits, worked = await self._asked.answer()
        except TimeoutError:
            return [_Check.of("database", self._silence)]
        except Exception as error:  # noqa: BLE001 - whatever it is, requests fail as well
            return [
                _Check.of("database", f"it can't be read ({type(error).__name__}): see the log")
            ]
        outdated = "" if fits else "it is of another version: restart the server"
        checks = [_Check.of("database", ""), _Check.of("schema", outdated)]
        if not worked:
            reason = "none is known, so tasks wait: start `pulpit worker`"
            checks.append(_Check(name="workers", status=_Status.DEGRADED, reason=reason))
        return checks

    async def _room(self) -> _Check:
        """Look at the room on the disk."""
        try:
            enough = await self._disk.answer() >= self._floor
        except TimeoutError:
            return _Check.of("disk", self._silence)
        except OSError as error:
            return _Check.of("disk", f"it can't be looked at: {error.strerror}")
        return _Check.of("disk", "" if enough else "less room than [storage] disk_floor: make room")

    def _broker(self) -> Sequence[_Check]:
        """Look at the broker, which delays nothing while it is away."""
        status = self._publisher()
        if status is None:
            return []
        if status.reason is None and status.connected:
            return [_Check(name="broker")]
        reason = f"events wait in the journal ({status.reason or 'connecting'}): see the log"
        return [_Check(name="broker", status=_Status.DEGRADED, reason=reason)]


def _summary(checks: Sequence[_Check]) -> tuple[bool, dict[str, Any]]:
    """Return whether no check failed, and all of them with the worst status."""
    found = {check.status for check in checks}
    worst = next(status for status in reversed(_Status) if status in found)
    document = {"status": worst.value, "checks": [check.document() for check in checks]}
    return worst is not _Status.FAILED, document
