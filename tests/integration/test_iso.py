"""Isos: synced from a real HTTP server, published, served, and fetched on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pulpit.content.iso.importer import IsoImporter
from pulpit.content.iso.manifest import MANIFEST
from pulpit.content.limits import Limits
from pulpit.content.sources import SourceDownloads
from pulpit.domain.published import Root
from pulpit.domain.uploads import Uploaded, UploadedFile
from pulpit.errors import (
    ChecksumMismatch,
    ContentError,
    DownloadFailed,
    InvalidValue,
    MetadataUnavailable,
    MissingValue,
    PulpitError,
    Unparsable,
)
from pulpit.services.content import Content, Folder, Stored
from tests.integration.serving import serving
from tests.isos import IsoSite, entry, iso_site, make_feed
from tests.services.http import HTML, Answer, FeedServer

_FILES = {
    "boot.iso": bytes(range(256)) * 500,
    "images/pxe/initrd img#1.bin": b"initrd" * 100,
    "100%25.txt": b"a percent sign",
    "empty": b"",
    "copy of boot.iso": bytes(range(256)) * 500,
}


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a manifest."""
    return make_feed(tmp_path_factory.mktemp("feed") / "feed", _FILES)


@pytest.fixture
def server(feed: Path) -> Iterator[FeedServer]:
    """Yield a server of it."""
    with FeedServer(feed) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, new_database: Path) -> Iterator[IsoSite]:
    """Yield an empty store."""
    with iso_site(tmp_path / "data", new_database) as opened:
        yield opened


def test_an_immediate_sync(site: IsoSite, server: FeedServer) -> None:
    """All files are brought in and verified, equal ones once; the report is Pulp 2's."""
    site.repository("isos", server.url)
    result = site.sync("isos")
    assert (result["added_count"], result["updated_count"], result["removed_count"]) == (5, 0, 0)
    assert result["summary"]["state"] == "complete"
    units = site.units("isos")
    assert units.keys() == _FILES.keys()
    for name, content in _FILES.items():
        digest = sha256(content).hexdigest()
        assert units[name].key == {"name": name, "checksum": digest, "size": len(content)}
        assert units[name].artifact == digest
        assert site.files.path(digest).read_bytes() == content
    assert server.count() == 5
    states = [report["iso_importer"]["state"] for report, boundary in site.reports if boundary]
    assert list(dict.fromkeys(states)) == ["manifest_in_progress", "isos_in_progress", "complete"]
    last = site.reports[-1][0]["iso_importer"]
    size = sum(map(len, _FILES.values())) - len(_FILES["boot.iso"])
    assert last == {
        "state": "complete",
        "state_times": dict.fromkeys(
            ("not_started", "manifest_in_progress", "isos_in_progress", "complete"),
            "2026-01-02T04:04:05Z",
        ),
        "num_isos": 4,
        "num_isos_finished": 4,
        "total_bytes": size,
        "finished_bytes": size,
        "iso_error_messages": [],
        "error_message": None,
        "traceback": None,
    }
    assert site.counts("isos") == (0, 0)
    assert server.count("/*.iso") == 1


def test_what_has_left_the_manifest(tmp_path: Path, site: IsoSite) -> None:
    """It stays unless remove_missing says otherwise; new files come in from a folder too."""
    folder = make_feed(tmp_path / "feed", {"a": b"1", "b": b"2"})
    site.repository("isos", folder.as_uri())
    assert site.counts("isos") == (2, 0)
    make_feed(folder, {"b": b"2", "c": b"3"})
    assert site.counts("isos") == (1, 0)
    assert site.counts("isos", remove_missing=True) == (0, 1)
    assert site.units("isos").keys() == {"b", "c"}


def test_stored_files_are_not_downloaded_again(site: IsoSite, server: FeedServer) -> None:
    """Another repository takes them from the store, unless they are rotten and are validated."""
    site.repository("one", server.url)
    site.repository("two", server.url)
    site.sync("one")
    server.forget()
    assert site.counts("two") == (5, 0)
    assert [request.path for request in server.requests] == [f"/{MANIFEST}"]
    path = site.files.path(sha256(b"a percent sign").hexdigest())
    path.write_bytes(b"A PERCENT SIGN")
    assert site.counts("two", validate=True) == (0, 0)
    assert server.count("/100*") == 1
    assert path.read_bytes() == b"a percent sign"


def test_one_bad_file(site: IsoSite, server: FeedServer) -> None:
    """The sync fails and the repository stays; the next one downloads only what is missing."""
    site.repository("isos", server.url)
    server.answer("/empty", Answer(body=b"not at all"))
    server.answer("/100*", Answer(status=404))
    with pytest.raises(DownloadFailed, match="2 of 4 files failed"):
        site.sync("isos")
    report = site.reports[-1][0]["iso_importer"]
    assert report["state"] == "isos_failed"
    assert "2 of 4 files failed" in report["error_message"]
    errors = {one["name"]: one["error"] for one in report["iso_error_messages"]}
    assert errors.keys() == {"empty", "100%25.txt"}
    assert "Not Found" in errors["100%25.txt"]
    assert report["finished_bytes"] == len(_FILES["boot.iso"]) + 600
    assert site.units("isos") == {}
    server.behave()
    server.forget()
    assert site.counts("isos") == (5, 0)
    assert server.count("/boot.iso") == server.count("/copy*") == 0


