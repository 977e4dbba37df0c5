"""Uploads: begun, filled by requests in any order, imported by a task, deleted."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from pulpit.domain.tasks import Task, action_tag
from pulpit.domain.uploads import IMPORT_TASK, Upload
from pulpit.errors import (
    BodyTooLarge,
    InvalidValue,
    MissingResource,
    StorageFull,
    TooManyUploads,
)
from pulpit.ports import Clock, ContentTypes, FileStore, Storage
from pulpit.services.documents import as_object, optional, refuse_unknown, required
from pulpit.services.importers import importer_of
from pulpit.services.importing import IMPORT, checked
from pulpit.services.tasks import Tasks, repository_task

__all__ = ["Reception", "UploadLimits", "UploadRetention", "Uploads"]

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OFFSET = re.compile(r"[0-9]{1,18}")
#: Pieces of an upload that don't touch each other; whoever sends more is not about to finish.
_MOST_SPANS = 2_000
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: A younger file without a row may be one whose row is about to be committed.
_STRAY_AGE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """What there may be of uploads."""

    #: Bytes of one upload, and of one request.
    size: int
    chunk: int
    #: Uploads at a time.
    number: int
    #: Bytes that a request must leave free on the disk; 0: none.
    disk_floor: int


class Uploads:
    """What users do with uploads.

    Args:
        storage: the database.
        files: where the bytes go.
        clock: the present time.
        tasks: where imports are handed in.
        types: what can be imported.
        limits: of size and number.
    """

    def __init__(
        self,
        storage: Storage,
        files: FileStore,
        *,
        clock: Clock,
        tasks: Tasks,
        types: ContentTypes,
        limits: UploadLimits,
    ) -> None:
        self._storage = storage
        self._files = files
        self._clock = clock
        self._tasks = tasks
        self._types = types
        self._limits = limits

    def create(self) -> Upload:
        """Begin an upload.

        Raises:
            TooManyUploads: there are as many as there may be.
            StorageFull: the disk is full.
        """
        now = self._clock()
        upload = Upload(id=str(uuid4()), created=now, touched=now)
        try:
            # before the row: a file that none names goes by itself
            self._files.begin_upload(upload.id)
        except OSError as error:
            raise _full(error) from error
        try:
            self._keep(upload)
        except BaseException:
            self._files.remove_upload(upload.id)
            raise
        return upload

    def _keep(self, upload: Upload) -> None:
        """Add the row of a new upload, or raise TooManyUploads."""
        with self._storage.write_beside() as transaction:
            if transaction.uploads.count() >= self._limits.number:
                raise TooManyUploads(self._limits.number)
            transaction.uploads.add(upload)

    def list(self) -> Sequence[Upload]:
        """Return all, in order of creation."""
        with self._storage.read() as transaction:
            return transaction.uploads.list()

    def get(self, upload_id: str) -> Upload:
        """Return the upload, or raise MissingResource."""
        _check_id(upload_id)
        with self._storage.read() as transaction:
            return transaction.uploads.get(upload_id)

    def receive(self, upload_id: str, offset: str) -> Reception:
        """Prepare to take bytes of an upload; whoever asks must close what is returned.

        Args:
            upload_id: which.
            offset: decimal digits: where in the upload the first byte belongs.

        Raises:
            MissingResource: there is no such upload.
            InvalidValue: the offset is none, or behind the largest size.
        """
        most = self._limits.size
        if not _OFFSET.fullmatch(offset) or int(offset) > most:
            raise InvalidValue("offset", why=f"must be a whole number from 0 to {most}")
        if len(self.get(upload_id).received) > _MOST_SPANS:
            raise InvalidValue("offset", why="send what is missing between the others first")
        return Reception(
            self._storage,
            self._files,
            clock=self._clock,
            upload_id=upload_id,
            offset=int(offset),
            room=min(self._limits.chunk, most - int(offset)),
            disk_floor=self._limits.disk_floor,
        )

    def delete(self, upload_id: str) -> None:
        """Delete the upload with its bytes; what was imported of it stays.

        Raises:
            MissingResource: there is no such upload.
        """
        _check_id(upload_id)
        with self._storage.write_beside() as transaction:
            transaction.uploads.remove(upload_id)
        self._files.remove_upload(upload_id)

    def import_upload(self, repo_id: str, document: Any) -> Task:
        """Hand in the task that makes units of an upload.

        Args:
            repo_id: the repository that they go to.
            document: the JSON of ``actions/import_upload/``.

        Raises:
            MissingResource: there is no such repository, importer or upload.
            InvalidValue: the importer takes no units of that type, or bytes are missing.
        """
        sent = as_object(document)
        refuse_unknown(
            sent, ("upload_id", "unit_type_id", "unit_key", "unit_metadata", "override_config")
        )
        upload_id = required(sent, "upload_id", str)
        type_id = required(sent, "unit_type_id", str)
        override = optional(sent, "override_config", dict) or {}
        arguments = {
            "upload_id": upload_id,
            "unit_type_id": type_id,
            "unit_key": optional(sent, "unit_key", dict) or {},
            "unit_metadata": optional(sent, "unit_metadata", dict) or {},
            "override_config": override,
        }
        with self._storage.read() as transaction:
            importer = importer_of(transaction, repo_id)
        importer_type = self._types.importers[importer.importer_type_id]
        if type_id not in importer_type.content_types:
            known = ", ".join(importer_type.content_types)
            raise InvalidValue("unit_type_id", why=f"{importer_type.id} takes {known}")
        importer_type.normalize({**importer.config, **override})
        checked(self.get(upload_id))
        self._touch(upload_id)
        task = repository_task(
            repo_id,
            now=self._clock(),
            task_type=IMPORT_TASK,
            operation=IMPORT,
            tags=[action_tag("import_upload")],
            arguments=arguments,
        )
        return self._tasks.submit(task, repo_id=repo_id)

    def _touch(self, upload_id: str) -> None:
        """Keep that something happens to the upload."""
        with self._storage.write_beside() as transaction:
            transaction.uploads.receive(upload_id, 0, 0, now=self._clock())


class Reception:
    """Takes the bytes of one request into an upload; used by one thread at a time.

    Bytes count only once ``finish`` has returned: of a request that breaks off nothing is kept,
    and the same bytes may be sent again.
    """

    def __init__(
        self,
        storage: Storage,
        files: FileStore,
        *,
        clock: Clock,
        upload_id: str,
        offset: int,
        room: int,
        disk_floor: int,
    ) -> None:
        """Prepare; nothing is opened yet."""
        self._storage = storage
        self._path = files.upload(upload_id)
        self._clock = clock
        self._upload_id = upload_id
        self._start = self._end = offset
        self._disk_floor = disk_floor
        self._descriptor: int | None = None
        #: Bytes that may come.
        self.room = room

    def write(self, piece: bytes) -> None:
        """Write the next bytes.

        Raises:
            BodyTooLarge: they are more than there may be.
            StorageFull: there is no room for them.
            MissingResource: the upload was deleted meanwhile.
        """
        if self._end + len(piece) > self._start + self.room:
            raise BodyTooLarge
        try:
            self._refuse_full_disk(len(piece))
            descriptor, left = self._opened(), memoryview(piece)
            while left:
                written = os.pwrite(descriptor, left, self._end)
                self._end += written
                left = left[written:]
        except OSError as error:
            raise _full(error) from error

    def finish(self) -> Upload:
        """Make the bytes durable, and keep that they came.

        Raises:
            StorageFull: there is no room for them.
            MissingResource: the upload was deleted meanwhile.
        """
        try:
            os.fsync(self._opened())
        except OSError as error:
            raise _full(error) from error
        with self._storage.write_beside() as transaction:
            return transaction.uploads.receive(
                self._upload_id, self._start, self._end, now=self._clock()
            )

    def close(self) -> None:
        """Close the file; what was not finished counts for nothing."""
        if self._descriptor is not None:
            # what it may still say is about bytes that nobody counts on
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        """Return the descriptor of the file."""
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            except FileNotFoundError as error:
                raise MissingResource(upload_id=self._upload_id) from error
        return self._descriptor

    def _refuse_full_disk(self, size: int) -> None:
        """Leave room for the database, and for what else the server must write."""
        if self._disk_floor and shutil.disk_usage(self._path.parent).free - size < self._disk_floor:
            raise StorageFull


class UploadRetention:
    """Removes uploads that nobody cares for any longer."""

    def __init__(
        self, storage: Storage, files: FileStore, *, clock: Clock, idle_hours: float
    ) -> None:
        """Remove those that were idle for so long."""
        self._storage = storage
        self._files = files
        self._clock = clock
        self._idle = timedelta(hours=idle_hours)

    def remove_idle(self) -> int:
        """Delete idle uploads, and files that no upload names; return how many."""
        now = self._clock()
        # files first: each is there before its row
        strays = set(self._files.uploads(before=now - _STRAY_AGE))
        with self._storage.write_beside() as transaction:
            idle = transaction.uploads.idle(before=now - self._idle)
            for upload_id in idle:
                transaction.uploads.remove(upload_id)
                # whoever began it was granted it
                transaction.permissions.remove_below(f"/v2/content/uploads/{upload_id}/")
            strays.difference_update(upload.id for upload in transaction.uploads.list())
        for upload_id in strays.union(idle):
            self._files.remove_upload(upload_id)
        return len(strays.union(idle))


def _check_id(upload_id: str) -> None:
    """Raise MissingResource for what can't be the id of an upload."""
    if not _ID.fullmatch(upload_id):
        raise MissingResource(upload_id=upload_id)


def _full(error: OSError) -> Exception:
    """Return the error that says that the disk is full, if that is what this one is about."""
    return StorageFull() if error.errno in _FULL else error
