"""Which listeners are told what of the journal, once and in order, wherever that is killed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulpit.domain.events import (
    Event,
    EventKind,
    NewEvent,
    listener_event,
    task_event,
)
from pulpit.domain.listeners import Filters, Listener, NotifierType
from pulpit.domain.messages import Message
from pulpit.domain.repositories import Distributor, Importer, Repository
from pulpit.domain.tasks import PUBLISH_TASK, SYNC_TASK, Task, repository_tag
from pulpit.errors import Fenced
from pulpit.ports import CursorStore, Transaction
from pulpit.services.dispatch import CURSOR, Dispatch, Portion
from pulpit.testing import FrozenClock, MemoryStorage
from tests.services.journal import MemoryCursors, MemoryJournal

_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_TYPES = {"sync": SYNC_TASK, "publish": PUBLISH_TASK, "other": "pulp.test"}


class _Log:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, /, **fields: Any) -> None:
        self.told.append((event, fields))


class _World:
    """A storage with listeners, a journal to write to, and who tells the ones of the other."""

    def __init__(self, *, portion: Portion = Portion()) -> None:  # noqa: B008 - a frozen value
        self.clock = FrozenClock(_NOW)
        self.storage = MemoryStorage()
        self.journal, self.cursors = MemoryJournal(), MemoryCursors()
        self.log = _Log()
        self._portion = portion
        self._sequence = 0

    def dispatch(self, *, storage: Any = None, cursors: CursorStore | None = None) -> Dispatch:
        """Return one that has told nothing yet, as a process that begins has it."""
        return Dispatch(
            storage or self.storage,
            self.journal,
            cursors=cursors or self.cursors,
            clock=self.clock,
            log=self.log,
            portion=self._portion,
        )

    def begun(self) -> Dispatch:
        """Return one that goes on at the journal's head."""
        dispatch = self.dispatch()
        assert dispatch.step() == 0
        return dispatch

    def listener(
        self, name: str, *event_types: str, disabled: bool = False, **filters: Any
    ) -> Listener:
        """Keep a listener that goes by its name."""
        listener = Listener(
            id=name,
            notifier_type=NotifierType.HTTP,
            event_types=event_types,
            filters=Filters(**filters),
            created=self.clock() + _SECOND * len(name),
            last_updated=self.clock(),
            disabled_reason="by hand" if disabled else None,
        )
        with self.storage.write() as transaction:
            transaction.listeners.add(listener)
        return listener

    def tell(self, task: Task, kind: EventKind = EventKind.STATUS, **changes: Any) -> Event:
        """Write the event that tells of a task as it is."""
        return self.append(task_event(task, kind, now=self.clock()), **changes)

    def append(self, new: NewEvent, **changes: Any) -> Event:
        """Write an event, with other values than those that it has."""
        self._sequence += 1
        fields = {field.name: getattr(new, field.name) for field in dataclasses.fields(new)}
        event = Event(
            **fields
            | {
                "sequence": self._sequence,
                "id": f"journal:{self._sequence}",
                "previous": new.revision - 1,
            }
            | changes
        )
        self.journal.append(event)
        return event

    def deliveries(self, name: str) -> list[tuple[int, str]]:
        """Return what a listener is to be told, by number and event type."""
        with self.storage.read() as transaction:
            found = transaction.deliveries.pending(name, after=0, limit=1_000_000)
        return [(each.sequence, each.event_type) for each in found]

    def documents(self, name: str) -> list[Any]:
        """Return what is told to a listener."""
        with self.storage.read() as transaction:
            found = transaction.deliveries.pending(name, after=0, limit=1_000_000)
            messages = transaction.deliveries.messages([each.message for each in found])
        return [json.loads(messages[each.message].body) for each in found]


def _task(
    work: str = "sync", *, number: int = 1, repo: str = "zoo", tags: Sequence[str] = ()
) -> Task:
    """Return a task that waits."""
    return Task(
        id=str(UUID(int=number)),
        oid=f"{number:024x}",
        task_type=_TYPES[work],
        operation=work,
        arguments={"repo_id": repo, "distributor_id": "web"},
        tags=(repository_tag(repo), *tags),
        created=_NOW,
        revision=1,
    )


def _running(task: Task) -> Task:
    return dataclasses.replace(task.started(worker_name="w", now=_NOW), revision=2)


