"""The sync of a yum repository: read all, download, then change the repository at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pulpit.content.download import Fetched
from pulpit.content.rpm.collection import (
    EXTRA,
    Changes,
    changes,
    extra_changes,
    extra_file,
)
from pulpit.content.rpm.documents import Document
from pulpit.content.rpm.feed import Feed
from pulpit.content.rpm.intake import Intake
from pulpit.content.rpm.plan import SyncPlan
from pulpit.content.rpm.progress import Stage, SyncProgress
from pulpit.content.rpm.reading import COMPS, MODULES, FeedMetadata
from pulpit.content.rpm.repomd import Record, Repomd
from pulpit.content.rpm.retention import Held, apart, nevra_of, retained, without_duplicates
from pulpit.content.rpm.shared_errata import with_others
from pulpit.content.rpm.tree_sync import TreeSync
from pulpit.content.rpm.trees import Tree
from pulpit.content.stored_files import intact, name_files
from pulpit.content.syncing import sync_results
from pulpit.domain.clock import render_time
from pulpit.domain.repositories import Importer, Repository
from pulpit.domain.units import PACKAGE_TYPES, unit_key_digest
from pulpit.errors import ContentError, Fenced, MissingResource
from pulpit.ports import ContentStore, TaskContext, Transaction

__all__ = ["Counts", "Sync"]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many units a sync added, gave new content, and removed."""

    added: int = 0
    updated: int = 0
    removed: int = 0


