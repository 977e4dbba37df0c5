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
from pulpit.domain.units import Unit, UnitFile
from pulpit.ports import Clock, ContentStore, FileStore, PublicationStore, Storage
from pulpit.services.files import remove_files

__all__ = ["Absent", "Content", "Folder", "Found", "Listing", "Stored"]

#: The name of the files that list folders.
_LISTING = "listing"
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

    unit_id: int
    file: UnitFile
    #: Of a unit of several files, which one; else empty.
    path: str = ""
    #: The repository that it is asked for in.
    repo_id: str
    #: None where it is not known yet what the bytes must be.
    tag: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The file that lists the folders beside it, as Pulp 2 made it."""

    #: The names, one a line.
    text: str
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder of published content."""

    #: Names in it, sorted; those of folders end in a slash.
    names: Sequence[str]


Found = Stored | Absent | Folder | Listing


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
                return _folder(transaction.publications, path, root)
            publication, inner, unit = resolved
            if unit is not None:
                file = _file_of(transaction.content, unit, inner)
                return self.file(unit, file, publication.repo_id) if file else None
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

    def file(self, unit: Unit, file: UnitFile, repo_id: str) -> Stored | Absent:
        """Return a file of a unit, or what is known of it before it is here."""
        tag = f"{file.checksum_type}-{file.checksum}" if file.checksum else None
        if file.artifact is not None:
            path = self._files.path(file.artifact)
            # a file that somebody has deleted is fetched again
            with suppress(FileNotFoundError):
                return Stored(path=path, stat=path.stat(), tag=tag or f"sha256-{file.artifact}")
        inner = "" if unit.package else file.path
        return Absent(unit_id=unit.id, file=file, path=inner, repo_id=repo_id, tag=tag)

    def look(self, absent: Absent) -> Stored | None:
        """Return the file if it is here by now.

        Raises:
            MissingResource: its unit is gone.
        """
        with self._storage.read() as transaction:
            unit = transaction.content.unit(absent.unit_id)
            file = _file_of(transaction.content, unit, absent.path)
        found = self.file(unit, file, absent.repo_id) if file else None
        return found if isinstance(found, Stored) else None

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
            removed += remove_files(
                self._storage.write_beside, self._files, digests.difference(named), before=before
            )
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


def _file_of(content: ContentStore, unit: Unit, path: str) -> UnitFile | None:
    """Return the file of a package, or the one at the path of a unit that has several."""
    return UnitFile.of_package(unit) if unit.package else content.unit_file(unit.id, path)


def _folder(publications: PublicationStore, path: str, root: Root) -> Folder | Listing | None:
    """Return the folder at a path, or the listing in a folder above publications."""
    names = publications.listing(path, root)
    if names is not None:
        return Folder(names=names)
    above, _, name = path.rpartition("/")
    leading = publications.leading(above, root) if name == _LISTING else None
    if leading is None:
        return None
    text = "\n".join(name.removesuffix("/") for name in leading)
    return Listing(text=text, tag=hashlib.sha256(text.encode()).hexdigest())
