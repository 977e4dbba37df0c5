"""The judge: compares the journal, the task table and all that was received."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from pulpit.domain.tasks import COMPLETE
from tests.faults.bodies import judge_bodies
from tests.faults.delays import judge_delays
from tests.faults.records import Arrival, Channel, Row, TaskRow, Truth
from tests.faults.verdict import Verdict
from tests.faults.writes import judge_writes

__all__ = ["judge"]

_ENDS = frozenset(state.value for state in COMPLETE)


def judge(truth: Truth, channels: Iterable[Channel]) -> Verdict:
    """Return the verdict on a round.

    lost: a status change of the journal that a durable channel never brought, a change of a task
    that the journal does not tell, a task that was accepted and is unknown.
    duplicated: an event that came under a second id, or again with other bytes, or again where
    nothing comes twice; or folded otherwise though its sender had no new start.
    reordered: a first arrival before an earlier one of the journal, a revision that did not grow;
    but for what the broker had handed out already to a consumer that lost its connection, and puts
    back wherever it likes.
    unmarked_gaps: revisions of a task that no arrival stands for, unless they were progress that
    a broker may have lost.
    without_terminal: a task without exactly one final status event, or one that waited and was
    canceled although nobody asked for that.
    foreign: what came and is not in the journal, or not so.
    unequal: an event that has another id by one channel than by another.
    fenced_writes: what an attempt changed that was dead already, in the journal or elsewhere.
    The other counters are explained where they are counted.
    """
    verdict = Verdict()
    _judge_tasks(truth, verdict)
    judge_bodies(truth.bodies, verdict)
    judge_writes(truth.writes, truth.releases, verdict)
    judge_delays(truth.delays, verdict)
    rows = {row.sequence: row for row in truth.journal}
    channels = [*channels]
    _judge_numbers(channels, verdict)
    for channel in channels:
        for notice in channel.notices:
            verdict.add("lost", f"{channel.name}: it was told that events are gone: {notice}")
        first = _first_arrivals(channel, verdict)
        _judge_origin(channel, rows, verdict)
        _judge_order(channel, first, verdict)
        _judge_gaps(channel, first, truth.journal, verdict)
        if channel.durable:
            _judge_losses(channel, truth, verdict)
    return verdict


def _judge_tasks(truth: Truth, verdict: Verdict) -> None:
    """Compare the task table with the journal and with what users had been told."""
    told: dict[str, list[Row]] = defaultdict(list)
    for row in truth.journal:
        told[row.task].append(row)
    known = {task.task for task in truth.tasks}
    for task_id in sorted(truth.accepted - known):
        verdict.add("lost", f"task {task_id} was accepted and is unknown")
    for task_id in sorted(told.keys() - known):
        verdict.add("foreign", f"the journal tells of task {task_id}, which is unknown")
    late = truth.late_comers
    for task in truth.tasks:
        rows = told[task.task]
        _judge_task(task, rows, verdict)
        # what has come too late waits for the next start
        if not (task.task in late and task.state == "waiting"):
            _judge_end(task, rows, asked=task.task in truth.canceled, verdict=verdict)


def _judge_task(task: TaskRow, rows: Sequence[Row], verdict: Verdict) -> None:
    """Judge what the journal tells of one task."""
    revisions = [row.revision for row in rows]
    if missing := set(range(1, task.revision + 1)).difference(revisions):
        verdict.add("lost", f"task {task.task}: no event tells of revisions {sorted(missing)}")
    if revisions != sorted(set(revisions)) or (revisions and revisions[-1] > task.revision):
        verdict.add("foreign", f"task {task.task} at {task.revision} has events {revisions}")
    states = [row.state for row in rows if row.kind == "status"]
    if states and states[-1] != task.state:
        verdict.add("lost", f"task {task.task} is {task.state}; the newest event says {states[-1]}")
    over = next((place for place, row in enumerate(rows) if row.state in _ENDS), len(rows))
    for row in rows[over + 1 :]:
        told = f"task {task.task} was {rows[over].state} when event {row.sequence} told of it"
        verdict.add("fenced_writes", told)


def _judge_end(task: TaskRow, rows: Sequence[Row], *, asked: bool, verdict: Verdict) -> None:
    """Judge how one task has ended."""
    states = [row.state for row in rows if row.kind == "status"]
    ends = [state for state in states if state in _ENDS]
    if len(ends) != 1 or task.state not in _ENDS:
        verdict.add("without_terminal", f"task {task.task} is {task.state}: {states}")
    elif ends == ["canceled"] and "running" not in states and not asked:
        verdict.add("without_terminal", f"task {task.task} waited and was canceled by nobody")


def _judge_numbers(channels: Sequence[Channel], verdict: Verdict) -> None:
    """See whether an event has the same number and id by every channel."""
    known: dict[int, tuple[str, str]] = {}
    for channel in channels:
        ids = {arrival.sequence: arrival.id for arrival in channel.arrivals}
        for sequence, event_id in ids.items():
            first, other = known.setdefault(sequence, (event_id, channel.name))
            if first != event_id:
                verdict.add(
                    "unequal",
                    f"event {sequence} is {first} by the {other}, {event_id} by the {channel.name}",
                )


def _first_arrivals(channel: Channel, verdict: Verdict) -> list[Arrival]:
    """Return the arrivals without repeats, having judged those."""
    ids: dict[int, str] = {}
    first: dict[tuple[int, str], Arrival] = {}
    for arrival in channel.arrivals:
        if (known := ids.setdefault(arrival.sequence, arrival.id)) != arrival.id:
            where = f"{channel.name}: event {arrival.sequence}"
            verdict.add("duplicated", f"{where} came as {known} and as {arrival.id}")
        # what is live only owes nothing to an earlier connection
        life = 0 if channel.durable else arrival.connection
        earlier = first.setdefault((life, arrival.id), arrival)
        if earlier is not arrival:
            _judge_repeat(channel, earlier, arrival, verdict)
    return [*first.values()]


def _judge_repeat(channel: Channel, first: Arrival, again: Arrival, verdict: Verdict) -> None:
    """Judge an event that came again under its id."""
    where = f"{channel.name}: event {again.sequence}"
    refolded = again.previous != first.previous
    if not channel.repeats:
        verdict.add("duplicated", f"{where} came again")
    elif again.whole != first.whole:
        verdict.add("duplicated", f"{where} came again with other bytes")
    elif refolded and not channel.refolds:
        verdict.add("duplicated", f"{where} came again and stands for other revisions")
    else:
        verdict.repeated += 1
        verdict.refolded += refolded


def _judge_origin(channel: Channel, rows: dict[int, Row], verdict: Verdict) -> None:
    """See whether all that came is in the journal, word for word."""
    for arrival in channel.arrivals:
        row = rows.get(arrival.sequence)
        where = f"{channel.name}: event {arrival.sequence}"
        if row is None:
            verdict.add("foreign", f"{where} is not in the journal")
            continue
        came = (arrival.kind, arrival.task, arrival.revision, arrival.body)
        if came != (row.kind, row.task, row.revision, row.body):
            verdict.add("foreign", f"{where} is another one in the journal: {arrival} {row}")


def _judge_order(channel: Channel, first: Sequence[Arrival], verdict: Verdict) -> None:
    """See whether first deliveries came in the order of the journal, and revisions grew."""
    newest: dict[int, int] = defaultdict(int)
    revisions: dict[tuple[int, str], int] = defaultdict(int)
    for arrival in first:
        if arrival.redelivered:
            continue
        life = 0 if channel.durable else arrival.connection
        of_task = life, arrival.task
        if arrival.sequence <= newest[life]:
            verdict.add(
                "reordered",
                f"{channel.name}: event {arrival.sequence} came after {newest[life]}, "
                f"by connection {arrival.connection}",
            )
        elif arrival.revision <= revisions[of_task]:
            verdict.add(
                "reordered",
                f"{channel.name}: revision {arrival.revision} of task {arrival.task} came after "
                f"{revisions[of_task]}",
            )
        newest[life] = max(newest[life], arrival.sequence)
        revisions[of_task] = max(revisions[of_task], arrival.revision)


def _judge_gaps(
    channel: Channel, first: Sequence[Arrival], journal: Sequence[Row], verdict: Verdict
) -> None:
    """See whether arrivals stand for every revision up to the newest one of their task."""
    rows = {(row.task, row.revision): row for row in journal}
    reached: dict[tuple[int, str], int] = {}
    # what was redelivered is judged at the place where it would have been
    for arrival in sorted(first, key=lambda one: one.sequence):
        of_task = (0 if channel.durable else arrival.connection), arrival.task
        # what is live only begins anywhere
        before = reached.get(of_task, 0 if channel.durable else arrival.previous)
        missing = [
            row
            for revision in range(before + 1, arrival.previous + 1)
            if (row := rows.get((arrival.task, revision))) is None or not _may_miss(channel, row)
        ]
        if missing:
            verdict.add(
                "unmarked_gaps",
                f"{channel.name}: event {arrival.sequence} stands for revisions after "
                f"{arrival.previous} of task {arrival.task}; known until then: {before}",
            )
        reached[of_task] = max(before, arrival.revision)


def _may_miss(channel: Channel, row: Row) -> bool:
    """Tell whether a broker may have lost this event with its memory."""
    return row.kind == "progress" and any(
        gap.after < row.sequence <= gap.up_to for gap in channel.gaps
    )


def _judge_losses(channel: Channel, truth: Truth, verdict: Verdict) -> None:
    """See whether every status change came."""
    came = {arrival.sequence for arrival in channel.arrivals}
    late = truth.late_comers
    for row in truth.journal:
        is_owed = row.kind == "status" and row.task not in late
        if is_owed and row.sequence not in came:
            verdict.add(
                "lost",
                f"{channel.name}: event {row.sequence}, task {row.task} {row.state}, never came",
            )
