"""The configuration of a yum importer: what is kept of it, and what a sync makes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from pulpit.content import importer_config
from pulpit.content.access import Access
from pulpit.content.importer_config import (
    BOOLEAN,
    COUNT,
    Check,
    Policy,
    access_of,
    is_true,
    policy_of,
    whole,
)
from pulpit.content.rpm.signature_policy import SignaturePolicy, are_keys, signatures_of
from pulpit.errors import InvalidValue

__all__ = ["SyncPlan", "normalized", "plan_of"]


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
    #: What packages must be signed with.
    signatures: SignaturePolicy
    #: Stands for all of the above but access: equal plans bring in equal content.
    digest: str

    @property
    def immediate(self) -> bool:
        """True if the sync itself downloads package files."""
        return self.policy is Policy.IMMEDIATE


def _names(value: Any) -> bool:
    """Accept a list of names."""
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


#: Of the keys that only a yum importer has.
_CHECKS: Mapping[str, Check] = {
    **dict.fromkeys(("force_full", "recursive", "recursive_conservative"), BOOLEAN),
    "require_signature": BOOLEAN,
    "allowed_keys": (are_keys, "must be a list of key ids of at least 8 hexadecimal digits"),
    "retain_old_count": COUNT,
    "type_skip_list": (_names, "must be a list of content types"),
}


def normalized(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as it is kept; see ``pulpit.content.importer_config.normalized``.

    Raises:
        InvalidValue: a key has a value that can't be used.
    """
    return importer_config.normalized(config, _CHECKS)


def plan_of(config: Mapping[str, Any], override: Mapping[str, Any]) -> SyncPlan:
    """Return what a sync with this configuration, overridden in parts, is to do.

    Raises:
        NoFeed: there is no feed.
        InvalidValue: a key has a value that can't be used.
    """
    known = normalized({**config, **override})
    plan = SyncPlan(
        access=access_of(known),
        policy=policy_of(known),
        remove_missing=is_true(known.get("remove_missing"), default=False),
        retain_old_count=whole(known.get("retain_old_count")),
        skipped=frozenset(known.get("type_skip_list") or ()),
        validate=is_true(known.get("validate"), default=False),
        max_downloads=whole(known.get("max_downloads")),
        forced=is_true(known.get("force_full"), default=False),
        signatures=signatures_of(known),
        digest="",
    )
    if plan.signatures.asks and not plan.immediate:
        why = "signatures can be told of files only: use immediate, or take away the other keys"
        raise InvalidValue("download_policy", "require_signature", "allowed_keys", why=why)
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
    if plan.signatures.asks:
        facts += [plan.signatures.required, plan.signatures.allowed]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()
