"""The judge itself: every counter can become 1, and what is allowed is not counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from tests.faults.bodies import Body
from tests.faults.checker import judge
from tests.faults.delays import Delay, Loss
from tests.faults.records import Arrival, Channel, Gap, Row, TaskRow, Truth
from tests.faults.verdict import COUNTERS
from tests.faults.writes import Release, Write

_NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)

#: Task, kind and state of each event; progress of task a is told between its status changes.
_STORY = [
    ("a", "status", "waiting"),
    ("b", "status", "waiting"),
    ("a", "status", "running"),
    ("a", "progress", "running"),
    ("a", "progress", "running"),
    ("b", "status", "running"),
    ("a", "status", "finished"),
    ("b", "status", "error"),
]


def _journal() -> list[Row]:
    """Return the journal of two tasks."""
    revisions = dict.fromkeys("ab", 0)
    rows = []
    for sequence, (task, kind, state) in enumerate(_STORY, 1):
        revisions[task] += 1
        rows.append(
            Row(
                sequence=sequence,
                kind=kind,
                task=task,
                revision=revisions[task],
                state=state,
                body=f"body of {sequence}",
            )
        )
    return rows


def _truth(**changes: Any) -> Truth:
    """Return what the database holds after a good round, changed."""
    good = Truth(
        journal=_journal(),
        tasks=[
            TaskRow(task="a", state="finished", revision=5),
            TaskRow(task="b", state="error", revision=3),
        ],
        accepted=frozenset("ab"),
    )
    return replace(good, **changes)


def _arrivals(*sequences: int) -> list[Arrival]:
    """Return these events as they arrive by one connection; without any, all of them."""
    rows = {row.sequence: row for row in _journal()}
    return [
        Arrival(
            connection=0,
            id=f"event {row.sequence}",
            sequence=row.sequence,
            task=row.task,
            kind=row.kind,
            revision=row.revision,
            previous=row.revision - 1,
            body=row.body,
            whole=f"all of {row.sequence}",
        )
        for row in (rows[sequence] for sequence in sequences or rows)
    ]


def _counts(channel: Channel, truth: Truth | None = None) -> dict[str, int]:
    """Return the counters that are not 0."""
    verdict = judge(truth or _truth(), [channel])
    return {name: count for name, count in verdict.counts.items() if count}


def _queue(arrivals: Sequence[Arrival], **more: Any) -> Channel:
    return Channel(name="queue", arrivals=list(arrivals), **more)


def test_a_good_round_has_only_zeros() -> None:
    """All events in order, each once: nothing to find."""
    verdict = judge(_truth(), [_queue(_arrivals())])
    assert verdict.counts == dict.fromkeys(COUNTERS, 0)
    assert verdict.good
    assert verdict.repeated == 0


def test_lost_status_change() -> None:
    """A status change that a durable channel never brought is lost."""
    assert _counts(_queue(_arrivals(1, 2, 3, 4, 5, 6, 7))) == {"lost": 1}


def test_word_of_events_that_are_gone_is_a_loss() -> None:
    """In a round nothing is past retention, so nobody may be told so."""
    assert _counts(_queue(_arrivals(), notices=["stale"])) == {"lost": 1}


def test_live_channel_owes_only_what_is_said_on_one_connection() -> None:
    """The door promises nothing from before a connection, and after its end."""
    arrivals = _arrivals(4, 5, 6)
    assert _counts(_queue(arrivals, durable=False, repeats=False)) == {}


def test_live_channel_with_a_gap() -> None:
    """Within one connection nothing is left out."""
    arrivals = _arrivals(3, 5, 6)
    assert _counts(_queue(arrivals, durable=False)) == {"unmarked_gaps": 1}
    apart = [arrivals[0], *(replace(arrival, connection=1) for arrival in arrivals[1:])]
    assert _counts(_queue(apart, durable=False)) == {}


def test_task_without_its_event() -> None:
    """A change of a task that the journal does not tell is lost."""
    tasks = [TaskRow(task="a", state="finished", revision=6), *_truth().tasks[1:]]
    assert _counts(_queue(_arrivals()), _truth(tasks=tasks)) == {"lost": 1}


def test_state_without_its_event() -> None:
    """A state that no event tells is lost."""
    tasks = [TaskRow(task="a", state="error", revision=5), *_truth().tasks[1:]]
    assert _counts(_queue(_arrivals()), _truth(tasks=tasks)) == {"lost": 1}


def _with_late_comer(**changes: Any) -> Truth:
    """Return what the database holds after a request has come once all was settled."""
    row = Row(sequence=9, kind="status", task="c", revision=1, state="waiting", body="body of 9")
    tasks = [*_truth().tasks, TaskRow(task="c", state="waiting", revision=1)]
    return _truth(journal=[*_journal(), row], tasks=tasks, **{"settled": 8, **changes})


def test_a_request_that_came_too_late_may_wait_and_owes_nothing() -> None:
    """Who had sent it has given it up before the servers were told to stop."""
    assert _counts(_queue(_arrivals()), _with_late_comer()) == {}


@pytest.mark.parametrize("changes", [{"settled": 9}, {"settled": None}, {"accepted": {*"abc"}}])
def test_what_was_there_in_time_or_accepted_is_owed(changes: dict[str, Any]) -> None:
    """The same task, had it been known to anybody before the end."""
    found = _counts(_queue(_arrivals()), _with_late_comer(**changes))
    assert found == {"lost": 1, "without_terminal": 1}


def test_accepted_task_that_is_unknown() -> None:
    """What the server said yes to must be there."""
    assert _counts(_queue(_arrivals()), _truth(accepted=frozenset("abc"))) == {"lost": 1}


def test_repeats_are_counted_apart() -> None:
    """The same id with the same bytes may come again where that is allowed, also late."""
    again = _arrivals(1, 2, 3, 4, 2, 3, 5, 6, 7, 8, 1)
    verdict = judge(_truth(), [_queue(again)])
    assert verdict.good
    assert verdict.repeated == 3


def test_repeat_where_nothing_comes_twice() -> None:
    """A stream that resumes after a number never brings it again."""
    assert _counts(_queue(_arrivals(1, 2, 3, 4, 4, 5, 6, 7, 8), repeats=False)) == {"duplicated": 1}


def test_repeat_under_a_new_id() -> None:
    """The same event has one id for ever."""
    again = [*_arrivals(), replace(_arrivals(3)[0], id="another")]
    assert _counts(_queue(again))["duplicated"] == 1


def test_repeat_with_other_bytes() -> None:
    """A resend is byte for byte the same."""
    again = [*_arrivals(), replace(_arrivals(3)[0], whole="other bytes")]
    assert _counts(_queue(again)) == {"duplicated": 1}


def test_event_folded_anew() -> None:
    """A resend stands for the same revisions, unless its sender was started again."""
    again = [*_arrivals(), replace(_arrivals(7)[0], previous=2)]
    assert _counts(_queue(again)) == {"duplicated": 1}
    verdict = judge(_truth(), [_queue(again, refolds=True)])
    assert verdict.good
    assert verdict.refolded == verdict.repeated == 1


def test_first_arrival_out_of_order() -> None:
    """Events come in the order of the journal, whatever task they are of."""
    assert _counts(_queue(_arrivals(2, 1, 3, 4, 5, 6, 7, 8))) == {"reordered": 1}


def test_redelivery_out_of_order() -> None:
    """What the broker had handed out to who is gone may come late, and leaves no gap."""
    first, second, *rest = _arrivals()
    late = [replace(arrival, redelivered=True) for arrival in (first, second)]
    assert _counts(_queue([*rest, *late])) == {}
    assert _counts(_queue([*rest, late[0], second])) == {"reordered": 1}
    assert _counts(_queue([*rest[1:], *late]))["unmarked_gaps"] == 1


def test_revision_that_does_not_grow() -> None:
    """A task's revision only grows."""
    arrivals = _arrivals()
    arrivals[4] = replace(arrivals[4], revision=3, previous=2)
    counts = _counts(_queue(arrivals))
    assert counts["reordered"] == 1


