"""Packages that are fetched when they are first asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from pulpit.domain.units import Unit
from pulpit.errors import DownloadFailed
from tests.integration.serving import Sources, offer, serving
from tests.published import Shelf, package, shelf

_RPM = bytes(range(256)) * 1000
_PIECES = [_RPM[:100], _RPM[100:70_000], _RPM[70_000:]]
_URL = "http://feed.example/bell.rpm"
_BELL = "zoo/Packages/b/bell-1.0-1.noarch.rpm"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Shelf]:
    """Yield a store with a repository whose one package is not here yet."""
    with shelf(tmp_path / "data") as opened:
        add(opened, "zoo")
        yield opened


def add(store: Shelf, repo_id: str, url: str = _URL) -> int:
    """Publish a repository that has the package; return the unit's id."""
    ids = store.repository(repo_id, [package("bell", content=_RPM)])
    offer(store, repo_id, dict.fromkeys(ids.values(), url))
    store.publish(repo_id)
    return next(iter(ids.values()))


def unit(store: Shelf) -> Unit:
    """Return the package as it is stored."""
    with store.storage.read() as transaction:
        return transaction.content.unit(next(iter(transaction.content.members("zoo"))))


def leftovers(store: Shelf) -> int:
    """Return how many temporary files there are."""
    return store.files.remove_temporary()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what it looks at tells nobody
            await asyncio.sleep(0.005)


def run(act: Awaitable[None]) -> None:
    """Run a test's coroutine."""

    async def body() -> None:
        await act

    asyncio.run(body())


def test_first_reader_fetches(store: Shelf) -> None:
    """The first GET downloads, checks and keeps the package; the next one finds it here."""
    sources = Sources({_URL: _PIECES})

    async def act() -> None:
        async with serving(store, sources) as client:
            first, second = await client.get(_BELL), await client.get(_BELL)
            assert first.content == second.content == _RPM
            names = ("etag", "content-type", "content-length", "accept-ranges")
            for name in names:
                assert first.headers[name] == second.headers[name]

    run(act())
    assert sources.asked == [_URL]
    artifact = unit(store).artifact
    assert artifact is not None
    assert store.files.path(artifact).read_bytes() == _RPM
    assert leftovers(store) == 0


def test_file_that_somebody_deleted(store: Shelf) -> None:
    """A package whose file is gone from the store is fetched again."""
    sources = Sources({_URL: _PIECES})

    async def act() -> None:
        async with serving(store, sources) as client:
            await client.get(_BELL)
            store.files.path(unit(store).artifact or "").unlink()
            assert (await client.get(_BELL)).content == _RPM

    run(act())
    assert sources.asked == [_URL] * 2


def test_stampede_fetches_once(store: Shelf) -> None:
    """However many ask at once, the package is downloaded once, and all get it while it comes."""
    gate = asyncio.Event()
    sources = Sources({_URL: _PIECES}, gate=gate)
    begun = 0

    async def read(client: httpx.AsyncClient) -> bytes:
        nonlocal begun
        async with client.stream("GET", _BELL) as answer:
            begun += 1
            return await answer.aread()

    async def act() -> None:
        async with serving(store, sources) as client:
            readers = [asyncio.create_task(read(client)) for _ in range(40)]
            await until(lambda: begun == 40)
            gate.set()
            assert set(await asyncio.gather(*readers)) == {_RPM}

    run(act())
    assert sources.asked == [_URL]


def test_two_processes_fetch_once(store: Shelf) -> None:
    """A process waits for the download of another one."""
    gate = asyncio.Event()
    ours, theirs = Sources({_URL: _PIECES}, gate=gate), Sources({_URL: _PIECES})

    async def act() -> None:
        async with (
            serving(store, ours) as client,
            serving(store, theirs, owner="two") as other,
        ):
            first = asyncio.create_task(client.get(_BELL))
            await until(lambda: bool(ours.asked))
            second = asyncio.create_task(other.get(_BELL))
            done, _ = await asyncio.wait([second], timeout=0.4)
            assert not done
            gate.set()
            assert (await first).content == (await second).content == _RPM

    run(act())
    assert (ours.asked, theirs.asked) == ([_URL], [])


