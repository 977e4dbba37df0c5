"""A database and a file store to import uploads into, and to publish from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pulpit.content.rpm.importer import YumImporter
from pulpit.domain.repositories import Importer
from pulpit.domain.units import UNIT_KEYS, Unit
from pulpit.domain.uploads import Uploaded, UploadedFile
from pulpit.storage.files import FolderFileStore
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from tests.published import Report, Shelf
from tests.task_context import OID

__all__ = ["DELTAS", "SIGNED", "Desk", "desk"]

#: The sample's bell, signed with a key of this id.
SIGNED = Path(__file__).parent / "data" / "signed" / "bell-1.0-1.noarch.rpm"

#: Deltas from the sample's bell 1.0-1 to 1.1-1, as makedeltarpm makes them; ``only`` with its -r.
DELTAS = Path(__file__).parent / "data" / "deltas"


@dataclass(kw_only=True)
class Desk(Shelf):
    """As a ``TaskContext`` that of a sync or an import which was never given to an engine."""

    def progress(self, report: Report, *, boundary: bool = False) -> None:
        """Forget what is told, by syncs too."""

    def upload(
        self,
        repo_id: str,
        type_id: str,
        data: bytes = b"",
        *,
        key: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **config: Any,
    ) -> Sequence[Mapping[str, Any]]:
        """Import some bytes; return what the importer says."""
        file = None
        if data:
            path = self.files.temporary()
            path.write_bytes(data)
            file = UploadedFile(path=path, digest=sha256(data).hexdigest(), size=len(data))
        with self.storage.read() as transaction:
            repository = transaction.repositories.get(repo_id)
        importer = Importer(
            repo_id=repo_id,
            oid=OID,
            importer_type_id="yum_importer",
            config=config,
            last_updated=self.now,
        )
        return YumImporter().upload(
            self,
            repository=repository,
            importer=importer,
            uploaded=Uploaded(type_id=type_id, key=key or {}, metadata=metadata or {}, file=file),
            override={},
        )

    def units(self, repo_id: str, *type_ids: str) -> list[Unit]:
        """Return the units of a repository."""
        with self.storage.read() as transaction:
            return [*transaction.content.units(repo_id, type_ids or tuple(UNIT_KEYS))]


@contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    """Open a new database and file store in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with SqliteStorage(upgrade(folder)) as storage:
        yield Desk(storage=storage, files=FolderFileStore(folder))
