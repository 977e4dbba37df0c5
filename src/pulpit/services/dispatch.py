"""Dispatch: events of the journal become messages, and deliveries to the listeners that ask."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Protocol

import msgspec

from pulpit.domain.events import Event
from pulpit.domain.listeners import Listener
from pulpit.domain.messages import Message
from pulpit.domain.notices import Known, Notice, possible_types
from pulpit.errors import EventsGone
from pulpit.ports import Clock, CursorStore, EventSource, Storage
from pulpit.services.audience import Audience

__all__ = ["CURSOR", "Dispatch", "Portion"]

#: The name that it keeps under how far it came.
CURSOR = "listeners"
#: How far it came is kept so often where nobody is told anything.
_REST = timedelta(seconds=1)


class _Log(Protocol):
    """What is needed of the log."""

    def warning(self, event: str, /, **fields: Any) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """How much is taken at once."""

    #: Events read.
    events: int = 500
    #: Bytes of bodies after which no more is read, or written.
    size: int = 8 << 20
    #: Deliveries after which no more is written.
    deliveries: int = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What somebody is to be told of an event under one event type."""

    notice: Notice
    #: Still without its body.
    message: Message
    listener_ids: Sequence[str]

    @property
    def lacks(self) -> bool:
        """Whether more belongs into the message than the event holds."""
        return self.notice.lacks(self.message.event_type)


_PORTION = Portion()


class Dispatch:
    """Reads the journal and keeps what listeners are to be told; for use by one thread.

    However often it is killed and begun anew, by this process or another one, each listener that
    is enabled gets one delivery of each message that it wants, in the order of the journal.

    Args:
        storage: where listeners and deliveries are.
        events: the journal.
        cursors: where it is kept how far it came; without that, it begins at the journal's head.
        clock: the present time.
        log: where it is told what listeners are not told.
        portion: how much is taken at once.
        told: called with the listeners for which there may be new deliveries.
    """

    def __init__(
        self,
        storage: Storage,
        events: EventSource,
        *,
        cursors: CursorStore,
        clock: Clock,
        log: _Log,
        portion: Portion = _PORTION,
        told: Callable[[Collection[str]], None] = lambda _ids: None,
    ) -> None:
        self._storage, self._events, self._portion = storage, events, portion
        self._cursors, self._clock, self._log, self._told = cursors, clock, log, told
        self._position: int | None = None
        #: What was kept of that, and when.
        self._kept: tuple[int, datetime] | None = None

    @property
    def position(self) -> int | None:
        """The number of the journal up to which listeners are told; None before the first step."""
        return self._position

    def step(self) -> int:
        """Go through the next part of the journal, bounded; return how many events that were.

        Call it again at once until it returns 0, and then once there are new events.

        Raises:
            DatabaseFailed: try again; nothing is lost, and nothing is told twice.
            Fenced: another process does this now.
        """
        position = self._begun()
        head = self._events.head()
        if head == position:
            self._keep()
            return 0
        # looked up after the head: who was there before an event is told of it
        listeners = self._listeners()
        if head > position and not listeners:
            self._move(head)
            return 0
        try:
            events = self._events.read(
                position, self._portion.events, most_bytes=self._portion.size
            )
        except EventsGone as gone:
            self._log.warning("listeners are not told of events past retention", **gone.data)
            self._move(gone.resume, at_once=True)
            return abs(gone.resume - position)
        return self._pass([event for event in events if event.sequence <= head], listeners)

    def _begun(self) -> int:
        """Return the number to go on after."""
        if self._position is None:
            position = self._cursors.load(CURSOR)
            if position is None:
                self._move(self._events.head(), at_once=True)
            else:
                self._position, self._kept = position, (position, self._clock())
        assert self._position is not None
        return self._position

    def _listeners(self) -> Sequence[Listener]:
        """Return those who may be told something now."""
        with self._storage.read() as transaction:
            listed = transaction.listeners.list()
        return [listener for listener in listed if listener.is_enabled and listener.event_types]

    def _pass(self, events: Sequence[Event], listeners: Sequence[Listener]) -> int:
        """Tell of the events, and go on after them; return how many they are."""
        if not events:
            return 0
        wanted = list(self._wanted(events, listeners))
        known = _Lookup(self._storage, wanted)
        waiting: list[tuple[Message, Sequence[str]]] = []
        size = count = 0
        for each in wanted:
            if (message := self._message(each, known)) is None:
                continue
            waiting.append((message, each.listener_ids))
            size, count = size + len(message.body), count + len(each.listener_ids)
            if size >= self._portion.size or count >= self._portion.deliveries:
                self._add(waiting)
                waiting, size, count = [], 0, 0
        self._add(waiting)
        self._move(events[-1].sequence, at_once=bool(wanted))
        return len(events)

    def _wanted(self, events: Sequence[Event], listeners: Sequence[Listener]) -> Iterator[_Wanted]:
        """Yield what the listeners are to be told, in order."""

        @cache
        def asking(event_type: str) -> Audience:
            return Audience(listener for listener in listeners if listener.asks_for(event_type))

        for event in events:
            # most events are of no use to anybody, and are not looked into
            if not any(map(asking, possible_types(event))):
                continue
            if (notice := self._notice(event)) is None:
                continue
            for event_type in notice.event_types:
                message = notice.message(event_type)
                if ids := asking(event_type).of(message):
                    yield _Wanted(notice=notice, message=message, listener_ids=ids)

    def _notice(self, event: Event) -> Notice | None:
        """Return the event as it may be told, or None if it can't be read."""
        try:
            return Notice.of(event)
        except msgspec.DecodeError as error:
            self._skip(event, error)
            return None

    def _message(self, wanted: _Wanted, known: _Lookup) -> Message | None:
        """Return the whole message, or None if its event can't be read."""
        found = known.of(wanted)
        try:
            body = wanted.notice.body(wanted.message.event_type, found)
        except Exception as error:  # noqa: BLE001 - it would hold up all that comes after it
            self._skip(wanted.notice.event, error)
            return None
        return replace(wanted.message, body=body)

    def _skip(self, event: Event, error: Exception) -> None:
        self._log.warning(
            "listeners are not told of an event that can't be read",
            sequence=event.sequence,
            reason=str(error),
        )

    def _add(self, wanted: Sequence[tuple[Message, Sequence[str]]]) -> None:
        """Keep messages and deliveries."""
        if wanted:
            with self._storage.write_beside() as transaction:
                transaction.deliveries.add(wanted, now=self._clock())
            self._told({each for _, listener_ids in wanted for each in listener_ids})

    def _move(self, position: int, *, at_once: bool = False) -> None:
        """Go on after a number; keep that at once, or when it is time."""
        self._position = position
        self._keep(at_once=at_once)

    def _keep(self, *, at_once: bool = False) -> None:
        """Keep how far it came, if that is not kept and it is time."""
        position, now = self._position, self._clock()
        assert position is not None
        if self._kept:
            kept, when = self._kept
            if kept == position or not (at_once or abs(now - when) >= _REST):
                return
        self._cursors.save(CURSOR, position)
        self._kept = position, now


