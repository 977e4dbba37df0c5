"""The iso importer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pulpit.content.copying import copy_as_they_are
from pulpit.content.importer_config import normalized
from pulpit.content.iso.plan import plan_of
from pulpit.content.iso.uploads import import_iso
from pulpit.content.stored_files import telling_full_disk
from pulpit.domain.copies import CopyOrder
from pulpit.domain.repositories import Importer, Repository
from pulpit.domain.uploads import Uploaded
from pulpit.ports import TaskContext, Transaction

__all__ = ["IsoImporter"]


class IsoImporter:
    """Brings in files that a manifest lists; implements ``pulpit.ports.ImporterType``."""

    id = "iso_importer"
    display_name = "ISO Importer"
    content_types = ("iso",)

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
        from pulpit.content.iso.sync import IsoSync  # noqa: PLC0415

        plan = plan_of(importer.config, override)
        with telling_full_disk():
            return IsoSync(context, repository=repository, importer=importer, plan=plan).run()

    def upload(
        self,
        context: TaskContext,
        *,
        repository: Repository,
        importer: Importer,  # noqa: ARG002 - of the port; nothing of it matters here
        uploaded: Uploaded,
        override: Mapping[str, Any],  # noqa: ARG002 - as above
    ) -> Sequence[Mapping[str, Any]]:
        with telling_full_disk():
            return [import_iso(context, repository=repository, uploaded=uploaded)]

    def copy(
        self,
        context: TaskContext,
        *,
        importer: Importer,  # noqa: ARG002 - as above
        order: CopyOrder,
    ) -> Mapping[str, Any]:
        return copy_as_they_are(context, order, types=self.content_types)

    def companions(
        self,
        transaction: Transaction,  # noqa: ARG002 - as above
        repo_id: str,  # noqa: ARG002 - as above
        unit_ids: Collection[int],  # noqa: ARG002 - as above
    ) -> Collection[int]:
        return ()