def test_lease_of_a_dead_process(store: Shelf) -> None:
    """The download of a process that is gone is taken over once its lease has run out."""
    sources = Sources({_URL: _PIECES})
    with store.storage.write() as transaction:
        unit_id = next(iter(transaction.content.members("zoo")))
        assert transaction.content.claim_download(unit_id, "dead", now=store.now, seconds=30)

    async def act() -> None:
        async with serving(store, sources) as client:
            reader = asyncio.create_task(client.get(_BELL))
            done, _ = await asyncio.wait([reader], timeout=0.4)
            assert not done
            assert sources.asked == []
            store.later(seconds=31)
            assert (await reader).content == _RPM

    run(act())


_WRONG = {
    "other bytes": [_RPM[:-1], b"x"],
    "too long": [_RPM, b"x"],
    "too short": [_RPM[:100], _RPM[100:-1]],
}


@pytest.mark.parametrize("pieces", _WRONG.values(), ids=_WRONG)
def test_wrong_file_never_comes_whole(store: Shelf, pieces: list[bytes]) -> None:
    """A file that is not what it should be ends in a broken connection or an error, and is gone."""
    gate = asyncio.Event()
    sources = Sources({_URL: pieces}, gate=gate)
    received = bytearray()

    async def act() -> None:
        async with serving(store, sources) as client, client.stream("GET", _BELL) as answer:
            assert answer.status_code == 200
            gate.set()
            async for piece in answer.aiter_raw():
                received.extend(piece)

    with pytest.raises(httpx.RemoteProtocolError):
        run(act())
    assert len(received) < len(_RPM)
    assert unit(store).artifact is None
    assert leftovers(store) == 0


def test_connection_lost_on_the_way(store: Shelf) -> None:
    """An upstream that breaks off breaks the reader off; the next one gets it whole."""
    gate = asyncio.Event()
    sources = Sources({_URL: _PIECES}, gate, DownloadFailed(_URL, "connection lost"))

    async def act() -> None:
        async with serving(store, sources) as client:
            async with client.stream("GET", _BELL) as answer:
                gate.set()
                with pytest.raises(httpx.RemoteProtocolError):
                    await answer.aread()
            sources.failure = None
            while (again := await client.get(_BELL)).status_code == 502:
                # it joined the attempt that was just failing
                assert "connection lost" in again.text
            assert again.content == _RPM

    run(act())


def test_failure_before_the_first_byte(store: Shelf) -> None:
    """A file that is wrong from its first piece on is an error, not a broken connection."""

    async def act() -> None:
        async with serving(store, Sources({_URL: [b"x" * (len(_RPM) + 1)]})) as client:
            answer = await client.get(_BELL)
            assert answer.status_code == 502
            assert "more than the 256000 bytes" in answer.text

    run(act())
    assert unit(store).artifact is None
    assert leftovers(store) == 0


def test_upstream_has_it_no_longer(tmp_path: Path) -> None:
    """What can't be had is 502 with the reason, without credentials or tokens."""
    with shelf(tmp_path / "data") as store:
        add(store, "zoo", "http://feed.example/gone.rpm")

        async def act() -> None:
            async with serving(store) as client:
                for headers in ({}, {"Range": "bytes=0-1"}):
                    answer = await client.get(_BELL, headers=headers)
                    assert answer.status_code == 502
                    assert answer.headers["content-type"].startswith("text/plain")
                    assert "http://feed.example/gone.rpm: Not Found" in answer.text

        run(act())


def test_wrong_file_at_a_url_with_a_token(tmp_path: Path) -> None:
    """The token of a URL stands in no message."""
    with shelf(tmp_path / "data") as store:
        url = "http://feed.example/bell.rpm?token=secret"
        add(store, "zoo", url)

        async def act() -> None:
            async with serving(store, Sources({url: [b"x" * (len(_RPM) + 1)]})) as client:
                answer = await client.get(_BELL)
                assert answer.status_code == 502
                assert "secret" not in answer.text

        run(act())


def test_next_source(store: Shelf) -> None:
    """A package that one feed has lost is fetched from another repository's feed."""
    second = "http://mirror.example/bell.rpm"
    add(store, "annex", second)
    sources = Sources({second: _PIECES})

    async def act() -> None:
        async with serving(store, sources) as client:
            assert (await client.get(_BELL)).content == _RPM

    run(act())
    assert sources.asked == [_URL, second]


