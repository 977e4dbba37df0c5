"""A database and a file store to sync into, without a server around them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pulpit.config.settings import Feeds
from pulpit.content.rpm.importer import YumImporter
from pulpit.domain.repositories import Importer, Repository
from pulpit.domain.units import UNIT_KEYS, Unit
from pulpit.storage.files import FolderFileStore
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from tests.task_context import OID, LooseContext

__all__ = ["Site", "site"]


@dataclass(kw_only=True)
class Site(LooseContext):
    """Storage and files; as a ``TaskContext`` that of a sync which no engine runs."""

    data: Path
    #: Every progress report of yum_importer that was told, with whether it was a boundary.
    reports: list[tuple[dict[str, Any], bool]] = field(default_factory=list)

    def progress(self, report: Mapping[str, Any], *, boundary: bool = False) -> None:
        self.reports.append((json.loads(json.dumps(report))["yum_importer"], boundary))

    def limits(self, **feeds: Any) -> None:
        """Set limits of feeds."""
        self.settings = replace(self.settings, feeds=Feeds(**feeds))

    def repository(self, repo_id: str, feed: str, **config: Any) -> None:
        """Make a repository with an importer."""
        kept = YumImporter().normalize({"feed": feed, **config})
        importer = Importer(
            repo_id=repo_id,
            oid=OID,
            importer_type_id="yum_importer",
            config=kept,
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
        return YumImporter().sync(self, repository=repository, importer=importer, override=override)

    def counts(self, repo_id: str, **override: Any) -> tuple[int, int, int]:
        """Sync; return how many units were added, updated and removed."""
        result = self.sync(repo_id, **override)
        return (result["added_count"], result["updated_count"], result["removed_count"])

    def units(self, repo_id: str, *type_ids: str) -> list[Unit]:
        """Return the units of a repository."""
        with self.storage.read() as transaction:
            return [*transaction.content.units(repo_id, type_ids or tuple(UNIT_KEYS))]

    def unit_counts(self, repo_id: str) -> Mapping[str, int]:
        """Return the number of units of each type."""
        with self.storage.read() as transaction:
            return transaction.repositories.get(repo_id).content_unit_counts

    def filenames(self, repo_id: str) -> set[str]:
        """Return the files of the packages of a repository."""
        return {unit.package.filename for unit in self.units(repo_id, "rpm") if unit.package}

    def stored(self) -> set[str]:
        """Return every file below the data folder that holds content or is being written."""
        return {
            str(path.relative_to(self.data))
            for folder in ("content", "tmp")
            for path in (self.data / folder).rglob("*")
            if path.is_file()
        }

    def rows(self) -> dict[str, int]:
        """Return how many rows the tables of content have."""
        tables = ("units", "unit_chunks", "repository_units", "artifacts", "unit_sources")
        with self.storage.read() as transaction:
            return {
                table: transaction.connection.exec_driver_sql(
                    f"select count(*) from {table}"
                ).scalar_one()
                for table in tables
            }


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Open an empty store in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with SqliteStorage(upgrade(folder)) as storage:
        yield Site(data=folder, storage=storage, files=FolderFileStore(folder))
