"""The yum distributor: publishes a repository as yum and dnf read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pulpit.content.publishing import SKIPPED, new_publication, publish_results
from pulpit.content.rpm.fast_forward import Former, packages_digest
from pulpit.content.rpm.layout import LISTED
from pulpit.content.rpm.publish_config import PublishConfig
from pulpit.content.rpm.steps import PublishSteps
from pulpit.domain.published import refuse_rivals
from pulpit.domain.repositories import Distributor, Publication, Repository
from pulpit.domain.units import RPM_TYPES, Unit
from pulpit.ports import ContentStore, TaskContext

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
            checksum_type = config.checksum_type_for(current.scratchpad)
            fingerprint = config.fingerprint(current.content_revision, checksum_type)
            refuse_rivals(
                config.relative_url,
                (distributor.repo_id, distributor.id),
                transaction.publications.conflicting(config.relative_url),
            )
            live = transaction.publications.live(repository.id, distributor.id)
            if live and live.fingerprint == fingerprint and not config.force_full:
                ended = context.clock()
                return publish_results(distributor, started, ended, SKIPPED, SKIPPED), None
            trees = _trees(transaction.content, repository.id, config)
            digest = _packages_digest(
                transaction.content, repository.id, config, checksum_type=checksum_type, trees=trees
            )
            forward = config.fast_forward and not config.force_full
            former = _former(context, live, digest=digest) if forward else None
            steps = PublishSteps(
                distributor.id,
                protocols=len(config.protocols),
                fast_forward=former is not None,
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
                    checksum_type=checksum_type,
                    trees=trees,
                    packages_digest=digest,
                    former=former,
                ).write()
        ended = context.clock()
        return publish_results(
            distributor, started, ended, steps.summary(), steps.documents
        ), publication.id


def _trees(content: ContentStore, repo_id: str, config: PublishConfig) -> Sequence[Unit]:
    """Return the trees that are to be published."""
    if "distribution" in config.skipped:
        return ()
    return [*content.units(repo_id, ["distribution"])]


def _packages_digest(
    content: ContentStore,
    repo_id: str,
    config: PublishConfig,
    *,
    checksum_type: str,
    trees: Sequence[Unit],
) -> str:
    """Return what is equal where the files that list packages would be."""
    listed = [type_id for type_id in LISTED if type_id not in config.skipped]
    folders = [folder for tree in trees if (folder := tree.metadata.get("packagedir"))]
    shape = [*config.package_files(checksum_type), folders]
    return packages_digest(shape, content.revisions(repo_id, listed))


def _former(context: TaskContext, live: Publication | None, *, digest: str) -> Former | None:
    """Return the live publication if its files that list packages can be taken over."""
    folder = context.files.publication_folder(live.folder) if live else Path()
    return Former.find(live, digest=digest, folder=folder)
