"""The URLs of feeds: which may be used, what lies below them, and how they are shown."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

__all__ = ["SCHEMES", "FeedUrl", "join_feed", "parse_feed", "safe_location", "shown_url"]

#: The schemes that a feed may have.
SCHEMES = ("http", "https", "file")
_MAX_LOCATION = 4096
_MAX_NAME = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_IS_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


class FeedUrl(NamedTuple):
    """A feed's URL, taken apart."""

    #: Without credentials and fragment.
    url: str
    username: str | None
    password: str | None


def parse_feed(text: str) -> FeedUrl:
    """Take the URL of a feed apart.

    Raises:
        ValueError: with the reason, if it can't be used as a feed; never shows credentials.
    """
    if _CONTROL.search(text) or " " in text.strip():
        raise ValueError("the feed's URL has spaces or control characters")
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("the feed is not a URL") from None
    if parts.scheme not in SCHEMES:
        raise ValueError(f"the feed's scheme must be http, https or file, not {parts.scheme!r}")
    if parts.scheme == "file":
        return FeedUrl(_file_feed(parts.path, host), None, None)
    if not host:
        raise ValueError("the feed's URL names no host")
    netloc = f"[{host}]" if ":" in host else host
    netloc += f":{port}" if port else ""
    url = urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))
    username = unquote(parts.username) if parts.username else None
    return FeedUrl(url, username, unquote(parts.password) if parts.password else None)


def _file_feed(path: str, host: str | None) -> str:
    """Return the URL of a folder of this machine."""
    if host not in (None, "", "localhost"):
        raise ValueError("a file feed must be on this machine, as in file:///srv/repo")
    if not path.startswith("/"):
        raise ValueError("a file feed must be an absolute path, as in file:///srv/repo")
    return f"file://{path}"


def safe_location(href: str) -> str:
    """Return a location of metadata as a path below the feed.

    Raises:
        ValueError: with the reason, if it leads out of the feed or is no file's name.
    """
    plain = unquote(href)
    if len(plain) > _MAX_LOCATION or _CONTROL.search(plain) or "\\" in plain:
        raise ValueError("has control characters or backslashes, or is too long")
    if plain.startswith("/"):
        raise ValueError("is an absolute path")
    if _IS_URL.match(plain):
        raise ValueError("is a URL")
    segments = plain.split("/")
    if ".." in segments:
        raise ValueError("leads out of the feed")
    name = segments[-1]
    if name in ("", ".") or len(name.encode(errors="replace")) > _MAX_NAME:
        raise ValueError("is not the name of a file")
    return "/".join(part for part in href.split("/") if part not in ("", "."))


def join_feed(feed: str, location: str) -> str:
    """Return the URL of a file below the feed; a query of the feed (a token) stays."""
    parts = urlsplit(feed)
    path = _STRAY_PERCENT.sub("%25", location)
    below = quote(path, safe="/%~!$&'()*+,;=:@")
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{below}"))


def shown_url(url: str) -> str:
    """Return the URL as messages may show it: without credentials, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    netloc = parts.netloc.rpartition("@")[2]
    return _CONTROL.sub("?", urlunsplit((parts.scheme, netloc, parts.path, "", "")))