@pytest.mark.parametrize(
    ("answer", "error", "state"),
    [
        (Answer(status=404), MetadataUnavailable, "manifest_failed"),
        (Answer(body=HTML), Unparsable, "manifest_failed"),
        (Answer(body=b"\xff\xfe\x00"), Unparsable, "manifest_failed"),
        (Answer(body=b"../../etc/passwd," + b"a" * 64 + b",1\n"), Unparsable, "manifest_failed"),
    ],
)
def test_bad_manifests(
    site: IsoSite, server: FeedServer, answer: Answer, error: type[ContentError], state: str
) -> None:
    """A manifest that can't be had or read fails the sync before any file is asked for."""
    site.repository("isos", server.url)
    server.answer(f"/{MANIFEST}", answer)
    with pytest.raises(error):
        site.sync("isos")
    assert site.reports[-1][0]["iso_importer"]["state"] == state
    assert server.count() == 1


def test_orphans_removed_meanwhile(site: IsoSite, server: FeedServer) -> None:
    """Files that somebody removes as orphans before they are associated are fetched again."""
    site.repository("isos", server.url)
    removed = 0

    def remove() -> None:
        nonlocal removed
        with site.storage.write() as transaction:
            count, digests = transaction.content.remove_orphans()
            site.files.remove(digests)
        removed += count
        if removed:
            site.before_write = None

    site.before_write = remove
    assert site.counts("isos") == (5, 0)
    assert removed == 5
    for name, unit in site.units("isos").items():
        assert unit.artifact
        assert site.files.path(unit.artifact).read_bytes() == _FILES[name]


def test_published_files_and_manifest(site: IsoSite, feed: Path) -> None:
    """Files are served below /pulp/isos/ at their names, and can be synced from there."""
    site.repository("isos", feed.as_uri())
    site.sync("isos")
    result = site.publish("isos")
    assert result["summary"] == dict.fromkeys(("isos", "manifest", "publish_directory"), "FINISHED")
    steps = site.reports[-1][0]["iso_distributor"]
    assert (steps[0]["num_success"], steps[0]["items_total"]) == (5, 5)

    async def act() -> None:
        async with serving(site) as client:
            client.base_url = client.base_url.join("/pulp/isos/isos/")
            for name, content in _FILES.items():
                answer = await client.get(name.replace("%", "%25").replace("#", "%23"))
                assert answer.content == content
            part = await client.get("boot.iso", headers={"Range": "bytes=10-19"})
            assert (part.status_code, part.content) == (206, _FILES["boot.iso"][10:20])
            assert "initrd%20img%231.bin" in (await client.get("images/pxe/")).text
            assert (await client.get("../../repos/isos/boot.iso")).status_code == 404
            found = await client.get(MANIFEST)
            names = sorted(_FILES)
            lines = [",".join(map(str, entry(name, _FILES[name]))) for name in names]
            assert found.text.splitlines() == lines
            # the sync runs an event loop of its own, in a thread
            site.repository("again", str(client.base_url))
            assert await asyncio.to_thread(site.counts, "again") == (5, 0)

    asyncio.run(act())


def test_publishing_again(site: IsoSite, tmp_path: Path) -> None:
    """What is published is passed over; of equal names the newest alone is published."""
    folder = make_feed(tmp_path / "feed", {"a": b"old"})
    site.repository("isos", folder.as_uri())
    site.sync("isos")
    assert site.publish("isos", relative_url="x/y")["details"]
    assert str(site.publish("isos", relative_url="x/y")["summary"]).startswith("Skipped")
    assert site.publish("isos", relative_url="x/y", force_full=True)["details"]
    make_feed(folder, {"a": b"new"})
    assert site.counts("isos") == (1, 0)
    site.publish("isos", relative_url="x/y")
    content = Content(site.storage, site.files, clock=site.clock, grace_hours=1)
    published, manifest = (
        content.find("x/y/a", Root.ISOS),
        content.find(f"x/y/{MANIFEST}", Root.ISOS),
    )
    assert isinstance(published, Stored)
    assert isinstance(manifest, Stored)
    assert published.path.read_bytes() == b"new"
    assert manifest.path.read_text() == f"{','.join(map(str, entry('a', b'new')))}\n"
    assert content.find("x", Root.ISOS) == Folder(names=["y/"])
    # the feed goes back to what it had
    make_feed(folder, {"a": b"old"})
    assert site.counts("isos") == (1, 0)
    assert site.counts("isos") == (0, 0)
    site.publish("isos", relative_url="x/y")
    published = content.find("x/y/a", Root.ISOS)
    assert isinstance(published, Stored)
    assert published.path.read_bytes() == b"old"


