"""The yum distributor: publishes a repository as yum and dnf read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulpit.content.publishing import SKIPPED, new_publication, publish_results
from pulpit.content.rpm.publish_config import PublishConfig
from pulpit.content.rpm.steps import PublishSteps
from pulpit.domain.published import refuse_rivals
from pulpit.domain.repositories import Distributor, Repository
from pulpit.domain.units import RPM_TYPES
from pulpit.ports import TaskContext

__all__ = ["YumDistributor"]


class YumDistributor:
    """Implements ``pulpit.ports.DistributorType``."""

    id = "yum_distributor"
    display_name = "Yum Distributor"
    content_types = RPM_TYPES

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
                return publish_results(distributor, started, ended, SKIPPED, SKIPPED), None
            steps = PublishSteps(
                distributor.id,
                protocols=len(config.protocols),
                progress=lambda report, boundary: context.progress(report, boundary=boundary),
            )
            with new_publication(
                context,
                distributor,
                relative_url=config.relative_url,
                fingerprint=fingerprint,
                now=started,
            ) as publication:
                Publishing(
                    context=context,
                    repository=current,
                    publication=publication,
                    content=transaction.content,
                    steps=steps,
                    config=config,
                ).write()
        ended = context.clock()
        return publish_results(
            distributor, started, ended, steps.summary(), steps.documents
        ), publication.id
