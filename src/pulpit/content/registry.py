"""The registry of what this server can bring in and out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from pulpit.content.limits import limits_of
from pulpit.content.rpm.package_lists import LISTED_TYPES, package_lists
from pulpit.content.sources import SourceDownloads
from pulpit.domain.units import UNIT_KEYS, Unit
from pulpit.ports import DistributorType, Downloader, ImporterType

__all__ = ["Registry"]

#: Content type to name and description, as ``GET plugins/types/`` shows them.
_TYPES: Mapping[str, tuple[str, str]] = {
    "rpm": ("RPM", "RPM package"),
    "srpm": ("SRPM", "Source RPM package"),
    "drpm": ("DRPM", "Delta RPM package"),
    "erratum": ("Erratum", "Advisory about packages"),
    "package_group": ("Package Group", "Group of packages"),
    "package_category": ("Package Category", "Category of package groups"),
    "package_environment": ("Package Environment", "Environment of package groups"),
    "package_langpacks": ("Package Langpacks", "Language packs of packages"),
    "modulemd": ("Modulemd", "Stream of a module"),
    "modulemd_defaults": ("Modulemd Defaults", "Default stream and profiles of a module"),
    "distribution": ("Distribution", "Files of an installable distribution"),
    "yum_repo_metadata_file": ("YUM Repository Metadata File", "Metadata file kept as it is"),
    "iso": ("ISO", "File of any kind"),
}


class Registry:
    """The importer and distributor types by id; implements ``pulpit.ports.ContentTypes``."""

    def __init__(
        self, *, importers: Iterable[ImporterType], distributors: Iterable[DistributorType]
    ) -> None:
        """Offer these types."""
        self.importers: Mapping[str, ImporterType] = {one.id: one for one in importers}
        self.distributors: Mapping[str, DistributorType] = {one.id: one for one in distributors}

    def downloader(self, settings: Any) -> Downloader:
        return SourceDownloads(limits_of(settings.feeds))

    @property
    def unit_types(self) -> Sequence[Mapping[str, Any]]:
        return [
            {
                "id": type_id,
                "display_name": name,
                "description": description,
                "unit_key": list(UNIT_KEYS[type_id]),
                "search_indexes": [],
                "referenced_types": [],
            }
            for type_id, (name, description) in _TYPES.items()
        ]

    def made(self, unit: Unit, names: Collection[str]) -> Mapping[str, Any]:
        return package_lists(unit.chunks, names) if unit.type_id in LISTED_TYPES else {}
