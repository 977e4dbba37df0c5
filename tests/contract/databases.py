"""The databases that the contract suites run over, and values to put into them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from pulpit.domain.events import EventKind, NewEvent
from pulpit.domain.listeners import Listener, NotifierType
from pulpit.domain.messages import Message
from pulpit.domain.repositories import Distributor, Importer, Publication, Repository
from pulpit.domain.tasks import Task, TaskState
from pulpit.domain.units import PackageColumns, Unit
from pulpit.ports import EventHistory, LeaseStore, SharedCursorStore, Storage
from pulpit.storage.database import DATABASE
from pulpit.storage.postgresql import PostgresStorage
from pulpit.storage.sqlite import SqliteStorage
from pulpit.testing import MemoryStorage
from tests.services.postgresql import PostgresServer

#: The time of everything that does not say otherwise.
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OID = "5e1f00000000000000000000"


class Database(Storage, Protocol):
    """A storage with its journal and cursors, as both implementations offer them."""

    @property
    def events(self) -> EventHistory: ...
    @property
    def cursors(self) -> SharedCursorStore: ...
    @property
    def leases(self) -> LeaseStore: ...
    def close(self) -> None:
        """Let go of everything, and wake who waits for events."""


#: Makes a new, empty database in a folder of its own.
MakeDatabase = Callable[[Path], Database]


def memory_database(_folder: Path) -> Database:
    """Return the fake."""
    return MemoryStorage()


def sqlite_database(template: Path) -> MakeDatabase:
    """Return what makes databases as copies of an empty one, which takes no time."""

    def make(folder: Path) -> Database:
        path = folder / f"{uuid4().hex}-{DATABASE}"
        shutil.copyfile(template, path)
        return SqliteStorage(path)

    return make


class LentStorage(PostgresStorage):
    """A storage whose database goes back to the server that has lent it."""

    def __init__(self, server: PostgresServer) -> None:
        self._server: PostgresServer | None = server
        self.url = server.lend_pulpit()
        super().__init__(self.url, connections=4)

    def close(self) -> None:
        super().close()
        server, self._server = self._server, None
        if server is not None:
            server.give_back(self.url)


def postgresql_database(server: PostgresServer) -> MakeDatabase:
    """Return what makes databases by emptying used ones, which takes no time either."""
    return lambda _folder: LentStorage(server)


def new_task(**changes: Any) -> Task:
    """Return a task that waits and reserves nothing."""
    task = Task(id=str(uuid4()), oid=OID, task_type="pulp.test", operation="test", created=NOW)
    return dataclasses.replace(task, **changes)


def submit(database: Database, **changes: Any) -> Task:
    """Hand in a task."""
    with database.write() as transaction:
        return transaction.tasks.add(new_task(**changes))


def new_event(**changes: Any) -> NewEvent:
    """Return a status event of a task."""
    event = NewEvent(
        kind=EventKind.STATUS,
        type="pulpit.task.status.v1",
        task_id="a",
        revision=1,
        state=TaskState.WAITING,
        tags=("pulp:repository:zoo", "pulp:action:sync"),
        time=NOW,
        body=b'{"state":"waiting"}',
    )
    return dataclasses.replace(event, **changes)


def append(database: Database, *events: NewEvent) -> list[int]:
    """Write events in one transaction."""
    with database.write() as transaction:
        return list(transaction.journal.append(events))


#: Retention that deletes nothing.
FOREVER: dict[str, Any] = {
    "now": NOW,
    "status_days": 10_000,
    "status_rows": 1_000_000,
    "progress_hours": 1_000_000,
    "progress_rows": 1_000_000,
    "keep_after": None,
    "keep_bytes": 1_000_000,
    "limit": 1_000_000,
}


def compact(database: Database, **changes: Any) -> int:
    """Let retention run, such as deletes nothing but for the changes; return how many rows go."""
    with database.write() as transaction:
        return transaction.journal.compact(**FOREVER | changes)


def new_repository(repo_id: str, **changes: Any) -> Repository:
    """Return an empty repository."""
    repository = Repository(id=repo_id, oid=OID, display_name=repo_id, created=NOW)
    return dataclasses.replace(repository, **changes)


def new_importer(repo_id: str, **changes: Any) -> Importer:
    """Return an importer without configuration."""
    importer = Importer(repo_id=repo_id, oid=OID, importer_type_id="yum_importer", last_updated=NOW)
    return dataclasses.replace(importer, **changes)


def new_distributor(repo_id: str, distributor_id: str = "yum", **changes: Any) -> Distributor:
    """Return a distributor without configuration."""
    distributor = Distributor(
        repo_id=repo_id,
        oid=OID,
        id=distributor_id,
        distributor_type_id="yum_distributor",
        last_updated=NOW,
    )
    return dataclasses.replace(distributor, **changes)


def new_package(name: str, version: str = "1.0", **changes: Any) -> Unit:
    """Return a package that is not downloaded."""
    package = PackageColumns(
        name=name,
        epoch="0",
        version=version,
        release="1",
        arch="noarch",
        filename=f"{name}-{version}-1.noarch.rpm",
        size=20_000,
        checksum_type="sha256",
        checksum=f"{name}-{version}",
    )
    key = {
        "name": name,
        "epoch": "0",
        "version": version,
        "release": "1",
        "arch": "noarch",
        "checksumtype": "sha256",
        "checksum": f"{name}-{version}",
    }
    unit = Unit(
        uid=str(uuid4()),
        type_id="rpm",
        key=key,
        package=package,
        metadata={"summary": name},
        chunks=(b"primary", b"filelists", b"other"),
    )
    return dataclasses.replace(unit, **changes)


def new_erratum(erratum_id: str, **changes: Any) -> Unit:
    """Return an erratum."""
    unit = Unit(
        uid=str(uuid4()),
        type_id="erratum",
        key={"id": erratum_id},
        metadata={"title": erratum_id},
        chunks=(b"<update/>",),
    )
    return dataclasses.replace(unit, **changes)


def new_publication(repo_id: str, relative_url: str, **changes: Any) -> Publication:
    """Return a publication that is not live yet."""
    publication = Publication(
        repo_id=repo_id,
        distributor_id="yum",
        relative_url=relative_url,
        folder=uuid4().hex,
        fingerprint="f",
        created=NOW,
    )
    return dataclasses.replace(publication, **changes)


def new_listener(listener_id: str, **changes: Any) -> Listener:
    """Return a listener that wants all of Pulp 2's events."""
    listener = Listener(
        id=listener_id,
        notifier_type=NotifierType.HTTP,
        config={"url": "https://example.com/hook"},
        event_types=("*",),
        created=NOW,
        last_updated=NOW,
    )
    return dataclasses.replace(listener, **changes)


def new_message(sequence: int, **changes: Any) -> Message:
    """Return a message of an event."""
    message = Message(
        sequence=sequence,
        event_id=f"journal:{sequence}",
        event_type="repo.sync.finish",
        repo_id="zoo",
        task_id=str(uuid4()),
        tags=("pulp:repository:zoo", "pulp:action:sync"),
        time=NOW,
        body=b'{"event_type":"repo.sync.finish"}',
    )
    return dataclasses.replace(message, **changes)
