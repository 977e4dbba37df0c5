"""The yum importer."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pulpit.content.rpm.plan import normalized, plan_of
from pulpit.content.stored_files import telling_full_disk
from pulpit.domain.copies import CopyOrder
from pulpit.domain.repositories import Importer, Repository
from pulpit.domain.units import RPM_TYPES
from pulpit.domain.uploads import Uploaded
from pulpit.ports import TaskContext, Transaction

__all__ = ["YumImporter"]

#: Objects that are made before the collector looks for cycles; a sync makes hundreds of thousands
#: that stay and hardly any cycles, and looking at them again and again took a fifth of its time.
_COLLECT_AFTER = 200_000


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
        with telling_full_disk(), _rare_collections():
            return sync.run()

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
        with telling_full_disk():
            return import_uploaded(context, repository=repository, uploaded=uploaded, config=config)

    def copy(
        self, context: TaskContext, *, importer: Importer, order: CopyOrder
    ) -> Mapping[str, Any]:
        # as above
        from pulpit.content.rpm.copy import Copy  # noqa: PLC0415

        with _rare_collections():
            return Copy(context, importer=importer, order=order).run()

    def companions(
        self, transaction: Transaction, repo_id: str, unit_ids: Collection[int]
    ) -> Collection[int]:
        # as above
        from pulpit.content.rpm.needs import left_with  # noqa: PLC0415

        return left_with(transaction.content, repo_id, {*unit_ids})


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let the garbage collector run rarely."""
    before = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
