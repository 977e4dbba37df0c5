"""Who delivers: tries what is due, writes what came of it, heeds how listeners change."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from pulpit.domain.deliveries import Delivery
from pulpit.domain.listeners import NotifierType
from pulpit.domain.messages import Message
from pulpit.events.listeners.desk import Desk, Opened
from pulpit.events.listeners.notifying import Notifying
from pulpit.events.listeners.reader import Reader
from pulpit.events.listeners.reading import look
from pulpit.events.listeners.results import Batch, Results, write
from pulpit.events.listeners.settings import DelivererSettings
from pulpit.events.listeners.tally import Tally
from pulpit.events.listeners.turns import Picked, Turns
from pulpit.ports import Clock, Notifier, Storage, Vault

__all__ = ["Deliverer"]


class _Log(Protocol):
    """What is needed of the log."""

    def info(self, event: str, /, **fields: Any) -> Any: ...
    def warning(self, event: str, /, **fields: Any) -> Any: ...
    def error(self, event: str, /, **fields: Any) -> Any: ...


class Deliverer:
    """Delivers to all listeners that are enabled; for use in one event loop.

    Args:
        storage: where listeners and deliveries are.
        settings: how much at a time.
        notifiers: who deliver, by type.
        vault: opens the secrets of listeners.
        tally: where attempts are counted.
        clock: the present time.
        log: where it is told what can't be done.
        may_deliver: whether no other process delivers; asked before each step.
        chance: random, from 0 to 1; delays are drawn by it.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        settings: DelivererSettings,
        notifiers: Mapping[NotifierType, Notifier],
        vault: Vault,
        tally: Tally,
        clock: Clock,
        log: _Log,
        may_deliver: Callable[[], bool] = lambda: True,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._storage, self._settings, self._vault = storage, settings, vault
        self._clock, self._log = clock, log
        self._may_deliver, self._chance = may_deliver, chance
        self._notifying = Notifying(
            storage, notifiers=notifiers, tally=tally, log=log, rest=settings.rest
        )
        self._reader = Reader(
            storage,
            bodies=self._notifying.bodies,
            clock=clock,
            most=settings.reads,
            done=self._have_read,
        )
        self._desks: dict[str, Desk] = {}
        self._turns = Turns(settings.concurrency)
        self._results = Results(most=settings.batch)
        self._attempts: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        #: Who is to be looked at again at a time; of each there is one timer.
        self._timers: dict[Desk, asyncio.TimerHandle] = {}
        self._look_now = asyncio.Event()
        self._write_now, self._full = asyncio.Event(), asyncio.Event()
        self._stopping = False

    def start(self) -> None:
        """Begin to deliver."""
        for loop in (self._keep_looking, self._reader.run, self._keep_writing):
            self._loops.append(asyncio.create_task(self._again(loop)))

    @property
    def listeners(self) -> int:
        """How many listeners are delivered to, or were and are not done with."""
        return len(self._desks)

    def look(self) -> None:
        """Heed at once that listeners have changed."""
        self._look_now.set()

    def told(self, listener_ids: Collection[str]) -> None:
        """Heed that there are new deliveries for these listeners."""
        for listener_id in listener_ids:
            if (desk := self._desks.get(listener_id)) is None:
                self.look()
            else:
                desk.lanes.told()
                self._tend(desk)
        self._fill()

    async def stop(self, seconds: float) -> None:
        """Begin nothing new, let what is under way come to its end within the time, write that."""
        self._stopping = True
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        await _canceled(self._loops)
        for timer in self._timers.values():
            timer.cancel()
        if self._attempts and self._may_deliver():
            # the last part of the time is for writing
            await asyncio.wait(self._attempts, timeout=seconds * 0.8)
        await _canceled(self._attempts)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._write_last()

    async def _again(self, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run one of the loops; begin it again after a rest when something fails."""
        while True:
            try:
                await loop()
            except Exception as error:  # noqa: BLE001 - whatever it is, it may be better later
                self._log.error("deliveries are held up; trying again", reason=str(error))
                await asyncio.sleep(self._settings.rest)

    async def _keep_looking(self) -> None:
        """Look for changes of listeners."""
        while True:
            self._look_now.clear()
            # secrets that could not be read may be by now
            known = {
                id_: desk.listener.revision
                for id_, desk in self._desks.items()
                if desk.opened.opened is not None
            }
            self._seen(await asyncio.to_thread(look, self._storage, self._vault, known))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.look_seconds):
                    await self._look_now.wait()

    def _seen(self, listed: Collection[Opened]) -> None:
        """Heed how the listeners are now."""
        gone = self._desks.keys() - {each.listener.id for each in listed}
        for each in listed:
            listener, desk = each.listener, self._desks.get(each.listener.id)
            if not listener.is_enabled:
                gone.add(listener.id)
            elif desk is None:
                settings = self._settings
                self._desks[listener.id] = desk = Desk(
                    each, most=settings.per_listener, rate=settings.rate
                )
                self._tend(desk)
            elif desk.listener.revision != listener.revision or desk.lacks(each):
                self._results.forget(listener.id)
                desk.renew(each)
                self._tend(desk)
        for listener_id in gone:
            if desk := self._desks.get(listener_id):
                self._close(desk)
                # a result that waits is written all the same
                if desk.is_quiet and not self._results.concerns(listener_id):
                    self._results.forget(listener_id)
                    del self._desks[listener_id]
        self._fill()

    def _close(self, desk: Desk) -> None:
        """Deliver nothing more to a listener."""
        if not desk.is_closed:
            desk.close()
        if timer := self._timers.pop(desk, None):
            timer.cancel()

    def _tend(self, desk: Desk) -> None:
        """See to a listener after anything has happened: what to read, to try, to wait for."""
        if desk.is_closed or self._stopping:
            return
        now = self._clock()
        if desk.lanes.is_hungry(now):
            self._reader.want(desk)
        self._turns.offer(desk)
        self._set_timer(desk, now)

    def _set_timer(self, desk: Desk, now: datetime) -> None:
        """Be woken when the passing of time alone lets a listener go on."""
        if timer := self._timers.pop(desk, None):
            timer.cancel()
        if (when := desk.wakes_at(now)) is not None and when > now:
            seconds = (when - now).total_seconds()
            loop = asyncio.get_running_loop()
            self._timers[desk] = loop.call_later(seconds, self._wake, desk)

    def _wake(self, desk: Desk) -> None:
        self._timers.pop(desk, None)
        self._tend(desk)
        self._fill()

    def _have_read(self, desks: Collection[Desk]) -> None:
        """Try what was read."""
        for desk in desks:
            self._tend(desk)
        self._fill()

    def _fill(self) -> None:
        """Begin as many attempts as may be under way."""
        for picked in self._picked():
            attempt = asyncio.create_task(self._attempts_from(picked))
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempts.discard)

    def _picked(self) -> Iterator[Picked]:
        """Yield what may be tried now; all of it must be."""
        waiting = len(self._results) + self._turns.taken
        if self._stopping or waiting >= self._settings.most_results or not self._may_deliver():
            return
        yield from self._turns.pick(self._clock())

    async def _attempts_from(self, picked: Picked) -> None:
        """Try one delivery, and then what is next as long as there is something."""
        following: Picked | None = picked
        while following:
            await self._attempt(following)
            # a task for each would take longer than all that is done here
            following = next(self._picked(), None)
        self._fill()

    async def _attempt(self, picked: Picked) -> None:
        """Try one delivery."""
        desk, delivery = picked.desk, picked.delivery
        try:
            message = await self._notifying.message(delivery.message)
            if message is None:
                desk.lost(delivery)
            else:
                await self._try(desk, delivery, message)
        finally:
            self._turns.over(picked)
        self._tend(desk)

    async def _try(self, desk: Desk, delivery: Delivery, message: Message) -> None:
        """Try one delivery; what came of it waits to be written."""
        opened, began = desk.opened, self._clock()
        receipt = await self._notifying.receipt(opened, delivery, message)
        now = self._clock()
        schedule = self._settings.schedule
        tried = schedule.after(delivery, receipt, began=began, now=now, chance=self._chance())
        desk.tried(tried, receipt, began=began, now=now)
        self._results.add(tried, desk.health)
        # what is changed meanwhile is judged as it is now
        if desk.listener.revision == opened.listener.revision and (
            reason := schedule.given_up(opened.listener, desk.health, receipt)
        ):
            self._results.give_up(opened.listener, reason)
            self._close(desk)
        self._write_now.set()
        if self._results.is_full:
            self._full.set()

    async def _keep_writing(self) -> None:
        """Write results as they come, many at once."""
        while True:
            wait = self._settings.look_seconds if not self._results.is_empty else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._write_now.wait()
            self._write_now.clear()
            if not self._results.is_full:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.batch_seconds):
                        await self._full.wait()
            self._full.clear()
            await self._write(self._results.batch(self._clock()))

    async def _write_last(self) -> None:
        """Write all that there is, if that can be done at once."""
        try:
            while not self._results.is_empty and self._may_deliver():
                await self._write(self._results.batch(self._clock(), all_healths=True))
        except Exception as error:  # noqa: BLE001 - it is tried again by whoever delivers next
            self._log.warning(
                "results of deliveries are lost: they are repeated",
                results=len(self._results),
                reason=str(error),
            )

    async def _write(self, batch: Batch) -> None:
        """Write a batch, and let those go on who have waited for that."""
        if not self._may_deliver():
            return
        await asyncio.to_thread(write, self._storage, batch, clock=self._clock, log=self._log)
        self._results.written(batch, self._clock())
        numbers: dict[str, list[int]] = {}
        for delivery in batch.deliveries:
            numbers.setdefault(delivery.listener_id, []).append(delivery.number)
        for listener_id, settled in numbers.items():
            if desk := self._desks.get(listener_id):
                desk.lanes.settled(settled)
                self._tend(desk)
        if batch.given_up:
            self.look()
        if len(self._results):
            self._write_now.set()
        self._fill()


async def _canceled(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
