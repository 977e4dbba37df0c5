"""Trying a listener out: a ping, and a look at all that lies on the way to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import msgspec

from pulpit.domain.clock import render_time
from pulpit.domain.deliveries import Parcel, Receipt
from pulpit.domain.findings import Finding
from pulpit.domain.listeners import PING, NotifierType, OpenListener
from pulpit.errors import NotImplementedHere
from pulpit.ports import Clock, Notifier, Storage, Vault
from pulpit.services.listeners import opened

__all__ = ["Diagnose", "Tested", "Trials"]

#: Returns what is found of a listener and on the way to it.
Diagnose = Callable[[OpenListener], Awaitable[Sequence[Finding]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """How a ping went."""

    receipt: Receipt
    #: Whether the listener is told of events.
    is_enabled: bool


class Trials:
    """Tries listeners out; changes nothing.

    Args:
        storage: where they are kept.
        clock: the present time.
        vault: opens what is secret.
        notifiers: by type; used in the event loop of the caller.
        diagnose: looks at all that lies on the way to a listener; None where nobody can.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Clock,
        vault: Vault,
        notifiers: Mapping[NotifierType, Notifier],
        diagnose: Diagnose | None,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._vault = vault
        self._notifiers = notifiers
        self._diagnose = diagnose

    async def test(self, listener_id: str) -> Tested:
        """Send a ping to the listener, enabled or not, and return how that went.

        Raises:
            MissingResource: there is none of that id.
            SecretsUnreadable: it needs secrets that can't be read here.
        """
        found = await asyncio.to_thread(self._opened, listener_id)
        listener = found.listener
        parcel = _ping(listener.id, self._clock())
        receipt = await self._notifiers[listener.notifier_type].deliver(found, parcel, trace=True)
        return Tested(receipt=receipt, is_enabled=listener.is_enabled)

    async def diagnose(self, listener_id: str) -> Sequence[Finding]:
        """Return what is found on the way to the listener.

        Raises:
            NotImplementedHere: nobody can look.
            MissingResource, SecretsUnreadable: see ``test``.
        """
        if self._diagnose is None:
            raise NotImplementedHere
        found = await asyncio.to_thread(self._opened, listener_id)
        return await self._diagnose(found)

    def _opened(self, listener_id: str) -> OpenListener:
        with self._storage.read() as transaction:
            listener = transaction.listeners.get(listener_id)
        return opened(listener, self._vault)


def _ping(listener_id: str, now: datetime) -> Parcel:
    """Return what is sent to try a listener out."""
    ping_id = f"msg_{uuid4().hex}"
    told = {"listener_id": listener_id, "time": render_time(now)}
    return Parcel(
        id=ping_id,
        event_type=PING,
        sequence=0,
        event_id=ping_id,
        time=now,
        body=msgspec.json.encode({"event_type": PING, "payload": told, "call_report": None}),
    )