@pytest.mark.parametrize("missing", [4, 5])
def test_gap_that_nobody_told(missing: int) -> None:
    """Progress that no later event stands for is a gap."""
    left = [number for number in range(1, 9) if number != missing]
    assert _counts(_queue(_arrivals(*left))) == {"unmarked_gaps": 1}


def test_folded_progress_is_no_gap() -> None:
    """An event may stand for the progress before it."""
    arrivals = _arrivals(1, 2, 3, 6, 7, 8)
    arrivals[4] = replace(arrivals[4], previous=2)
    assert _counts(_queue(arrivals)) == {}


def test_progress_that_a_broker_forgot_is_no_gap() -> None:
    """A broker that was killed loses progress, from what was received last to what was written."""
    left = _arrivals(1, 2, 3, 6, 7, 8)
    assert _counts(_queue(left, gaps=[Gap(after=3, up_to=5)])) == {}
    assert _counts(_queue(left, gaps=[Gap(after=4, up_to=9)])) == {"unmarked_gaps": 1}
    assert _counts(_queue(left, gaps=[Gap(after=0, up_to=4)])) == {"unmarked_gaps": 1}


def test_broker_may_not_forget_a_status_change() -> None:
    """A gap that holds one is told as a gap and as a loss."""
    left = _arrivals(1, 2, 4, 5, 6, 7, 8)
    assert _counts(_queue(left, gaps=[Gap(after=0, up_to=8)])) == {"lost": 1, "unmarked_gaps": 1}


