"""Folding: only progress disappears, and what stays says what it stands for."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pulpit.domain.events import Event, EventKind
from pulpit.domain.folding import Folded, fold, unfolded
from tests.services.journal import make_event

_KINDS = st.sampled_from([EventKind.STATUS, EventKind.PROGRESS, EventKind.PROGRESS])


@st.composite
def journals(draw: st.DrawFn) -> list[Event]:
    """Draw part of a journal: a few tasks mixed, each with contiguous revisions."""
    revisions = {task: draw(st.integers(0, 5)) for task in range(4)}
    events = []
    sequence = draw(st.integers(0, 1000))
    for task, kind in draw(st.lists(st.tuples(st.integers(0, 3), _KINDS), max_size=40)):
        sequence += draw(st.integers(1, 3))
        revisions[task] += 1
        events.append(make_event(sequence, task=task, revision=revisions[task], kind=kind))
    return events


@st.composite
def compacted(draw: st.DrawFn) -> list[Event]:
    """Draw part of a journal of which retention has taken progress that later events tell."""
    kept: list[Event] = []
    gone: dict[str | None, int] = {}
    events = draw(journals())
    for place, event in enumerate(events):
        previous = gone.pop(event.task_id, event.previous)
        followed = any(later.task_id == event.task_id for later in events[place + 1 :])
        if event.kind is EventKind.PROGRESS and followed and draw(st.booleans()):
            gone[event.task_id] = previous
        else:
            kept.append(replace(event, previous=previous))
    return kept


@st.composite
def parts_of(draw: st.DrawFn) -> list[list[Event]]:
    """Draw part of a journal as several reads bring it."""
    events = draw(compacted())
    cuts = sorted(draw(st.lists(st.integers(0, len(events)), max_size=6)))
    ends = zip([0, *cuts], [*cuts, len(events)], strict=True)
    return [events[start:end] for start, end in ends]


def _stands_for(told: Folded) -> list[tuple[str | None, int]]:
    """Return (task, revision) of all that a message tells of."""
    event = told.event
    return [(event.task_id, number) for number in range(event.previous + 1, event.revision + 1)]


@given(journals())
def test_every_revision_is_told_once(events: list[Event]) -> None:
    """The messages together stand for each event of the journal exactly once."""
    told = [pair for message in fold(events) for pair in _stands_for(message)]
    assert sorted(told) == sorted((event.task_id, event.revision) for event in events)


@given(journals())
def test_status_is_never_folded_away(events: list[Event]) -> None:
    """Each status event stays, in its place in the order."""
    kept = [told.event.id for told in fold(events) if told.event.kind is EventKind.STATUS]
    assert kept == [event.id for event in events if event.kind is EventKind.STATUS]


@given(journals())
def test_order_and_content_are_kept(events: list[Event]) -> None:
    """What stays is in the order of the journal and differs in ``previous`` at most."""
    by_id = {event.id: event for event in events}
    told = fold(events)
    numbers = [message.event.sequence for message in told]
    assert numbers == sorted(numbers)
    for message in told:
        original = by_id[message.event.id]
        assert replace(message.event, previous=original.previous) == original
        assert message.since <= message.event.sequence


@given(journals())
def test_only_the_last_progress_of_a_task_stays(events: list[Event]) -> None:
    """No progress event has a later event of its task behind it."""
    seen_later = set()
    for told in reversed(fold(events)):
        assert told.event.kind is EventKind.STATUS or told.event.task_id not in seen_later
        seen_later.add(told.event.task_id)


@given(journals())
def test_folding_again_changes_nothing(events: list[Event]) -> None:
    """What was folded is as short as it gets."""
    once = [told.event for told in fold(events)]
    assert [told.event for told in fold(once)] == once


@given(parts_of())
def test_however_it_is_read_the_revisions_of_a_task_tile(parts: list[list[Event]]) -> None:
    """Each message of a task begins where the one before it ends, over all reads."""
    events = [event for part in parts for event in part]
    begins: dict[str | None, int] = {}
    for event in reversed(events):
        begins[event.task_id] = event.previous
    known = dict(begins)
    for told in (told for part in parts for told in fold(part)):
        assert told.event.previous == known[told.event.task_id] < told.event.revision
        known[told.event.task_id] = told.event.revision
    assert known == begins | {event.task_id: event.revision for event in events}


@given(parts_of())
def test_however_it_is_read_status_stays_in_order(parts: list[list[Event]]) -> None:
    """Reading in other parts loses no status and changes no order."""
    events = [event for part in parts for event in part]
    told = [told.event for part in parts for told in fold(part)]
    statuses = [event.id for event in events if event.kind is EventKind.STATUS]
    assert [event.id for event in told if event.kind is EventKind.STATUS] == statuses
    assert [event.sequence for event in told] == sorted(event.sequence for event in told)


@given(parts_of())
def test_what_was_sent_is_stood_for_by_nobody_else(parts: list[list[Event]]) -> None:
    """A later read folds nothing of an earlier one: that may have been sent."""
    sent = 0
    for part in parts:
        for told in fold(part):
            assert told.since > sent
            assert told.event.sequence in [event.sequence for event in part]
        sent = part[-1].sequence if part else sent


@given(parts_of())
def test_parts_that_were_folded_fold_into_the_same(parts: list[list[Event]]) -> None:
    """Folding the folded parts together is folding all at once."""
    whole = [told.event for told in fold(event for part in parts for event in part)]
    pieces = [told.event for part in parts for told in fold(part)]
    assert [told.event for told in fold(pieces)] == whole


def test_since_is_the_first_that_is_stood_for() -> None:
    """A message remembers the lowest number that must not be forgotten before it."""
    events = [
        make_event(4, revision=1, kind=EventKind.PROGRESS),
        make_event(5, task=1, revision=1),
        make_event(7, revision=2, kind=EventKind.PROGRESS),
        make_event(9, revision=3),
    ]
    assert [(told.event.sequence, told.since) for told in fold(events)] == [(5, 5), (9, 4)]


def test_a_hole_in_the_revisions_is_not_folded_over() -> None:
    """Events whose revisions don't meet stay apart: what is between may have been a status."""
    events = [
        make_event(1, revision=1, kind=EventKind.PROGRESS),
        make_event(9, revision=5, kind=EventKind.PROGRESS),
    ]
    assert fold(events) == unfolded(events)


def test_events_without_a_task_stay() -> None:
    """Events of a repository are not progress of anything."""
    events = [replace(make_event(n), task_id=None, kind=EventKind.LISTENER) for n in (1, 2)]
    assert fold(events) == unfolded(events)
