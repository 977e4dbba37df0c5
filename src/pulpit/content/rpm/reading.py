"""Reading the metadata of a feed: which files are wanted, and what they say."""

from __future__ import annotations

from collections.abc import Iterator

from pulpit.config.settings import Feeds
from pulpit.content.download import Fetched
from pulpit.content.feeds import join_feed, shown_url
from pulpit.content.rpm.collection import EXTRA, is_extra
from pulpit.content.rpm.comps import COMPS_TYPES, parse_comps
from pulpit.content.rpm.deltas import DELTAS, FeedDelta, parse_deltas
from pulpit.content.rpm.documents import Document
from pulpit.content.rpm.errata import parse_updateinfo
from pulpit.content.rpm.feed import Feed
from pulpit.content.rpm.fragments import Fragments
from pulpit.content.rpm.modules import parse_modules
from pulpit.content.rpm.packages import Packages
from pulpit.content.rpm.repomd import REPOMD, Record, Repomd
from pulpit.content.rpm.streams import read_document, read_stream

__all__ = ["COMPS", "MODULES", "FeedMetadata"]

_ROOTS = {"primary": "metadata", "filelists": "filelists", "other": "otherdata"}
#: Content types that come from comps, and from modules.
COMPS = frozenset(COMPS_TYPES.values())
MODULES = frozenset({"modulemd", "modulemd_defaults"})
#: Types of repomd.xml that hold comps, the plain one first.
_GROUPS = ("group", "group_gz", "group_xz", "group_zst")
#: A document that is parsed as a whole must not be larger than this.
_MAX_DOCUMENT = 256 << 20
_File = tuple[Record, Fetched]


class FeedMetadata:
    """The metadata of one feed, downloaded and, but for the packages, parsed.

    Args:
        feed: where the files come from.
        repomd: which files there are.
        repo_id: the repository that groups and the like belong to.
        skipped: content types that are not wanted.
        settings: limits.

    Raises:
        MetadataUnavailable: a file can't be had.
        Unparsable, MalformedRepository: a file can't be used.
    """

    def __init__(
        self,
        feed: Feed,
        repomd: Repomd,
        *,
        repo_id: str,
        skipped: frozenset[str],
        settings: Feeds,
    ) -> None:
        self._skipped = skipped
        self._settings = settings
        url = shown_url(join_feed(feed.url, REPOMD))
        wanted = {kind: repomd.required(kind, url) for kind in _ROOTS}
        wanted |= self._document_records(repomd)
        fetched = feed.records([*wanted.values()])
        self._files = {kind: (record, fetched[record.type]) for kind, record in wanted.items()}
        #: Metadata files that are kept as they are, by type.
        self.extras = {kind: file for kind, file in self._files.items() if is_extra(kind)}
        self.errata: list[Document] = []
        self.comps: list[Document] = []
        self.modules: list[Document] = []
        self.deltas: list[FeedDelta] = []
        self._parse_documents(repo_id)
        self._parse_deltas()

    def _document_records(self, repomd: Repomd) -> dict[str, Record]:
        """Return the records of what is no package, by type; comps under ``group``."""
        skipped, records = self._skipped, repomd.records
        wanted: dict[str, Record] = {}
        groups = next((records[kind] for kind in _GROUPS if kind in records), None)
        if groups and not skipped >= COMPS:
            wanted["group"] = groups
        if "updateinfo" in records and "erratum" not in skipped:
            wanted["updateinfo"] = records["updateinfo"]
        if "modules" in records and not skipped >= MODULES:
            wanted["modules"] = records["modules"]
        deltas = next((records[kind] for kind in DELTAS if kind in records), None)
        if deltas and "drpm" not in skipped:
            wanted["prestodelta"] = deltas
        if EXTRA not in skipped:
            wanted |= {kind: one for kind, one in records.items() if is_extra(kind)}
        return wanted

    def packages(self) -> Packages:
        """Return the reader of the packages, to be read once."""
        fragments = [
            Fragments(
                fetched.path,
                url=record.shown,
                root=root,
                limit=self._settings.max_metadata,
                expected=record.open_checksum,
            )
            for root, (record, fetched) in (
                (root, self._files[kind]) for kind, root in _ROOTS.items()
            )
        ]
        return Packages(*fragments, checksum_types=tuple(self._settings.checksum_types))

    def _parse_documents(self, repo_id: str) -> None:
        """Parse errata, comps and modules."""
        files = self._files
        if "updateinfo" in files:
            url = files["updateinfo"][0].shown
            self.errata = list(parse_updateinfo(self._pieces(files["updateinfo"]), url=url))
        if "group" in files:
            url = files["group"][0].shown
            pieces = self._pieces(files["group"])
            self.comps = list(parse_comps(pieces, url=url, repo_id=repo_id))
        if "modules" in files:
            record, fetched = files["modules"]
            limit = min(_MAX_DOCUMENT, self._settings.max_metadata)
            document = read_document(
                fetched.path, url=record.shown, limit=limit, expected=record.open_checksum
            )
            self.modules = list(parse_modules(document, url=record.shown, repo_id=repo_id))

    def _parse_deltas(self) -> None:
        """Parse what tells of deltas."""
        if "prestodelta" in self._files:
            file = self._files["prestodelta"]
            self.deltas = list(
                parse_deltas(
                    self._pieces(file),
                    url=file[0].shown,
                    checksum_types=tuple(self._settings.checksum_types),
                )
            )

    def _pieces(self, file: _File) -> Iterator[bytes]:
        """Read a metadata file."""
        record, fetched = file
        return read_stream(
            fetched.path,
            url=record.shown,
            limit=self._settings.max_metadata,
            expected=record.open_checksum,
        )
