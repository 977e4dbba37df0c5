"""The configuration of an iso importer, as a sync follows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulpit.content.access import Access
from pulpit.content.importer_config import Policy, access_of, is_true, normalized, policy_of, whole

__all__ = ["IsoPlan", "plan_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IsoPlan:
    """What one sync is to do."""

    access: Access
    policy: Policy
    #: Whether files that the manifest no longer lists leave the repository.
    remove_missing: bool
    #: Whether files are checked again though they are stored already.
    validate: bool
    #: Downloads at a time; None: as the server is set.
    max_downloads: int | None

    @property
    def immediate(self) -> bool:
        """True if the sync itself downloads files."""
        return self.policy is Policy.IMMEDIATE


def plan_of(config: Mapping[str, Any], override: Mapping[str, Any]) -> IsoPlan:
    """Return what a sync with this configuration, overridden in parts, is to do.

    Raises:
        NoFeed: there is no feed.
        InvalidValue: a key has a value that can't be used.
    """
    known = normalized({**config, **override})
    return IsoPlan(
        access=access_of(known),
        policy=policy_of(known),
        remove_missing=is_true(known.get("remove_missing"), default=False),
        validate=is_true(known.get("validate"), default=False),
        max_downloads=whole(known.get("max_downloads")),
    )