class Sync:
    """One sync of one repository."""

    def __init__(
        self,
        context: TaskContext,
        *,
        repository: Repository,
        importer: Importer,
        plan: SyncPlan,
    ) -> None:
        """Prepare; nothing is read or written yet."""
        self._context = context
        self._repository = repository
        self._importer = importer
        self._plan = plan
        self._settings = context.settings.feeds
        self._progress = SyncProgress(context.progress, importer_type_id=importer.importer_type_id)
        self._intake = Intake(context, plan)
        #: Of the feed's metadata files.
        self._checksum_type: str | None = None

    def run(self) -> dict[str, Any]:
        """Sync, and return the ``repo_sync_results`` document.

        Raises:
            ContentError: the feed can't be used; the repository is as it was, and so is the store.
        """
        started = self._context.clock()
        try:
            with Feed(self._plan, settings=self._settings, files=self._context.files) as feed:
                counts = self._sync(feed)
        except Exception:
            with suppress(Fenced):
                self._intake.clean()
            raise
        return self._result(counts, render_time(started))

    def _sync(self, feed: Feed) -> Counts:
        """Go through the stages."""
        progress, skipped = self._progress, self._plan.skipped
        trees = TreeSync(
            self._context, self._plan, feed=feed, intake=self._intake, progress=progress
        )
        with progress.stage(Stage.METADATA):
            repomd = feed.repomd()
            found, tree = None, None
            if not self._is_unchanged(repomd, trees):
                found = FeedMetadata(
                    feed,
                    repomd,
                    repo_id=self._repository.id,
                    skipped=skipped,
                    settings=self._settings,
                )
                tree = trees.read()
                self._intake.read(found.packages())
                self._intake.read_deltas(found.deltas)
        if found is None:
            return self._pass_by()
        with progress.stage(Stage.CONTENT, skipped=skipped >= PACKAGE_TYPES):
            kept = self._kept_packages(found.modules)
            if self._plan.immediate:
                self._intake.download(feed, kept, progress)
                kept = self._signed_packages(kept, found.modules)
        with progress.stage(Stage.DISTRIBUTION, skipped="distribution" in skipped):
            tree = trees.download(tree) if tree else None
            distribution = self._tree_changes(tree)
        with progress.stage(Stage.MODULES, skipped=skipped >= MODULES):
            modules = self._changes(MODULES, found.modules)
        with progress.stage(Stage.ERRATA, skipped="erratum" in skipped):
            errata = self._changes({"erratum"}, found.errata)
        with progress.stage(Stage.COMPS, skipped=skipped >= COMPS):
            comps = self._changes(COMPS, found.comps)
            extras = self._extra_changes(found.extras)
        with progress.stage(Stage.PURGE_DUPLICATES):
            last = {"repomd": repomd.digest, "treeinfo": trees.digest}
            self._checksum_type = repomd.records["primary"].checksum[0]
            documents = [modules, errata, comps, extras, distribution]
            counts = self._commit(last, kept, documents, tree)
            self._intake.clean(kept)
        return counts

    def _pass_by(self) -> Counts:
        """Finish all stages, as the feed has not changed since the last sync."""
        skipped = self._plan.skipped
        for stage, types in (
            (Stage.CONTENT, PACKAGE_TYPES),
            (Stage.DISTRIBUTION, frozenset({"distribution"})),
            (Stage.MODULES, MODULES),
            (Stage.ERRATA, frozenset({"erratum"})),
            (Stage.COMPS, COMPS),
        ):
            with self._progress.stage(stage, skipped=types <= skipped):
                pass
        with self._progress.stage(Stage.PURGE_DUPLICATES):
            return Counts()

    def _is_unchanged(self, repomd: Repomd, trees: TreeSync) -> bool:
        """Tell whether feed, plan and repository are as the last sync left them."""
        last = self._importer.scratchpad
        same = (
            last.get("repomd") == repomd.digest
            and last.get("plan") == self._plan.digest
            and last.get("content_revision") == self._repository.content_revision
        )
        if not same or self._plan.forced or self._plan.validate:
            return False
        # a feed that had no tree is not asked for one each time
        if "distribution" not in self._plan.skipped and last.get("treeinfo") != "":
            found = trees.look()
            if found is None or found.digest != last.get("treeinfo"):
                return False
        with self._context.storage.read() as transaction:
            content, repo_id = transaction.content, self._repository.id
            holders = [*content.units(repo_id, {EXTRA})]
            artifacts = [unit.artifact for unit in holders]
            if self._plan.immediate:
                artifacts += [unit.artifact for unit in content.packages(repo_id)]
                for unit_id in content.members(repo_id, "distribution"):
                    artifacts += [file.artifact for file in content.unit_files(unit_id)]
        path = self._context.files.path
        return all(digest and intact(path(digest), digest, thorough=False) for digest in artifacts)

    def _kept_packages(self, modules: Collection[Document]) -> AbstractSet[int]:
        """Return the ids of the packages that the repository is to have."""
        skipped = self._plan.skipped
        with self._context.storage.read() as transaction:
            held = [
                Held(unit.id, unit.type_id, nevra_of(unit.package))
                for unit in transaction.content.packages(self._repository.id)
                if unit.package
            ]
        if self._plan.remove_missing:
            held = [one for one in held if one.type_id in skipped]
        present, present_deltas = apart(held)
        offered, offered_deltas = apart(self._intake.offered)
        kept = without_duplicates(present, offered)
        if self._plan.retain_old_count is not None:
            modular = {
                nevra for module in modules for nevra in module.metadata.get("artifacts", ())
            }
            kept = retained(kept, old=self._plan.retain_old_count, modular=modular)
            # a delta that makes a package which is not kept is of no use
            nevras = {one.nevra for one in kept.values()}
            offered_deltas = [one for one in offered_deltas if one.nevra in nevras]
            present_deltas = [one for one in present_deltas if one.nevra in nevras]
        deltas = {one.unit_id for one in (*offered_deltas, *present_deltas)}
        return kept.keys() | deltas

    def _signed_packages(
        self, kept: AbstractSet[int], modules: Collection[Document]
    ) -> AbstractSet[int]:
        """Return those that are signed as they must be, and those that they would replace."""
        with self._context.storage.read() as transaction:
            present = transaction.content.members(self._repository.id).keys()
        refused = self._intake.signed.refused(kept - present)
        if not refused:
            return kept
        self._progress.left_out(len(refused))
        self._intake.offered = [one for one in self._intake.offered if one.unit_id not in refused]
        # others that would stay now were not downloaded
        return self._kept_packages(modules) & (kept | present)

    def _changes(self, types: Collection[str], found: Collection[Document]) -> Changes:
        """Compare documents of these types; of those that are skipped nothing changes."""
        types = frozenset(types) - self._plan.skipped
        with self._context.storage.read() as transaction:
            present = transaction.content.units(self._repository.id, types)
            return changes(present, [one for one in found if one.type_id in types])

    def _extra_changes(self, extras: Mapping[str, tuple[Record, Fetched]]) -> Changes:
        """Compare the metadata files that are kept as they are, and keep the new ones."""
        if EXTRA in self._plan.skipped:
            return Changes()
        repo_id = self._repository.id
        found = {
            kind: (extra_file(record, fetched, repo_id=repo_id), fetched.size)
            for kind, (record, fetched) in extras.items()
        }
        with self._context.storage.read() as transaction:
            result = extra_changes(transaction.content.units(repo_id, {EXTRA}), found)
        for _, fetched in extras.values():
            if fetched.digest in result.files:
                self._intake.keep_file(fetched)
        return result

    def _tree_changes(self, tree: Tree | None) -> Changes:
        """Compare the tree with the one that the repository has: there is one at the most."""
        found = self._changes({"distribution"}, [tree.document] if tree else [])
        sizes = {
            file.artifact: file.size
            for file in (tree.files if tree else ())
            if file.artifact and file.size is not None
        }
        return replace(found, files=sizes, replaced=found.missing if tree else frozenset())

    def _commit(
        self,
        last: Mapping[str, str],
        kept: Collection[int],
        documents: list[Changes],
        tree: Tree | None,
    ) -> Counts:
        """Change the repository, in one transaction; keep *last* for the next sync."""
        now, repo_id = self._context.clock(), self._repository.id
        with self._context.write() as transaction:
            content = transaction.content
            present = content.members(repo_id)
            packages = {unit.id for unit in content.packages(repo_id)}
            ids: set[int] = set()
            # of all before the first unit: two syncs that want the same take turns, in this order
            files = {digest: size for one in documents for digest, size in one.files.items()}
            if len(name_files(transaction, self._context.files, files)) < len(files):
                raise ContentError("Files were removed from the store meanwhile: sync again")
            documents = [with_others(content, repo_id, change) for change in documents]
            for change in documents:
                ids.update(_write(transaction, repo_id, change, now=now))
            if tree:
                self._set_tree(content, tree)
            gone = packages.difference(kept).union(*(change.replaced for change in documents))
            if self._plan.remove_missing:
                gone = gone.union(*(change.missing for change in documents))
            removed = content.unassociate(repo_id, gone, now=now) if gone else 0
            added = self._associate(transaction, ids.union(kept).difference(present))
            self._set_sources(transaction, kept)
            self._remember(transaction, last)
        updated = sum(len(change.updated) for change in documents)
        return Counts(added=added, updated=updated, removed=removed)

    def _associate(self, transaction: Transaction, unit_ids: Collection[int]) -> int:
        """Put units into the repository; return how many were not in it.

        Raises:
            ContentError: some were removed as orphans before they got here.
        """
        content = transaction.content
        try:
            # without a savepoint, some databases answer nothing after an error
            with transaction.savepoint():
                return content.associate(self._repository.id, unit_ids, now=self._context.clock())
        except Exception as error:
            # asked only now: of many units the question takes as long as the rest
            for unit_id in unit_ids:
                try:
                    content.unit(unit_id)
                except MissingResource:
                    reason = "Packages were removed as orphans meanwhile: sync again"
                    raise ContentError(reason) from error
            raise

    def _set_sources(self, transaction: Transaction, kept: Collection[int]) -> None:
        """Keep where the files are that were not downloaded."""
        sources = {unit_id: url for unit_id, url in self._intake.sources.items() if unit_id in kept}
        if sources:
            transaction.content.set_sources(self._repository.id, sources)

    def _set_tree(self, content: ContentStore, tree: Tree) -> None:
        """Keep the files of the tree, which is a unit by now, or where they are."""
        [unit_id] = content.known("distribution", [tree.document.digest]).values()
        content.set_unit_files(unit_id, tree.files)
        if not self._plan.immediate:
            content.set_sources(self._repository.id, {unit_id: self._plan.access.feed})

    def _remember(self, transaction: Transaction, last: Mapping[str, str]) -> None:
        """Keep what the next sync compares with."""
        repo_id = self._repository.id
        repository = transaction.repositories.get(repo_id)
        revision = repository.content_revision
        if self._checksum_type:
            # what is published has the same, unless the distributor says otherwise
            kept = {**repository.scratchpad, "checksum_type": self._checksum_type}
            transaction.repositories.update(replace(repository, scratchpad=kept))
        scratchpad = {
            **last,
            "plan": self._plan.digest,
            "content_revision": revision,
        }
        for importer in transaction.repositories.importers([repo_id]):
            known = {**importer.scratchpad, **scratchpad}
            transaction.repositories.set_importer(replace(importer, scratchpad=known))

    def _result(self, counts: Counts, started: str | None) -> dict[str, Any]:
        """Return the ``repo_sync_results`` document."""
        return sync_results(
            self._importer,
            started,
            self._context.clock(),
            counts=(counts.added, counts.updated, counts.removed),
            summary=self._progress.summary(),
            details=self._progress.stages,
        )


def _write(transaction: Transaction, repo_id: str, change: Changes, *, now: Any) -> Collection[int]:
    """Write documents; return their unit ids."""
    content = transaction.content
    if not change.written:
        return ()
    ids = content.replace(change.written)
    for unit in change.written:
        if unit.artifact:
            unit_id = ids[unit_key_digest(unit.type_id, unit.key)]
            content.set_artifact(unit_id, unit.artifact, change.files[unit.artifact])
            if unit_id in change.updated:
                # a file of its own is no chunk: only this tells that the content is another one
                content.unassociate(repo_id, [unit_id], now=now)
                content.associate(repo_id, [unit_id], now=now)
    return ids.values()
