"""Repositories, and what brings content into them and out of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pulpit.domain.clock import render_time
from pulpit.domain.published import Root

__all__ = [
    "DISTRIBUTOR_ID",
    "MASK",
    "PRIORITY",
    "PRIORITY_NOTE",
    "REPOSITORIES_HREF",
    "REPOSITORY_ID",
    "Distributor",
    "Importer",
    "Publication",
    "Repository",
    "distributor_document",
    "importer_document",
    "masked",
    "merged",
    "priority_of",
    "repository_document",
    "unmasked",
]

REPOSITORIES_HREF = "/pulp/api/v2/repositories/"
#: What stands in the place of a secret.
MASK = "*****"
#: Keys of configurations whose values are secret, beside all passwords.
_SECRETS = frozenset({"ssl_client_key", "query_auth_token"})

#: The note that gives the priority of the repository's tasks, and what it may be.
PRIORITY_NOTE = "pulpit_priority"
PRIORITY = range(-100, 101)

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


def priority_of(notes: Mapping[str, Any]) -> int:
    """Return the priority that a repository's notes give its tasks; 0 without one.

    Raises:
        ValueError: what stands there is no integer of the range.
    """
    priority = notes.get(PRIORITY_NOTE, 0)
    if type(priority) is not int or priority not in PRIORITY:
        msg = f"{PRIORITY_NOTE} must be an integer from {PRIORITY[0]} to {PRIORITY[-1]}"
        raise ValueError(msg)
    return priority


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
    root: Root = Root.REPOS
    #: Below the root, without slashes at its ends.
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
    #: JSON object of its distributor's own: what the next one may take over of it.
    reusable: Mapping[str, Any] | None = None


def _is_secret(key: str, value: Any) -> bool:
    """Tell whether that value of a configuration is kept from readers."""
    if key.endswith("password") or key in _SECRETS:
        return bool(value)
    # a client's key may stand in the text of its certificate
    return isinstance(value, str) and "PRIVATE KEY" in value


def masked(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration as clients may see it, without its secrets."""
    return {key: MASK if _is_secret(key, value) else value for key, value in config.items()}


def unmasked(sent: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a client sent, with the secrets that it only saw masked as they are kept."""
    return {
        key: kept[key] if value == MASK and _is_secret(key, kept.get(key)) else value
        for key, value in sent.items()
    }


def merged(kept: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with what a client sent: keys merge, and null takes one away."""
    both = {**kept, **unmasked(sent, kept)}
    return {key: value for key, value in both.items() if value is not None}


def repository_document(repository: Repository) -> dict[str, Any]:
    """Return the document of ``GET /pulp/api/v2/repositories/<id>/``, without its plugins."""
    return {
        "_id": {"$oid": repository.oid},
        "_ns": "repos",
        "_href": f"{REPOSITORIES_HREF}{repository.id}/",
        "id": repository.id,
        "display_name": repository.display_name,
        "description": repository.description,
        "notes": repository.notes,
        "scratchpad": repository.scratchpad,
        "content_unit_counts": repository.content_unit_counts,
        "last_unit_added": render_time(repository.last_unit_added),
        "last_unit_removed": render_time(repository.last_unit_removed),
    }


def importer_document(importer: Importer) -> dict[str, Any]:
    """Return the document of an importer, its secrets masked."""
    type_id = importer.importer_type_id
    return {
        "_id": {"$oid": importer.oid},
        "_ns": "repo_importers",
        "_href": f"{REPOSITORIES_HREF}{importer.repo_id}/importers/{type_id}/",
        "id": type_id,
        "importer_type_id": type_id,
        "repo_id": importer.repo_id,
        "config": masked(importer.config),
        "scratchpad": importer.scratchpad,
        "last_sync": render_time(importer.last_sync),
        "last_updated": render_time(importer.last_updated),
        "last_override_config": {},
    }


def distributor_document(distributor: Distributor) -> dict[str, Any]:
    """Return the document of a distributor, its secrets masked."""
    return {
        "_id": {"$oid": distributor.oid},
        "_ns": "repo_distributors",
        "_href": f"{REPOSITORIES_HREF}{distributor.repo_id}/distributors/{distributor.id}/",
        "id": distributor.id,
        "distributor_type_id": distributor.distributor_type_id,
        "repo_id": distributor.repo_id,
        "config": masked(distributor.config),
        "auto_publish": distributor.auto_publish,
        "scratchpad": distributor.scratchpad,
        "last_publish": render_time(distributor.last_publish),
        "last_updated": render_time(distributor.last_updated),
        "last_override_config": {},
    }
