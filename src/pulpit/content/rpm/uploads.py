"""What clients upload into a yum repository, by content type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulpit.content.importer_config import is_true
from pulpit.content.rpm.collection import EXTRA
from pulpit.content.rpm.document_uploads import import_documents, import_metadata_file
from pulpit.content.rpm.package_uploads import import_package
from pulpit.content.rpm.reading import COMPS, MODULES
from pulpit.content.rpm.signature_policy import signatures_of
from pulpit.domain.repositories import Repository
from pulpit.domain.units import PACKAGE_TYPES
from pulpit.domain.uploads import Uploaded
from pulpit.errors import InvalidValue
from pulpit.ports import TaskContext

__all__ = ["import_uploaded"]

_FILES = PACKAGE_TYPES | {EXTRA}
_DOCUMENTS = frozenset({"erratum"}) | COMPS | MODULES


def import_uploaded(
    context: TaskContext,
    *,
    repository: Repository,
    uploaded: Uploaded,
    config: Mapping[str, Any],
) -> Sequence[Mapping[str, Any]]:
    """Bring what was uploaded into the repository; return ``{"type_id", "unit_key"}`` of each unit.

    Args:
        context: of the task.
        repository: where it goes.
        uploaded: what it is.
        config: of the importer, checked, with what this upload overrides.

    Raises:
        ContentError: the file is not what it says.
        InvalidValue: key or metadata can't be used, or units of that type can't be uploaded.
    """
    type_id, file = uploaded.type_id, uploaded.file
    if type_id in _DOCUMENTS:
        return import_documents(
            context,
            repository=repository,
            uploaded=uploaded,
            associated=not is_true(config.get("skip_erratum_link"), default=False),
        )
    if type_id not in _FILES:
        raise InvalidValue("unit_type_id", why=f"units of type {type_id} can't be uploaded")
    if file is None:
        raise InvalidValue("upload_id", why="no bytes of it have come: send the file")
    if type_id == EXTRA:
        return [import_metadata_file(context, repository=repository, uploaded=uploaded, file=file)]
    policy = signatures_of(config)
    return [
        import_package(context, repository=repository, uploaded=uploaded, file=file, policy=policy)
    ]