def _finished(task: Task, result: Any = None) -> Task:
    return _running(task).finished(result=result, spawned=(), now=_NOW)


def _drain(dispatch: Dispatch) -> None:
    """Step until nothing is left."""
    while dispatch.step():
        pass


def test_it_begins_at_the_head() -> None:
    """Nothing of the past is told, by the first one there is."""
    world = _World()
    world.listener("all", "*", "task.*")
    world.tell(_task())
    dispatch = world.begun()
    assert (world.deliveries("all"), dispatch.position) == ([], 1)
    assert world.cursors.load(CURSOR) == 1


def test_it_goes_on_where_it_was() -> None:
    """A later one tells what came while nobody did."""
    world = _World()
    world.listener("all", "task.*")
    world.begun()
    world.tell(_task())
    _drain(world.dispatch())
    assert world.deliveries("all") == [(1, "task.waiting")]


def test_each_is_told_what_it_asks_for() -> None:
    """By event type, repository and tag, in the order of the journal."""
    world = _World()
    world.listener("pulp2", "*")
    world.listener("finishes", "repo.publish.finish", "repo.sync.finish")
    world.listener("tasks", "task.*")
    world.listener("errors", "task.error", "listener.disabled")
    world.listener("ark", "*", repositories=("ark",))
    world.listener("tagged", "task.*", tags=("a", "b"))
    world.listener("nothing")
    world.listener("off", "*", "task.*", disabled=True)
    dispatch = world.begun()
    sync, publish = _task(), _task("publish", number=2, repo="ark", tags=("b", "a"))
    world.tell(sync)
    world.tell(_running(sync))
    world.tell(_running(sync), EventKind.PROGRESS)
    world.tell(_finished(sync))
    world.tell(_running(publish))
    world.tell(_running(publish).failed(error={}, traceback=None, now=_NOW))
    world.append(listener_event(world.listener("gone", "*"), "gone", now=_NOW))
    assert dispatch.step() == 7
    assert dispatch.step() == 0
    repository_events = [
        (2, "repo.sync.start"),
        (4, "repo.sync.finish"),
        (5, "repo.publish.start"),
        (6, "repo.publish.finish"),
    ]
    assert world.deliveries("pulp2") == world.deliveries("gone") == repository_events
    assert world.deliveries("finishes") == [repository_events[1], repository_events[3]]
    assert world.deliveries("tasks") == [
        (1, "task.waiting"),
        (2, "task.running"),
        (4, "task.finished"),
        (5, "task.running"),
        (6, "task.error"),
    ]
    assert world.deliveries("errors") == [(6, "task.error"), (7, "listener.disabled")]
    assert world.deliveries("ark") == repository_events[2:]
    assert world.deliveries("tagged") == [(5, "task.running"), (6, "task.error")]
    assert world.deliveries("nothing") == world.deliveries("off") == []
    assert world.log.told == []


def test_nobody_listens() -> None:
    """The journal is not even read, and who comes later is told of what comes later still."""
    world = _World()
    world.listener("off", "*", disabled=True)
    dispatch = world.begun()
    for _ in range(3):
        world.tell(_task())
        assert dispatch.step() == 0
    assert world.journal.reads == []
    world.listener("on", "task.*")
    world.tell(_running(_task()))
    _drain(dispatch)
    assert world.deliveries("on") == [(4, "task.running")]


def test_how_far_it_came_is_kept_now_and_then() -> None:
    """At once after something was told; else once a second, however often it looks."""
    world = _World()
    world.listener("errors", "task.error")
    dispatch = world.begun()
    assert world.cursors.history == [0]
    for _ in range(5):
        world.tell(_task())
        _drain(dispatch)
    assert world.cursors.history == [0]
    world.clock.advance(seconds=1)
    _drain(dispatch)
    _drain(dispatch)
    assert world.cursors.history == [0, 5]
    world.tell(_running(_task()).failed(error={}, traceback=None, now=_NOW))
    _drain(dispatch)
    assert world.cursors.history == [0, 5, 6]


def test_the_distributor_comes_from_the_task() -> None:
    """Of those publishes alone that somebody is told of; one that is gone has none."""
    world = _World()
    world.listener("all", "*")
    dispatch = world.begun()
    publish, gone = _task("publish"), _task("publish", number=2)
    with world.storage.write() as transaction:
        transaction.tasks.add(publish)
    world.tell(_running(publish))
    world.tell(_running(gone))
    _drain(dispatch)
    assert [document["payload"] for document in world.documents("all")] == [
        {"repo_id": "zoo", "distributor_id": "web"},
        {"repo_id": "zoo", "distributor_id": None},
    ]


