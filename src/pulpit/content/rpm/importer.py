"""The yum importer."""

from __future__ import annotations

import errno
import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pulpit.content.rpm.plan import normalized, plan_of
from pulpit.domain.repositories import Importer, Repository
from pulpit.domain.units import RPM_TYPES
from pulpit.domain.uploads import Uploaded
from pulpit.errors import PulpitError, StorageFull
from pulpit.ports import TaskContext

__all__ = ["YumImporter"]

#: Objects that are made before the collector looks for cycles; a sync makes hundreds of thousands
#: that stay and hardly any cycles, and looking at them again and again took a fifth of its time.
_COLLECT_AFTER = 200_000
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class YumImporter:
    """Brings in yum repositories; implements ``pulpit.ports.ImporterType``."""

    id = "yum_importer"
    display_name = "Yum Importer"
    content_types = RPM_TYPES

    def normalize(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return normalized(config)

    def sync(
        self,
        context: TaskContext,
        *,
        repository: Repository,
        importer: Importer,
        override: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        # here, since the server only checks configurations; the processes of tasks sync
        from pulpit.content.rpm.sync import Sync  # noqa: PLC0415

        plan = plan_of(importer.config, override)
        sync = Sync(context, repository=repository, importer=importer, plan=plan)
        try:
            with _rare_collections():
                return sync.run()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise PulpitError(f"The data folder can't be written: {error.strerror}") from error

    def upload(
        self,
        context: TaskContext,
        *,
        repository: Repository,
        importer: Importer,
        uploaded: Uploaded,
        override: Mapping[str, Any],
    ) -> Sequence[Mapping[str, Any]]:
        # as above
        from pulpit.content.rpm.uploads import import_uploaded  # noqa: PLC0415

        config = normalized({**importer.config, **override})
        try:
            return import_uploaded(context, repository=repository, uploaded=uploaded, config=config)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise StorageFull from error


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let the garbage collector run rarely."""
    before = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
