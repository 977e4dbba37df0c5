"""Retention under any clock, bound and cursor: what must stay stays, and what is gone is told."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pulpit.domain.events import Event, EventKind
from pulpit.domain.outcomes import Finished, Outcome, Progress, Update
from pulpit.domain.tasks import Task, TaskState
from pulpit.errors import EventsGone
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.retention import Keep, Retention
from pulpit.services.tasks import Tasks
from pulpit.testing import RecordingEngine
from tests.contract.databases import NOW, MakeDatabase, new_task

_CURSOR = "amqp-publisher"
_FOREVER = 1_000_000


def _is_overdue(event: Event, keep: Keep, now: datetime, newer: int) -> bool:
    """Tell whether a status event is past its age or number; *newer* are there beside it."""
    return newer >= keep.status_rows or event.time < now - timedelta(days=keep.status_days)


class Keeping(RuleBasedStateMachine):
    """Tasks live, the broker confirms or not, and retention runs with other bounds each time."""

    make: MakeDatabase

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="pulpit-")
        self.database = type(self).make(Path(self.folder.name))
        self.now = NOW
        self.tasks = Tasks(self.database, clock=self.clock, engine=RecordingEngine())
        self.lifecycle = Lifecycle(
            self.database, clock=self.clock, completions={}, offer=lambda _: None
        )
        # as the publisher does at its start
        self.database.cursors.save(_CURSOR, 0)
        self.running: list[Task] = []
        self.head = self.oldest = 0
        #: Numbers of all status events that were ever written.
        self.statuses: set[int] = set()

    def clock(self) -> datetime:
        """Return the time."""
        return self.now

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    def tell(self, task: Task, *news: Progress | Outcome) -> None:
        """Let a running task tell something."""
        self.lifecycle.record(
            [Update(task_id=task.id, attempt=task.attempt, news=each) for each in news]
        )

    def begin(self) -> None:
        """Let a task be handed in and start."""
        self.tasks.submit(new_task())
        self.running += self.lifecycle.claim("w", 1)

    @rule(index=st.integers(0, 3), count=st.integers(1, 6))
    def progress(self, index: int, count: int) -> None:
        """A task gets on, after its start if need be."""
        if not self.running:
            self.begin()
        task = self.running[index % len(self.running)]
        self.tell(task, *(Progress(report={"n": number}) for number in range(count)))

    @rule(index=st.integers(0, 3))
    def begin_another(self, index: int) -> None:
        """A task is handed in and starts, if few are there."""
        if len(self.running) <= index:
            self.begin()

    @rule(index=st.integers(0, 3))
    def end(self, index: int) -> None:
        """A task ends."""
        if self.running:
            self.tell(self.running.pop(index % len(self.running)), Finished(result=1))

    @rule()
    def purge(self) -> None:
        """A user deletes the tasks that are over."""
        self.tasks.purge([TaskState.FINISHED])

    @rule(minutes=st.sampled_from([-90, -30, 1, 30, 60, 90]))
    def pass_time(self, minutes: int) -> None:
        """Time goes on; at times the clock is set back."""
        self.now += timedelta(minutes=minutes)

    @rule(back=st.integers(0, 15))
    def confirm(self, back: int) -> None:
        """The broker has confirmed some."""
        self.database.cursors.save(_CURSOR, max(self.database.events.head() - back, 0))

    @rule(
        hours=st.integers(0, 3),
        status_rows=st.sampled_from([0, 1, 4, *[_FOREVER] * 4]),
        progress_rows=st.integers(0, 4),
        unconfirmed_bytes=st.sampled_from([0, 1_500, _FOREVER, _FOREVER]),
        publisher=st.sampled_from([True, True, False]),
    )
    def compact(
        self,
        hours: int,
        status_rows: int,
        progress_rows: int,
        unconfirmed_bytes: int,
        *,
        publisher: bool,
    ) -> None:
        """Retention runs."""
        keep = Keep(
            status_days=hours / 24,
            status_rows=status_rows,
            progress_hours=hours,
            progress_rows=progress_rows,
            task_days=_FOREVER,
            delivery_days=_FOREVER,
            unconfirmed_bytes=unconfirmed_bytes,
        )
        retention = Retention(
            self.database,
            self.database.cursors,
            clock=self.clock,
            keep=keep,
            readers=[_CURSOR] if publisher else [],
        )
        before = self.kept()
        retention.compact_journal()
        kept = self.kept()
        cursor = (self.database.cursors.load(_CURSOR) or 0) if publisher else _FOREVER
        self._judge_status(before, kept, keep, cursor)
        self._judge_progress(kept, keep)
        assert retention.compact_journal() == 0

    def _judge_status(
        self, before: Sequence[Event], kept: Sequence[Event], keep: Keep, cursor: int
    ) -> None:
        """What is due is gone, but for the newest event and what the broker still needs."""
        lasting = [event for event in before if event.kind is not EventKind.PROGRESS]
        overdue = [
            event
            for newer, event in enumerate(reversed(lasting))
            if _is_overdue(event, keep, self.now, newer) and event.sequence != self.head
        ]
        waiting = [event for event in overdue if event.sequence > cursor]
        if sum(len(event.body) for event in waiting) <= keep.unconfirmed_bytes:
            overdue = [event for event in overdue if event.sequence <= cursor]
        # the last gap is where the last one was deleted, and all above it is there still
        oldest = max([self.oldest, *(event.sequence for event in overdue)])
        assert self.database.events.oldest() == oldest
        stayed = {event.sequence for event in kept if event.kind is not EventKind.PROGRESS}
        assert stayed == {event.sequence for event in lasting if event.sequence > oldest}

    def _judge_progress(self, kept: Sequence[Event], keep: Keep) -> None:
        """Of each task no more than its newest progress is there, or its very newest event."""
        for task_id in {event.task_id for event in kept}:
            events = [event for event in kept if event.task_id == task_id]
            progress = [event for event in events[:-1] if event.kind is EventKind.PROGRESS]
            assert len(progress) <= keep.progress_rows

    def kept(self) -> Sequence[Event]:
        """Return all events that can be read."""
        return self.database.events.read(self.database.events.oldest(), _FOREVER)

    @invariant()
    def numbers_never_go_back(self) -> None:
        """Head and oldest only grow, and the newest event is always there."""
        head, oldest = self.database.events.head(), self.database.events.oldest()
        assert head >= self.head
        assert oldest >= self.oldest
        assert head >= oldest
        self.head, self.oldest = head, oldest
        kept = self.kept()
        assert not head or kept[-1].sequence == head
        self.statuses |= {event.sequence for event in kept if event.kind is EventKind.STATUS}

    @invariant()
    def what_is_there_tiles(self) -> None:
        """The events of a task stand for all its revisions; only below a gap some are missing."""
        known: dict[str | None, int] = {}
        for event in self.kept():
            assert event.previous < event.revision
            if event.task_id in known:
                assert event.previous == known[event.task_id]
            elif not self.oldest:
                assert event.previous == 0
            known[event.task_id] = event.revision
        for task in self.running:
            # all that is there of a task may be below the gap
            assert known.get(task.id, 0) in {0, self.tasks.get(task.id).revision}

    @invariant()
    def what_is_gone_is_told(self) -> None:
        """Whoever reads from any number gets every status change after it, or is told of a gap."""
        oldest, head = self.database.events.oldest(), self.database.events.head()
        for after in {0, max(oldest - 1, 0), oldest, max(head - 4, 0), head}:
            if after < oldest:
                with pytest.raises(EventsGone) as gone:
                    self.database.events.read(after, _FOREVER)
                assert (gone.value.oldest, gone.value.head) == (oldest + 1, head)
            else:
                read = {event.sequence for event in self.database.events.read(after, _FOREVER)}
                assert {number for number in self.statuses if number > after} <= read


def test_retention_keeps_its_word(make_database: MakeDatabase) -> None:
    """Whatever the clock, the bounds and the broker do, no gap is silent and no number returns."""
    machine = type("Machine", (Keeping,), {"make": staticmethod(make_database)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15, stateful_step_count=20, deadline=None, report_multiple_bugs=False
        ),
    )