@pytest.mark.parametrize("state", ["waiting", "running"])
def test_task_that_never_ends(state: str) -> None:
    """A task that waits or runs when all is over has no end."""
    journal = _journal()[:7]
    if state == "waiting":
        del journal[5]
    revision = sum(row.task == "b" for row in journal)
    tasks = [_truth().tasks[0], TaskRow(task="b", state=state, revision=revision)]
    arrivals = _arrivals(*(row.sequence for row in journal))
    truth = _truth(journal=journal, tasks=tasks)
    assert _counts(_queue(arrivals), truth) == {"without_terminal": 1}


def test_task_that_ends_twice() -> None:
    """A final state is never left, and told once."""
    journal = _journal()
    journal[5] = replace(journal[5], state="canceled")
    assert _counts(_queue(_arrivals()), _truth(journal=journal)) == {
        "without_terminal": 1,
        "fenced_writes": 1,
    }


def test_waiting_task_that_did_not_survive() -> None:
    """Who waits is canceled only by somebody who asks for that."""
    journal = [row for row in _journal() if row.sequence != 6]
    journal[-1] = replace(journal[-1], state="canceled", revision=2)
    tasks = [_truth().tasks[0], TaskRow(task="b", state="canceled", revision=2)]
    arrivals = _arrivals(1, 2, 3, 4, 5, 7, 8)
    arrivals[-1] = replace(arrivals[-1], revision=2, previous=1)
    truth = _truth(journal=journal, tasks=tasks)
    assert _counts(_queue(arrivals), truth) == {"without_terminal": 1}
    assert _counts(_queue(arrivals), replace(truth, canceled=frozenset("b"))) == {}


def test_event_that_was_never_written() -> None:
    """What is told before it is committed, or not as it was, is foreign."""
    journal = _journal()
    assert _counts(_queue(_arrivals()), _truth(journal=journal[:-1]))["foreign"] == 1
    arrivals = _arrivals()
    arrivals[3] = replace(arrivals[3], body="another body")
    assert _counts(_queue(arrivals)) == {"foreign": 1}


def test_event_of_no_task() -> None:
    """No event without its change."""
    assert _counts(_queue(_arrivals()), _truth(tasks=_truth().tasks[:1])) == {
        "foreign": 1,
        "lost": 1,
    }


def test_event_beyond_its_task() -> None:
    """A revision that the task has not reached is foreign."""
    tasks = [TaskRow(task="a", state="finished", revision=4), *_truth().tasks[1:]]
    assert _counts(_queue(_arrivals()), _truth(tasks=tasks)) == {"foreign": 1}


