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
    events = [replace(make_event(n), task_id=None, kind=EventKind.REPOSITORY) for n in (1, 2)]
    assert fold(events) == unfolded(events)