def test_the_types_of_what_failed_come_from_its_repository() -> None:
    """Those of importer and distributor, where the task has told nothing."""
    world = _World()
    world.listener("all", "*")
    dispatch = world.begun()
    sync, publish = _task(), _task("publish", number=2)
    with world.storage.write() as transaction:
        transaction.tasks.add(publish)
        transaction.repositories.add(
            Repository(id="zoo", oid="0" * 24, display_name="zoo", created=_NOW)
        )
        transaction.repositories.set_importer(
            Importer(
                repo_id="zoo",
                oid="1" * 24,
                importer_type_id="yum_importer",
                config={},
                last_updated=_NOW,
            )
        )
        transaction.repositories.set_distributor(
            Distributor(
                repo_id="zoo",
                oid="2" * 24,
                id="web",
                distributor_type_id="yum_distributor",
                config={},
                auto_publish=False,
                last_updated=_NOW,
            )
        )
    world.tell(_running(sync).canceled(now=_NOW))
    world.tell(_running(publish).canceled(now=_NOW))
    _drain(dispatch)
    synced, published = [document["payload"] for document in world.documents("all")]
    assert (synced["result"], synced["importer_id"]) == ("canceled", "yum_importer")
    assert (published["distributor_id"], published["distributor_type_id"]) == (
        "web",
        "yum_distributor",
    )


def test_a_long_result_comes_from_the_task() -> None:
    """As long as that is there; after that the finish is told without it."""
    world = _World()
    world.listener("all", "*")
    dispatch = world.begun()
    result = {"_ns": "repo_sync_results", "details": "x" * (1 << 20), "added_count": 3}
    kept, gone = _task(), _task(number=2)
    with world.storage.write() as transaction:
        added = transaction.tasks.add(kept)
        transaction.tasks.update(
            [dataclasses.replace(_finished(kept, result), number=added.number)]
        )
    world.tell(_finished(kept, result))
    world.tell(_finished(gone, result))
    _drain(dispatch)
    told, untold = [document["payload"] for document in world.documents("all")]
    assert told == result
    assert (untold["result"], untold["added_count"]) == ("success", 0)


def test_a_gap_is_told_in_the_log() -> None:
    """And what is left after it is told to the listeners."""
    world = _World()
    world.listener("all", "task.*")
    dispatch = world.begun()
    for _ in range(3):
        world.tell(_task())
    world.journal.forget(2)
    _drain(dispatch)
    assert world.deliveries("all") == [(3, "task.waiting")]
    ((event, fields),) = world.log.told
    assert event == "listeners are not told of events past retention"
    assert (fields["since"], fields["oldest"]) == (0, 3)


def test_a_journal_that_went_back() -> None:
    """One from a backup: it is told, and new events are told from now on."""
    world = _World()
    world.listener("all", "task.*")
    world.cursors.save(CURSOR, 1_000)
    dispatch = world.dispatch()
    world.tell(_task())
    _drain(dispatch)
    assert [event for event, _ in world.log.told] == [
        "listeners are not told of events past retention"
    ]
    world.tell(_running(_task()))
    _drain(dispatch)
    assert world.deliveries("all") == [(2, "task.running")]


class _LateJournal(MemoryJournal):
    """A journal that another process writes to: here its newest events are heard of later."""

    heard: int = 0

    def head(self) -> int:
        return self.heard


@pytest.mark.parametrize("event_types", [("task.*",), ()])
def test_a_head_that_is_heard_of_late(event_types: tuple[str, ...]) -> None:
    """It does not lead back to what was told, nor beyond what is known of."""
    world = _World()
    world.journal = journal = _LateJournal()
    world.listener("all", *event_types)
    world.tell(_task())
    world.tell(_running(_task()))
    world.cursors.save(CURSOR, 1)
    dispatch = world.dispatch()
    assert (dispatch.step(), dispatch.position) == (0, 1)
    journal.heard = 2
    _drain(dispatch)
    assert dispatch.position == 2
    assert world.deliveries("all") == [(2, "task.running")][: len(event_types)]


