"""A database and a file store to publish from, without a server around them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import createrepo_c
import zstandard

from pulpit.content.rpm.distributor import YumDistributor
from pulpit.domain.repositories import Distributor, Repository
from pulpit.domain.units import PackageColumns, Unit
from pulpit.storage.files import FolderFileStore
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from tests.task_context import OID, LooseContext

__all__ = ["Report", "Shelf", "document", "metadata_file", "package", "shelf"]

_DUMPS = ("xml_dump_primary", "xml_dump_filelists", "xml_dump_other")

Report = Mapping[str, Any]


@dataclass(kw_only=True)
class Shelf(LooseContext):
    """Storage and files with a clock that stands still until it is moved.

    As a ``TaskContext`` it is that of a publish which was never given to an engine.
    """

    #: Every report that was told, with whether it was a boundary.
    reports: list[tuple[Report, bool]] = field(default_factory=list)

    def later(self, **amount: float) -> datetime:
        """Move the clock on; return the time."""
        self.now += timedelta(**amount)
        return self.now

    def progress(self, report: Report, *, boundary: bool = False) -> None:
        copied = {key: [dict(step) for step in steps] for key, steps in report.items()}
        self.reports.append((copied, boundary))

    def repository(self, repo_id: str, units: Sequence[Unit] = ()) -> dict[str, int]:
        """Make a repository that holds the units; return unit id by file or document name."""
        with self.storage.write() as transaction:
            transaction.repositories.add(
                Repository(id=repo_id, oid=OID, display_name=repo_id, created=self.now)
            )
        return self.add(repo_id, units)

    def add(self, repo_id: str, units: Sequence[Unit]) -> dict[str, int]:
        """Put units into a repository."""
        with self.storage.write() as transaction:
            ids = [*transaction.content.add(units).values()]
            transaction.content.associate(repo_id, ids, now=self.now)
            found = [transaction.content.unit(unit_id) for unit_id in ids]
        return {unit.package.filename if unit.package else unit.uid: unit.id for unit in found}

    def store(self, data: bytes) -> str:
        """Keep a file; return its SHA-256."""
        digest = sha256(data).hexdigest()
        temporary = self.files.temporary()
        temporary.write_bytes(data)
        self.files.keep(temporary, digest)
        with self.storage.write() as transaction:
            transaction.content.add_artifacts({digest: len(data)})
        return digest

    def publish(
        self,
        repo_id: str,
        *,
        override: Mapping[str, Any] | None = None,
        distributor_id: str = "yum",
        **config: Any,
    ) -> tuple[Report, Path | None]:
        """Publish and go live; return the result and the folder of what was written."""
        with self.storage.read() as transaction:
            repository = transaction.repositories.get(repo_id)
        distributor = Distributor(
            repo_id=repo_id,
            oid=OID,
            id=distributor_id,
            distributor_type_id="yum_distributor",
            config={"relative_url": repo_id, **config},
            last_updated=self.now,
        )
        result, publication_id = YumDistributor().publish(
            self, repository=repository, distributor=distributor, override=override or {}
        )
        if publication_id is None:
            return result, None
        with self.storage.write() as transaction:
            transaction.publications.switch(publication_id, now=self.now)
            live = transaction.publications.live(repo_id, distributor_id)
        assert live is not None
        return result, self.files.publication_folder(live.folder)


@contextmanager
def shelf(folder: Path) -> Iterator[Shelf]:
    """Open a new database and file store in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with SqliteStorage(upgrade(folder)) as storage:
        yield Shelf(storage=storage, files=FolderFileStore(folder))


def package(
    name: str,
    version: str = "1.0",
    *,
    arch: str = "noarch",
    content: bytes | None = None,
    artifact: str | None = None,
    filename: str | None = None,
    **told: Any,
) -> Unit:
    """Return a package as a sync keeps it.

    Args:
        name: its name.
        version: its version.
        arch: its architecture.
        content: the bytes of its file, by which it is known.
        artifact: SHA-256 of the stored file.
        filename: another name of the file than usual.
        **told: attributes of createrepo_c's package, such as ``summary``.
    """
    file = content if content is not None else f"{name}-{version}.{arch}".encode()
    columns = PackageColumns(
        name=name,
        epoch="0",
        version=version,
        release="1",
        arch=arch,
        filename=filename or f"{name}-{version}-1.{arch}.rpm",
        size=len(file),
        checksum_type="sha256",
        checksum=sha256(file).hexdigest(),
    )
    parsed = _parsed(columns, told)
    values = dataclasses.asdict(columns)
    names = ("name", "epoch", "version", "release", "arch", "checksum")
    return Unit(
        uid=str(uuid4()),
        type_id="rpm",
        key={**{key: values[key] for key in names}, "checksumtype": "sha256"},
        package=columns,
        chunks=tuple(_packed(getattr(createrepo_c, dump)(parsed)) for dump in _DUMPS),
        artifact=artifact,
    )


def _parsed(columns: PackageColumns, told: Mapping[str, Any]) -> Any:
    """Return the package as createrepo_c reads it from a feed."""
    name = columns.name
    parsed = createrepo_c.Package()
    parsed.name, parsed.epoch, parsed.version = name, columns.epoch, columns.version
    parsed.release, parsed.arch, parsed.pkgId = columns.release, columns.arch, columns.checksum
    parsed.checksum_type, parsed.size_package = columns.checksum_type, columns.size
    parsed.summary, parsed.description = f"The {name}", f"A {name} & <more>"
    parsed.rpm_license = "MIT"
    parsed.location_href = f"Packages/{columns.filename[0].lower()}/{columns.filename}"
    parsed.files = [(None, "/usr/bin/", name)]
    parsed.changelogs = [("Somebody <some@body.example> - 1.0-1", 1700000000, "- first")]
    for key, value in told.items():
        setattr(parsed, key, value)
    return parsed


def document(type_id: str, key: Mapping[str, Any], text: str) -> Unit:
    """Return a unit that is a document."""
    return Unit(uid=str(uuid4()), type_id=type_id, key=key, chunks=(_packed(text),))


def metadata_file(kind: str, filename: str, artifact: str) -> Unit:
    """Return a unit that is a metadata file of a feed, with a checksum of its content."""
    return Unit(
        uid=str(uuid4()),
        type_id="yum_repo_metadata_file",
        key={"data_type": kind},
        metadata={
            "data_type": kind,
            "filename": filename,
            "open_checksum_type": "sha256",
            "open_checksum": "11" * 32,
        },
        artifact=artifact,
    )


def _packed(text: str) -> bytes:
    """Return the text as units keep it."""
    return zstandard.ZstdCompressor(level=3).compress(text.encode())
