"""Downloads from a real server that misbehaves, redirects, and asks for credentials."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme

from pulpit.content.access import Access
from pulpit.content.download import Downloads, Fetched, Wanted
from pulpit.content.limits import Limits
from pulpit.errors import DownloadFailed
from tests.services.http import Answer, FeedServer

T = TypeVar("T")

_BODY = bytes(range(256)) * 1000
_SHA256 = sha256(_BODY).hexdigest()
_LIMITS = Limits(connect_timeout=1.0, read_timeout=0.5, backoff=0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one file to serve."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "file").write_bytes(_BODY)
    return served


@pytest.fixture
def server(folder: Path) -> Iterator[FeedServer]:
    """Yield a server of it."""
    with FeedServer(folder) as running:
        yield running


def wanted(url: str, **known: Any) -> Wanted:
    """Return the file at the URL as wanted."""
    return replace(Wanted(url=url, limit=1 << 20), **known)


def run(access: Access, act: Callable[[Downloads], Awaitable[T]], limits: Limits = _LIMITS) -> T:
    """Do something with downloads."""

    async def whole() -> T:
        async with Downloads(access, limits) as downloads:
            return await act(downloads)

    return asyncio.run(whole())


def fetch(server: FeedServer, path: Path, one: Wanted | None = None, **access: Any) -> Fetched:
    """Download the one file of the server."""
    reached = replace(Access(feed=server.url), **access)
    target = one or wanted(f"{server.url}file")
    return run(reached, lambda downloads: downloads.fetch(target, path))


def refused(server: FeedServer, path: Path, one: Wanted | None = None, **access: Any) -> str:
    """Fail to download the file; return why. Nothing may be left."""
    with pytest.raises(DownloadFailed) as caught:
        fetch(server, path, one, **access)
    assert not path.exists()
    return caught.value.reason


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_whole_and_right(server: FeedServer, tmp_path: Path, algorithm: str) -> None:
    """A file is hashed while it comes, by the feed's checksum and by our own."""
    digits = hashlib.new(algorithm, _BODY, usedforsecurity=False).hexdigest()
    one = wanted(f"{server.url}file", size=len(_BODY), checksum=(algorithm, digits))
    fetched = fetch(server, tmp_path / "got", one)
    assert (fetched.digest, fetched.size) == (_SHA256, len(_BODY))
    assert (tmp_path / "got").read_bytes() == _BODY


@pytest.mark.parametrize(
    ("known", "reason", "code"),
    [
        ({"checksum": ("sha256", "0" * 64)}, "its sha256 checksum is", "checksum_mismatch"),
        ({"size": len(_BODY) - 1}, "its size is more than", "size_mismatch"),
        ({"size": len(_BODY) + 1}, "its size is 256000 bytes, not", "size_mismatch"),
        ({"limit": 1000}, "its size is more than the 1000 bytes", "size_mismatch"),
        ({"checksum": ("crc7", "00")}, "'crc7' is not known", "checksum_type_unknown"),
    ],
)
def test_wrong_files(
    server: FeedServer, tmp_path: Path, known: dict[str, object], reason: str, code: str
) -> None:
    """What is not as wanted is refused at once, with its code, and not asked for again."""
    with pytest.raises(DownloadFailed) as caught:
        fetch(server, tmp_path / "got", wanted(f"{server.url}file", **known))
    assert reason in caught.value.reason
    assert caught.value.error_code == code
    assert not (tmp_path / "got").exists()
    assert server.count() <= 1


@pytest.mark.parametrize("answer", [Answer(status=503, times=2), Answer(cut=1000, times=2)])
def test_trouble_that_passes(server: FeedServer, tmp_path: Path, answer: Answer) -> None:
    """A server in trouble, or a connection that breaks, is tried again."""
    server.answer("/file", answer)
    assert fetch(server, tmp_path / "got").digest == _SHA256
    assert server.count() == 3


@pytest.mark.parametrize(
    ("answer", "reason", "requests"),
    [
        (Answer(status=503), "503 Service Unavailable", 3),
        (Answer(cut=1000), "the answer is cut off", 3),
        (Answer(status=404), "404 Not Found", 1),
        (Answer(status=403), "403 Forbidden", 1),
        (Answer(status=206), "206 Partial Content", 1),
        (Answer(drip=0.2), "no answer in time", 1),
        (Answer(status=302), "redirects to nowhere", 1),
    ],
)
def test_trouble_that_stays(
    server: FeedServer, tmp_path: Path, answer: Answer, reason: str, requests: int
) -> None:
    """Other trouble ends in an error that says what it is, after as many attempts as help."""
    server.answer("/file", answer)
    assert reason in refused(server, tmp_path / "got")
    assert server.count() <= requests


def test_silence(server: FeedServer, tmp_path: Path) -> None:
    """A server that never answers is given up."""
    gate = threading.Event()
    server.answer("/file", Answer(gate=gate))
    assert "no answer in time" in refused(server, tmp_path / "got")
    gate.set()


def test_nobody_there(folder: Path, tmp_path: Path) -> None:
    """A closed port is tried again, then told."""
    with FeedServer(folder) as gone:
        url = gone.url
    with pytest.raises(DownloadFailed, match="can't connect: Connection refused"):
        run(Access(feed=url), lambda d: d.fetch(wanted(f"{url}file"), tmp_path / "got"))


