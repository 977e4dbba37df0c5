"""The configuration of a yum importer: what is kept of it, and what a sync makes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import msgspec

from pulpit.content.access import Access
from pulpit.content.feeds import parse_feed
from pulpit.errors import InvalidValue, NoFeed

__all__ = ["Policy", "SyncPlan", "access_of", "normalized", "plan_of"]


class Policy(StrEnum):
    """When package files are downloaded."""

    IMMEDIATE = "immediate"
    ON_DEMAND = "on_demand"
    #: Taken as on demand: the files come when they are first asked for.
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPlan:
    """What one sync is to do."""

    access: Access
    policy: Policy
    #: Whether units that the feed no longer has leave the repository.
    remove_missing: bool
    #: How many older versions of a package are kept; None: all.
    retain_old_count: int | None
    #: Content types that are left as they are.
    skipped: frozenset[str]
    #: Whether downloaded files are checked again though they are stored already.
    validate: bool
    #: Downloads at a time; None: as the server is set.
    max_downloads: int | None
    #: Whether everything is done again though the feed has not changed.
    forced: bool
    #: Stands for all of the above but access: equal plans bring in equal content.
    digest: str

    @property
    def immediate(self) -> bool:
        """True if the sync itself downloads package files."""
        return self.policy is Policy.IMMEDIATE


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


def _names(value: Any) -> bool:
    """Accept a list of names."""
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _policy(value: Any) -> bool:
    """Accept a download policy."""
    return isinstance(value, str) and value in list(Policy)


_TEXT = "must be text"
_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
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
        (_text, _TEXT),
    ),
    **dict.fromkeys(
        ("validate", "remove_missing", "ssl_validation", "force_full"),
        (_boolean, "must be true or false"),
    ),
    **dict.fromkeys(("retain_old_count", "num_retries"), (_count, "must be a whole number from 0")),
    **dict.fromkeys(
        ("proxy_port", "max_speed", "max_downloads"), (_positive, "must be a whole number from 1")
    ),
    "type_skip_list": (_names, "must be a list of content types"),
    "download_policy": (_policy, "must be immediate, on_demand or background"),
}


def normalized(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as it is kept, the credentials of its feed's URL in their own keys.

    Keys that are not known are kept: clients of Pulp 2 send some that mean nothing here.

    Raises:
        InvalidValue: a key has a value that can't be used.
    """
    kept = dict(config)
    for key, (accepts, reason) in _CHECKS.items():
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
    """Return how the feed of a configuration is reached.

    Raises:
        NoFeed: it has none.
        InvalidValue: a key has a value that can't be used.
    """
    known = normalized(config)
    if not known.get("feed"):
        raise NoFeed
    speed = known.get("max_speed")
    return Access(
        feed=known["feed"],
        username=known.get("basic_auth_username") or None,
        password=known.get("basic_auth_password"),
        query=known.get("query_auth_token") or None,
        proxy=_proxy(known),
        proxy_username=known.get("proxy_username") or None,
        proxy_password=known.get("proxy_password"),
        verify=_is_true(known.get("ssl_validation"), default=True),
        ca=known.get("ssl_ca_cert") or None,
        client_cert=known.get("ssl_client_cert") or None,
        client_key=known.get("ssl_client_key") or None,
        max_speed=int(float(speed)) if speed is not None else None,
    )


def plan_of(config: Mapping[str, Any], override: Mapping[str, Any]) -> SyncPlan:
    """Return what a sync with this configuration, overridden in parts, is to do.

    Raises:
        NoFeed: there is no feed.
        InvalidValue: a key has a value that can't be used.
    """
    known = normalized({**config, **override})
    access = access_of(known)
    retain, downloads = known.get("retain_old_count"), known.get("max_downloads")
    plan = SyncPlan(
        access=access,
        policy=Policy(known.get("download_policy") or Policy.IMMEDIATE),
        remove_missing=_is_true(known.get("remove_missing"), default=False),
        retain_old_count=int(float(retain)) if retain is not None else None,
        skipped=frozenset(known.get("type_skip_list") or ()),
        validate=_is_true(known.get("validate"), default=False),
        max_downloads=int(float(downloads)) if downloads is not None else None,
        forced=_is_true(known.get("force_full"), default=False),
        digest="",
    )
    return replace(plan, digest=_digest(plan))


def _digest(plan: SyncPlan) -> str:
    """Return what stands for a plan."""
    facts = [
        plan.access.feed,
        plan.policy,
        plan.remove_missing,
        plan.retain_old_count,
        sorted(plan.skipped),
    ]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def _is_true(value: Any, *, default: bool) -> bool:
    """Return what a boolean says, or the default for None."""
    return default if value is None else str(value).lower() == "true"


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
    return f"{url}:{int(float(port))}" if port else url
