"""The content types that this server knows."""

from __future__ import annotations

from pulpit.content.iso.distributor import IsoDistributor
from pulpit.content.iso.importer import IsoImporter
from pulpit.content.registry import Registry
from pulpit.content.rpm.distributor import YumDistributor
from pulpit.content.rpm.importer import YumImporter

__all__ = ["content_types"]


def content_types() -> Registry:
    """Return the registry with every type."""
    return Registry(
        importers=[YumImporter(), IsoImporter()],
        distributors=[YumDistributor(), IsoDistributor()],
    )
