"""The yum distributor: publishes a repository as yum and dnf read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

from pulpit.content.rpm.publish_config import PublishConfig
from pulpit.content.rpm.steps import PublishSteps
from pulpit.domain.clock import new_oid, render_time
from pulpit.domain.published import refuse_rivals
from pulpit.domain.repositories import Distributor, Publication, Repository
from pulpit.domain.units import UNIT_KEYS
from pulpit.errors import PulpitError
from pulpit.ports import TaskContext

__all__ = ["YumDistributor"]

_SKIPPED = "Skipped: Repository content has not changed since last publish."


class YumDistributor:
    """Implements ``pulpit.ports.DistributorType``."""

    id = "yum_distributor"
    display_name = "Yum Distributor"
    content_types = tuple(UNIT_KEYS)

    def validate(self, config: Mapping[str, Any]) -> None:
        PublishConfig.read(config)

    def publish(
        self,
        context: TaskContext,
        *,
        repository: Repository,
        distributor: Distributor,
        override: Mapping[str, Any],
    ) -> tuple[Mapping[str, Any], int | None]:
        # here, since the server only checks configurations; the processes of tasks publish
        from pulpit.content.rpm.publish import Publishing  # noqa: PLC0415

        config = PublishConfig.read({**distributor.config, **override})
        started = context.clock()
        # one snapshot for all that is read, however long the publish takes
        with context.storage.read() as transaction:
            current = transaction.repositories.get(repository.id)
            fingerprint = config.fingerprint(current.content_revision)
            refuse_rivals(
                config.relative_url,
                (distributor.repo_id, distributor.id),
                transaction.publications.conflicting(config.relative_url),
            )
            live = transaction.publications.live(repository.id, distributor.id)
            if live and live.fingerprint == fingerprint and not config.force_full:
                ended = context.clock()
                return _results(distributor, started, ended, _SKIPPED, _SKIPPED), None
            publication = _new_publication(
                context, distributor, config=config, fingerprint=fingerprint, now=started
            )
            steps = PublishSteps(
                distributor.id,
                protocols=len(config.protocols),
                progress=lambda report, boundary: context.progress(report, boundary=boundary),
            )
            with _abandoned_on_failure(context, publication):
                Publishing(
                    context=context,
                    repository=current,
                    publication=publication,
                    content=transaction.content,
                    steps=steps,
                    config=config,
                ).write()
        ended = context.clock()
        return _results(
            distributor, started, ended, steps.summary(), steps.documents
        ), publication.id


def _new_publication(
    context: TaskContext,
    distributor: Distributor,
    *,
    config: PublishConfig,
    fingerprint: str,
    now: datetime,
) -> Publication:
    """Keep a publication before its folder is there, so that no folder is without a row."""
    publication = Publication(
        repo_id=distributor.repo_id,
        distributor_id=distributor.id,
        relative_url=config.relative_url,
        folder=str(uuid4()),
        fingerprint=fingerprint,
        created=now,
    )
    with context.write() as transaction:
        return transaction.publications.add(publication)


@contextmanager
def _abandoned_on_failure(context: TaskContext, publication: Publication) -> Iterator[None]:
    """Remove a publication that comes to nothing; what is left goes with the next cleaning."""
    try:
        yield
    except BaseException:
        with suppress(PulpitError), context.write() as transaction:
            transaction.publications.remove([publication.id])
        context.files.remove_publication(publication.folder)
        raise


def _results(
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
