"""Serving published content over HTTP: files, ranges, folders, and older publications."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.integration.serving import asking, content_of, serving
from tests.published import Shelf, package, shelf

_RPM = bytes(range(256)) * 40
_BELL = "a/zoo/Packages/b/bell-1.0-1.noarch.rpm"
_REPOMD = "a/zoo/repodata/repomd.xml"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Shelf]:
    """Yield a store with a repository that has one stored package, published at a/zoo."""
    with shelf(tmp_path / "data") as opened:
        opened.repository("zoo", [package("bell", content=_RPM, artifact=opened.store(_RPM))])
        opened.publish("zoo", relative_url="a/zoo")
        yield opened


def get(
    store: Shelf, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET"
) -> httpx.Response:
    """Ask the server once."""

    async def run() -> httpx.Response:
        async with asking(store) as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(run())


def published_name(store: Shelf, kind: str) -> str:
    """Return the path of a metadata file that is published at a/zoo."""
    names = content_of(store).find("a/zoo/repodata/")
    return next(f"a/zoo/repodata/{name}" for name in names.names if kind in name)  # type: ignore[union-attr]


def test_package(store: Shelf) -> None:
    """A package comes whole, with the headers that clients and caches need."""
    answer = get(store, _BELL)
    assert (answer.status_code, answer.content) == (200, _RPM)
    assert answer.headers["content-type"] == "application/x-rpm"
    assert answer.headers["content-length"] == str(len(_RPM))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"].startswith('"')
    assert "last-modified" in answer.headers


def test_metadata(store: Shelf) -> None:
    """Metadata come as they are, compressed files not as an encoding of others."""
    repomd = get(store, _REPOMD)
    assert repomd.headers["content-type"] == "application/xml"
    assert repomd.text.startswith("<?xml")
    primary = get(store, published_name(store, "primary"))
    assert primary.headers["content-type"] == "application/gzip"
    assert "content-encoding" not in primary.headers
    assert b"<name>bell</name>" in gzip.decompress(primary.content)


def test_real_server(store: Shelf) -> None:
    """The same comes over a real connection, many times at once and in parts."""

    async def run() -> None:
        async with serving(store) as client:
            whole = await asyncio.gather(*(client.get(_BELL) for _ in range(20)))
            assert {answer.content for answer in whole} == {_RPM}
            part = await client.get(_BELL, headers={"Range": "bytes=1-3"})
            assert (part.status_code, part.content) == (206, _RPM[1:4])
            head = await client.head(_BELL)
            assert head.headers["content-length"] == str(len(_RPM))

    asyncio.run(run())


def test_how_long_it_may_be_kept(store: Shelf) -> None:
    """Only what is named by its content may be kept without asking again."""
    kept = {path: get(store, path).headers["cache-control"] for path in (_BELL, _REPOMD)}
    assert set(kept.values()) == {"max-age=0, must-revalidate"}
    assert get(store, published_name(store, "primary")).headers["cache-control"] == "max-age=86400"


def test_head(store: Shelf) -> None:
    """HEAD answers as GET does, without the body."""
    whole, head = get(store, _BELL), get(store, _BELL, method="HEAD")
    assert head.content == b""
    assert dict(head.headers) == dict(whole.headers)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_read_only(store: Shelf, method: str) -> None:
    """Nobody can change what is published here."""
    assert get(store, _BELL, method=method).status_code == 405


@pytest.mark.parametrize("path", [_BELL, _REPOMD])
def test_not_modified(store: Shelf, path: str) -> None:
    """Who has the file already is told so, by tag or by time."""
    headers = get(store, path).headers
    tag, modified = headers["etag"], headers["last-modified"]
    for known in (tag, f'"x", W/{tag}', "*"):
        answer = get(store, path, {"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    assert get(store, path, {"If-Modified-Since": modified}).status_code == 304
    fresh = {"If-None-Match": '"other"', "If-Modified-Since": modified}
    assert get(store, path, fresh).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=10000-", 10000, len(_RPM)),
        ("bytes=-7", len(_RPM) - 7, len(_RPM)),
        ("bytes=5-999999", 5, len(_RPM)),
    ],
)
def test_range(store: Shelf, wanted: str, start: int, end: int) -> None:
    """A part of a file may be asked for."""
    answer = get(store, _BELL, {"Range": wanted})
    assert (answer.status_code, answer.content) == (206, _RPM[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(_RPM)}"


def test_several_ranges(store: Shelf) -> None:
    """Several parts come in one answer."""
    answer = get(store, _BELL, {"Range": "bytes=0-4,100-104"})
    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    assert _RPM[0:5] in answer.content
    assert _RPM[100:105] in answer.content


@pytest.mark.parametrize("wanted", ["bytes=99999-", "bytes=-0"])
def test_range_beyond_the_end(store: Shelf, wanted: str) -> None:
    """A part that is not there can't be had; the answer says how much there is."""
    answer = get(store, _BELL, {"Range": wanted})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(_RPM)}"


