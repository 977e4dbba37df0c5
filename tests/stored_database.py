"""A small database with something of everything, the same each time it is made.

``python -m tests.stored_database`` writes it as SQL text, as the present code makes it: keep that
in ``tests/data/databases`` before you add a step to the schema, see the README there.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec

from pulpit.domain.criteria import Criteria
from pulpit.domain.deliveries import Attempt, DeliveryState, Verdict
from pulpit.domain.events import EventKind, NewEvent
from pulpit.domain.listeners import Filters, Health
from pulpit.domain.permissions import ALL, Grant, Operation
from pulpit.domain.repositories import Distributor, Importer, Publication, Repository
from pulpit.domain.roles import SUPER_USERS, Role
from pulpit.domain.tasks import Task, TaskState, task_report
from pulpit.domain.tokens import Token
from pulpit.domain.units import Unit, unit_key_digest
from pulpit.domain.users import User
from pulpit.events.amqp.settings import CURSOR, FOLDED
from pulpit.ports import Transaction
from tests.contract.databases import (
    NOW,
    OID,
    Database,
    new_distributor,
    new_erratum,
    new_importer,
    new_listener,
    new_message,
    new_package,
    new_publication,
    new_repository,
    new_task,
)

__all__ = [
    "CURSORS",
    "LIVE_PATH",
    "REPOSITORIES",
    "fill",
    "fill_listeners",
    "fill_users",
    "meaning",
    "meaning_of_listeners",
    "meaning_of_users",
    "task_id",
]

#: Texts that a careless conversion spoils.
_TEXTS = ("zoo", "Zoo", "é 🦒", "a'b\"c\\d", "tab\tline\n", "")
REPOSITORIES = ("zoo", "Zoo", "zoo-2", "emu")
CURSORS = {CURSOR: 5, FOLDED: 6}
#: A package that a live publication serves.
LIVE_PATH = "repos/zoo/lion-1.0-1.noarch.rpm"
_LISTENERS = ("a" * 24, "b" * 24)
_STATES = ("waiting", "running", "finished", "error", "canceled", "skipped")
#: Results that JSON writes in many ways.
_RESULTS: Sequence[Any] = (None, 7, 2.5, "text", [1, None, "é"], {"added_count": 2**40, "ok": True})


def task_id(number: int) -> str:
    """Return the id of one of the tasks, counted from 1."""
    return str(uuid5(NAMESPACE_URL, f"task-{number}"))


def fill(storage: Database) -> None:
    """Put something of everything into an empty database."""
    with storage.write() as transaction:
        for number, state in enumerate(_STATES, 1):
            _add_task(transaction, number, TaskState(state))
        _add_repositories(transaction)
        _add_content(transaction)
        transaction.users.set(
            User(
                login="admin",
                oid=OID,
                name="A. Dmin",
                password_hash="$argon2id$x",
                roles=(SUPER_USERS,),
                created=NOW,
            )
        )
    for name, sequence in CURSORS.items():
        storage.cursors.save(name, sequence)


def _add_task(transaction: Transaction, number: int, state: TaskState) -> None:
    """Hand in a task and take it to a state, with an event for each change."""
    task = transaction.tasks.add(
        new_task(
            id=task_id(number),
            arguments={"text": _TEXTS[number % 6], "number": number},
            tags=("pulp:repository:zoo", f"pulp:action:{_TEXTS[number % 6] or 'none'}"),
            resources=(f"repository:{REPOSITORIES[number % 4]}",),
        )
    )
    task = _tell(transaction, task)
    if state is not TaskState.WAITING:
        task = _tell(transaction, task.started(worker_name="embedded@localhost", now=NOW))
        report = {"yum_importer": {"content": {"state": "IN_PROGRESS", "items_left": number}}}
        task = _tell(transaction, task.progressed(report), kind=EventKind.PROGRESS)
    if state.is_complete:
        end = dataclasses.replace(
            task,
            state=state,
            finish_time=NOW + timedelta(seconds=number, microseconds=1),
            result=_RESULTS[number % 6],
            error={"code": "PLP0001", "description": "é"} if state is TaskState.ERROR else None,
            traceback="line\nline" if state is TaskState.ERROR else None,
            spawned=(task_id(1),),
        )
        _tell(transaction, end)
        transaction.tasks.release([task.id])


def _tell(transaction: Transaction, task: Task, *, kind: EventKind = EventKind.STATUS) -> Task:
    """Write a changed task and its event; return it."""
    task = dataclasses.replace(task, revision=task.revision + 1)
    event = NewEvent(
        kind=kind,
        type=f"pulpit.task.{kind.value}.v1",
        task_id=task.id,
        revision=task.revision,
        state=task.state,
        tags=task.tags,
        time=NOW + timedelta(microseconds=task.revision),
        body=msgspec.json.encode(task_report(task)),
    )
    transaction.tasks.update([task])
    transaction.journal.append([event])
    return task


def _add_repositories(transaction: Transaction) -> None:
    """Make the repositories, with what stands around them."""
    for place, repo_id in enumerate(REPOSITORIES):
        repository: Repository = new_repository(
            repo_id,
            description=_TEXTS[place],
            notes={"text": _TEXTS[place], "deep": [{"x": None}]},
        )
        transaction.repositories.add(repository)
        importer: Importer = new_importer(
            repo_id, config={"feed": f"https://example.com/{repo_id}/"}, last_sync=NOW
        )
        transaction.repositories.set_importer(importer)
        distributor: Distributor = new_distributor(repo_id, auto_publish=place % 2 == 0)
        transaction.repositories.set_distributor(distributor)


def _add_content(transaction: Transaction) -> None:
    """Add units of some types, with files, and two publications of which one is live."""
    added: list[Unit] = [
        new_package("lion", uid=task_id(101), chunks=(bytes(range(256)), b"", b"other")),
        new_package("emu", "2.0", uid=task_id(102), artifact="ab" * 32),
        new_erratum("RHEA-1", uid=task_id(103)),
    ]
    content = transaction.content
    stored = content.add(added)
    ids = [stored[unit_key_digest(unit.type_id, unit.key)] for unit in added]
    content.add_artifacts({"ab" * 32: 2**33})
    for repo_id in REPOSITORIES[:2]:
        content.associate(repo_id, ids, now=NOW)
    content.set_sources("zoo", {ids[0]: "https://example.com/zoo/lion.rpm?a=%20'"})
    content.claim_download(ids[0], "owner", now=NOW, seconds=60)
    for live in (False, True):
        publication: Publication = transaction.publications.add(
            new_publication("zoo", "repos/zoo", folder=f"folder-{live}")
        )
        transaction.publications.add_files(
            publication.id, {"lion-1.0-1.noarch.rpm": ids[0]}, ["repodata/repomd.xml"]
        )
        transaction.publications.switch(publication.id, now=NOW + timedelta(seconds=live))


def fill_listeners(storage: Database) -> None:
    """Put listeners with deliveries in every state into a database; there since step 0003."""
    health = Health(failing_since=NOW, last_failed=NOW, last_reason=_TEXTS[4])
    filters = Filters(repositories=REPOSITORIES, tags=("pulp:action:é 🦒",))
    with storage.write() as transaction:
        for listener_id in _LISTENERS:
            transaction.listeners.add(new_listener(listener_id))
        full = new_listener(_LISTENERS[0], filters=filters, sealed=bytes(range(256)))
        transaction.listeners.update(dataclasses.replace(full, disabled_reason=_TEXTS[3]))
        transaction.listeners.set_health({full.id: health})
        for number, words in enumerate(_TEXTS, 1):
            message = new_message(number, tags=(words,), body=words.encode(), task_id=task_id(1))
            transaction.deliveries.add([(message, _LISTENERS)], now=NOW)
        failed = Attempt(time=NOW, duration=0.1, verdict=Verdict.FAILED, status=500, reason="é\n")
        one, two, three, *_ = transaction.deliveries.pending(full.id, after=0, limit=9)
        tried = [
            one.tried(failed, state=DeliveryState.PENDING, due=NOW + timedelta(seconds=5)),
            two.tried(failed, state=DeliveryState.EXHAUSTED, due=None),
            three.tried(
                dataclasses.replace(failed, verdict=Verdict.DELIVERED, response="a\0b"),
                state=DeliveryState.DELIVERED,
                due=None,
            ),
        ]
        transaction.deliveries.settle(tried)


def fill_users(storage: Database) -> None:
    """Put users with roles, grants and tokens into a database; there since step 0004."""
    rights = {"/": ALL, "/v2/é/": (Operation.READ,)}
    role = Role(id="r", oid=OID, display_name=_TEXTS[4], description=_TEXTS[2], created=NOW)
    token = Token(
        id="c" * 24, login="é", name=_TEXTS[3], digest="d" * 64, read_only=True, created=NOW
    )
    with storage.write() as transaction:
        for login in ("é", "nobody"):
            user = User(login=login, oid=OID, name=_TEXTS[2], password_hash="", created=NOW)
            transaction.users.set(dataclasses.replace(user, roles=("r", SUPER_USERS)[: len(login)]))
        transaction.roles.add(dataclasses.replace(role, permissions=rights))
        transaction.roles.add(dataclasses.replace(role, id="s", description=None))
        for resource, operations in rights.items():
            grant = Grant(resource=resource, login="é", operations=tuple(operations))
            transaction.permissions.set(grant)
        transaction.tokens.add(token)
        other = dataclasses.replace(token, id="e" * 24, name="", digest="f" * 64, read_only=False)
        transaction.tokens.add(dataclasses.replace(other, expires=NOW, last_used=NOW))


def meaning_of_users(storage: Database) -> dict[str, Any]:
    """Return what the storage tells of what ``fill_users`` has put into it."""
    with storage.read() as transaction:
        return {
            "users": transaction.users.list(),
            "roles": transaction.roles.list(),
            "grants": transaction.permissions.list(),
            "tokens": transaction.tokens.list("é"),
        }


def meaning_of_listeners(storage: Database) -> dict[str, Any]:
    """Return what the storage tells of what ``fill_listeners`` has put into it."""
    with storage.read() as transaction:
        pages = [
            transaction.deliveries.page(
                listener_id=listener_id, states=(), since=None, before=None, limit=99
            )
            for listener_id in _LISTENERS
        ]
        return {
            "listeners": transaction.listeners.list(),
            "deliveries": pages,
            "messages": transaction.deliveries.messages(
                {each.message for page in pages for each in page}
            ),
            "counts": transaction.deliveries.counts(),
        }


def meaning(storage: Database) -> dict[str, Any]:
    """Return what the storage tells of what ``fill`` has put into it."""
    with storage.read() as transaction:
        tasks = transaction.tasks.search(Criteria())
        resolved = transaction.publications.resolve(LIVE_PATH)
        assert resolved is not None
        publication, path, unit = resolved
        assert unit is not None
        content = transaction.content
        return {
            "tasks": tasks,
            "tagged": transaction.tasks.with_tags(["pulp:repository:zoo", "pulp:action:é 🦒"]),
            "grantable": transaction.tasks.grantable(10),
            "holding": transaction.tasks.holding(),
            "page": transaction.tasks.page(
                task_ids=(), tags=(), states=frozenset(TaskState), after=2, limit=2
            ),
            # ids begin with the journal's own name
            "events": [
                dataclasses.replace(event, id=event.id.partition(":")[2])
                for event in storage.events.read(after=0, limit=1_000)
            ],
            "cursors": {name: storage.cursors.load(name) for name in CURSORS},
            "user": transaction.users.get("admin"),
            "repositories": transaction.repositories.list(),
            "importers": sorted(transaction.repositories.importers(REPOSITORIES), key=repr),
            "distributors": sorted(transaction.repositories.distributors(REPOSITORIES), key=repr),
            "live": (publication, path, unit.key, content.sources(unit.id)),
            "listing": transaction.publications.listing("repos/zoo"),
            "units": {
                each.uid: (each.key, each.metadata, each.chunks, each.artifact, each.package)
                for each in content.units("Zoo", ["rpm", "erratum"])
            },
        }


def _dump() -> str:
    """Return a database of that content, as the present code makes it, as SQL."""
    # here, since the places of these have changed, and those of the rest have not
    from pulpit.storage.schema import upgrade  # noqa: PLC0415
    from pulpit.storage.sqlite import SqliteStorage  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        path = upgrade(Path(folder))
        with SqliteStorage(path) as storage:
            fill(storage)
            fill_listeners(storage)
            fill_users(storage)
        with closing(sqlite3.connect(path)) as connection:
            # it is this machine's, and any other one would leave sequence numbers out
            connection.execute("DELETE FROM settings WHERE name = 'boot.id'")
            return "\n".join(connection.iterdump()) + "\n"


if __name__ == "__main__":
    sys.stdout.write(_dump())
