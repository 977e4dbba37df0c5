"""The iso distributor: publishes files under their names, with a manifest of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulpit.content.iso.manifest import MANIFEST, Entry, rendered
from pulpit.content.iso.newest import newest_by_name
from pulpit.content.iso.publish_config import IsoPublishConfig
from pulpit.content.publishing import SKIPPED, new_publication, publish_results
from pulpit.content.steps import Step, Steps
from pulpit.domain.published import Root, refuse_rivals
from pulpit.domain.repositories import Distributor, Publication, Repository
from pulpit.domain.units import Unit
from pulpit.ports import TaskContext

__all__ = ["IsoDistributor"]

_STEPS = (
    ("isos", "Publishing ISO files"),
    ("manifest", "Writing PULP_MANIFEST"),
    ("publish_directory", "Publishing files to web"),
)
#: Paths that are written in one transaction.
_PATHS = 2_000


class IsoDistributor:
    """Implements ``pulpit.ports.DistributorType``."""

    id = "iso_distributor"
    display_name = "ISO Distributor"
    content_types = ("iso",)

    def validate(self, config: Mapping[str, Any]) -> None:
        IsoPublishConfig.read(config)

    def publish(
        self,
        context: TaskContext,
        *,
        repository: Repository,
        distributor: Distributor,
        override: Mapping[str, Any],
    ) -> tuple[Mapping[str, Any], int | None]:
        config = IsoPublishConfig.read({**distributor.config, **override})
        relative_url = config.relative_url or repository.id
        started = context.clock()
        with context.storage.read() as transaction:
            current = transaction.repositories.get(repository.id)
            fingerprint = config.fingerprint(current.content_revision)
            publications = transaction.publications
            refuse_rivals(
                relative_url,
                (distributor.repo_id, distributor.id),
                publications.conflicting(relative_url, Root.ISOS),
            )
            live = publications.live(repository.id, distributor.id)
            if live and live.fingerprint == fingerprint and not config.force_full:
                results = publish_results(distributor, started, context.clock(), SKIPPED, SKIPPED)
                return results, None
            newest = newest_by_name(transaction.content, repository.id)
            units = [newest[name] for name in sorted(newest)]
        steps = Steps(
            distributor.id,
            _STEPS,
            progress=lambda report, boundary: context.progress(report, boundary=boundary),
        )
        with new_publication(
            context,
            distributor,
            root=Root.ISOS,
            relative_url=relative_url,
            fingerprint=fingerprint,
            now=started,
        ) as publication:
            _write(context, publication, units, steps)
        results = publish_results(
            distributor, started, context.clock(), steps.summary(), steps.documents
        )
        return results, publication.id


def _write(
    context: TaskContext, publication: Publication, units: Sequence[Unit], steps: Steps
) -> None:
    """Keep the paths of the files, and write their manifest."""
    with steps.step("isos", len(units)) as step:
        for start in range(0, len(units), _PATHS):
            _keep_paths(context, publication, units[start : start + _PATHS], step)
    folder = context.files.publication_folder(publication.folder)

    def write_manifest() -> None:
        folder.mkdir(parents=True)
        entries = (Entry(*(unit.key[name] for name in Entry._fields)) for unit in units)
        (folder / MANIFEST).write_bytes(rendered(entries))

    def keep() -> None:
        context.files.keep_publication(publication.folder)
        with context.write() as transaction:
            transaction.publications.add_files(publication.id, {}, [MANIFEST])

    steps.act("manifest", write_manifest)
    steps.act("publish_directory", keep)


def _keep_paths(
    context: TaskContext, publication: Publication, units: Sequence[Unit], step: Step
) -> None:
    """Keep where these files are published."""
    paths = {str(unit.key["name"]): unit.id for unit in units}
    with context.write() as transaction:
        transaction.publications.add_files(publication.id, paths, ())
    for _ in units:
        step.advance()
