"""Listeners as the leader sees to them: events become deliveries, and these are delivered."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pulpit.app.tenure import LEASE, Term
from pulpit.config import Settings
from pulpit.domain.clock import utc_now
from pulpit.domain.deliveries import DeliveryState
from pulpit.domain.listeners import NotifierType
from pulpit.errors import Fenced
from pulpit.events.listeners import Deliverer, DelivererSettings, Schedule, Tally
from pulpit.events.live import wake_loop
from pulpit.ports import CursorStore, Notifier, Storage, Vault
from pulpit.services.dispatch import Dispatch
from pulpit.storage.database import SqlStorage

__all__ = ["ListenerDuties", "ListenerFigures", "listener_figures"]

#: Seconds that deliveries under way get at the end.
_LAST_WORDS = 4.0
#: Seconds for which news of the journal are gathered, and until what failed is tried again.
_GATHER, _REST = 0.02, 1.0
#: Seconds for which the status is told as it was counted.
_STATUS_EVERY = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerFigures:
    """How listeners are told, by the database."""

    enabled: int
    disabled: int
    #: Deliveries that are to be tried, and that were tried in vain.
    pending: int
    exhausted: int
    #: When the first of the pending ones was made, of listeners that are enabled.
    oldest: datetime | None


def listener_figures(storage: Storage) -> ListenerFigures:
    """Return how listeners are told; may block."""
    with storage.read() as transaction:
        listeners = transaction.listeners.list()
        counts = transaction.deliveries.counts()
        oldest = transaction.deliveries.oldest_pending()
    enabled = {listener.id for listener in listeners if listener.is_enabled}

    def total(state: DeliveryState) -> int:
        return sum(of_listener.get(state, 0) for of_listener in counts.values())

    return ListenerFigures(
        enabled=len(enabled),
        disabled=len(listeners) - len(enabled),
        pending=total(DeliveryState.PENDING),
        exhausted=total(DeliveryState.EXHAUSTED),
        oldest=min((time for id_, time in oldest.items() if id_ in enabled), default=None),
    )


class ListenerDuties:
    """Makes deliveries of events and delivers them, during the terms of this server.

    Args:
        settings: of the server.
        storage: the database.
        notifiers: who deliver, by type; of the loop in which this is used.
        vault: opens the secrets of listeners.
        log: of the server.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        storage: SqlStorage,
        notifiers: Mapping[NotifierType, Notifier],
        vault: Vault,
        log: Any,
    ) -> None:
        self._settings, self._storage, self._notifiers = settings, storage, notifiers
        self._vault, self._log = vault, log
        #: Counts of attempts since the start.
        self.tally = Tally()
        #: Who delivers during the present term, and in which loop.
        self._at_work: tuple[asyncio.AbstractEventLoop, Deliverer] | None = None
        self._turn, self._counting = threading.Lock(), threading.Lock()
        #: What was told last of how listeners are told, and when.
        self._status: tuple[float, Mapping[str, int]] | None = None

    def changed(self) -> None:
        """Heed at once that this process has changed listeners; called in any thread."""
        self._ask(Deliverer.look)

    def _told(self, listener_ids: Collection[str]) -> None:
        """Heed that there are new deliveries; called in any thread."""
        self._ask(lambda deliverer: deliverer.told(listener_ids))

    def _ask(self, act: Callable[[Deliverer], None]) -> None:
        """Have the deliverer, if there is one, do something in its loop."""
        with self._turn:
            if at_work := self._at_work:
                loop, deliverer = at_work
                # the loop may be closing already
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(act, deliverer)

    @contextlib.asynccontextmanager
    async def leading(self, term: Term) -> AsyncIterator[None]:
        """Do all that while the block runs, and the term is not over."""
        listeners = self._settings.listeners
        deliverer = Deliverer(
            self._storage,
            settings=DelivererSettings(
                schedule=Schedule(
                    retry_hours=listeners.retry_hours, disable_days=listeners.disable_days
                ),
                concurrency=listeners.concurrency,
                per_listener=listeners.per_listener,
                rate=listeners.rate,
            ),
            notifiers=self._notifiers,
            vault=self._vault,
            tally=self.tally,
            clock=utc_now,
            log=self._log,
            may_deliver=lambda: term.holds,
        )
        dispatch = self._make_dispatch(term)
        # from here on events are told: it begins at the journal's head
        await self._step(dispatch, term)
        with self._turn:
            self._at_work = asyncio.get_running_loop(), deliverer
        deliverer.start()
        dispatching = asyncio.create_task(self._dispatch(dispatch, term))
        try:
            yield
        finally:
            dispatching.cancel()
            await asyncio.wait([dispatching])
            with self._turn:
                self._at_work = None
            await deliverer.stop(_LAST_WORDS)

    def _make_dispatch(self, term: Term) -> Dispatch:
        """Return what makes deliveries during a term."""
        cursors: CursorStore = self._storage.cursors
        if term.holder:
            cursors = self._storage.cursors.fenced(LEASE, term.holder)
        return Dispatch(
            self._storage,
            self._storage.events,
            cursors=cursors,
            clock=utc_now,
            log=self._log,
            told=self._told,
        )

    async def _dispatch(self, dispatch: Dispatch, term: Term) -> None:
        """Make deliveries of the events of the journal, as they come."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        unsubscribe = self._storage.events.subscribe(lambda: wake_loop(loop, news))
        try:
            while term.holds:
                news.clear()
                if await self._step(dispatch, term):
                    continue
                # where nothing comes, what is known to have come is kept after a while
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_REST):
                        await news.wait()
                await asyncio.sleep(_GATHER)
        finally:
            unsubscribe()

    async def _step(self, dispatch: Dispatch, term: Term) -> int:
        """Take one step; return whether another one should follow at once."""
        try:
            return await asyncio.to_thread(dispatch.step)
        except Fenced:
            # the database knows better, and nobody else would deliver during this term
            term.end()
        except Exception as error:  # noqa: BLE001 - whatever it is, it may be better later
            self._log.error("listeners can't be told of events; trying again", reason=str(error))
            await asyncio.sleep(_REST)
        return 0

    def status(self) -> Mapping[str, int]:
        """Return how listeners are told, for everybody to read; may block.

        However many ask, it is counted now and then.
        """
        with self._counting:
            if self._status is None or time.monotonic() - self._status[0] >= _STATUS_EVERY:
                found = listener_figures(self._storage)
                told = {
                    "enabled": found.enabled,
                    "disabled": found.disabled,
                    "pending": found.pending,
                    "exhausted": found.exhausted,
                }
                self._status = time.monotonic(), told
            return self._status[1]
