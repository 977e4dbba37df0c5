"""Bringing packages of a feed into the store, short batch by short batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import chain, islice

from pulpit.content.checksums import Digest
from pulpit.content.download import Fetched, Wanted
from pulpit.content.feeds import join_feed, parse_feed
from pulpit.content.rpm.deltas import FeedDelta
from pulpit.content.rpm.feed import Feed
from pulpit.content.rpm.packages import FeedPackage, Packages
from pulpit.content.rpm.plan import SyncPlan
from pulpit.content.rpm.progress import SyncProgress
from pulpit.content.rpm.retention import Held, nevra_of
from pulpit.content.rpm.signed_files import SignedFiles
from pulpit.content.stored_files import intact
from pulpit.domain.units import Unit, unit_key_digest
from pulpit.errors import DownloadFailed, MalformedRepository, Unparsable
from pulpit.ports import ContentStore, TaskContext

__all__ = ["Intake", "details_of"]

Offered = FeedPackage | FeedDelta

#: Batches of the parser that are written in one transaction; the other writers wait for it.
_TOGETHER = 5
#: Deltas that are written in one transaction.
_DELTAS = 500
#: Files that are made durable and named in one transaction.
_FILES = 256
#: With so many packages failing, nothing is gained by trying the rest.
_MAX_FAILURES = 50
#: Characters of a text that a failure is listed with.
_MAX_DETAIL = 2_000


class Intake:
    """What one sync brings into the store, so that it can be taken out again if it fails."""

    def __init__(self, context: TaskContext, plan: SyncPlan) -> None:
        self._context = context
        self._plan = plan
        #: The packages that the feed offers, which are units of the store by now.
        self.offered: list[Held] = []
        #: Unit id to URL, of those whose files are not downloaded by the sync itself.
        self.sources: dict[int, str] = {}
        #: Of those whose files are missing: what to download, for which units.
        self._wanted: dict[Wanted, list[Unit]] = defaultdict(list)
        #: Units that were not in the store before.
        self._added: set[int] = set()
        #: Files that were kept and that no row names yet.
        self._unnamed: set[str] = set()
        #: By which keys the packages are signed.
        self.signed = SignedFiles(context.files, plan.signatures)

    def read(self, packages: Packages) -> None:
        """Store all packages of the feed as units, without their files.

        Raises:
            Unparsable: the metadata can't be used.
        """
        batches = packages.batches()
        while found := list(chain.from_iterable(islice(batches, _TOGETHER))):
            wanted = [one for one in found if one.type_id not in self._plan.skipped]
            self._store(packages.unit, wanted)

    def read_deltas(self, deltas: Iterable[FeedDelta]) -> None:
        """Store all deltas of the feed as units, without their files."""
        rest = iter(deltas)
        while found := list(islice(rest, _DELTAS)):
            self._store(FeedDelta.unit, found)

    def download(self, feed: Feed, chosen: AbstractSet[int], progress: SyncProgress) -> None:
        """Download the files of those chosen units that are not in the store.

        Raises:
            DownloadFailed: at least one can't be had, or is not what the metadata say.
        """
        wanted = {
            one: units
            for one, units in self._wanted.items()
            if not chosen.isdisjoint(unit.id for unit in units)
        }
        kinds = {one: units[0].type_id for one, units in wanted.items()}
        progress.expect((kinds[one], one.limit) for one in wanted)
        failures: list[DownloadFailed] = []
        waiting: list[Fetched] = []

        def take(outcome: Fetched | DownloadFailed) -> Callable[[], None] | None:
            if isinstance(outcome, DownloadFailed):
                failures.append(outcome)
                progress.failed(details_of(outcome))
                if len(failures) >= _MAX_FAILURES:
                    raise _failed(failures, len(wanted))
                return None
            waiting.append(outcome)
            progress.downloaded(kinds[outcome.wanted], outcome.size)
            if len(waiting) < _FILES or failures:
                return None
            batch = waiting.copy()
            waiting.clear()
            return lambda: self._keep(batch, wanted)

        feed.packages(wanted, take)
        if failures:
            raise _failed(failures, len(wanted))
        self._keep(waiting, wanted)

    def keep_file(self, fetched: Fetched) -> None:
        """Keep a file that the last transaction will name."""
        self._unnamed.add(fetched.digest)
        self._context.files.keep_many({fetched.digest: fetched.path})

    def clean(self, used: Collection[int] = ()) -> None:
        """Take out of the store what was added and is not used."""
        left = self._added.difference(used)
        if not left and not self._unnamed:
            return
        # within the transaction: who links to a stored file checks that in one of its own
        with self._context.write() as transaction:
            content = transaction.content
            _, digests = content.remove_orphans(left) if left else (0, ())
            # not merely looked for: others must not come to name them before they are away
            nameless = content.drop_artifacts(self._unnamed) if self._unnamed else ()
            aside = self._context.files.set_aside({*digests, *nameless})
        self._context.files.discard(aside)

    def _store(self, unit: Callable[..., Unit], found: Sequence[Offered]) -> None:
        """Store one batch; *unit* makes a unit of one, with the file that it may have."""
        with self._context.storage.read() as transaction:
            ids = _known(transaction.content, found)
            stored = self._stored(transaction.content, found)
        new = [
            self.signed.told(unit(one, artifact=stored.get(_checksum(one))))
            for one in found
            if one.digest not in ids
        ]
        linked = [
            _link(one, unit_id=ids[one.digest], artifact=stored[_checksum(one)])
            for one in found
            if one.digest in ids and _checksum(one) in stored
        ]
        if new or linked:
            with self._context.write() as transaction:
                content = transaction.content
                linked = _still_units(content, linked)
                added = content.add(_still_stored(content, [*new, *linked]))
                self.signed.keep(content, linked)
            fresh = {digest: unit_id for digest, unit_id in added.items() if digest not in ids}
            self._added.update(fresh.values())
            ids = {**ids, **fresh}
        for one in found:
            self._offer(one, ids[one.digest], is_stored=_checksum(one) in stored)
        self.signed.note(
            {ids[one.digest]: stored[_checksum(one)] for one in found if _checksum(one) in stored}
        )

    def _offer(self, package: Offered, unit_id: int, *, is_stored: bool) -> None:
        """Remember what a package is, and where its file comes from."""
        self.offered.append(Held(unit_id, package.type_id, nevra_of(package.columns)))
        url = _url(self._plan.access.feed, package)
        if not self._plan.immediate:
            self.sources[unit_id] = url
        elif not is_stored:
            size = package.columns.size
            wanted = Wanted(url=url, limit=size, size=size, checksum=_checksum(package))
            self._wanted[wanted].append(_link(package, unit_id=unit_id))

    def _stored(self, content: ContentStore, found: Sequence[Offered]) -> dict[Digest, str]:
        """Return checksum to SHA-256 of the packages whose files are in the store."""
        rows = content.artifacts_by_checksum([_checksum(one) for one in found])
        path = self._context.files.path
        return {
            checksum: digest
            for checksum, digest in rows.items()
            if intact(path(digest), digest, thorough=self._plan.validate)
        }

    def _keep(self, fetched: Sequence[Fetched], wanted: Mapping[Wanted, Sequence[Unit]]) -> None:
        """Keep files, then name them."""
        files = {one.digest: one.path for one in fetched}
        if not files:
            return
        self._unnamed.update(files)
        self._context.files.keep_many(files)
        units = [
            replace(unit, artifact=one.digest) for one in fetched for unit in wanted[one.wanted]
        ]
        with self._context.write() as transaction:
            # first, as from its first statement on nobody removes files
            links = _still_units(transaction.content, units)
            for one in fetched:
                if not self._context.files.path(one.digest).exists():
                    reason = "its file was removed from the store meanwhile; sync again"
                    raise DownloadFailed(one.wanted.url, reason)
            named = {link.artifact for link in links}
            sizes = {one.digest: one.size for one in fetched if one.digest in named}
            transaction.content.add_artifacts(sizes)
            # far fewer statements than to set them one by one
            transaction.content.add(links)
            self.signed.keep(transaction.content, links)
        self.signed.note({link.id: link.artifact for link in links if link.artifact})
        self._unnamed.difference_update(sizes)


def _known(content: ContentStore, found: Sequence[Offered]) -> dict[bytes, int]:
    """Return key digest to unit id of the packages that are units already."""
    ids: dict[bytes, int] = {}
    for type_id in {one.type_id for one in found}:
        digests = [one.digest for one in found if one.type_id == type_id]
        ids.update(content.known(type_id, digests))
    return ids


def _checksum(package: Offered) -> Digest:
    """Return a package's checksum with its type."""
    return (package.columns.checksum_type, package.columns.checksum)


