"""Dispatch over real databases: listeners are told what they ask for, by the leader alone."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pulpit.domain.events import EventKind, task_event
from pulpit.domain.tasks import PUBLISH_TASK, SYNC_TASK, Task, repository_tag
from pulpit.errors import Fenced
from pulpit.services.dispatch import CURSOR, Dispatch
from tests.contract.databases import NOW, Database, append, new_listener, submit

_A, _B = "a" * 24, "b" * 24
_LEASE = "leader"


class _Log:
    """Is told nothing here."""

    def warning(self, event: str, /, **fields: Any) -> None:
        raise AssertionError(event, fields)


def _dispatch(database: Database, holder: str = "one") -> Dispatch:
    return Dispatch(
        database,
        database.events,
        cursors=database.cursors.fenced(_LEASE, holder),
        clock=lambda: NOW,
        log=_Log(),
    )


def _tell(database: Database, task: Task, kind: EventKind = EventKind.STATUS) -> None:
    append(database, task_event(task, kind, now=NOW))


def _told(database: Database, listener_id: str) -> list[tuple[str, Any]]:
    """Return what a listener is to be told: event types and payloads."""
    with database.read() as transaction:
        found = transaction.deliveries.pending(listener_id, after=0, limit=100)
        messages = transaction.deliveries.messages([each.message for each in found])
    documents = [json.loads(messages[each.message].body) for each in found]
    return [(document["event_type"], document["payload"]) for document in documents]


def _task(database: Database, task_type: str, **arguments: Any) -> Task:
    """Hand in a task, and return it as it runs."""
    task = submit(database, task_type=task_type, tags=(repository_tag("zoo"),), arguments=arguments)
    return dataclasses.replace(task.started(worker_name="w", now=NOW), revision=1)


def test_listeners_are_told_by_who_leads(database: Database) -> None:
    """What the journal and the tables say; a process that leads no longer gets no further."""
    with database.write() as transaction:
        transaction.listeners.add(new_listener(_A))
        transaction.listeners.add(new_listener(_B, event_types=("repo.sync.finish",)))
    assert database.leases.take(_LEASE, "one", seconds=600)
    dispatch = _dispatch(database)
    assert dispatch.step() == 0
    publish = _task(database, PUBLISH_TASK, distributor_id="web")
    sync = _task(database, SYNC_TASK)
    result = {"added_count": 3, "details": "x" * (1 << 20)}
    ended = sync.finished(result=result, spawned=(), now=NOW)
    with database.write() as transaction:
        transaction.tasks.update([ended])
    _tell(database, publish)
    _tell(database, sync, EventKind.PROGRESS)
    _tell(database, ended)
    assert (dispatch.step(), dispatch.step()) == (3, 0)
    start = ("repo.publish.start", {"repo_id": "zoo", "distributor_id": "web"})
    assert _told(database, _A) == [start, ("repo.sync.finish", result)]
    assert _told(database, _B) == [("repo.sync.finish", result)]
    assert database.cursors.load(CURSOR) == 3
    # another one leads now, and the old one tells the same once more
    database.leases.release(_LEASE, "one")
    assert database.leases.take(_LEASE, "two", seconds=600)
    _tell(database, publish)
    with pytest.raises(Fenced):
        dispatch.step()
    after = _dispatch(database, "two")
    assert (after.step(), after.step()) == (1, 0)
    assert [event_type for event_type, _ in _told(database, _A)] == [
        "repo.publish.start",
        "repo.sync.finish",
        "repo.publish.start",
    ]
