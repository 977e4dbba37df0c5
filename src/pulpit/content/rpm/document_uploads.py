"""Errata, groups, modules and metadata files that clients upload."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from pulpit.content.rpm.collection import EXTRA, is_extra
from pulpit.content.rpm.comps import parse_comps
from pulpit.content.rpm.documents import Document
from pulpit.content.rpm.drafts import document_of
from pulpit.content.rpm.errata import parse_updateinfo
from pulpit.content.rpm.modules import parse_modules
from pulpit.content.rpm.shared_errata import shared
from pulpit.content.rpm.streams import read_document, read_stream
from pulpit.content.stored_files import name_files
from pulpit.domain.repositories import Repository
from pulpit.domain.units import Unit, unit_key_digest
from pulpit.domain.uploads import Uploaded, UploadedFile
from pulpit.errors import ChecksumMismatch, ContentError, InvalidValue
from pulpit.ports import TaskContext, Transaction

__all__ = ["import_documents", "import_metadata_file"]

_URL = "the uploaded file"
#: A document that is parsed as a whole must not be larger than this.
_MAX_DOCUMENT = 256 << 20
_MODULES = ("modulemd", "modulemd_defaults")
_DATA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,100}")


def import_documents(
    context: TaskContext, *, repository: Repository, uploaded: Uploaded, associated: bool
) -> Sequence[Mapping[str, Any]]:
    """Bring documents into the repository; return ``{"type_id", "unit_key"}`` of each.

    They are those of an uploaded file (comps.xml, updateinfo.xml, modules.yaml), or the one that
    key and metadata tell. Units that are there get the new content, wherever they are.

    Args:
        context: of the task.
        repository: where they go.
        uploaded: what was sent.
        associated: whether they go there at all, or are but known to the server.

    Raises:
        Unparsable: the file is not what it must be.
        InvalidValue: a field can't be used, or the file holds no unit.
    """
    if uploaded.file is None:
        found: Iterable[Document] = [_sent(uploaded, repository.id)]
    else:
        found = _documents(context, uploaded.type_id, uploaded.file, repository.id)
    # of equal keys the last one, as if they came one after another
    documents = {(one.type_id, one.digest): one for one in found}
    if not documents:
        raise InvalidValue("upload_id", why=f"the file holds no {uploaded.type_id}")
    own = uploaded.user_metadata
    units = [replace(one.unit(), user_metadata=own) for one in documents.values()]
    with context.write() as transaction:
        _store(transaction, repository.id, units, associated=associated, now=context.clock())
    return [{"type_id": unit.type_id, "unit_key": dict(unit.key)} for unit in units]


def import_metadata_file(
    context: TaskContext, *, repository: Repository, uploaded: Uploaded, file: UploadedFile
) -> Mapping[str, Any]:
    """Bring a metadata file into the repository, which publishes it as it is.

    Raises:
        InvalidValue: its type is none, or one that publishing makes.
        ChecksumMismatch: it is another file than the client told.
    """
    unit = _metadata_file(repository.id, uploaded, file)
    context.files.keep(file.path, file.digest)
    now = context.clock()
    with context.write() as transaction:
        if not name_files(transaction, context.files, {file.digest: file.size}):
            raise ContentError("The file was removed as soon as it was kept: import it again")
        content = transaction.content
        digest = unit_key_digest(unit.type_id, unit.key)
        known = content.known(unit.type_id, [digest])
        before = content.unit(known[digest]).artifact if known else file.digest
        _store(transaction, repository.id, [unit], associated=True, now=now)
        if before != file.digest:
            content.set_artifact(known[digest], file.digest, file.size)
            content.touch(repository.id, now=now)
    return {"type_id": unit.type_id, "unit_key": dict(unit.key)}


def _sent(uploaded: Uploaded, repo_id: str) -> Document:
    """Return the document that key and metadata tell."""
    if uploaded.type_id in _MODULES:
        raise InvalidValue("upload_id", why="no bytes of it have come: send the YAML document")
    values = {**uploaded.metadata, **uploaded.key}
    if values.get("repo_id") not in (None, repo_id) and uploaded.type_id != "erratum":
        raise InvalidValue("repo_id", why=f"must be {repo_id}, where it is uploaded to")
    return document_of(uploaded.type_id, values, repo_id=repo_id)


def _documents(
    context: TaskContext, type_id: str, file: UploadedFile, repo_id: str
) -> Iterable[Document]:
    """Yield what a file holds, which may be compressed."""
    limit = context.settings.feeds.max_metadata
    if type_id in _MODULES:
        document = read_document(file.path, url=_URL, limit=min(limit, _MAX_DOCUMENT))
        return parse_modules(document, url=_URL, repo_id=repo_id)
    pieces = read_stream(file.path, url=_URL, limit=limit)
    if type_id == "erratum":
        return parse_updateinfo(pieces, url=_URL)
    return parse_comps(pieces, url=_URL, repo_id=repo_id)


def _store(
    transaction: Transaction, repo_id: str, units: Sequence[Unit], *, associated: bool, now: Any
) -> None:
    """Keep units, and have them in the repository."""
    content = transaction.content
    before = transaction.repositories.get(repo_id).content_revision
    units = shared(content, repo_id, units)
    ids = content.replace(units)
    for unit in units:
        if unit.user_metadata:
            unit_id = ids[unit_key_digest(unit.type_id, unit.key)]
            content.set_user_metadata(unit_id, unit.user_metadata)
    is_new = associated and content.associate(repo_id, ids.values(), now=now)
    if not is_new and transaction.repositories.get(repo_id).content_revision != before:
        content.touch(repo_id, now=now)


def _metadata_file(repo_id: str, uploaded: Uploaded, file: UploadedFile) -> Unit:
    """Return the unit of a metadata file."""
    values = {**uploaded.metadata, **uploaded.key}
    kind = values.get("data_type")
    if not isinstance(kind, str) or not _DATA_TYPE.fullmatch(kind) or not is_extra(kind):
        why = "must name a type of metadata that publishing does not make, such as productid"
        raise InvalidValue("data_type", why=why)
    if values.get("repo_id") not in (None, repo_id):
        raise InvalidValue("repo_id", why=f"must be {repo_id}, where it is uploaded to")
    told = str(values.get("checksum") or "").lower()
    if told and values.get("checksum_type") in (None, "sha256") and told != file.digest:
        raise ChecksumMismatch(f"The file has the SHA-256 {file.digest}, not {told[:128]}")
    filename = values.get("filename")
    is_safe = isinstance(filename, str) and _FILENAME.fullmatch(filename)
    return Unit(
        uid=str(uuid4()),
        type_id=EXTRA,
        key={"data_type": kind, "repo_id": repo_id},
        metadata={
            "data_type": kind,
            "filename": filename if is_safe else kind,
            "checksum_type": "sha256",
            "checksum": file.digest,
            "size": file.size,
            "open_checksum_type": None,
            "open_checksum": None,
        },
        artifact=file.digest,
        user_metadata=uploaded.user_metadata,
    )