def test_two_do_not_publish_at_one_place(site: IsoSite, feed: Path) -> None:
    """A repository can't publish where another does, by its id or by a URL."""
    site.repository("one", feed.as_uri())
    site.repository("two", feed.as_uri())
    site.publish("one")
    with pytest.raises(InvalidValue, match="collides"):
        site.publish("two", relative_url="one/below")
    site.publish("two")


@pytest.mark.parametrize("policy", ["on_demand", "background"])
def test_on_demand(site: IsoSite, server: FeedServer, policy: str) -> None:
    """Only the manifest is read; a file comes when it is asked for, and is checked on its way."""
    site.repository("isos", server.url, download_policy=policy)
    assert site.counts("isos") == (5, 0)
    assert server.count() == 1
    assert site.reports[-1][0]["iso_importer"]["num_isos"] == 0
    site.publish("isos")
    downloads = SourceDownloads(Limits(attempts=1))

    async def act() -> None:
        async with serving(site, downloads) as client:
            client.base_url = client.base_url.join("/pulp/isos/isos/")
            head = await client.head("boot.iso")
            assert head.headers["content-length"] == str(len(_FILES["boot.iso"]))
            for name in ("boot.iso", "images/pxe/initrd%20img%231.bin", "100%2525.txt"):
                assert (await client.get(name)).status_code == 200
            part = await client.get("copy%20of%20boot.iso", headers={"Range": "bytes=-3"})
            assert (part.status_code, part.content) == (206, b"\xfd\xfe\xff")
        await downloads.close()

    asyncio.run(act())
    with site.storage.read() as transaction:
        assert transaction.content.locally_stored("isos") == 4
    site.sync("isos", download_policy="immediate")
    with site.storage.read() as transaction:
        assert transaction.content.locally_stored("isos") == 5
    assert server.count("/boot.iso") == 1


def test_credentials_go_along(site: IsoSite, server: FeedServer) -> None:
    """The feed's login is used for the manifest and for every file."""
    server.answer("*", Answer(credentials=("user", "secret")))
    site.repository("isos", server.url.replace("://", "://user:secret@"))
    assert site.counts("isos") == (5, 0)
    with site.storage.read() as transaction:
        [importer] = transaction.repositories.importers(["isos"])
    assert importer.config["feed"] == server.url
    with pytest.raises(MetadataUnavailable):
        site.sync("isos", basic_auth_password="wrong")


def _upload(
    site: IsoSite, content: bytes, key: Mapping[str, Any], **metadata: Any
) -> Sequence[Mapping[str, Any]]:
    """Import an upload; return the units."""
    path = site.files.temporary()
    if content:
        path.write_bytes(content)
    file = UploadedFile(path=path, digest=sha256(content).hexdigest(), size=len(content))
    site.now += timedelta(minutes=1)
    with site.storage.read() as transaction:
        repository = transaction.repositories.get("isos")
        [importer] = transaction.repositories.importers(["isos"])
    uploaded = Uploaded(type_id="iso", key=key, metadata=metadata, file=file if content else None)
    return IsoImporter().upload(
        site, repository=repository, importer=importer, uploaded=uploaded, override={}
    )


def test_uploads(site: IsoSite, feed: Path) -> None:
    """An uploaded file is the same unit as a synced one; of equal names the last upload counts."""
    site.repository("isos", feed.as_uri())
    site.sync("isos")
    key = dict(entry("empty", b"").key)
    assert _upload(site, b"", key) == [{"type_id": "iso", "unit_key": key}]
    old, new = (dict(entry("x/a", content).key) for content in (b"old", b"new"))
    content = Content(site.storage, site.files, clock=site.clock, grace_hours=1)
    for number, (data, sent) in enumerate(((b"old", old), (b"new", new), (b"old", old))):
        own = {"description": str(number)}
        _upload(
            site, data, {**sent, "checksum": str(sent["checksum"]).upper()}, pulp_user_metadata=own
        )
        site.publish("isos")
        found = content.find("isos/x/a", Root.ISOS)
        assert isinstance(found, Stored)
        assert found.path.read_bytes() == data
    with site.storage.read() as transaction:
        counts = transaction.repositories.get("isos").content_unit_counts
    assert counts == {"iso": 7}
    assert site.units("isos")["x/a"].user_metadata["description"] in "12"
    assert not site.files.remove_temporary()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"checksum": "ab" * 32}, ChecksumMismatch),
        ({"size": 4}, ChecksumMismatch),
        ({"size": "many"}, InvalidValue),
        ({"size": [1]}, InvalidValue),
        ({"name": "../x"}, InvalidValue),
        ({"name": 5}, InvalidValue),
        ({"checksum": None}, MissingValue),
    ],
)
def test_uploads_that_cannot_be_used(
    site: IsoSite, changes: Mapping[str, Any], error: type[PulpitError]
) -> None:
    """A key that lies or leads elsewhere is refused, and nothing is kept."""
    site.repository("isos", "http://feed.example/")
    with pytest.raises(error):
        _upload(site, b"old", {**entry("a", b"old").key, **changes})
    assert site.units("isos") == {}