def test_an_event_that_cannot_be_read_holds_up_nobody() -> None:
    """It is told in the log; progress is not even looked into."""
    world = _World()
    world.listener("all", "*", "task.*")
    dispatch = world.begun()
    world.tell(_task(), body=b"{")
    world.tell(
        _finished(_task()),
        body=b'{"task_type": "%b", "start_time": "", "error": {]}' % SYNC_TASK.encode(),
    )
    world.tell(_running(_task()), EventKind.PROGRESS, body=b"rubbish")
    world.tell(_running(_task()))
    _drain(dispatch)
    assert world.deliveries("all") == [(4, "task.running"), (4, "repo.sync.start")]
    assert [fields["sequence"] for _, fields in world.log.told] == [1, 2]


def test_an_event_of_another_shape_than_thought_holds_up_nobody() -> None:
    world = _World()
    world.listener("all", "repo.sync.finish")
    dispatch = world.begun()
    report = (
        b'{"task_type": "%b", "start_time": "2026-01-02T03:04:05Z", "error": null, '
        b'"progress_report": {"yum_importer": {"metadata": "FINISHED"}}}' % SYNC_TASK.encode()
    )
    world.tell(_running(_task()).canceled(now=_NOW), body=report)
    world.tell(_running(_task()).canceled(now=_NOW))
    _drain(dispatch)
    assert world.deliveries("all") == [(2, "repo.sync.finish")]
    assert [fields["sequence"] for _, fields in world.log.told] == [1]


