"""Tasks, and the queues of the resources that they reserve."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Insert,
    Row,
    Select,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from pulpit.domain.criteria import Criteria
from pulpit.domain.tasks import Task, TaskState
from pulpit.errors import Fenced, MissingResource
from pulpit.storage.criteria import ColumnKind, FieldColumn, Members
from pulpit.storage.rows import batched
from pulpit.storage.searches import find
from pulpit.storage.tables import reservations, task_tags, tasks

__all__ = ["SqlTaskStore", "task_of"]

_CHANGING = (
    "state",
    "start_time",
    "finish_time",
    "progress",
    "result",
    "error",
    "traceback",
    "worker_name",
    "spawned",
    "revision",
    "attempt",
)
#: All but what is between the engine and its workers.
_COLUMNS = [column.name for column in tasks.c if column.name != "job_id"]
_UPDATE = (
    update(tasks)
    .where(tasks.c.number == bindparam("of_number"))
    .values({name: bindparam(name, type_=tasks.c[name].type) for name in _CHANGING})
)

# Building a statement takes longer than running it; these run for every task.
_ADD = insert(tasks).returning(tasks.c.number, sort_by_parameter_order=True)
_ADD_TAGS, _ADD_RESERVATIONS = insert(task_tags), insert(reservations)
_FIND = select(tasks).where(tasks.c.id.in_(bindparam("ids", expanding=True)))
_ARGUMENTS = select(tasks.c.id, tasks.c.arguments).where(
    tasks.c.id.in_(bindparam("ids", expanding=True))
)
_RELEASE = (
    delete(reservations)
    .where(
        reservations.c.task_number.in_(
            select(tasks.c.number).where(tasks.c.id.in_(bindparam("ids", expanding=True)))
        )
    )
    .returning(reservations.c.resource)
)


def _grantable() -> Select[Any]:
    """Return the statement for at most ``most`` tasks that may run."""
    mine, earlier = reservations.alias("mine"), reservations.alias("earlier")
    blocked = (
        select(mine.c.task_number)
        .join(
            earlier,
            (earlier.c.resource == mine.c.resource) & (earlier.c.task_number < mine.c.task_number),
        )
        .where(mine.c.task_number == tasks.c.number)
    )
    return (
        select(tasks)
        .where(tasks.c.state == TaskState.WAITING.value, ~blocked.exists())
        .order_by(tasks.c.priority.desc(), tasks.c.number)
        .limit(bindparam("most"))
    )


_GRANTABLE = _grantable()
_GRANTABLE_AMONG = _GRANTABLE.where(tasks.c.id.in_(bindparam("ids", expanding=True)))

_TAGS = Members(
    column=task_tags.c.tag,
    belongs=task_tags.c.task_number == tasks.c.number,
    key=task_tags.c.task_number,
)
_FIELDS = {
    "_id": FieldColumn(column=tasks.c.oid, key=tasks.c.number),
    "id": FieldColumn(column=tasks.c.oid, key=tasks.c.number),
    "task_id": FieldColumn(column=tasks.c.id, key=tasks.c.number),
    "task_type": FieldColumn(column=tasks.c.task_type, key=tasks.c.number),
    "state": FieldColumn(column=tasks.c.state, key=tasks.c.number),
    "tags": FieldColumn(column=tasks.c.tags, kind=ColumnKind.JSON, members=_TAGS),
    "worker_name": FieldColumn(column=tasks.c.worker_name),
    "group_id": FieldColumn(column=tasks.c.group_id, key=tasks.c.number),
    "start_time": FieldColumn(column=tasks.c.start_time, kind=ColumnKind.TIME, key=tasks.c.number),
    "finish_time": FieldColumn(
        column=tasks.c.finish_time, kind=ColumnKind.TIME, key=tasks.c.number
    ),
    "progress_report": FieldColumn(column=tasks.c.progress, kind=ColumnKind.JSON),
    "result": FieldColumn(column=tasks.c.result, kind=ColumnKind.JSON),
    "error": FieldColumn(column=tasks.c.error, kind=ColumnKind.JSON),
    "traceback": FieldColumn(column=tasks.c.traceback),
}


def _values(task: Task) -> dict[str, Any]:
    """Return the columns of the task's row, apart from the number that the database gives."""
    values = {
        field.name: getattr(task, field.name)
        for field in dataclasses.fields(task)
        if field.name != "number"
    }
    return values | {
        "state": task.state.value,
        "tags": list(task.tags),
        "resources": list(task.resources),
        "spawned": list(task.spawned),
    }


def _changing_values(task: Task) -> dict[str, Any]:
    """Return the columns that change while a task lives."""
    values = {name: getattr(task, name) for name in _CHANGING}
    return values | {
        "of_number": task.number,
        "state": task.state.value,
        "spawned": list(task.spawned),
    }


def task_of(row: Row[Any]) -> Task:
    """Return the task that the row holds, or the part of it with the table's columns."""
    values = {name: row._mapping[name] for name in _COLUMNS}  # noqa: SLF001 - a documented name
    return Task(
        **values
        | {
            "state": TaskState(values["state"]),
            "tags": tuple(values["tags"]),
            "resources": tuple(values["resources"]),
            "spawned": tuple(values["spawned"]),
        },
    )


