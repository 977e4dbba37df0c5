"""Questions to the journal that are not for the next events of all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select

from pulpit.ports import ToldBefore
from pulpit.storage.tables import IS_LASTING, IS_PROGRESS, journal

__all__ = ["next_of", "progress_before"]


def next_of(task_ids: Collection[str]) -> Select[Any]:
    """Return what selects the next events of these tasks; ``after`` and ``most`` are bound."""
    # an index alone answers which they are, and only these are read
    numbers = (
        select(journal.c.sequence)
        .where(journal.c.task_id.in_(sorted(task_ids)), journal.c.sequence > bindparam("after"))
        .order_by(journal.c.sequence)
        .limit(bindparam("most"))
    )
    return select(journal).where(journal.c.sequence.in_(numbers)).order_by(journal.c.sequence)


def progress_before(connection: Connection, after: int) -> Mapping[str, ToldBefore]:
    """Answer ``pulpit.ports.EventHistory.progress_before``."""
    # indexes alone tell which tasks these are: those that ran then, and they are few
    newest = (
        select(journal.c.task_id, func.max(journal.c.sequence).label("sequence"))
        .where(IS_PROGRESS, journal.c.sequence <= after)
        .group_by(journal.c.task_id)
        .subquery()
    )
    later = journal.alias()
    ended = select(later.c.sequence).where(
        later.c.task_id == newest.c.task_id,
        later.c.sequence > newest.c.sequence,
        later.c.sequence <= after,
    )
    running = connection.execute(
        select(newest.c.task_id, newest.c.sequence).where(~ended.exists())
    ).all()
    return {task_id: _progress_of(connection, task_id, last) for task_id, last in running}


def _progress_of(connection: Connection, task_id: str, last: int) -> ToldBefore:
    """Return what progress there is of a task up to the number of the newest."""
    mine = journal.c.task_id == task_id
    status = select(func.coalesce(func.max(journal.c.sequence), 0)).where(
        mine, journal.c.sequence < last, IS_LASTING
    )
    first = (
        select(journal.c.previous)
        .where(mine, IS_PROGRESS, journal.c.sequence > status.scalar_subquery())
        .order_by(journal.c.sequence)
        .limit(1)
    )
    newest = select(journal.c.revision).where(journal.c.sequence == last)
    return ToldBefore(
        previous=connection.execute(first).scalar_one(),
        revision=connection.execute(newest).scalar_one(),
    )
