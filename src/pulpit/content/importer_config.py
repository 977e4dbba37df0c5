"""What the configurations of all importers have in common: the feed, and how it is reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from pulpit.content.access import Access
from pulpit.content.feeds import parse_feed
from pulpit.errors import InvalidValue, NoFeed

__all__ = [
    "BOOLEAN",
    "COUNT",
    "POSITIVE",
    "Check",
    "Policy",
    "access_of",
    "is_true",
    "normalized",
    "policy_of",
    "whole",
]

#: Tells whether a value can be used, and says what it must be.
Check = tuple[Callable[[Any], bool], str]


class Policy(StrEnum):
    """When files are downloaded."""

    IMMEDIATE = "immediate"
    ON_DEMAND = "on_demand"
    #: As on demand, with a task after the sync that downloads what is missing.
    BACKGROUND = "background"


def _text(value: Any) -> bool:
    """Accept text of one line or many."""
    return isinstance(value, str) and "\0" not in value


def _boolean(value: Any) -> bool:
    """Accept what Pulp 2 took for a boolean."""
    return isinstance(value, bool) or str(value).lower() in ("true", "false")


def _count(value: Any) -> bool:
    """Accept whole numbers from 0, as text too."""
    if isinstance(value, bool):
        return False
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return text.isascii() and text.isdigit() and len(text) <= 15  # noqa: PLR2004 - far enough


def _positive(value: Any) -> bool:
    """Accept whole numbers from 1."""
    return _count(value) and float(value) >= 1


def _policy(value: Any) -> bool:
    """Accept a download policy."""
    return isinstance(value, str) and value in list(Policy)


_TEXT: Check = (_text, "must be text")
BOOLEAN: Check = (_boolean, "must be true or false")
COUNT: Check = (_count, "must be a whole number from 0")
POSITIVE: Check = (_positive, "must be a whole number from 1")
_CHECKS: Mapping[str, Check] = {
    **dict.fromkeys(
        (
            "feed",
            "ssl_ca_cert",
            "ssl_client_cert",
            "ssl_client_key",
            "proxy_host",
            "proxy_username",
            "proxy_password",
            "basic_auth_username",
            "basic_auth_password",
            "query_auth_token",
        ),
        _TEXT,
    ),
    **dict.fromkeys(("validate", "remove_missing", "ssl_validation"), BOOLEAN),
    "num_retries": COUNT,
    **dict.fromkeys(("proxy_port", "max_speed", "max_downloads"), POSITIVE),
    "download_policy": (_policy, "must be immediate, on_demand or background"),
}
_NO_CHECKS: Mapping[str, Check] = {}


def normalized(
    config: Mapping[str, Any], checks: Mapping[str, Check] = _NO_CHECKS
) -> dict[str, Any]:
    """Return a configuration as it is kept, the credentials of its feed's URL in their own keys.

    Keys that are not known are kept: clients of Pulp 2 send some that mean nothing here.

    Args:
        config: as a client sent it.
        checks: of keys that only this type of importer has.

    Raises:
        InvalidValue: a key has a value that can't be used.
    """
    kept = dict(config)
    for key, (accepts, reason) in {**_CHECKS, **checks}.items():
        if kept.get(key) is not None and not accepts(kept[key]):
            raise InvalidValue(key, why=reason)
    if kept.get("feed"):
        try:
            feed = parse_feed(kept["feed"])
        except ValueError as error:
            raise InvalidValue("feed", why=str(error)) from error
        kept["feed"] = feed.url
        if feed.username is not None:
            kept["basic_auth_username"] = feed.username
            kept["basic_auth_password"] = feed.password or ""
    if "@" in (kept.get("proxy_host") or ""):
        raise InvalidValue("proxy_host", why="name the login in proxy_username, proxy_password")
    if ":" in (kept.get("basic_auth_username") or ""):
        raise InvalidValue("basic_auth_username", why="must not have a colon in it")
    return kept


def access_of(config: Mapping[str, Any]) -> Access:
    """Return how the feed of a configuration is reached, of whatever type the importer is.

    Raises:
        NoFeed: it has none.
        InvalidValue: a key has a value that can't be used.
    """
    known = normalized(config)
    if not known.get("feed"):
        raise NoFeed
    return Access(
        feed=known["feed"],
        username=known.get("basic_auth_username") or None,
        password=known.get("basic_auth_password"),
        query=known.get("query_auth_token") or None,
        proxy=_proxy(known),
        proxy_username=known.get("proxy_username") or None,
        proxy_password=known.get("proxy_password"),
        verify=is_true(known.get("ssl_validation"), default=True),
        ca=known.get("ssl_ca_cert") or None,
        client_cert=known.get("ssl_client_cert") or None,
        client_key=known.get("ssl_client_key") or None,
        max_speed=whole(known.get("max_speed")),
    )


def policy_of(config: Mapping[str, Any]) -> Policy:
    """Return when files are downloaded, by a configuration that was checked."""
    return Policy(config.get("download_policy") or Policy.IMMEDIATE)


def is_true(value: Any, *, default: bool) -> bool:
    """Return what a checked boolean says, or the default for None."""
    return default if value is None else str(value).lower() == "true"


def whole(value: Any) -> int | None:
    """Return a checked whole number, which may stand in a text; None for None."""
    return None if value is None else int(float(value))


def _proxy(config: Mapping[str, Any]) -> str | None:
    """Return the URL of the proxy, which Pulp 2 took with or without a scheme."""
    host = config.get("proxy_host")
    if not host:
        return None
    scheme, found, name = host.rpartition("://")
    if scheme not in ("", "http", "https"):
        raise InvalidValue("proxy_host", why="must be the name of a host, or begin with http://")
    port = config.get("proxy_port")
    url = f"{scheme if found else 'http'}://{quote(name.strip('/'), safe=':[].-')}"
    return f"{url}:{whole(port)}" if port else url
