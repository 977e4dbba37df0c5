"""Repositories, and what brings content into them and out of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = [
    "DISTRIBUTOR_ID",
    "REPOSITORY_ID",
    "Distributor",
    "Importer",
    "Publication",
    "Repository",
]

#: What a repository may be called.
REPOSITORY_ID = re.compile(r"[.\-_A-Za-z0-9]+")
#: What a distributor may be called.
DISTRIBUTOR_ID = re.compile(r"[\-_A-Za-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A named set of content units."""

    id: str
    #: 24 hexadecimal digits, the ``_id`` of the document.
    oid: str
    display_name: str
    description: str | None = None
    #: JSON object of the user's own.
    notes: Mapping[str, Any] = field(default_factory=dict)
    #: JSON object of the importer's own.
    scratchpad: Mapping[str, Any] = field(default_factory=dict)
    #: Content type to number of units.
    content_unit_counts: Mapping[str, int] = field(default_factory=dict)
    last_unit_added: datetime | None = None
    last_unit_removed: datetime | None = None
    created: datetime
    #: Grows whenever units are added or removed; equal revisions hold equal content.
    content_revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Importer:
    """How content comes into a repository."""

    repo_id: str
    oid: str
    importer_type_id: str
    #: JSON object as the user sent it, credentials of the feed's URL taken apart.
    config: Mapping[str, Any] = field(default_factory=dict)
    scratchpad: Mapping[str, Any] = field(default_factory=dict)
    last_sync: datetime | None = None
    last_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Distributor:
    """How content goes out of a repository."""

    repo_id: str
    oid: str
    id: str
    distributor_type_id: str
    #: JSON object as the user sent it; given back unchanged.
    config: Mapping[str, Any] = field(default_factory=dict)
    auto_publish: bool = False
    scratchpad: Mapping[str, Any] = field(default_factory=dict)
    last_publish: datetime | None = None
    last_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One published state of a repository, at one URL."""

    #: Given by the store.
    id: int = 0
    repo_id: str
    distributor_id: str
    #: Without slashes at its ends.
    relative_url: str
    #: Name of its folder for generated files below the data folder's ``publications``.
    folder: str
    #: What it was made of and how; equal fingerprints publish equal content.
    fingerprint: str
    created: datetime
    #: True for the one that is served; switched in the transaction that finishes its task.
    live: bool = False
    #: When another took its place; its files are kept for a while after that.
    superseded: datetime | None = None