def test_redirects(server: FeedServer, tmp_path: Path) -> None:
    """Redirects are followed, though not for ever."""
    server.answer("/old", Answer(status=301, headers={"Location": "/file"}))
    server.answer("/loop", Answer(status=302, headers={"Location": "/loop"}))
    assert fetch(server, tmp_path / "a", wanted(f"{server.url}old")).digest == _SHA256
    assert "more than 5 redirects" in refused(server, tmp_path / "b", wanted(f"{server.url}loop"))


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "ftp://127.0.0.1/file", "javascript:alert(1)", "http://", "//"]
)
def test_redirects_astray(server: FeedServer, tmp_path: Path, place: str) -> None:
    """A redirect to another scheme, or to nowhere, is refused."""
    server.answer("/file", Answer(status=302, headers={"Location": place}))
    assert "redirects" in refused(server, tmp_path / "got")


def test_http_feed_has_no_files_of_this_machine(server: FeedServer, tmp_path: Path) -> None:
    """A URL of a file is refused unless the feed itself is a folder of this machine."""
    local = wanted((server.folder / "file").as_uri())
    assert "can't be had over http" in refused(server, tmp_path / "got", local)


def test_credentials_stay_at_home(server: FeedServer, folder: Path, tmp_path: Path) -> None:
    """Basic credentials and token go to the feed's host, and not where it redirects to."""
    login = ("ada", "s3cret:\N{PILE OF POO}")
    server.answer("/file", Answer(credentials=login))
    with FeedServer(folder) as other:
        server.answer("/far", Answer(status=302, headers={"Location": f"{other.url}file"}))
        known: dict[str, Any] = {"username": login[0], "password": login[1], "query": "token=1"}
        assert fetch(server, tmp_path / "a", **known).digest == _SHA256
        fetch(server, tmp_path / "b", wanted(f"{server.url}far"), **known)
        [far] = other.requests
        assert "authorization" not in {name.lower() for name in far.headers}
        assert "token" not in far.path
    sent = base64.b64encode(":".join(login).encode()).decode()
    assert {name.lower(): value for name, value in server.requests[0].headers.items()}[
        "authorization"
    ] == f"Basic {sent}"
    reason = refused(server, tmp_path / "c", username="ada", password="wr0ng-one")
    assert "401" in reason
    assert "wr0ng-one" not in reason


def test_tls(folder: Path, tmp_path: Path) -> None:
    """A certificate is checked against the given authority, unless that is turned off."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    pem = authority.cert_pem.bytes().decode()
    with FeedServer(folder, tls=context) as server:
        assert fetch(server, tmp_path / "a", ca=pem).digest == _SHA256
        assert fetch(server, tmp_path / "b", verify=False).digest == _SHA256
        assert "certificate" in refused(server, tmp_path / "c")


def test_client_certificate(folder: Path, tmp_path: Path) -> None:
    """A feed that asks for a client's certificate gets ours; a broken one is told before."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    mine = authority.issue_cert("client@chapel.example")
    pem = authority.cert_pem.bytes().decode()
    cert = mine.cert_chain_pems[0].bytes().decode()
    key = mine.private_key_pem.bytes().decode()
    with FeedServer(folder, tls=context) as server:
        assert fetch(server, tmp_path / "a", ca=pem, client_cert=cert, client_key=key).size
        refused(server, tmp_path / "b", ca=pem)
        with pytest.raises(ValueError, match="certificate or key"):
            fetch(server, tmp_path / "c", ca=pem, client_cert=cert, client_key="no key")


def test_proxy(server: FeedServer, folder: Path, tmp_path: Path) -> None:
    """Requests go through the proxy, with its own credentials."""
    with FeedServer(folder) as proxy:
        known: dict[str, Any] = {"proxy": proxy.url, "proxy_username": "p", "proxy_password": "q"}
        proxy.answer("*", Answer(body=_BODY))
        assert fetch(server, tmp_path / "got", **known).digest == _SHA256
        assert not server.count()
        [request] = proxy.requests
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert headers["proxy-authorization"] == "Basic " + base64.b64encode(b"p:q").decode()


def test_many_at_a_time(server: FeedServer, tmp_path: Path) -> None:
    """Several downloads run at once; good and bad outcomes both come; leaving early is clean."""
    names = iter(range(1000))

    async def all_of(downloads: Downloads) -> list[bool]:
        urls = [f"{server.url}{'file' if n % 2 else 'absent'}?{n}" for n in range(20)]
        outcomes = downloads.fetch_all(
            [wanted(url) for url in urls], lambda: tmp_path / str(next(names))
        )
        return [isinstance(outcome, Fetched) async for outcome in outcomes]

    assert sorted(run(Access(feed=server.url), all_of)) == [False] * 10 + [True] * 10
    assert len(list(tmp_path.glob("[0-9]*"))) == 10

    async def first_of(downloads: Downloads) -> None:
        outcomes = downloads.fetch_all(
            [wanted(f"{server.url}file?{n}") for n in range(20)],
            lambda: tmp_path / f"x{next(names)}",
        )
        first = await anext(outcomes)
        assert isinstance(first, Fetched)
        first.path.unlink()
        await outcomes.aclose()

    run(Access(feed=server.url), first_of)
    assert not list(tmp_path.glob("x*"))


def test_files_of_this_machine(folder: Path, tmp_path: Path) -> None:
    """A file feed is read where it lies; folders and devices are no files."""
    access = Access(feed=folder.as_uri())
    got = tmp_path / "got"
    assert run(access, lambda d: d.fetch(wanted(f"{folder.as_uri()}/file"), got)).size
    got.unlink()
    for path, reason in ((folder, "irectory|not a file"), (Path("/dev/zero"), "not a file")):
        with pytest.raises(DownloadFailed, match=reason):
            run(access, lambda d, path=path: d.fetch(wanted(path.as_uri()), got))  # type: ignore[misc]