@pytest.mark.parametrize("wanted", ["bytes", "bytes=", "bytes=a-b", "lines=1-2", "bytes=1-2;x"])
def test_range_that_is_none(store: Shelf, wanted: str) -> None:
    """A range that can't be understood is no range."""
    answer = get(store, _BELL, {"Range": wanted})
    assert (answer.status_code, answer.content) == (200, _RPM)


def test_range_of_the_same_file_only(store: Shelf) -> None:
    """If-Range sends the part of a file that is still the same, else the whole file."""
    tag = get(store, _BELL).headers["etag"]
    same = get(store, _BELL, {"Range": "bytes=0-4", "If-Range": tag})
    other = get(store, _BELL, {"Range": "bytes=0-4", "If-Range": '"other"'})
    assert (same.status_code, other.status_code) == (206, 200)
    assert other.content == _RPM


@pytest.mark.parametrize(
    "path",
    [
        "nope",
        "a/nope/",
        "a/zoo/nope",
        "a/zoo/Packages/b/bell-1.0-1.noarch.rpm/",
        "a/zoo/Packages/b/%2e%2e/b/bell-1.0-1.noarch.rpm",
        "a/zoo/repodata/..%2f..%2frepomd.xml",
        "a//zoo/repodata/repomd.xml",
        "a/zoo//",
        "..%2f..%2fpulpit.db",
        "%00",
        "%ff%fe",
        "a/" * 3000,
        "x" * 9000,
    ],
)
def test_what_is_not_there(store: Shelf, path: str) -> None:
    """What is not published is not found, however it is spelt."""
    assert get(store, path).status_code == 404


def test_folders(store: Shelf) -> None:
    """Folders are listed from the top down, each under its path with a slash."""
    assert 'href="./a/"' in get(store, "").text
    assert 'href="./zoo/"' in get(store, "a/").text
    top = get(store, "a/zoo/")
    assert top.headers["content-type"] == "text/html; charset=utf-8"
    assert 'href="./Packages/"' in top.text
    assert 'href="./repodata/"' in top.text
    assert 'href="./bell-1.0-1.noarch.rpm"' in get(store, "a/zoo/Packages/b/").text
    redirect = get(store, "a/zoo")
    assert (redirect.status_code, redirect.headers["location"]) == (301, "./zoo/")


def test_names_are_escaped(store: Shelf) -> None:
    """Names can't put markup into a listing, nor lead elsewhere."""
    store.repository("odd", [package("odd", filename='<b>"&?#%.rpm', content=b"odd")])
    store.publish("odd", relative_url='x"><script>')
    top, folder = get(store, "").text, get(store, 'x"><script>/Packages/_/').text
    assert "<script>" not in top + folder
    assert "<b>" not in folder
    assert 'href="./%3Cb%3E%22%26%3F%23%25.rpm"' in folder
    redirect = get(store, 'x"><script>')
    assert redirect.headers["location"] == "./x%22%3E%3Cscript%3E/"


def test_readers_of_an_older_publication_finish(store: Shelf) -> None:
    """Files of a replaced publication are served for an hour, and then removed."""
    old = published_name(store, "primary")
    before = get(store, old).content
    store.add("zoo", [package("organ")])
    store.later(minutes=1)
    _, folder = store.publish("zoo", relative_url="a/zoo")
    assert get(store, old).content == before
    assert "organ" in gzip.decompress(get(store, published_name(store, "primary")).content).decode()
    store.later(minutes=59)
    assert content_of(store).clean_up() == 0
    assert get(store, old).content == before
    store.later(minutes=2)
    assert content_of(store).clean_up() == 1
    assert get(store, old).status_code == 404
    assert get(store, _REPOMD).status_code == 200
    assert folder is not None
    assert store.files.publication_folders() == {folder.name}


def test_newest_of_older_publications(store: Shelf) -> None:
    """A path that the live publication lacks is served from the newest one that has it."""
    content = content_of(store)
    with store.storage.write() as transaction:
        units = [*transaction.content.members("zoo")]
        transaction.content.unassociate("zoo", units, now=store.later(minutes=1))
    store.publish("zoo", relative_url="a/zoo")
    assert get(store, _BELL).content == _RPM
    listing = content.find("a/zoo/Packages/b/")
    assert listing is None


def test_files_that_no_row_names_are_removed(store: Shelf) -> None:
    """What a killed process left goes after some hours; what is young or named stays."""
    young = store.files.temporary()
    young.write_bytes(b"young")
    path = store.files.keep(young, "ab" * 32)
    content = content_of(store)
    assert content.remove_strays() == 0
    # the time of the file is the machine's
    store.later(days=36500)
    assert content.remove_strays() == 1
    assert not path.exists()
    assert get(store, _BELL).content == _RPM


def test_cleaning_removes_what_came_to_nothing(store: Shelf) -> None:
    """Folders without a publication go at once, stray files after a while."""
    stray = store.files.publication_folder("stray")
    stray.mkdir()
    (stray / "file").write_bytes(b"")
    temporary = store.files.temporary()
    temporary.write_bytes(b"half")
    content = content_of(store)
    assert content.clean_up() == 1
    assert temporary.exists()
    # the time of the file is the machine's
    store.later(days=36500)
    assert content.clean_up() == 1
    assert not temporary.exists()
    assert get(store, _REPOMD).status_code == 200
