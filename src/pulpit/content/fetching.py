"""Downloads from one feed, for code that is not asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

from pulpit.config.settings import Feeds
from pulpit.content.access import Access
from pulpit.content.download import Downloads, Fetched, Wanted
from pulpit.content.limits import limits_of
from pulpit.errors import DownloadFailed, InvalidValue, MetadataUnavailable
from pulpit.ports import FileStore

__all__ = ["Fetching", "Outcome", "Work"]

T = TypeVar("T")
Outcome = Fetched | DownloadFailed
Work = Callable[[], None]


class Fetching:
    """A feed that is being read; use as a context manager.

    What was downloaded and not kept is removed at the end.

    Args:
        access: how the feed is reached.
        settings: of all feeds.
        files: where downloads go first.
        max_downloads: at a time, if the server allows so many; None: as it is set.
        received: see ``Downloads``; called in the thread that fetches.
    """

    def __init__(
        self,
        access: Access,
        *,
        settings: Feeds,
        files: FileStore,
        max_downloads: int | None,
        received: Callable[[int], None] | None = None,
    ) -> None:
        self.url = access.feed
        self._settings = settings
        self._files = files
        limits = limits_of(settings, concurrency=max_downloads)
        self._downloads = Downloads(access, limits, received=received)
        self._temporary: list[Path] = []
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    def __enter__(self) -> Self:
        self._runner.__enter__()
        try:
            self._run(self._downloads.__aenter__())
        except ValueError as error:
            self._runner.close()
            raise InvalidValue("ssl_client_cert", "ssl_ca_cert", why=str(error)) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._run(self._downloads.__aexit__(kind, error, trace))
        finally:
            self._runner.close()
            for path in self._temporary:
                path.unlink(missing_ok=True)

    def fetch(self, wanted: Iterable[Wanted], take: Callable[[Outcome], Work | None]) -> None:
        """Download files, several at a time.

        Args:
            wanted: the files.
            take: receives each outcome as it comes, in no order. What it returns, if anything, is
                done in a thread of its own while downloads go on, one after another.
        """
        self._run(self._fetch(wanted, take))

    async def _fetch(
        self, wanted: Iterable[Wanted], take: Callable[[Outcome], Work | None]
    ) -> None:
        """Do what fetch says, in one go: entering and leaving the loop takes its time."""
        working: asyncio.Future[None] | None = None
        try:
            async with aclosing(self._downloads.fetch_all(wanted, self._new_path)) as outcomes:
                async for outcome in outcomes:
                    work = take(outcome)
                    if work is None:
                        continue
                    if working:
                        await working
                    working = asyncio.ensure_future(asyncio.to_thread(work))
        finally:
            if working:
                await working

    def metadata(self, wanted: Collection[Wanted]) -> list[Fetched]:
        """Download all, or raise MetadataUnavailable for the first that failed."""
        fetched: list[Fetched] = []

        def take(outcome: Outcome) -> None:
            if isinstance(outcome, DownloadFailed):
                reason = f"{outcome.url}: {outcome.reason}"
                raise MetadataUnavailable(reason, url=outcome.url) from outcome
            fetched.append(outcome)

        self.fetch(wanted, take)
        return fetched

    def _new_path(self) -> Path:
        """Return a new path to download to."""
        path = self._files.temporary()
        self._temporary.append(path)
        return path

    def _run(self, act: Coroutine[Any, Any, T]) -> T:
        """Do something asynchronous."""
        return self._runner.run(act)
