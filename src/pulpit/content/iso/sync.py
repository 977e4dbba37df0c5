"""The sync of a repository of isos: read the manifest, download, then change the repository."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import quote

from pulpit.content.download import Fetched, Wanted
from pulpit.content.feeds import join_feed, shown_url
from pulpit.content.fetching import Fetching, Outcome, Work
from pulpit.content.iso.manifest import MANIFEST, Entry, read_manifest, unit_of
from pulpit.content.iso.newest import newest_by_name
from pulpit.content.iso.plan import IsoPlan
from pulpit.content.iso.progress import IsoProgress
from pulpit.content.stored_files import intact, name_files
from pulpit.content.syncing import sync_results
from pulpit.domain.clock import render_time
from pulpit.domain.repositories import Importer, Repository
from pulpit.domain.units import unit_key_digest
from pulpit.errors import ContentError, DownloadFailed
from pulpit.ports import ContentStore, TaskContext

__all__ = ["IsoSync"]

_TYPE = "iso"
_MAX_MANIFEST = 256 << 20
#: Units that are written in one transaction; the other writers wait for it.
_UNITS = 2_000
#: Files that are made durable and named in one transaction.
_FILES = 256
#: With so many files failing, nothing is gained by trying the rest.
_MAX_FAILURES = 50
#: How often files are brought in that somebody removes as orphans before they are associated.
_ATTEMPTS = 3
_MAX_TEXT = 2_000


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """How many units a sync added and removed."""

    added: int
    removed: int


class IsoSync:
    """One sync of one repository."""

    def __init__(
        self, context: TaskContext, *, repository: Repository, importer: Importer, plan: IsoPlan
    ) -> None:
        """Prepare; nothing is read or written yet."""
        self._context = context
        self._repository = repository
        self._importer = importer
        self._plan = plan
        self._progress = IsoProgress(
            context.progress, clock=context.clock, importer_id=importer.importer_type_id
        )

    def run(self) -> dict[str, Any]:
        """Sync, and return the ``repo_sync_results`` document.

        Files that were downloaded before one failed stay in the store, so that the next sync needs
        only the rest; they go with the orphans.

        Raises:
            ContentError: the feed can't be used; the repository is as it was.
        """
        started = self._context.clock()
        fetching = Fetching(
            self._plan.access,
            settings=self._context.settings.feeds,
            files=self._context.files,
            max_downloads=self._plan.max_downloads,
            received=self._received,
        )
        with fetching as feed:
            with self._progress.manifest():
                entries = self._manifest(feed)
            with self._progress.isos():
                counts = self._isos(feed, entries)
        return self._result(counts, render_time(started))

    def _received(self, size: int) -> None:
        """Count bytes of files; those of the manifest are no files' ones."""
        if self._progress.report["total_bytes"] is not None:
            self._progress.received(size)

    def _manifest(self, feed: Fetching) -> Sequence[Entry]:
        """Download and read the manifest."""
        url = join_feed(feed.url, MANIFEST)
        [fetched] = feed.metadata([Wanted(url=url, limit=_MAX_MANIFEST)])
        with fetched.path.open(encoding="utf-8-sig", newline="") as file:
            return read_manifest(file, url=shown_url(url))

    def _isos(self, feed: Fetching, entries: Sequence[Entry]) -> _Counts:
        """Bring files in, and the units into the repository."""
        for _ in range(_ATTEMPTS):
            self._bring_in(feed, entries)
            if counts := self._commit(feed, entries):
                return counts
        raise ContentError("Files were removed as orphans again and again meanwhile: sync again")

    def _bring_in(self, feed: Fetching, entries: Sequence[Entry]) -> None:
        """Have each file as a unit of the store, with its file where the sync downloads."""
        stored = self._stored(entries)
        missing: dict[str, list[Entry]] = {}
        for batch in _batches(entries, _UNITS):
            named = self._add(batch, stored)
            if self._plan.immediate:
                for entry in batch:
                    if entry.checksum not in named:
                        missing.setdefault(entry.checksum, []).append(entry)
        self._progress.expect(
            count=len(missing), size=sum(same[0].size for same in missing.values())
        )
        if missing:
            self._download(feed, missing)

    def _stored(self, entries: Iterable[Entry]) -> Collection[str]:
        """Return the checksums of the files that are in the store."""
        sizes = {entry.checksum: entry.size for entry in entries}
        with self._context.storage.read() as transaction:
            known = transaction.content.has_artifacts(sizes)
        return {digest for digest in known if self._is_whole(digest, sizes[digest])}

    def _is_whole(self, digest: str, size: int) -> bool:
        """Tell whether a file is stored and as long as the manifest says."""
        path = self._context.files.path(digest)
        with suppress(FileNotFoundError):
            return path.stat().st_size == size and intact(
                path, digest, thorough=self._plan.validate
            )
        return False

    def _add(self, entries: Sequence[Entry], stored: Collection[str]) -> Collection[str]:
        """Keep units whose files are stored, or need not be; return which files rows name."""
        sizes = {entry.checksum: entry.size for entry in entries if entry.checksum in stored}
        if self._plan.immediate and not sizes:
            return ()
        with self._context.write() as transaction:
            named = name_files(transaction, self._context.files, sizes)
            transaction.content.add(
                [
                    unit_of(entry, artifact=entry.checksum if entry.checksum in named else None)
                    for entry in entries
                    if entry.checksum in named or not self._plan.immediate
                ]
            )
        return named

    def _download(self, feed: Fetching, missing: Mapping[str, Sequence[Entry]]) -> None:
        """Download files, each once, and keep them as units.

        Raises:
            DownloadFailed: at least one can't be had, or is not what the manifest says.
        """
        failures: list[DownloadFailed] = []
        waiting: list[Fetched] = []
        wanted = {_wanted(feed.url, same[0]): same for same in missing.values()}
        names = {shown_url(one.url): same[0].name for one, same in wanted.items()}

        def take(outcome: Outcome) -> Work | None:
            if isinstance(outcome, DownloadFailed):
                failures.append(outcome)
                self._progress.failed(names.get(outcome.url, ""), outcome.reason[:_MAX_TEXT])
                if len(failures) >= _MAX_FAILURES:
                    raise _failed(failures, len(missing))
                return None
            waiting.append(outcome)
            self._progress.finished()
            return self._keeping(waiting, wanted) if len(waiting) >= _FILES else None

        try:
            feed.fetch(wanted, take)
        finally:
            if work := self._keeping(waiting, wanted):
                work()
        if failures:
            raise _failed(failures, len(missing))

    def _keeping(
        self, waiting: list[Fetched], wanted: Mapping[Wanted, Sequence[Entry]]
    ) -> Callable[[], None] | None:
        """Return what keeps the files that wait, which wait no more."""
        batch = waiting.copy()
        waiting.clear()
        return (lambda: self._keep(batch, wanted)) if batch else None

    def _keep(self, fetched: Sequence[Fetched], wanted: Mapping[Wanted, Sequence[Entry]]) -> None:
        """Keep files, then name them."""
        files = self._context.files
        files.keep_many({one.digest: one.path for one in fetched})
        with self._context.write() as transaction:
            named = name_files(transaction, files, {one.digest: one.size for one in fetched})
            transaction.content.add(
                [
                    unit_of(entry, artifact=one.digest)
                    for one in fetched
                    for entry in wanted[one.wanted]
                    if one.digest in named
                ]
            )

    def _commit(self, feed: Fetching, entries: Sequence[Entry]) -> _Counts | None:
        """Change the repository, in one transaction; None if units are not there any more."""
        repo_id, now = self._repository.id, self._context.clock()
        digests = {unit_key_digest(_TYPE, entry.key): entry for entry in entries}
        with self._context.write() as transaction:
            content = transaction.content
            ids = content.known(_TYPE, digests)
            needed = {entry.checksum for entry in entries} if self._plan.immediate else set()
            if len(ids) < len(digests) or len(content.has_artifacts(needed)) < len(needed):
                return None
            others = content.members(repo_id, _TYPE).keys() - set(ids.values())
            removed = 0
            if self._plan.remove_missing:
                removed = content.unassociate(repo_id, others, now=now) if others else 0
            elif others:
                _bring_back(content, repo_id, entries, now=now)
            added = content.associate(repo_id, ids.values(), now=now)
            if not self._plan.immediate:
                sources = {
                    ids[digest]: _url(feed.url, entry.name) for digest, entry in digests.items()
                }
                content.set_sources(repo_id, sources)
        return _Counts(added=added, removed=removed)

    def _result(self, counts: _Counts, started: str | None) -> dict[str, Any]:
        """Return the ``repo_sync_results`` document."""
        return sync_results(
            self._importer,
            started,
            self._context.clock(),
            counts=(counts.added, 0, counts.removed),
            summary=self._progress.summary(),
            details=None,
        )


