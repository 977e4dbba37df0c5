"""A consumer that does what the contract says has the right picture, whatever the channel does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from pulpit.domain.events import Event, EventKind
from pulpit.domain.folding import fold
from pulpit.events.message import message_of
from tests.services.journal import make_event


@dataclass
class _Consumer:
    """Does by headers alone what the page of the contract has in pseudo-code."""

    #: Task to the highest revision handled.
    last: dict[str, int] = field(default_factory=dict)
    #: What was handled: task and revision.
    handled: list[tuple[str, int]] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)

    def take(self, event: Event) -> None:
        """Take a message."""
        headers = message_of(event, source="https://x").headers
        task, revision = str(headers["cloudEvents:subject"]), int(headers["pulpit-revision"])
        if revision <= self.last.get(task, 0):
            return
        if int(headers["pulpit-previous"]) > self.last.get(task, 0):
            self.missing.add(task)
        self.handled.append((task, revision))
        self.last[task] = revision


@st.composite
def _journals(draw: st.DrawFn) -> list[Event]:
    """Draw the events of some tasks, from the first one of each."""
    revisions: dict[int, int] = {}
    events = []
    for sequence in range(1, draw(st.integers(1, 40)) + 1):
        task = draw(st.integers(0, 3))
        revisions[task] = revisions.get(task, 0) + 1
        kind = draw(st.sampled_from([EventKind.STATUS, EventKind.PROGRESS, EventKind.PROGRESS]))
        events.append(make_event(sequence, task=task, revision=revisions[task], kind=kind))
    return events


def _folded(events: Iterable[Event]) -> list[Event]:
    return [told.event for told in fold(events)]


def _status(events: Iterable[Event]) -> list[tuple[str, int]]:
    """Return task and revision of each change of status."""
    return [(e.task_id or "", e.revision) for e in events if e.kind is EventKind.STATUS]


#: Runs of a channel: where each begins and ends, and whether it folds.
_RUNS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40), st.booleans()), max_size=8)


@given(_journals(), _RUNS)
def test_repeats_and_folding_leave_the_right_picture(
    events: list[Event], runs: list[tuple[int, int, bool]]
) -> None:
    """Each change of status is handled once and in order, and nothing is taken for missing."""
    consumer = _Consumer()
    confirmed = 0
    for begin, length, folds in [*runs, (40, 40, False)]:
        # a channel that begins anew goes back to what was confirmed or before, and may fold anew
        start = min(begin, confirmed)
        part = events[start : start + length]
        for event in _folded(part) if folds else part:
            consumer.take(event)
        confirmed = max(confirmed, start + len(part))
    for event in events[confirmed:]:
        consumer.take(event)
    assert consumer.missing == set()
    status = set(_status(events))
    assert [one for one in consumer.handled if one in status] == _status(events)
    assert consumer.last == {event.task_id: event.revision for event in events}


@given(_journals(), st.integers(0, 40), st.integers(1, 40), st.booleans())
def test_what_is_lost_is_noticed_by_the_next_event_of_its_task(
    events: list[Event], begin: int, length: int, folds: bool
) -> None:
    """A task that lost an event in between is looked at; one that lost none is not."""
    lost, after = events[begin : begin + length], events[begin + length :]
    consumer = _Consumer()
    for part in (events[:begin], after):
        for event in _folded(part) if folds else part:
            consumer.take(event)
    gone = {event.task_id for event in lost} & {event.task_id for event in after}
    assert consumer.missing == gone
