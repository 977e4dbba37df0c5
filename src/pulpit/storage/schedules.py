"""When repositories are synced and published by themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from pulpit.domain.schedules import Schedule, Scheduled, ScheduleKind
from pulpit.errors import MissingResource
from pulpit.storage.tables import schedules

__all__ = ["SqlScheduleStore"]

#: Building a statement takes longer than running it; these run every second, and for every task.
_DUE = (
    select(schedules)
    .where(schedules.c.enabled, schedules.c.next_run <= bindparam("now"))
    .order_by(schedules.c.next_run, schedules.c.id)
)
_GET = select(schedules).where(schedules.c.id == bindparam("of_id"))


class SqlScheduleStore:
    """Implements ``pulpit.ports.ScheduleStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _schedules(self, statement: Any, **values: Any) -> list[Schedule]:
        return [_schedule(row) for row in self._connection.execute(statement, values).mappings()]

    def add(self, schedule: Schedule) -> None:
        self._connection.execute(insert(schedules), _columns(schedule))

    def get(self, schedule_id: str) -> Schedule:
        found = self.find(schedule_id)
        if found is None:
            raise MissingResource(schedule_id=schedule_id)
        return found

    def find(self, schedule_id: str) -> Schedule | None:
        return next(iter(self._schedules(_GET, of_id=schedule_id)), None)

    def list(self, of: Scheduled) -> Sequence[Schedule]:
        return self._schedules(select(schedules).where(*_is_of(of)).order_by(schedules.c.id))

    def due(self, now: datetime) -> Sequence[Schedule]:
        return self._schedules(_DUE, now=now)

    def ran_after(self, now: datetime) -> Sequence[Schedule]:
        wanted = select(schedules).where(schedules.c.enabled, schedules.c.last_run_at > now)
        return self._schedules(wanted.order_by(schedules.c.id))

    def update(self, schedule: Schedule) -> None:
        statement = update(schedules).where(schedules.c.id == schedule.id)
        self._connection.execute(statement.values(_columns(schedule)))

    def remove(self, schedule_id: str) -> None:
        self._connection.execute(delete(schedules).where(schedules.c.id == schedule_id))

    def remove_of(self, of: Scheduled) -> None:
        self._connection.execute(delete(schedules).where(*_is_of(of)))


def _is_of(of: Scheduled) -> Sequence[Any]:
    return (
        schedules.c.repo_id == of.repo_id,
        schedules.c.kind == of.kind.value,
        schedules.c.plugin_id == of.plugin_id,
    )


def _columns(schedule: Schedule) -> dict[str, Any]:
    of = schedule.of
    values = {
        field.name: getattr(schedule, field.name)
        for field in dataclasses.fields(schedule)
        if field.name != "of"
    }
    return values | {"kind": of.kind.value, "repo_id": of.repo_id, "plugin_id": of.plugin_id}


def _schedule(row: Any) -> Schedule:
    values = dict(row)
    of = Scheduled(
        kind=ScheduleKind(values.pop("kind")),
        repo_id=values.pop("repo_id"),
        plugin_id=values.pop("plugin_id"),
    )
    return Schedule(of=of, **values)
