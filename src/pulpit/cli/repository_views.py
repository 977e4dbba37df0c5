"""Repositories as tables and as details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pulpit.cli.tables import facts, indented, listing
from pulpit.cli.words import age, amount, printable

__all__ = ["published_url", "repository_details", "repository_table", "unit_table", "unit_words"]

#: What a unit is called by, the first of them that it has.
_NAMES = ("name", "id", "data_type", "filename", "distribution_id")
#: From this width on, the table has room for the feed.
_WIDE = 110
_PACKAGE = "rpm"
#: Type of unit to what one and several of them are called, where that is not the type's name.
_NOUNS = {
    "rpm": ("package", "packages"),
    "srpm": ("source package", "source packages"),
    "drpm": ("delta package", "delta packages"),
    "erratum": ("erratum", "errata"),
    "iso": ("file", "files"),
    "modulemd": ("module stream", "module streams"),
    "modulemd_defaults": ("set of module defaults", "sets of module defaults"),
    "package_category": ("package category", "package categories"),
    "package_langpacks": ("set of language packs", "sets of language packs"),
    "yum_repo_metadata_file": ("metadata file", "metadata files"),
}


def _first(repository: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the first importer or distributor; an empty object for none."""
    listed = repository.get(key)
    first = listed[0] if isinstance(listed, list) and listed else None
    return first if isinstance(first, dict) else {}


def _config(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration of an importer or distributor."""
    config = part.get("config")
    return config if isinstance(config, dict) else {}


def _counts(repository: Mapping[str, Any]) -> Mapping[str, int]:
    """Return the number of units by type."""
    counts = repository.get("content_unit_counts")
    known = counts if isinstance(counts, dict) else {}
    return {str(kind): count for kind, count in known.items() if isinstance(count, int)}


def published_url(base: str, distributor: Mapping[str, Any]) -> str | None:
    """Return where a distributor publishes; None for one without a relative URL."""
    relative, root = _config(distributor).get("relative_url"), "repos"
    if distributor.get("distributor_type_id") == "iso_distributor":
        relative, root = relative or distributor.get("repo_id"), "isos"
    return f"{base}/pulp/{root}/{str(relative).strip('/')}/" if relative else None


def repository_table(
    repositories: Sequence[Mapping[str, Any]], *, now: datetime, width: int
) -> Table:
    """Return repositories as a table."""
    wide = width >= _WIDE
    shrink = "FEED" if wide else "REPOSITORY"
    headings = ["REPOSITORY", "PACKAGES", "OTHERS", "SYNCED", "PUBLISHED"]
    table = listing(*headings, *(["FEED"] if wide else []), shrink=shrink)
    for column in table.columns[1:3]:
        column.justify = "right"
    for repository in repositories:
        counts = _counts(repository)
        importer = _first(repository, "importers")
        row: list[RenderableType] = [
            Text(printable(repository.get("id"))),
            f"{counts.get(_PACKAGE, 0):,}",
            f"{sum(counts.values()) - counts.get(_PACKAGE, 0):,}",
            age(importer.get("last_sync"), now=now),
            age(_first(repository, "distributors").get("last_publish"), now=now),
        ]
        table.add_row(*row, *([printable(_config(importer).get("feed") or "")] if wide else []))
    return table


def repository_details(
    repository: Mapping[str, Any], *, base: str, now: datetime
) -> RenderableType:
    """Return all that a person wants to know of a repository.

    Args:
        repository: with importers and distributors.
        base: the server's address.
        now: the present time.
    """
    importer, distributor = _first(repository, "importers"), _first(repository, "distributors")
    counts = _counts(repository)
    name = printable(repository.get("display_name") or repository.get("id"))
    notes = repository.get("notes")
    known = facts(
        ("Id", repository.get("id")),
        ("Description", repository.get("description")),
        ("Notes", ", ".join(f"{k}={v}" for k, v in notes.items()) if notes else None),
        ("Content", ", ".join(unit_words(kind, counts[kind]) for kind in sorted(counts))),
        ("Feed", _config(importer).get("feed")),
        ("Policy", _config(importer).get("download_policy")),
        ("Last sync", _when(importer.get("last_sync"), now)),
        (
            "Published at" if distributor.get("last_publish") else "Publishes at",
            published_url(base, distributor),
        ),
        ("Auto-publish", "yes" if distributor.get("auto_publish") else "no"),
        ("Last publish", _when(distributor.get("last_publish"), now)),
    )
    return Group(Text(name, style="bold"), indented(known))


def unit_table(units: Sequence[Mapping[str, Any]]) -> Table:
    """Return content units of any type as a table."""
    table = listing("TYPE", "NAME", "VERSION", "ARCH", shrink="NAME")
    for unit in units:
        name = next((unit[key] for key in _NAMES if unit.get(key)), unit.get("_id"))
        table.add_row(
            printable(unit.get("_content_type_id")),
            Text(printable(name)),
            printable(_unit_version(unit)),
            printable(unit.get("arch") or ""),
        )
    return table


def _unit_version(unit: Mapping[str, Any]) -> str:
    """Return the version of a package or of a module's stream as people write it."""
    version = str(unit.get("version") or "")
    if stream := unit.get("stream"):
        return f"{stream}:{version}" if version else str(stream)
    epoch = unit.get("epoch")
    with_release = "-".join(str(part) for part in (version, unit.get("release")) if part)
    return f"{epoch}:{with_release}" if epoch not in (None, "", "0") else with_release


def unit_words(kind: str, count: int) -> str:
    """Return a number of units of one type."""
    name = kind.replace("_", " ")
    return amount(count, *_NOUNS.get(kind, (name, f"{name}s")))


def _when(text: Any, now: datetime) -> str:
    """Return a time and how long ago it was."""
    return f"{text} ({age(text, now=now)})" if text else "never"