def _bring_back(
    content: ContentStore, repo_id: str, entries: Iterable[Entry], *, now: datetime
) -> None:
    """Take out what a newer file of its name hides, though the feed has it (again): to be added."""
    wanted = {entry.name: unit_key_digest(_TYPE, entry.key) for entry in entries}
    hiding = {
        name
        for name, unit in newest_by_name(content, repo_id).items()
        if name in wanted and unit_key_digest(_TYPE, unit.key) != wanted[name]
    }
    hidden = content.known(_TYPE, [wanted[name] for name in hiding])
    content.unassociate(repo_id, hidden.values(), now=now)


def _url(feed: str, name: str) -> str:
    """Return where a file can be downloaded; what looks like an escape in its name is none."""
    return join_feed(feed, quote(name, safe="/"))


def _wanted(feed: str, entry: Entry) -> Wanted:
    """Return what to download."""
    checksum = ("sha256", entry.checksum)
    url = _url(feed, entry.name)
    return Wanted(url=url, limit=entry.size, size=entry.size, checksum=checksum)


def _batches(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """Yield the entries in lists of at most *size*."""
    iterator = iter(entries)
    while batch := list(islice(iterator, size)):
        yield batch


def _failed(failures: Sequence[DownloadFailed], total: int) -> DownloadFailed:
    """Return the error that stands for all failures."""
    first = failures[0]
    more = f" ({len(failures)} of {total} files failed)" if len(failures) > 1 else ""
    return DownloadFailed(first.url, first.reason + more, error_code=first.error_code)
