"""What clients upload into a yum repository, by content type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulpit.content.rpm.package_uploads import import_package
from pulpit.content.rpm.signature_policy import policy_of
from pulpit.domain.repositories import Repository
from pulpit.domain.uploads import Uploaded
from pulpit.errors import InvalidValue
from pulpit.ports import TaskContext

__all__ = ["import_uploaded"]

_PACKAGES = frozenset({"rpm", "srpm"})


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
    if uploaded.type_id in _PACKAGES:
        if uploaded.file is None:
            raise InvalidValue("upload_id", why="no bytes of it have come: send the package")
        policy = policy_of(config)
        return [
            import_package(
                context,
                repository=repository,
                uploaded=uploaded,
                file=uploaded.file,
                policy=policy,
            )
        ]
    raise InvalidValue("unit_type_id", why=f"units of type {uploaded.type_id} can't be uploaded")
