"""The task that makes units of an upload."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pulpit.domain.uploads import Upload, Uploaded, UploadedFile
from pulpit.errors import InvalidValue, MissingResource, StorageFull
from pulpit.ports import ContentTypes, TaskContext
from pulpit.services.importers import importer_of

__all__ = ["IMPORT", "checked", "import_body"]

IMPORT = "upload.import"
_PIECE = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def checked(upload: Upload) -> Upload:
    """Return the upload if all of its bytes have come.

    Raises:
        InvalidValue: some are missing.
    """
    if gap := upload.gap:
        why = f"its bytes from {gap[0]} to {gap[1] - 1} have not come: send them, then import it"
        raise InvalidValue("upload_id", why=why)
    return upload


def import_body(context: TaskContext, types: ContentTypes) -> tuple[Any, Mapping[str, Any]]:
    """Let the importer make units of the upload, which stays until it is deleted.

    Returns the result that Pulp 2 had; ``details`` names the unit, and of several all.
    """
    arguments = context.task.arguments
    repo_id = arguments["repo_id"]
    with context.storage.read() as transaction:
        repository = transaction.repositories.get(repo_id)
        importer = importer_of(transaction, repo_id)
        upload = checked(transaction.uploads.get(arguments["upload_id"]))
    with _copied(context, upload) as file:
        units = types.importers[importer.importer_type_id].upload(
            context,
            repository=repository,
            importer=importer,
            uploaded=Uploaded(
                type_id=arguments["unit_type_id"],
                key=arguments["unit_key"],
                metadata=arguments["unit_metadata"],
                file=file,
            ),
            override=arguments["override_config"],
        )
    details = {"unit": units[0]} if len(units) == 1 else {"units": [*units]}
    return {"success_flag": True, "summary": "", "details": details}, {}


@contextmanager
def _copied(context: TaskContext, upload: Upload) -> Iterator[UploadedFile | None]:
    """Yield a copy of the upload's bytes, since the client may write on; None if there are none."""
    if not upload.size:
        yield None
        return
    digest = hashlib.sha256()
    path, left = context.files.temporary(), upload.size
    try:
        try:
            with context.files.upload(upload.id).open("rb") as source, path.open("wb") as copy:
                while left and (piece := source.read(min(_PIECE, left))):
                    digest.update(piece)
                    copy.write(piece)
                    left -= len(piece)
        except FileNotFoundError as error:
            raise MissingResource(upload_id=upload.id) from error
        except OSError as error:
            raise (StorageFull() if error.errno in _FULL else error) from error
        if left:
            raise InvalidValue("upload_id", why=f"its last {left} bytes are lost: upload it anew")
        yield UploadedFile(path=path, digest=digest.hexdigest(), size=upload.size)
    finally:
        path.unlink(missing_ok=True)
