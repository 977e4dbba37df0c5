"""Which body does the work of a task, and what else ends with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pulpit.ports import ContentTypes, TaskContext
from pulpit.services import (
    associations,
    distributors,
    downloads,
    importers,
    importing,
    orphans,
    repositories,
)
from pulpit.services.lifecycle import Completion
from pulpit.services.schedules import counted

__all__ = ["BODIES", "COMPLETIONS", "Body"]

#: Does the work in the task's process; returns the result, and the effects for the completion.
Body = Callable[[TaskContext, ContentTypes], tuple[Any, Mapping[str, Any]]]

BODIES: Mapping[str, Body] = {
    importers.SYNC: importers.sync_body,
    importers.SET: importers.set_body,
    importers.UPDATE: importers.update_body,
    importers.REMOVE: importers.remove_body,
    importing.IMPORT: importing.import_body,
    associations.ASSOCIATE: associations.associate_body,
    associations.UNASSOCIATE: associations.unassociate_body,
    distributors.PUBLISH: distributors.publish_body,
    distributors.UPDATE: distributors.update_body,
    distributors.REMOVE: distributors.remove_body,
    downloads.DOWNLOAD: downloads.download_body,
    repositories.DELETE: repositories.delete_body,
    orphans.REMOVE: orphans.remove_body,
}
COMPLETIONS: Mapping[str, Completion] = {
    importers.SYNC: counted(importers.complete_sync),
    distributors.PUBLISH: counted(distributors.complete_publish),
}
