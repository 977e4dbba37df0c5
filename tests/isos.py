"""A database and a file store to sync isos into and publish them from, without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from pulpit.content.iso.distributor import IsoDistributor
from pulpit.content.iso.importer import IsoImporter
from pulpit.content.iso.manifest import MANIFEST, Entry, rendered
from pulpit.domain.repositories import Distributor, Importer, Repository
from pulpit.domain.units import Unit
from pulpit.storage.files import FolderFileStore
from pulpit.storage.sqlite import SqliteStorage
from tests.api_site import copy_of
from tests.task_context import OID, LooseContext

__all__ = ["IsoSite", "entry", "iso_site", "make_feed"]

DISTRIBUTOR = "iso_distributor"


def entry(name: str, content: bytes) -> Entry:
    """Return the line of a manifest."""
    return Entry(name, sha256(content).hexdigest(), len(content))


def make_feed(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files with a manifest; return the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    folder.mkdir(exist_ok=True)
    entries = [entry(name, content) for name, content in files.items()]
    (folder / MANIFEST).write_bytes(rendered(entries))
    return folder


@dataclass(kw_only=True)
class IsoSite(LooseContext):
    """As a ``TaskContext`` it is that of tasks which were never given to an engine."""

    #: Every report of the last task, with whether it was a boundary.
    reports: list[tuple[Mapping[str, Any], bool]] = field(default_factory=list)

    def progress(self, report: Mapping[str, Any], *, boundary: bool = False) -> None:
        self.reports.append((json.loads(json.dumps(report)), boundary))

    def repository(self, repo_id: str, feed: str, **config: Any) -> None:
        """Make a repository with an importer."""
        importer = Importer(
            repo_id=repo_id,
            oid=OID,
            importer_type_id="iso_importer",
            config=IsoImporter().normalize({"feed": feed, **config}),
            last_updated=self.now,
        )
        with self.storage.write() as transaction:
            transaction.repositories.add(
                Repository(id=repo_id, oid=OID, display_name=repo_id, created=self.now)
            )
            transaction.repositories.set_importer(importer)

    def sync(self, repo_id: str, **override: Any) -> Mapping[str, Any]:
        """Sync; return the result."""
        self.now += timedelta(hours=1)
        self.reports.clear()
        with self.storage.read() as transaction:
            repository = transaction.repositories.get(repo_id)
            [importer] = transaction.repositories.importers([repo_id])
        return IsoImporter().sync(self, repository=repository, importer=importer, override=override)

    def counts(self, repo_id: str, **override: Any) -> tuple[int, int]:
        """Sync; return how many units were added and removed."""
        result = self.sync(repo_id, **override)
        return result["added_count"], result["removed_count"]

    def publish(self, repo_id: str, **config: Any) -> Mapping[str, Any]:
        """Publish and go live; return the result."""
        self.now += timedelta(minutes=1)
        self.reports.clear()
        with self.storage.read() as transaction:
            repository = transaction.repositories.get(repo_id)
        distributor = Distributor(
            repo_id=repo_id,
            oid=OID,
            id=DISTRIBUTOR,
            distributor_type_id=DISTRIBUTOR,
            config=config,
            last_updated=self.now,
        )
        result, publication_id = IsoDistributor().publish(
            self, repository=repository, distributor=distributor, override={}
        )
        if publication_id is not None:
            with self.storage.write() as transaction:
                transaction.publications.switch(publication_id, now=self.now)
        return result

    def units(self, repo_id: str) -> dict[str, Unit]:
        """Return the units of a repository by name."""
        with self.storage.read() as transaction:
            return {
                str(one.key["name"]): one for one in transaction.content.units(repo_id, ["iso"])
            }


@contextmanager
def iso_site(folder: Path, template: Path) -> Iterator[IsoSite]:
    """Open an empty store in the folder, its database a copy of the template."""
    folder.mkdir(parents=True, exist_ok=True)
    with SqliteStorage(copy_of(template, folder)) as storage:
        yield IsoSite(storage=storage, files=FolderFileStore(folder))
