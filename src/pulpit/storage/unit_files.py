"""The files of units that have several, such as the trees that machines are installed from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from pulpit.domain.units import UnitFile
from pulpit.storage.rows import batched
from pulpit.storage.tables import unit_files

__all__ = ["UnitFileRows"]

_FIELDS = (
    unit_files.c.path,
    unit_files.c.size,
    unit_files.c.checksum_type,
    unit_files.c.checksum,
    unit_files.c.artifact,
)


class UnitFileRows:
    """The part of ``pulpit.ports.ContentStore`` that is about the files of such units."""

    def __init__(self, connection: Connection) -> None:
        self._given = connection

    @property
    def _connection(self) -> Connection:
        """The connection, asked for by each statement."""
        return self._given

    def set_unit_files(self, unit_id: int, files: Sequence[UnitFile]) -> None:
        present = {file.path: file for file in self.unit_files(unit_id)}
        self._connection.execute(delete(unit_files).where(unit_files.c.unit_id == unit_id))
        rows = [_row(unit_id, file, present.get(file.path)) for file in files]
        if rows:
            self._connection.execute(insert(unit_files), rows)

    def unit_files(self, unit_id: int) -> Sequence[UnitFile]:
        statement = (
            select(*_FIELDS).where(unit_files.c.unit_id == unit_id).order_by(unit_files.c.path)
        )
        return [_file(*row) for row in self._connection.execute(statement)]

    def unit_file(self, unit_id: int, path: str) -> UnitFile | None:
        statement = select(*_FIELDS).where(
            unit_files.c.unit_id == unit_id, unit_files.c.path == path
        )
        row = self._connection.execute(statement).first()
        return _file(*row) if row else None

    def _set_file(self, unit_id: int, path: str, digest: str, size: int) -> None:
        """Keep that a file is stored now."""
        statement = update(unit_files).where(
            unit_files.c.unit_id == unit_id, unit_files.c.path == path
        )
        self._connection.execute(statement.values(artifact=digest, size=size))

    def _claim_file(
        self, unit_id: int, path: str, owner: str, *, now: datetime, until: datetime
    ) -> bool:
        """Lease the download of a file; False while another owner's lease holds."""
        free = (
            unit_files.c.expires.is_(None)
            | (unit_files.c.expires <= now)
            | (unit_files.c.owner == owner)
        )
        statement = (
            update(unit_files)
            .where(unit_files.c.unit_id == unit_id, unit_files.c.path == path, free)
            .values(owner=owner, expires=until)
            .returning(unit_files.c.path)
        )
        return self._connection.execute(statement).first() is not None

    def _release_file(self, unit_id: int, path: str, owner: str) -> None:
        """Give the lease back."""
        statement = update(unit_files).where(
            unit_files.c.unit_id == unit_id,
            unit_files.c.path == path,
            unit_files.c.owner == owner,
        )
        self._connection.execute(statement.values(owner=None, expires=None))

    def _files_of(self, unit_ids: Collection[int]) -> set[str]:
        """Return the digests of all stored files of the units."""
        found: set[str] = set()
        for batch in batched(unit_ids):
            statement = select(unit_files.c.artifact).where(
                unit_files.c.unit_id.in_(batch), unit_files.c.artifact.is_not(None)
            )
            found.update(self._connection.execute(statement).scalars())
        return found


def _row(unit_id: int, file: UnitFile, present: UnitFile | None) -> dict[str, Any]:
    """Return the row of a file; what is stored of the same file already stays known."""
    artifact, size = file.artifact, file.size
    if present and artifact is None and present.checksum and _sum(present) == _sum(file):
        artifact, size = present.artifact, present.size if size is None else size
    return {
        "unit_id": unit_id,
        "path": file.path,
        "size": size,
        "checksum_type": file.checksum_type,
        "checksum": file.checksum,
        "artifact": artifact,
    }


def _sum(file: UnitFile) -> tuple[str | None, str | None]:
    """Return a file's checksum with its type."""
    return file.checksum_type, file.checksum


def _file(
    path: str,
    size: int | None,
    checksum_type: str | None,
    checksum: str | None,
    artifact: str | None,
) -> UnitFile:
    """Return the file of a row of ``_FIELDS``."""
    return UnitFile(
        path=path, size=size, checksum_type=checksum_type, checksum=checksum, artifact=artifact
    )
