"""Published content: what is at a path, and what nobody reads any longer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from os import stat_result
from pathlib import Path

from pulpit.domain.published import MAX_PATH, Root
from pulpit.domain.repositories import Publication
from pulpit.domain.units import PackageColumns, Unit
from pulpit.errors import PulpitError
from pulpit.ports import Clock, FileStore, Storage

__all__ = ["Absent", "Content", "Folder", "Found", "Stored"]

#: A younger file may be one whose row is about to be committed.
_STRAY_AGE = timedelta(hours=6)
#: Files that are looked up in one transaction.
_STRAYS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file that is here."""

    path: Path
    stat: stat_result
    #: Equal for equal bytes only.
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A file that is published, and downloaded when it is first asked for."""

    unit: Unit
    #: What is known of the file.
    package: PackageColumns
    #: The repository that it is asked for in.
    repo_id: str
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder of published content."""

    #: Names in it, sorted; those of folders end in a slash.
    names: Sequence[str]


Found = Stored | Absent | Folder


class Content:
    """What is published.

    Args:
        storage: what is published where.
        files: the files of it.
        clock: the present time.
        grace_hours: how long a replaced publication stays for those who read it.
    """

    def __init__(
        self, storage: Storage, files: FileStore, *, clock: Clock, grace_hours: float
    ) -> None:
        self._storage = storage
        self._files = files
        self._clock = clock
        self._grace = timedelta(hours=grace_hours)

    def find(self, path: str, root: Root = Root.REPOS) -> Found | None:
        """Return what is at a path below a root; None if there is nothing.

        Args:
            path: without a leading slash; a folder with or without its slash.
            root: what it is below of.
        """
        if len(path) > MAX_PATH or "//" in f"/{path}":
            return None
        with self._storage.read() as transaction:
            resolved = transaction.publications.resolve(path, root)
            if resolved is None:
                names = transaction.publications.listing(path, root)
                return None if names is None else Folder(names=names)
        publication, inner, unit = resolved
        if unit is not None:
            return self.package(unit, publication.repo_id)
        try:
            return self._generated(publication, inner)
        except FileNotFoundError:
            # removed by the cleaning since it was looked up
            return None

    def _generated(self, publication: Publication, inner: str) -> Stored:
        """Return a file of metadata."""
        path = self._files.publication_folder(publication.folder) / inner
        name = path.name
        # all but repomd.xml, which is small, are named by their content
        tag = name if "-" in name else hashlib.sha256(path.read_bytes()).hexdigest()
        return Stored(path=path, stat=path.stat(), tag=tag)

    def package(self, unit: Unit, repo_id: str) -> Stored | Absent:
        """Return the file of a unit that is one, or what is known of it before it is here."""
        if unit.package is None:
            raise PulpitError(f"Unit {unit.id} is published and is no file.")
        tag = f"{unit.package.checksum_type}-{unit.package.checksum}"
        if unit.artifact is not None:
            path = self._files.path(unit.artifact)
            # a file that somebody has deleted is fetched again
            with suppress(FileNotFoundError):
                return Stored(path=path, stat=path.stat(), tag=tag)
        return Absent(unit=unit, package=unit.package, repo_id=repo_id, tag=tag)

    def remove_strays(self) -> int:
        """Delete files of the store that no row names; return how many.

        A process that was killed between keeping a file and committing its row leaves one.
        """
        before = self._clock() - _STRAY_AGE
        removed = 0
        kept = self._files.kept(before=before)
        while digests := set(islice(kept, _STRAYS_AT_ONCE)):
            with self._storage.read() as transaction:
                named = transaction.content.has_artifacts(digests)
            removed += self._files.remove(digests.difference(named), before=before)
        return removed

    def clean_up(self) -> int:
        """Remove publications that were replaced or given up a while ago, and stray files.

        Returns how many publications and files there were.
        """
        before = self._clock() - self._grace
        # folders are listed first: each has had its row before it was made
        folders = self._files.publication_folders()
        with self._storage.write() as transaction:
            expired = transaction.publications.expired(before=before)
            transaction.publications.remove([publication.id for publication in expired])
            stray = set(folders) - set(transaction.publications.folders())
        for name in stray:
            self._files.remove_publication(name)
        # an age at which nobody still writes it, in whatever process
        old = self._clock() - _STRAY_AGE
        return len(stray) + self._files.remove_temporary(before=old)
