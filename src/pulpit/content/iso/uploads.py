"""Isos that clients upload."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pulpit.content.iso.manifest import Entry, checked_name, unit_of
from pulpit.content.stored_files import name_files
from pulpit.domain.associations import parse_unit_criteria
from pulpit.domain.repositories import Repository
from pulpit.domain.units import Unit, unit_key_digest
from pulpit.domain.uploads import Uploaded, UploadedFile
from pulpit.errors import ChecksumMismatch, ContentError, InvalidValue, MissingValue
from pulpit.ports import ContentStore, TaskContext

__all__ = ["import_iso"]

_TYPE = "iso"
_EMPTY = hashlib.sha256(b"").hexdigest()


def import_iso(
    context: TaskContext, *, repository: Repository, uploaded: Uploaded
) -> Mapping[str, Any]:
    """Bring an uploaded file into the repository; return ``{"type_id", "unit_key"}``.

    Raises:
        MissingValue, InvalidValue: the unit key can't be used.
        ChecksumMismatch: it is another file than the client told.
    """
    entry = _entry(uploaded)
    file = uploaded.file or _empty(context, entry)
    if (file.size, file.digest) != (entry.size, entry.checksum):
        raise ChecksumMismatch(
            f"The file has {file.size} bytes and the sha256 {file.digest}, "
            f"not {entry.size} bytes and {entry.checksum}: send it again"
        )
    context.files.keep(file.path, file.digest)
    unit = replace(unit_of(entry, artifact=file.digest), user_metadata=uploaded.user_metadata)
    with context.write() as transaction:
        if not name_files(transaction, context.files, {file.digest: file.size}):
            raise ContentError("The file was removed as soon as it was kept: import it again")
        _store(transaction.content, repository.id, unit, now=context.clock())
    return {"type_id": _TYPE, "unit_key": dict(entry.key)}


def _store(content: ContentStore, repo_id: str, unit: Unit, *, now: datetime) -> None:
    """Keep the unit, and have it in the repository as the newest of its name."""
    digest = unit_key_digest(_TYPE, unit.key)
    is_known = digest in content.known(_TYPE, [digest])
    unit_id = content.add([unit])[digest]
    if is_known and unit.user_metadata:
        content.set_user_metadata(unit_id, unit.user_metadata)
    if content.associate(repo_id, [unit_id], now=now):
        return
    named = parse_unit_criteria(
        {"type_ids": [_TYPE], "filters": {"unit": {"name": unit.key["name"]}}}
    )
    if len(content.search_associations(repo_id, named)) > 1:
        # the newest of a name is published
        content.unassociate(repo_id, [unit_id], now=now)
        content.associate(repo_id, [unit_id], now=now)


def _entry(uploaded: Uploaded) -> Entry:
    """Return what the client says that the file is."""
    if uploaded.type_id != _TYPE:
        raise InvalidValue("unit_type_id", why="a repository of isos takes isos alone")
    key = uploaded.key
    if missing := [name for name in Entry._fields if key.get(name) is None]:
        raise MissingValue(*missing)
    name, checksum, size = (key[name] for name in Entry._fields)
    if not isinstance(name, str) or not isinstance(checksum, str):
        raise InvalidValue("unit_key", why="name and checksum must be strings")
    try:
        checked_name(name)
    except ValueError as error:
        raise InvalidValue("unit_key", why=f"the name {name!r} {error}") from error
    try:
        return Entry(name, checksum.lower(), int(size))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValue("unit_key", why="size must be a whole number") from error


def _empty(context: TaskContext, entry: Entry) -> UploadedFile:
    """Return the file of an upload without a byte, of which no piece was sent."""
    if entry.size:
        raise InvalidValue("upload_id", why="no bytes of it have come: send the file")
    path = context.files.temporary()
    path.touch()
    return UploadedFile(path=path, digest=_EMPTY, size=0)