def _link(package: Offered, *, unit_id: int, artifact: str | None = None) -> Unit:
    """Return a unit that is stored already, to give it the file that is stored too."""
    return Unit(
        id=unit_id,
        uid="",
        type_id=package.type_id,
        key=package.key(),
        package=package.columns,
        artifact=artifact,
    )


def _still_units(content: ContentStore, links: Sequence[Unit]) -> list[Unit]:
    """Return the links, without those to units that were removed since: they must not come back."""
    present: dict[bytes, int] = {}
    digests = [unit_key_digest(link.type_id, link.key) for link in links]
    for type_id in {link.type_id for link in links}:
        present.update(content.known(type_id, digests))
    pairs = zip(links, digests, strict=True)
    return [link for link, digest in pairs if present.get(digest) == link.id]


def _still_stored(content: ContentStore, units: Sequence[Unit]) -> list[Unit]:
    """Return the units, without files that were removed since they were looked up."""
    wanted = {unit.artifact for unit in units if unit.artifact}
    gone = wanted.difference(content.has_artifacts(wanted)) if wanted else ()
    return [replace(unit, artifact=None) if unit.artifact in gone else unit for unit in units]


def _url(feed: str, package: Offered) -> str:
    """Return where a package can be downloaded; it may name a base of its own.

    Raises:
        Unparsable: the base is no URL, or leads from the net to this machine's files.
    """
    if not package.base:
        return join_feed(feed, package.location)
    try:
        base = parse_feed(package.base).url
    except ValueError as error:
        raise Unparsable(f"{package.columns.filename} has a base of its own: {error}") from error
    if feed.startswith("file:") or base.startswith("file:"):
        reason = f"{package.columns.filename} lies in another place than the feed"
        raise MalformedRepository(reason)
    return join_feed(base, package.location)


def details_of(failure: DownloadFailed) -> dict[str, str]:
    """Return a failure as the progress report lists it, in texts that a feed can't make long."""
    name = failure.url.rpartition("/")[2]
    texts = {"name": name, "url": failure.url, "error": failure.reason}
    details = {key: text[:_MAX_DETAIL] for key, text in texts.items()}
    return details | ({"error_code": failure.error_code} if failure.error_code else {})


def _failed(failures: Sequence[DownloadFailed], total: int) -> DownloadFailed:
    """Return the error that stands for all failures."""
    first = failures[0]
    more = f" ({len(failures)} of {total} packages failed)" if len(failures) > 1 else ""
    return DownloadFailed(first.url, first.reason + more, error_code=first.error_code)