def _tagged(statement: Select[Any], tags: Collection[str]) -> Select[Any]:
    """Return the statement for those of its tasks that have all of the tags."""
    wanted = set(tags)
    if not wanted:
        return statement
    numbers = (
        select(task_tags.c.task_number)
        .where(task_tags.c.tag.in_(wanted))
        .group_by(task_tags.c.task_number)
        .having(func.count() == len(wanted))
    )
    return statement.where(tasks.c.number.in_(numbers))


class SqlTaskStore:
    """Implements ``pulpit.ports.TaskStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        #: What this transaction has changed of the queues: tasks added, resources released.
        self.added: set[int] = set()
        self.released: set[str] = set()

    def _all(self, statement: Select[Any], values: Mapping[str, Any] | None = None) -> list[Task]:
        return [task_of(row) for row in self._connection.execute(statement, values or {})]

    def add(self, task: Task) -> Task:
        return self.add_all([task])[0]

    def add_all(self, tasks: Sequence[Task]) -> Sequence[Task]:
        if not tasks:
            return []
        numbers = self._connection.execute(_ADD, [_values(task) for task in tasks]).scalars().all()
        added = [
            dataclasses.replace(task, number=number)
            for task, number in zip(tasks, numbers, strict=True)
        ]
        self._add_members(_ADD_TAGS, "tag", [(task.number, task.tags) for task in added])
        self._add_members(
            _ADD_RESERVATIONS, "resource", [(task.number, task.resources) for task in added]
        )
        self.added.update(numbers)
        return added

    def _add_members(
        self, statement: Insert, column: str, members: Sequence[tuple[int, Sequence[str]]]
    ) -> None:
        """Keep what belongs to tasks, which are given by their numbers."""
        rows = [
            {column: name, "task_number": number}
            for number, names in members
            for name in dict.fromkeys(names)
        ]
        if rows:
            self._connection.execute(statement, rows)

    def get(self, task_id: str) -> Task:
        found = self.find([task_id])
        if task_id not in found:
            raise MissingResource(task_id=task_id)
        return found[task_id]

    def find(self, task_ids: Collection[str]) -> Mapping[str, Task]:
        return {
            task.id: task
            for batch in batched(task_ids)
            for task in self._all(_FIND, {"ids": batch})
        }

    def arguments(self, task_ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        return {
            row.id: row.arguments
            for batch in batched(task_ids)
            for row in self._connection.execute(_ARGUMENTS, {"ids": batch})
        }

    def update(self, changed: Sequence[Task]) -> None:
        if changed:
            self._connection.execute(_UPDATE, [_changing_values(task) for task in changed])

    def fence(self, task_id: str, attempt: int) -> None:
        row = self._connection.execute(
            select(tasks.c.state, tasks.c.attempt).where(tasks.c.id == task_id),
        ).one_or_none()
        if row is None or (row.state, row.attempt) != (TaskState.RUNNING.value, attempt):
            raise Fenced

    def grantable(self, limit: int, *, among: Collection[str] | None = None) -> Sequence[Task]:
        if among is None:
            return self._all(_GRANTABLE, {"most": limit})
        return self._all(_GRANTABLE_AMONG, {"most": limit, "ids": list(among)})

    def release(self, task_ids: Collection[str]) -> None:
        for batch in batched(task_ids):
            released = self._connection.execute(_RELEASE, {"ids": batch})
            self.released.update(released.scalars())

    def holding(self, states: Collection[TaskState] | None = None) -> Sequence[Task]:
        queued = select(reservations.c.task_number)
        statement = select(tasks).where(tasks.c.number.in_(queued)).order_by(tasks.c.number)
        if states is not None:
            statement = statement.where(tasks.c.state.in_([state.value for state in states]))
        return self._all(statement)

    def in_states(self, states: Collection[TaskState]) -> Sequence[Task]:
        return self._all(
            select(tasks)
            .where(tasks.c.state.in_([state.value for state in states]))
            .order_by(tasks.c.number),
        )

    def with_tags(self, tags: Collection[str]) -> Sequence[Task]:
        return self._all(_tagged(select(tasks).order_by(tasks.c.number), tags))

    def page(
        self,
        *,
        task_ids: Collection[str],
        tags: Collection[str],
        states: Collection[TaskState],
        after: int,
        limit: int,
    ) -> Sequence[Task]:
        statement = (
            select(tasks)
            .where(
                tasks.c.number > after, tasks.c.state.in_(sorted(state.value for state in states))
            )
            .order_by(tasks.c.number)
            .limit(limit)
        )
        if task_ids:
            statement = statement.where(tasks.c.id.in_(task_ids))
        return self._all(_tagged(statement, tags))

    def search(self, criteria: Criteria) -> Sequence[Task]:
        found = find(self._connection, select(tasks), criteria, _FIELDS, key=tasks.c.number)
        return [task_of(row) for row in found]

    def states_of_group(self, group_id: str) -> Mapping[TaskState, int]:
        statement = (
            select(tasks.c.state, func.count())
            .where(tasks.c.group_id == group_id)
            .group_by(tasks.c.state)
        )
        return {TaskState(state): count for state, count in self._connection.execute(statement)}

    def purge(self, states: Collection[TaskState], *, before: datetime | None = None) -> int:
        statement = delete(tasks).where(tasks.c.state.in_([state.value for state in states]))
        if before is not None:
            statement = statement.where(tasks.c.finish_time < before)
        return self._connection.execute(statement).rowcount