def test_progress_of_a_task_that_is_over() -> None:
    """A dead attempt tells nothing."""
    journal = _journal()
    journal[4] = replace(journal[4], state="canceled")
    assert _counts(_queue(_arrivals()), _truth(journal=journal)) == {"fenced_writes": 1}


def test_event_with_another_id_elsewhere() -> None:
    """An event has one number and one id, whichever process tells of it."""
    arrivals = _arrivals()
    other = [*arrivals[:4], replace(arrivals[4], id="another"), *arrivals[5:]]
    channels = [_queue(arrivals), Channel(name="stream", arrivals=other)]
    counts = judge(_truth(), channels).counts
    assert {name: count for name, count in counts.items() if count} == {"unequal": 1}


def _body(task: str, *, begin: float, last: float, **more: Any) -> Body:
    """Return a run of a task's body on repository zoo."""
    known = Body(task=task, attempt=1, pid=7, resources=frozenset({"zoo"}), begin=begin, last=last)
    return replace(known, **more)


def test_bodies_at_the_same_time() -> None:
    """Who shares a resource with another one waits for its end."""
    first, second = _body("a", begin=1.0, last=2.0), _body("b", begin=1.9, last=3.0)
    assert _counts(_queue(_arrivals()), _truth(bodies=[second, first])) == {"overlapped": 1}
    later = replace(second, begin=2.1)
    assert _counts(_queue(_arrivals()), _truth(bodies=[later, first])) == {}
    elsewhere = replace(second, resources=frozenset({"lab"}))
    assert _counts(_queue(_arrivals()), _truth(bodies=[elsewhere, first])) == {}


def test_body_that_was_frozen_meanwhile() -> None:
    """Who wakes and goes on after another one has begun was not fenced."""
    frozen, other = _body("a", begin=1.0, last=9.0), _body("b", begin=5.0, last=6.0)
    assert _counts(_queue(_arrivals()), _truth(bodies=[frozen, other])) == {"overlapped": 1}


@pytest.mark.parametrize("again", [{"attempt": 2}, {"pid": 8}])
def test_task_that_ran_twice(again: dict[str, Any]) -> None:
    """A task's body runs once, whoever is lost meanwhile."""
    bodies = [_body("a", begin=1.0, last=2.0), _body("a", begin=3.0, last=4.0, **again)]
    assert _counts(_queue(_arrivals()), _truth(bodies=bodies)) == {"ran_twice": 1}


def test_write_of_a_dead_attempt() -> None:
    """What comes after the release of the task's resources came from nobody who may write."""
    release = Release(task="a", committed=_NOON)
    before = Write(task="a", attempt=1, table="units", committed=_NOON - timedelta(seconds=1))
    after = replace(before, committed=_NOON + timedelta(seconds=1))
    other = replace(after, task="b")
    truth = _truth(releases=[release], writes=[before, other])
    assert _counts(_queue(_arrivals()), truth) == {}
    truth = _truth(releases=[release], writes=[before, after, other])
    assert _counts(_queue(_arrivals()), truth) == {"fenced_writes": 1}


@pytest.mark.parametrize("seconds", [None, 60.0])
@pytest.mark.parametrize(
    ("kind", "counter"), [("leader", "slow_takeovers"), ("worker", "slow_reaping")]
)
def test_nobody_steps_in(
    kind: Literal["leader", "worker"], counter: str, seconds: float | None
) -> None:
    """Whoever is lost is replaced in time."""
    loss = Loss(kind=kind, at=0.0, who="api-1", promised=5.0)
    late, soon = Delay(loss=loss, seconds=seconds), Delay(loss=loss, seconds=4.0)
    assert _counts(_queue(_arrivals()), _truth(delays=[soon])) == {}
    assert _counts(_queue(_arrivals()), _truth(delays=[soon, late])) == {counter: 1}
    excused = Delay(loss=replace(loss, excused=60.0), seconds=60.0)
    assert _counts(_queue(_arrivals()), _truth(delays=[excused])) == {}