class _Counting:
    """A storage that counts how often it is read, and what is written at once."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        #: Of each transaction: deliveries, and bytes of messages.
        self.written: list[tuple[int, int]] = []
        self.reads = 0

    def read(self) -> Any:
        self.reads += 1
        return self._storage.read()

    @contextlib.contextmanager
    def write_beside(self) -> Iterator[Any]:
        with self._storage.write_beside() as transaction:
            yield _CountingTransaction(transaction, self.written)


class _CountingTransaction:
    def __init__(self, transaction: Any, written: list[tuple[int, int]]) -> None:
        self._transaction, self._written = transaction, written

    @property
    def deliveries(self) -> Any:
        return self

    def add(self, wanted: Sequence[tuple[Message, Collection[str]]], *, now: datetime) -> int:
        added = self._transaction.deliveries.add(wanted, now=now)
        self._written.append((added, sum(len(message.body) for message, _ in wanted)))
        return int(added)


@pytest.mark.parametrize(
    "portion",
    [
        Portion(events=50, size=100_000, deliveries=1_000),
        Portion(events=50, size=1_000_000, deliveries=30),
    ],
)
def test_what_is_written_at_once_is_bounded(portion: Portion) -> None:
    """In deliveries and in bytes, however many listeners want however much."""
    world = _World(portion=portion)
    for number in range(20):
        world.listener(f"all-{number}", "*", "task.*")
    world.begun()
    storage = _Counting(world.storage)
    dispatch = world.dispatch(storage=storage)
    for number in range(20):
        task = dataclasses.replace(
            _running(_task(number=number)), traceback="x" * (9_000 * (number % 10))
        )
        world.tell(task)
    _drain(dispatch)
    assert len(world.deliveries("all-7")) == 40
    assert sum(count for count, _ in storage.written) == 800
    assert max(count for count, _ in storage.written) <= portion.deliveries + 20
    assert max(size for _, size in storage.written) <= portion.size + 100_000
    assert max(limit for _, limit in world.journal.reads) == 50


def test_the_tables_are_read_for_those_alone_that_lack_something() -> None:
    """What the event holds is not looked up."""
    world = _World()
    world.listener("all", "*", "task.*")
    world.begun()
    storage = _Counting(world.storage)
    dispatch = world.dispatch(storage=storage)
    world.tell(_running(_task()))
    world.tell(_finished(_task(), {"result": "success"}))
    _drain(dispatch)
    # the listeners, and no more
    assert storage.reads == 1
    world.tell(_running(_task("publish")))
    _drain(dispatch)
    assert storage.reads == 3
    assert len(world.deliveries("all")) == 6


class _Lost:
    """Cursors of a process that leads no longer."""

    def load(self, _name: str) -> int:
        return 0

    def save(self, _name: str, _sequence: int) -> None:
        raise Fenced

    def drop(self, _name: str) -> None:
        raise Fenced


def test_who_leads_no_longer_is_told_so() -> None:
    """And what it has told nobody is told again."""
    world = _World()
    world.listener("all", "task.*")
    world.begun()
    world.tell(_task())
    with pytest.raises(Fenced):
        world.dispatch(cursors=_Lost()).step()
    _drain(world.dispatch())
    assert world.deliveries("all") == [(1, "task.waiting")]


class _Killed(BaseException):
    """The process was killed."""


class _Killer:
    """Kills at one of the writes to come, before it is made or just after.

    Args:
        after: how many writes go well.
        is_done: whether the write that is the last one has been made.
    """

    def __init__(self, after: int, *, is_done: bool) -> None:
        self._left, self._is_done = after, is_done

    @contextlib.contextmanager
    def at_a_write(self) -> Iterator[None]:
        self._left -= 1
        if self._left == -1 and not self._is_done:
            raise _Killed
        yield
        if self._left == -1:
            raise _Killed


class _KilledStorage:
    def __init__(self, storage: MemoryStorage, killer: _Killer) -> None:
        self._storage, self._killer = storage, killer

    def read(self) -> AbstractContextManager[Any]:
        return self._storage.read()

    @contextlib.contextmanager
    def write_beside(self) -> Iterator[Transaction]:
        with self._killer.at_a_write(), self._storage.write_beside() as transaction:
            yield transaction


class _KilledCursors:
    def __init__(self, cursors: CursorStore, killer: _Killer) -> None:
        self._cursors, self._killer = cursors, killer

    def load(self, name: str) -> int | None:
        return self._cursors.load(name)

    def save(self, name: str, sequence: int) -> None:
        with self._killer.at_a_write():
            self._cursors.save(name, sequence)

    def drop(self, name: str) -> None:
        self._cursors.drop(name)


_ENDS: Sequence[Callable[[Task], Task]] = [
    lambda task: task,
    _running,
    _finished,
    lambda task: task.canceled(now=_NOW),
    lambda task: _running(task).canceled(now=_NOW),
    lambda task: _running(task).failed(error={}, traceback=None, now=_NOW),
]
_TOLD = st.tuples(
    st.sampled_from(sorted(_TYPES)), st.sampled_from(["zoo", "ark"]), st.sampled_from(_ENDS)
)
#: Events that are written, time that goes by, and runs that are killed at some write.
_ACTS = st.lists(
    st.lists(_TOLD, min_size=1, max_size=6)
    | st.floats(0, 2)
    | st.tuples(st.integers(0, 5), st.booleans()),
    max_size=12,
)
_LISTENERS = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["*", "task.*", "repo.sync.finish", "task.running"]), max_size=3),
        st.sampled_from([(), ("zoo",)]),
    ),
    min_size=1,
    max_size=3,
)


@settings(deadline=None, max_examples=150)
@given(_LISTENERS, _ACTS, st.integers(1, 4))
def test_wherever_it_is_killed_each_is_told_once_and_in_order(
    listeners: list[tuple[list[str], tuple[str, ...]]], acts: list[Any], deliveries: int
) -> None:
    """A kill between any two writes changes nothing of what is delivered in the end."""
    world = _World(portion=Portion(events=3, size=3_000, deliveries=deliveries))
    untroubled = _World()
    for one in (world, untroubled):
        for number, (types, repositories) in enumerate(listeners):
            one.listener(f"l{number}", *types, repositories=repositories)
        one.begun()
    dispatch = world.dispatch()
    number = 0
    for act in acts:
        match act:
            case list():
                for work, repo, as_it_is in act:
                    number += 1
                    for one in (world, untroubled):
                        one.tell(as_it_is(_task(work, number=number, repo=repo)))
            case float():
                world.clock.advance(seconds=act)
            case after, is_done:
                killer = _Killer(after, is_done=is_done)
                dispatch = world.dispatch(
                    storage=_KilledStorage(world.storage, killer),
                    cursors=_KilledCursors(world.cursors, killer),
                )
                try:
                    _drain(dispatch)
                except _Killed:
                    dispatch = world.dispatch()
    _drain(world.dispatch())
    _drain(untroubled.dispatch())
    for number in range(len(listeners)):
        name = f"l{number}"
        assert world.deliveries(name) == untroubled.deliveries(name)
        assert world.documents(name) == untroubled.documents(name)
        assert world.deliveries(name) == sorted(
            set(world.deliveries(name)), key=world.deliveries(name).index
        )