class _Lookup:
    """What is known of the tasks and repositories of messages that lack it.

    Args:
        storage: where they are.
        wanted: the messages.
    """

    def __init__(self, storage: Storage, wanted: Sequence[_Wanted]) -> None:
        self._storage = storage
        lacking = [each for each in wanted if each.lacks]
        task_ids = {each.message.task_id or "" for each in lacking}
        repo_ids = {each.message.repo_id or "" for each in lacking}
        self._distributors: dict[str, str] = {}
        self._types: dict[tuple[str, str | None], str] = {}
        if not lacking:
            return
        with storage.read() as transaction:
            for task_id, arguments in transaction.tasks.arguments(task_ids).items():
                if isinstance(distributor_id := arguments.get("distributor_id"), str):
                    self._distributors[task_id] = distributor_id
            for importer in transaction.repositories.importers(repo_ids):
                self._types[importer.repo_id, None] = importer.importer_type_id
            for distributor in transaction.repositories.distributors(repo_ids):
                self._types[distributor.repo_id, distributor.id] = distributor.distributor_type_id

    def of(self, wanted: _Wanted) -> Known:
        """Return what is known for a message."""
        if not wanted.lacks:
            return Known()
        task_id, repo_id = wanted.message.task_id or "", wanted.message.repo_id or ""
        distributor_id = self._distributors.get(task_id)
        return Known(
            distributor_id=distributor_id,
            type_id=self._types.get((repo_id, distributor_id)),
            result=self._result(task_id) if wanted.notice.has_link else None,
        )

    def _result(self, task_id: str) -> Any:
        """Return what the task has returned; such results are large, so one at a time."""
        with self._storage.read() as transaction:
            task = transaction.tasks.find([task_id]).get(task_id)
        return task.result if task else None
