"""The files of one feed, for code that is not asynchronous."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from pulpit.config.settings import Feeds
from pulpit.content.download import Fetched, Wanted
from pulpit.content.feeds import join_feed, shown_url
from pulpit.content.fetching import Fetching, Outcome, Work
from pulpit.content.rpm.plan import SyncPlan
from pulpit.content.rpm.repomd import REPOMD, Record, Repomd, parse_repomd
from pulpit.errors import DownloadFailed, MetadataUnavailable, Unparsable
from pulpit.ports import FileStore

__all__ = ["Feed"]

_MAX_REPOMD = 16 << 20
#: Statuses that may be others the next time, or once the importer is set up better.
_PASSING = ("401", "407", "408", "429")


class Feed(Fetching):
    """A yum feed that is being read; use as a context manager."""

    def __init__(self, plan: SyncPlan, *, settings: Feeds, files: FileStore) -> None:
        super().__init__(
            plan.access, settings=settings, files=files, max_downloads=plan.max_downloads
        )

    def repomd(self) -> Repomd:
        """Download and read repomd.xml.

        Raises:
            MetadataUnavailable: it can't be had.
            Unparsable, MalformedRepository: it can't be used.
        """
        url = join_feed(self.url, REPOMD)
        [fetched] = self.metadata([Wanted(url=url, limit=_MAX_REPOMD)])
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
        fetched = {one.wanted: one for one in self.metadata(wanted)}
        return {record.type: fetched[one] for record, one in zip(records, wanted, strict=True)}

    def optional(self, url: str, *, limit: int) -> bytes | None:
        """Return a small file that a feed may have; None if it has none.

        Args:
            url: where it would be.
            limit: bytes that it may have.

        Raises:
            MetadataUnavailable: it is there, and can't be had.
        """
        found: list[bytes] = []

        def take(outcome: Outcome) -> None:
            if not isinstance(outcome, DownloadFailed):
                found.append(outcome.path.read_bytes())
            elif not _says_absent(outcome):
                reason = f"{outcome.url}: {outcome.reason}"
                raise MetadataUnavailable(reason, url=outcome.url) from outcome

        self.fetch([Wanted(url=url, limit=limit)], take)
        return found[0] if found else None

    def packages(self, wanted: Iterable[Wanted], take: Callable[[Outcome], Work | None]) -> None:
        """Download package files; see ``fetch``."""
        self.fetch(wanted, take)

    def _check_type(self, record: Record) -> None:
        """Refuse a metadata file whose checksum proves too little."""
        kind = record.checksum[0]
        if kind not in self._settings.checksum_types:
            url = shown_url(record.url)
            raise Unparsable(f"{url} has a checksum of type {kind}, not allowed here", url=url)


def _says_absent(failure: DownloadFailed) -> bool:
    """Tell whether a server says that there is no such file, in whatever way."""
    reason = failure.reason
    refused = reason.startswith("4") and not reason.startswith(_PASSING)
    elsewhere = reason.startswith("redirects") or failure.error_code == "size_mismatch"
    return refused or elsewhere or reason == "Not Found"
