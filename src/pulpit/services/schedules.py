"""Schedules: looked after by users, and run when they are due."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pulpit.domain.clock import new_oid
from pulpit.domain.outcomes import Finished, Outcome
from pulpit.domain.repositories import unmasked
from pulpit.domain.schedules import Schedule, Scheduled, ScheduleKind
from pulpit.domain.tasks import Task
from pulpit.errors import InvalidValue, MissingResource
from pulpit.ports import Clock, ContentTypes, Storage, Transaction
from pulpit.services.changes import Changes
from pulpit.services.distributors import distributor_of, publish_task
from pulpit.services.documents import as_object, optional, refuse_unknown, required
from pulpit.services.importers import importer_of, sync_task
from pulpit.services.lifecycle import Completion
from pulpit.services.tasks import Tasks

__all__ = ["Schedules", "counted"]

_KEYS = ("schedule", "enabled", "failure_threshold", "override_config")
#: The argument of a task that names the schedule which has handed it in.
_SCHEDULE_ID = "schedule_id"
#: Tasks handed in by one transaction, so that writers get their turn.
_BATCH = 100
_LARGEST = 2**31 - 1


class Schedules:
    """What users do with schedules, and what the leader does with those that are due.

    Args:
        storage: where they are.
        clock: the present time.
        tasks: takes the tasks of schedules.
        types: check configurations.
    """

    def __init__(
        self, storage: Storage, *, clock: Clock, tasks: Tasks, types: ContentTypes
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._tasks = tasks
        self._types = types
        #: When due schedules were looked for last.
        self._looked: datetime | None = None

    def list(self, of: Scheduled) -> Sequence[Schedule]:
        """Return the schedules of an importer or distributor, or raise MissingResource."""
        with self._storage.read() as transaction:
            _require(transaction, of)
            return transaction.schedules.list(of)

    def get(self, of: Scheduled, schedule_id: str) -> Schedule:
        """Return one of them, or raise MissingResource."""
        with self._storage.read() as transaction:
            return _schedule_of(transaction, of, schedule_id)

    def create(self, of: Scheduled, document: Any) -> Schedule:
        """Keep a new schedule.

        Args:
            of: what is to be done.
            document: ``{schedule, enabled, failure_threshold, override_config}``; all but the
                first may be left out.

        Raises:
            MissingResource: there is no such importer or distributor.
            RequestError: a value is missing, invalid or unknown.
        """
        sent = as_object(document)
        refuse_unknown(sent, _KEYS)
        now = self._clock()
        text = required(sent, "schedule", str)
        override = optional(sent, "override_config", dict) or {}
        empty = Schedule(
            id=new_oid(now),
            of=of,
            text=text,
            enabled=optional(sent, "enabled", bool) is not False,
            failure_threshold=_threshold(sent),
            override=override,
            first_run=now,
            next_run=None,
            last_updated=now,
        )
        schedule = _timed(empty, text, now=now)
        with self._storage.write() as transaction:
            schedule = self._checked(transaction, schedule)
            transaction.schedules.add(schedule)
        return schedule

    def update(self, of: Scheduled, schedule_id: str, document: Any) -> Schedule:
        """Change what is named of a schedule; enabling it forgets that it has failed.

        Args:
            of: what it does.
            schedule_id: which.
            document: as for ``create``; what is left out stays.

        Raises:
            RequestError: as for ``create``.
        """
        sent = as_object(document)
        refuse_unknown(sent, _KEYS)
        now = self._clock()
        with self._storage.write() as transaction:
            schedule = _schedule_of(transaction, of, schedule_id)
            changes = _changes(sent, schedule)
            changed = dataclasses.replace(schedule, **changes, last_updated=now)
            changed = self._checked(transaction, changed)
            if (text := optional(sent, "schedule", str)) is not None:
                changed = _timed(changed, text, now=now)
            match optional(sent, "enabled", bool):
                case True:
                    changed = changed.enable(now=now)
                case False:
                    changed = dataclasses.replace(changed, enabled=False)
            transaction.schedules.update(changed)
        return changed

    def delete(self, of: Scheduled, schedule_id: str) -> None:
        """Delete one of them, or raise MissingResource."""
        with self._storage.write() as transaction:
            _schedule_of(transaction, of, schedule_id)
            transaction.schedules.remove(schedule_id)

    def _checked(self, transaction: Transaction, schedule: Schedule) -> Schedule:
        """Return it with its configuration as it is kept; raise what its task would raise."""
        of, override = schedule.of, schedule.override
        if of.kind is ScheduleKind.SYNC:
            importer = importer_of(transaction, of.repo_id, of.plugin_id)
            kind = self._types.importers[of.plugin_id]
            kind.normalize({**importer.config, **override})
            # a login in the URL of a feed would be shown to all who may read the schedule
            return dataclasses.replace(schedule, override=kind.normalize(override))
        distributor = distributor_of(transaction, of.repo_id, of.plugin_id)
        distributor_type = self._types.distributors[distributor.distributor_type_id]
        distributor_type.validate({**distributor.config, **override})
        return schedule

    def run_due(self) -> Sequence[Task]:
        """Hand in the tasks of the schedules that are due; return them.

        A schedule's next time is moved in the transaction that hands in its task: whoever calls
        this, however often and in however many processes, each time is run once.
        """
        now = self._clock()
        if self._looked is None or now < self._looked:
            self._realign(now)
        self._looked = now
        begun: list[Task] = []
        while self._is_due(now):
            batch = self._run_some(now)
            begun += batch
            if not batch:
                break
        return begun

    def _is_due(self, now: datetime) -> bool:
        with self._storage.read() as transaction:
            return _due(transaction, now) != []

    def _run_some(self, now: datetime) -> Sequence[Task]:
        with self._storage.write() as transaction:
            tasks = []
            for schedule in _due(transaction, now)[:_BATCH]:
                if not _is_there(transaction, schedule.of):
                    # it was made while a task took away what it is for
                    transaction.schedules.remove(schedule.id)
                    continue
                task = _task(schedule, now=now)
                transaction.schedules.update(schedule.run(task.id, now=now))
                tasks.append(task)
            return self._tasks.submit_in(transaction, tasks)

    def _realign(self, now: datetime) -> None:
        """Bring back what a clock that was ahead has put off."""
        with self._storage.read() as transaction:
            if not transaction.schedules.ran_after(now):
                return
        with self._storage.write() as transaction:
            for schedule in transaction.schedules.ran_after(now):
                transaction.schedules.update(schedule.realigned(now=now))


def counted(completion: Completion) -> Completion:
    """Return a completion that also lets the schedule which began the task know how it ended.

    A task that is canceled has no completion, and so counts as neither; that is as in Pulp 2.
    """

    def complete(changes: Changes, task: Task, outcome: Outcome) -> Sequence[str]:
        spawned = completion(changes, task, outcome)
        store = changes.transaction.schedules
        schedule_id = task.arguments.get(_SCHEDULE_ID)
        if schedule_id is not None and (schedule := store.find(schedule_id)) is not None:
            failed = not isinstance(outcome, Finished)
            store.update(schedule.ended(failed=failed, now=changes.now))
        return spawned

    return complete


def _due(transaction: Transaction, now: datetime) -> Sequence[Schedule]:
    """Return the schedules whose task is to begin now: a time that comes before its end waits."""
    due = transaction.schedules.due(now)
    last = transaction.tasks.find({each.last_task_id for each in due if each.last_task_id})
    return [
        each
        for each in due
        if (task := last.get(each.last_task_id or "")) is None or task.state.is_complete
    ]


def _task(schedule: Schedule, *, now: datetime) -> Task:
    """Return the task of a schedule, which is that of the action, and names the schedule."""
    of = schedule.of
    if of.kind is ScheduleKind.SYNC:
        task = sync_task(repo_id=of.repo_id, override=schedule.override, now=now)
    else:
        task = publish_task(
            repo_id=of.repo_id, distributor_id=of.plugin_id, override=schedule.override, now=now
        )
    return dataclasses.replace(task, arguments={**task.arguments, _SCHEDULE_ID: schedule.id})


def _require(transaction: Transaction, of: Scheduled) -> None:
    """Raise MissingResource if there is no such importer or distributor."""
    if of.kind is ScheduleKind.SYNC:
        importer_of(transaction, of.repo_id, of.plugin_id)
    else:
        distributor_of(transaction, of.repo_id, of.plugin_id)


def _is_there(transaction: Transaction, of: Scheduled) -> bool:
    """Return whether there is such an importer or distributor."""
    try:
        _require(transaction, of)
    except MissingResource:
        return False
    return True


def _schedule_of(transaction: Transaction, of: Scheduled, schedule_id: str) -> Schedule:
    _require(transaction, of)
    schedule = transaction.schedules.get(schedule_id)
    if schedule.of != of:
        raise MissingResource(schedule_id=schedule_id)
    return schedule


def _timed(schedule: Schedule, text: str, *, now: datetime) -> Schedule:
    try:
        return schedule.timed(text, now=now)
    except ValueError as error:
        raise InvalidValue("schedule", why=str(error)) from None


def _threshold(sent: Mapping[str, Any]) -> int | None:
    threshold = optional(sent, "failure_threshold", int)
    if threshold is not None and not 1 <= threshold <= _LARGEST:
        raise InvalidValue("failure_threshold", why="must be null or a whole number of at least 1")
    return threshold


def _changes(sent: Mapping[str, Any], schedule: Schedule) -> Mapping[str, Any]:
    """Return what an update writes as it is sent."""
    changed: dict[str, Any] = {}
    if "failure_threshold" in sent:
        changed["failure_threshold"] = _threshold(sent)
    if "override_config" in sent:
        override = optional(sent, "override_config", dict) or {}
        changed["override"] = unmasked(override, schedule.override)
    return changed
