"""URLs of feeds, and what metadata may say of places below them."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulpit.content.feeds import FeedUrl, join_feed, parse_feed, safe_location, shown_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://h/r", FeedUrl("http://h/r", None, None)),
        (" https://h:8443/r/?t=1#x ", FeedUrl("https://h:8443/r/?t=1", None, None)),
        ("http://u%40x:p%2Fq@h/r", FeedUrl("http://h/r", "u@x", "p/q")),
        ("http://u@[::1]:80/r", FeedUrl("http://[::1]:80/r", "u", None)),
        ("file:///srv/repo", FeedUrl("file:///srv/repo", None, None)),
        ("file://localhost/srv/repo", FeedUrl("file:///srv/repo", None, None)),
    ],
)
def test_feeds(text: str, expected: FeedUrl) -> None:
    """Credentials are taken out of the URL and decoded; the rest stays."""
    assert parse_feed(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ftp://h/r", "http, https or file, not 'ftp'"),
        ("/srv/repo", "http, https or file"),
        ("", "http, https or file"),
        ("http:///r", "names no host"),
        ("http://u:secret@h:port/r", "not a URL"),
        ("http://[h/r", "not a URL"),
        ("http://h/a b", "spaces"),
        ("http://h/\n", "control"),
        ("file://elsewhere/srv", "on this machine"),
        ("file:srv", "absolute"),
    ],
)
def test_feeds_that_cannot_be_used(text: str, reason: str) -> None:
    """Anything else is refused with the reason, without its password."""
    with pytest.raises(ValueError, match=reason) as caught:
        parse_feed(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "href",
    [
        "../x",
        "a/../../x",
        "%2e%2e/x",
        "a/%2E./x",
        "/etc/passwd",
        "//h/x",
        "http://h/x",
        "a/",
        "",
        ".",
        "a\\..\\x",
        "a\nb",
        "a\x00",
        "file:///x",
        "%2Fetc/passwd",
        "x" * 300,
        "a/" * 3000 + "x",
    ],
)
def test_places_outside(href: str) -> None:
    """A location that leads out of the feed, or is no file's name, is refused."""
    with pytest.raises(ValueError, match=r"is |has |leads "):
        safe_location(href)


@given(st.text(max_size=40))
def test_no_location_leaves_the_feed(href: str) -> None:
    """Whatever is accepted lies below the feed, on the feed's host."""
    try:
        location = safe_location(href)
    except ValueError:
        return
    parts = urlsplit(join_feed("http://h:1/base/", location))
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("http", "h:1", "", "")
    assert parts.path.startswith("/base/")
    assert ".." not in unquote(parts.path).split("/")


def test_joined() -> None:
    """Names are quoted as servers expect; a token in the feed's query stays."""
    assert join_feed("http://h/r?t=1", "a/b++ ^~1.rpm") == "http://h/r/a/b++%20%5E~1.rpm?t=1"
    assert join_feed("http://h", "a%20b?c#d%") == "http://h/a%20b%3Fc%23d%25"


def test_shown() -> None:
    """Messages show neither credentials nor tokens."""
    assert shown_url("http://u:p@h/r?token=t#f") == "http://h/r"
    assert shown_url("http://[h") == "(not a URL)"
