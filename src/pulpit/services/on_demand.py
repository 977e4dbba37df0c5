"""Packages that are downloaded when they are first asked for: once, however many ask."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pulpit.domain.repositories import Importer
from pulpit.errors import DownloadFailed, PulpitError
from pulpit.ports import Clock, Downloader, FileStore, Storage
from pulpit.services.arrival import Arrival, Signal
from pulpit.services.content import Absent, Content, Stored

__all__ = ["OnDemand"]

#: Seconds without a sign of life after which a download is no longer another process's.
_LEASE = 30.0
#: Seconds between two looks at a download that another process does.
_POLL = 0.25


class _Fetch:
    """One package on its way, over as many sources as it takes."""

    def __init__(self, absent: Absent) -> None:
        self.absent = absent
        #: The attempt that goes on now.
        self.arrival: Arrival | None = None
        self.stored: Stored | None = None
        self.failure: PulpitError | None = None
        self.changed = Signal()

    async def begin(self) -> Arrival | Stored:
        """Wait until there is something to send, or raise what went wrong."""
        while not self.is_over:
            if (arrival := self.arrival) is not None:
                try:
                    await arrival.begin()
                except PulpitError:
                    # another source may have it
                    if arrival is not self.arrival or self.is_over:
                        continue
                else:
                    return arrival
            await self.changed.wait()
        return self._outcome()

    async def end(self) -> Stored:
        """Wait until it is here, or raise what went wrong."""
        while not self.is_over:
            await self.changed.wait()
        return self._outcome()

    @property
    def is_over(self) -> bool:
        """True when nothing will change any more."""
        return self.stored is not None or self.failure is not None

    def _outcome(self) -> Stored:
        """Return the file, or raise why there is none."""
        if self.stored is None:
            raise self.failure or PulpitError()
        return self.stored


class OnDemand:
    """Fetches packages for those who ask; for use in one event loop.

    Args:
        content: what is published.
        storage: which sources packages have.
        files: where packages are kept.
        downloader: gets them.
        clock: the present time.
        owner: a name that no other process has, for leases.
        concurrency: downloads at a time.
    """

    def __init__(
        self,
        content: Content,
        storage: Storage,
        files: FileStore,
        downloader: Downloader,
        *,
        clock: Clock,
        owner: str,
        concurrency: int,
    ) -> None:
        self._content = content
        self._storage = storage
        self._files = files
        self._downloader = downloader
        self._clock = clock
        self._owner = owner
        self._slots = asyncio.Semaphore(concurrency)
        #: By unit and path.
        self._fetches: dict[tuple[int, str], _Fetch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def begin(self, absent: Absent) -> Arrival | Stored:
        """Return the package while it arrives, as soon as the first of it is there.

        Raises:
            DownloadFailed: no source has it as it should be.
        """
        return await self._fetch(absent).begin()

    async def fetch(self, absent: Absent) -> Stored:
        """Return the package once it is here whole; raises what begin raises."""
        return await self._fetch(absent).end()

    async def close(self) -> None:
        """Break off what is on its way, and begin nothing new."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _fetch(self, absent: Absent) -> _Fetch:
        """Return the download of the package that goes on, or begin one."""
        key = (absent.unit_id, absent.path)
        if key not in self._fetches:
            if self._is_closed:
                raise DownloadFailed(absent.file.name, "the server is stopping")
            fetch = self._fetches[key] = _Fetch(absent)
            task = asyncio.create_task(self._run(fetch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return self._fetches[key]

    async def _run(self, fetch: _Fetch) -> None:
        """Get the package; whatever happens, those who wait are told."""
        absent = fetch.absent
        try:
            async with self._slots, self._lease(absent) as stored:
                fetch.stored = stored or await self._download(fetch)
        except PulpitError as error:
            fetch.failure = error
        finally:
            if not fetch.is_over:
                fetch.failure = DownloadFailed(absent.file.name, "broken off")
            del self._fetches[absent.unit_id, absent.path]
            fetch.changed.tell()

    @asynccontextmanager
    async def _lease(self, absent: Absent) -> AsyncIterator[Stored | None]:
        """Wait until the download is ours (None), or another process has done it."""
        look = self._content.look
        while not await asyncio.to_thread(self._claim, absent):
            await asyncio.sleep(_POLL)
            if stored := await asyncio.to_thread(look, absent):
                yield stored
                return
        if stored := await asyncio.to_thread(look, absent):
            await asyncio.to_thread(self._release, absent)
            yield stored
            return
        renewal = asyncio.create_task(self._renew(absent))
        try:
            yield None
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
            await asyncio.to_thread(self._release, absent)

    async def _renew(self, absent: Absent) -> None:
        """Show that the download goes on, for as long as it does."""
        while True:
            await asyncio.sleep(_LEASE / 3)
            with contextlib.suppress(PulpitError):
                await asyncio.to_thread(self._claim, absent)

    async def _download(self, fetch: _Fetch) -> Stored:
        """Try one source after another, that of the repository that was asked first."""
        absent = fetch.absent
        failure = DownloadFailed(absent.file.name, "no repository has a source for it")
        for importer, url in await asyncio.to_thread(self._sources, absent):
            arrival = fetch.arrival = Arrival(self._files.temporary(), absent.file)
            fetch.changed.tell()
            try:
                pieces = self._downloader.stream(importer, url, below=absent.path)
                async with aclosing(pieces):
                    digest = await arrival.receive(_shown(url), pieces)
                path = await asyncio.to_thread(self._keep, absent, arrival, digest)
            except DownloadFailed as error:
                arrival.fail(error)
                failure = error
            except BaseException:
                arrival.fail(DownloadFailed(_shown(url), "broken off"))
                raise
            else:
                arrival.complete(path)
                tag = absent.tag or f"sha256-{digest}"
                return Stored(path=path, stat=path.stat(), tag=tag)
        raise failure

    def _claim(self, absent: Absent) -> bool:
        """Take or renew the lease."""
        with self._storage.write_beside() as transaction:
            return transaction.content.claim_download(
                absent.unit_id,
                self._owner,
                now=self._clock(),
                seconds=_LEASE,
                path=absent.path,
            )

    def _release(self, absent: Absent) -> None:
        """Give the lease back."""
        with self._storage.write_beside() as transaction:
            transaction.content.release_download(absent.unit_id, self._owner, path=absent.path)

    def _sources(self, absent: Absent) -> Sequence[tuple[Importer, str]]:
        """Return where the package may be had, with the importer that knows how."""
        with self._storage.read() as transaction:
            sources = transaction.content.sources(absent.unit_id)
            found = transaction.repositories.importers([repo_id for repo_id, _ in sources])
        importers = {importer.repo_id: importer for importer in found}
        usable = [(importers[repo_id], url) for repo_id, url in sources if repo_id in importers]
        return sorted(usable, key=lambda source: source[0].repo_id != absent.repo_id)

    def _keep(self, absent: Absent, arrival: Arrival, digest: str) -> Path:
        """Keep the verified file, and that it is here.

        Raises:
            DownloadFailed: it was removed at once, as an equal one that nothing named.
        """
        kept = self._files.keep(arrival.path, digest)
        with self._storage.write_beside() as transaction:
            # first, as from its first statement on nobody removes files
            transaction.content.add_artifacts({digest: arrival.size})
            if not kept.exists():
                raise DownloadFailed(absent.file.name, "it was removed meanwhile: try again")
            transaction.content.set_artifact(absent.unit_id, digest, arrival.size, path=absent.path)
        return kept


def _shown(url: str) -> str:
    """Return the URL without what may be secret: a login, or a token in its query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
