"""Uploads, and which bytes of them have come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from pulpit.domain.uploads import Upload
from pulpit.errors import MissingResource
from pulpit.storage.tables import uploads

__all__ = ["SqlUploadStore"]


class SqlUploadStore:
    """Implements ``pulpit.ports.UploadStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, upload: Upload) -> None:
        self._connection.execute(insert(uploads), {"id": upload.id, **_columns(upload)})

    def get(self, upload_id: str) -> Upload:
        return self._get(upload_id, locked=False)

    def _get(self, upload_id: str, *, locked: bool) -> Upload:
        statement = select(uploads).where(uploads.c.id == upload_id)
        if locked:
            # SQLite has one writer at a time anyway
            statement = statement.with_for_update()
        row = self._connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise MissingResource(upload_id=upload_id)
        return _upload(row)

    def receive(self, upload_id: str, start: int, end: int, *, now: datetime) -> Upload:
        upload = self._get(upload_id, locked=True).with_span(start, end, now=now)
        statement = update(uploads).where(uploads.c.id == upload_id)
        self._connection.execute(statement.values(_columns(upload)))
        return upload

    def list(self) -> Sequence[Upload]:
        statement = select(uploads).order_by(uploads.c.created, uploads.c.id)
        return [_upload(row) for row in self._connection.execute(statement).mappings()]

    def count(self) -> int:
        return int(self._connection.execute(select(func.count()).select_from(uploads)).scalar_one())

    def idle(self, *, before: datetime) -> Sequence[str]:
        statement = select(uploads.c.id).where(uploads.c.touched < before).order_by(uploads.c.id)
        return self._connection.execute(statement).scalars().all()

    def remove(self, upload_id: str) -> None:
        removed = self._connection.execute(delete(uploads).where(uploads.c.id == upload_id))
        if not removed.rowcount:
            raise MissingResource(upload_id=upload_id)


def _columns(upload: Upload) -> dict[str, Any]:
    """Return what changes of an upload, and when it began."""
    return {"created": upload.created, "touched": upload.touched, "received": upload.received}


def _upload(row: RowMapping) -> Upload:
    """Return what a row says."""
    return Upload(
        id=row["id"],
        created=row["created"],
        touched=row["touched"],
        received=tuple((start, end) for start, end in row["received"]),
    )
