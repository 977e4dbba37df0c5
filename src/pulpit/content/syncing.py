"""What syncs of all types have in common: the result."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pulpit.domain.clock import new_oid, render_time
from pulpit.domain.repositories import Importer

__all__ = ["sync_results"]


def sync_results(
    importer: Importer,
    started: str | None,
    completed: datetime,
    *,
    counts: tuple[int, int, int],
    summary: Any,
    details: Any,
) -> dict[str, Any]:
    """Return the ``repo_sync_results`` document.

    Args:
        importer: whose sync it was.
        started: when it began, as it is shown.
        completed: when it ended.
        counts: how many units were added, updated and removed.
        summary: of the progress.
        details: of the progress.
    """
    added, updated, removed = counts
    return {
        "_ns": "repo_sync_results",
        "id": new_oid(completed),
        "repo_id": importer.repo_id,
        "importer_id": importer.importer_type_id,
        "importer_type_id": importer.importer_type_id,
        "started": started,
        "completed": render_time(completed),
        "result": "success",
        "added_count": added,
        "updated_count": updated,
        "removed_count": removed,
        "summary": summary,
        "details": details,
        "error_message": None,
        "exception": None,
        "traceback": None,
    }