def test_no_source(tmp_path: Path) -> None:
    """A package whose repository has no importer any longer can't be had, and that is said."""
    with shelf(tmp_path / "data") as store:
        add(store, "zoo")
        with store.storage.write() as transaction:
            transaction.repositories.remove_importer("zoo")

        async def act() -> None:
            async with serving(store) as client:
                answer = await client.get(_BELL)
                assert answer.status_code == 502
                assert "no repository has a source" in answer.text

        run(act())


def test_range_of_what_is_not_here(store: Shelf) -> None:
    """A part of a package can be had at once: all of it is fetched first."""
    sources = Sources({_URL: _PIECES})

    async def act() -> None:
        async with serving(store, sources) as client:
            answer = await client.get(_BELL, headers={"Range": "bytes=256-511"})
            assert (answer.status_code, answer.content) == (206, bytes(range(256)))
            whole = await client.get(_BELL)
            assert whole.content == _RPM

    run(act())
    assert sources.asked == [_URL]


def test_head_and_known_tag_fetch_nothing(store: Shelf) -> None:
    """HEAD and a tag that is known are answered from what the metadata say."""
    sources = Sources({_URL: _PIECES})

    async def act() -> None:
        async with serving(store, sources) as client:
            head = await client.head(_BELL)
            assert head.headers["content-length"] == str(len(_RPM))
            tag = head.headers["etag"]
            known = await client.get(_BELL, headers={"If-None-Match": tag})
            assert known.status_code == 304

    run(act())
    assert sources.asked == []


def test_reader_that_leaves(store: Shelf) -> None:
    """A download goes on when the reader who began it leaves."""
    gate = asyncio.Event()
    sources = Sources({_URL: _PIECES}, gate=gate)

    async def act() -> None:
        async with serving(store, sources) as client:
            async with client.stream("GET", _BELL) as answer:
                await anext(answer.aiter_raw())
            gate.set()
            assert (await client.get(_BELL)).content == _RPM

    run(act())
    assert sources.asked == [_URL]


def test_shutdown_on_the_way(store: Shelf) -> None:
    """A server that stops leaves neither a lease nor half a file."""
    sources = Sources({_URL: _PIECES}, gate=asyncio.Event())

    async def act() -> None:
        async with serving(store, sources) as client:
            reader = asyncio.create_task(client.get(_BELL))
            await until(lambda: bool(sources.asked))
        with pytest.raises(httpx.HTTPError):
            await reader

    run(act())
    assert leftovers(store) == 0
    with store.storage.write() as transaction:
        unit_id = next(iter(transaction.content.members("zoo")))
        assert transaction.content.claim_download(unit_id, "next", now=store.now, seconds=30)


@pytest.mark.parametrize("size", [1, 2])
def test_tiny_package(tmp_path: Path, size: int) -> None:
    """A file of one byte, of which nothing can be sent before it is verified, comes too."""
    with shelf(tmp_path / "data") as store:
        content = b"x" * size
        ids = store.repository("zoo", [package("bell", content=content)])
        offer(store, "zoo", dict.fromkeys(ids.values(), _URL))
        store.publish("zoo")

        async def act() -> None:
            async with serving(store, Sources({_URL: [b"", content]})) as client:
                assert (await client.get(_BELL)).content == content

        run(act())


def test_many_packages_at_once(tmp_path: Path) -> None:
    """Many different packages come at once, each right, no more than so many at a time."""
    with shelf(tmp_path / "data") as store:
        names = [f"p{number}" for number in range(30)]
        ids = store.repository("zoo", [package(name, content=name.encode() * 9) for name in names])
        urls = {ids[f"{name}-1.0-1.noarch.rpm"]: f"http://x/{name}" for name in names}
        offer(store, "zoo", urls)
        store.publish("zoo")
        sources = Sources({f"http://x/{name}": [name.encode() * 9] for name in names})

        async def act() -> None:
            async with serving(store, sources) as client:
                paths = [f"zoo/Packages/p/{name}-1.0-1.noarch.rpm" for name in names]
                answers = await asyncio.gather(*(client.get(path) for path in paths))
                assert [item.content for item in answers] == [name.encode() * 9 for name in names]

        run(act())
        assert sorted(sources.asked) == sorted(urls.values())
