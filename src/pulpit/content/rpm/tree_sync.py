"""Bringing the tree of a feed, which machines are installed from, into the store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pulpit.content.download import Wanted
from pulpit.content.feeds import join_feed, shown_url
from pulpit.content.fetching import Outcome, Work
from pulpit.content.rpm.feed import Feed
from pulpit.content.rpm.intake import Intake, details_of
from pulpit.content.rpm.plan import SyncPlan
from pulpit.content.rpm.progress import Stage, SyncProgress
from pulpit.content.rpm.trees import TREEINFOS, Tree, parse_treeinfo
from pulpit.content.stored_files import intact
from pulpit.domain.units import MAX_FILE, UnitFile
from pulpit.errors import DownloadFailed
from pulpit.ports import TaskContext

__all__ = ["TreeSync", "Treeinfo"]

_MAX_TREEINFO = 4 << 20
#: In each of them, however old, stands this.
_MARK = b"[general]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Treeinfo:
    """The file that describes a tree."""

    #: One of ``TREEINFOS``.
    name: str
    data: bytes

    @property
    def digest(self) -> str:
        """Its SHA-256."""
        return hashlib.sha256(self.data).hexdigest()


class TreeSync:
    """The tree of one feed.

    Args:
        context: of the sync.
        plan: of the sync.
        feed: where the tree is.
        intake: keeps what is downloaded.
        progress: told of each file.
    """

    def __init__(
        self,
        context: TaskContext,
        plan: SyncPlan,
        *,
        feed: Feed,
        intake: Intake,
        progress: SyncProgress,
    ) -> None:
        self._context = context
        self._plan = plan
        self._feed = feed
        self._intake = intake
        self._progress = progress
        self._found: Treeinfo | None = None
        self._is_looked_for = False

    def look(self) -> Treeinfo | None:
        """Return the file that describes the tree, or None; asks the feed once.

        Raises:
            MetadataUnavailable: it is there, and can't be had.
        """
        if not self._is_looked_for and "distribution" not in self._plan.skipped:
            self._found = next(filter(None, map(self._fetch, TREEINFOS)), None)
        self._is_looked_for = True
        return self._found

    @property
    def digest(self) -> str:
        """That of the file that describes the tree; empty if there is none."""
        found = self.look()
        return found.digest if found else ""

    def _fetch(self, name: str) -> Treeinfo | None:
        """Return the file of that name; None if there is none, or a page that says so."""
        data = self._feed.optional(join_feed(self._feed.url, name), limit=_MAX_TREEINFO)
        return Treeinfo(name=name, data=data) if data and _MARK in data else None

    def read(self) -> Tree | None:
        """Return the tree without its files.

        Raises:
            Unparsable: what describes it can't be used.
        """
        found = self.look()
        if found is None:
            return None
        return parse_treeinfo(
            found.data,
            name=found.name,
            url=shown_url(join_feed(self._feed.url, found.name)),
            checksum_types=tuple(self._context.settings.feeds.checksum_types),
        )

    def download(self, tree: Tree) -> Tree:
        """Return the tree with the files that are in the store, which a sync may download.

        Raises:
            DownloadFailed: a file can't be had, or is not what it should be.
        """
        stored = self._stored(tree)
        if self._plan.immediate:
            stored |= self._download([file for file in tree.files if file.path not in stored])
        return tree.with_files(stored)

    def _stored(self, tree: Tree) -> dict[str, tuple[str, int]]:
        """Return path to SHA-256 and bytes of files that are in the store already."""
        with self._context.storage.read() as transaction:
            content = transaction.content
            known = content.known("distribution", [tree.document.digest])
            present = [file for unit_id in known.values() for file in content.unit_files(unit_id)]
        before = {file.path: file for file in present if file.artifact and file.size is not None}
        return {
            file.path: (found.artifact, found.size)
            for file in tree.files
            if (found := before.get(file.path))
            and found.artifact
            and found.size is not None
            and _is_same(file, found)
            and intact(
                self._context.files.path(found.artifact),
                found.artifact,
                thorough=self._plan.validate,
            )
        }

    def _download(self, files: Sequence[UnitFile]) -> Mapping[str, tuple[str, int]]:
        """Download files and keep them; return path to SHA-256 and bytes."""
        wanted = {self._wanted(file): file.path for file in files}
        got: dict[str, tuple[str, int]] = {}
        self._progress.expect_tree(len(wanted))

        def take(outcome: Outcome) -> Work:
            if isinstance(outcome, DownloadFailed):
                self._progress.failed(details_of(outcome), Stage.DISTRIBUTION)
                raise outcome
            got[wanted[outcome.wanted]] = (outcome.digest, outcome.size)
            self._progress.downloaded_tree(outcome.size)
            return lambda: self._intake.keep_file(outcome)

        self._feed.fetch(wanted, take)
        return got

    def _wanted(self, file: UnitFile) -> Wanted:
        """Return what to download for a file of the tree."""
        checksum = None
        if file.checksum_type and file.checksum:
            checksum = (file.checksum_type, file.checksum)
        url = join_feed(self._feed.url, file.path)
        return Wanted(url=url, limit=MAX_FILE, checksum=checksum)


def _is_same(file: UnitFile, stored: UnitFile) -> bool:
    """Tell whether a stored file is the one that the tree has now, as far as it says."""
    return file.checksum is not None and (file.checksum_type, file.checksum) == (
        stored.checksum_type,
        stored.checksum,
    )
