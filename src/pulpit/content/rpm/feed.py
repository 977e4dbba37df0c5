"""The files of one feed, for code that is not asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

from pulpit.config.settings import Feeds
from pulpit.content.download import Downloads, Fetched, Wanted
from pulpit.content.feeds import join_feed, shown_url
from pulpit.content.limits import limits_of
from pulpit.content.rpm.plan import SyncPlan
from pulpit.content.rpm.repomd import REPOMD, Record, Repomd, parse_repomd
from pulpit.errors import DownloadFailed, InvalidValue, MetadataUnavailable, Unparsable
from pulpit.ports import FileStore

__all__ = ["Feed"]

T = TypeVar("T")
Outcome = Fetched | DownloadFailed
Work = Callable[[], None]

_MAX_REPOMD = 16 << 20


class Feed:
    """A feed that is being read; use as a context manager.

    What was downloaded and not kept is removed at the end.
    """

    def __init__(self, plan: SyncPlan, *, settings: Feeds, files: FileStore) -> None:
        self.url = plan.access.feed
        self._settings = settings
        self._files = files
        limits = limits_of(settings, concurrency=plan.max_downloads)
        self._downloads = Downloads(plan.access, limits)
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

    def repomd(self) -> Repomd:
        """Download and read repomd.xml.

        Raises:
            MetadataUnavailable: it can't be had.
            Unparsable, MalformedRepository: it can't be used.
        """
        url = join_feed(self.url, REPOMD)
        [fetched] = self._metadata([Wanted(url=url, limit=_MAX_REPOMD)])
        return parse_repomd(fetched.path.read_bytes(), feed=self.url, url=shown_url(url))

    def records(self, records: Collection[Record]) -> Mapping[str, Fetched]:
        """Download metadata files; return type to file.

        Raises:
            MetadataUnavailable: one can't be had, or is not what repomd.xml says.
            Unparsable: one has a checksum that is not accepted here.
        """
        for record in records:
            self._check_type(record)
        wanted = [
            Wanted(
                url=record.url,
                limit=self._settings.max_metadata,
                size=record.size,
                checksum=record.checksum,
            )
            for record in records
        ]
        fetched = {one.wanted: one for one in self._metadata(wanted)}
        return {record.type: fetched[one] for record, one in zip(records, wanted, strict=True)}

    def packages(self, wanted: Iterable[Wanted], take: Callable[[Outcome], Work | None]) -> None:
        """Download package files, several at a time.

        Args:
            wanted: the files.
            take: receives each outcome as it comes, in no order. What it returns, if anything, is
                done in a thread of its own while downloads go on, one after another.
        """
        self._run(self._packages(wanted, take))

    async def _packages(
        self, wanted: Iterable[Wanted], take: Callable[[Outcome], Work | None]
    ) -> None:
        """Do what packages says, in one go: entering and leaving the loop takes its time."""
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

    def _metadata(self, wanted: Collection[Wanted]) -> list[Fetched]:
        """Download all or raise for the first that failed."""
        fetched: list[Fetched] = []

        def take(outcome: Outcome) -> None:
            if isinstance(outcome, DownloadFailed):
                reason = f"{outcome.url}: {outcome.reason}"
                raise MetadataUnavailable(reason, url=outcome.url) from outcome
            fetched.append(outcome)

        self.packages(wanted, take)
        return fetched

    def _check_type(self, record: Record) -> None:
        """Refuse a metadata file whose checksum proves too little."""
        kind = record.checksum[0]
        if kind not in self._settings.checksum_types:
            url = shown_url(record.url)
            raise Unparsable(f"{url} has a checksum of type {kind}, not allowed here", url=url)

    def _new_path(self) -> Path:
        """Return a new path to download to."""
        path = self._files.temporary()
        self._temporary.append(path)
        return path

    def _run(self, act: Coroutine[Any, Any, T]) -> T:
        """Do something asynchronous."""
        return self._runner.run(act)
