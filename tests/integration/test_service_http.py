"""The HTTP server of feeds: it serves files, misbehaves as told, and leaves nothing behind."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.services.http import HTML, Answer, FeedServer


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[FeedServer]:
    """Yield a server of a folder with one file."""
    tmp_path.joinpath("a").mkdir()
    tmp_path.joinpath("a/x.rpm").write_bytes(b"0123456789")
    with FeedServer(tmp_path) as server:
        yield server


def test_files_are_served_over_one_connection(feed: FeedServer) -> None:
    """Two requests share a connection; both are in the log and nothing outside is served."""
    with httpx.Client(base_url=feed.url) as client:
        assert client.get("a/x.rpm").content == b"0123456789"
        assert client.get("a/%2e%2e/%2e%2e/etc/passwd").status_code == 404
        assert client.head("a/x.rpm").headers["content-length"] == "10"
    assert [request.status for request in feed.requests] == [200, 404, 200]
    assert feed.count("/a/x.rpm") == 2


def test_an_answer_can_be_set_for_some_requests(feed: FeedServer) -> None:
    """The first request fails, the next is served, and a page can stand for a file."""
    feed.answer("*.rpm", Answer(status=503, times=1))
    assert httpx.get(feed.url + "a/x.rpm").status_code == 503
    assert httpx.get(feed.url + "a/x.rpm").content == b"0123456789"
    feed.answer("*.rpm", Answer(body=HTML))
    assert httpx.get(feed.url + "a/x.rpm").content == HTML
    feed.behave()
    assert httpx.get(feed.url + "a/x.rpm").content == b"0123456789"


def test_credentials_and_redirects(feed: FeedServer) -> None:
    """Without the password the answer is 401; a redirect goes where it was told to."""
    feed.answer("*", Answer(credentials=("ada", "s")))
    assert httpx.get(feed.url + "a/x.rpm").status_code == 401
    assert httpx.get(feed.url + "a/x.rpm", auth=("ada", "s")).status_code == 200
    feed.answer("*", Answer(status=302, headers={"Location": "file:///etc/passwd"}))
    assert httpx.get(feed.url + "a/x.rpm").headers["location"] == "file:///etc/passwd"


def test_a_body_can_be_cut(feed: FeedServer) -> None:
    """The connection closes though more was announced."""
    feed.answer("*", Answer(cut=4))
    connection = http.client.HTTPConnection("127.0.0.1", feed.port)
    connection.request("GET", "/a/x.rpm")
    with pytest.raises(http.client.IncompleteRead) as caught:
        connection.getresponse().read()
    connection.close()
    assert caught.value.partial == b"0123"


def test_it_ends_though_a_client_still_waits(tmp_path: Path) -> None:
    """A drip and a closed gate end with the server; no thread is left."""
    tmp_path.joinpath("x").write_bytes(b"0123456789")
    before = threading.active_count()
    with FeedServer(tmp_path) as feed:
        feed.answer("/x", Answer(drip=30.0))
        feed.answer("/y", Answer(gate=threading.Event()))
        dripping = http.client.HTTPConnection("127.0.0.1", feed.port)
        dripping.request("GET", "/x")
        assert dripping.getresponse().read(1) == b"0"
        waiting = http.client.HTTPConnection("127.0.0.1", feed.port)
        waiting.request("GET", "/y")
    dripping.close()
    waiting.close()
    assert threading.active_count() == before
