"""The yum importer."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from pulpit.content.rpm.plan import normalized, plan_of
from pulpit.content.rpm.sync import Sync
from pulpit.domain.repositories import Importer, Repository
from pulpit.domain.units import UNIT_KEYS
from pulpit.errors import PulpitError
from pulpit.ports import TaskContext

__all__ = ["YumImporter"]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class YumImporter:
    """Brings in yum repositories; implements ``pulpit.ports.ImporterType``."""

    id = "yum_importer"
    display_name = "Yum Importer"
    content_types = tuple(UNIT_KEYS)

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
        plan = plan_of(importer.config, override)
        sync = Sync(context, repository=repository, importer=importer, plan=plan)
        try:
            return sync.run()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise PulpitError(f"The data folder can't be written: {error.strerror}") from error
