"""What publishes of all types have in common: the publication's row, and the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

from pulpit.domain.clock import new_oid, render_time
from pulpit.domain.published import Root
from pulpit.domain.repositories import Distributor, Publication
from pulpit.errors import PulpitError
from pulpit.ports import TaskContext

__all__ = ["SKIPPED", "new_publication", "publish_results"]

#: Summary and details of a publish of what is published already.
SKIPPED = "Skipped: Repository content has not changed since last publish."


@contextmanager
def new_publication(
    context: TaskContext,
    distributor: Distributor,
    *,
    relative_url: str,
    fingerprint: str,
    now: datetime,
    root: Root = Root.REPOS,
) -> Iterator[Publication]:
    """Keep a publication before its folder is there, so that no folder is without a row.

    If the block fails it is removed again; what is left of it then goes with the next cleaning.
    """
    publication = Publication(
        repo_id=distributor.repo_id,
        distributor_id=distributor.id,
        root=root,
        relative_url=relative_url,
        folder=str(uuid4()),
        fingerprint=fingerprint,
        created=now,
    )
    with context.write() as transaction:
        publication = transaction.publications.add(publication)
    try:
        yield publication
    except BaseException:
        with suppress(PulpitError), context.write() as transaction:
            transaction.publications.remove([publication.id])
        context.files.remove_publication(publication.folder)
        raise


def publish_results(
    distributor: Distributor, started: datetime, completed: datetime, summary: Any, details: Any
) -> dict[str, Any]:
    """Return the ``repo_publish_results`` document."""
    return {
        "_ns": "repo_publish_results",
        "id": new_oid(completed),
        "repo_id": distributor.repo_id,
        "distributor_id": distributor.id,
        "distributor_type_id": distributor.distributor_type_id,
        "started": render_time(started),
        "completed": render_time(completed),
        "result": "success",
        "summary": summary,
        "details": details,
        "error_message": None,
        "exception": None,
        "traceback": None,
    }
