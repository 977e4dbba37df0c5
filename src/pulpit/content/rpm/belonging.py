"""What belongs to groups, errata and modules, among the packages of repositories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from pulpit.content.rpm.modularity import nevra_text
from pulpit.content.rpm.version import evr_key
from pulpit.domain.units import PackageColumns, Unit

__all__ = ["NamedPackages", "erratum_modules", "erratum_packages", "group_ids", "package_names"]

_NAME_LISTS = (
    "mandatory_package_names",
    "default_package_names",
    "optional_package_names",
    "conditional_package_names",
)
#: Name, stream, version, context, arch.
ModuleKey = tuple[str, ...]


def group_ids(unit: Unit) -> set[str]:
    """Return the ids of the groups of a category or an environment."""
    listed = [
        *unit.metadata.get("packagegroupids", ()),
        *unit.metadata.get("group_ids", ()),
        *(option.get("group") for option in unit.metadata.get("options", ())),
    ]
    return {each for each in listed if isinstance(each, str)}


def package_names(group: Unit) -> set[str]:
    """Return the names of a group's packages."""
    listed = [each for name in _NAME_LISTS for each in group.metadata.get(name) or ()]
    # of a conditional one the package stands beside what it is for
    names = [each[0] if isinstance(each, list | tuple) and each else each for each in listed]
    return {each for each in names if isinstance(each, str)}


def erratum_modules(erratum: Unit) -> Iterator[ModuleKey]:
    """Yield the modules that an erratum is about."""
    for collection in erratum.metadata.get("pkglist") or ():
        if module := collection.get("module"):
            yield tuple(
                str(module.get(part)) for part in ("name", "stream", "version", "context", "arch")
            )


def erratum_packages(erratum: Unit) -> Iterator[Mapping[str, Any]]:
    """Yield the packages that an erratum is about."""
    for collection in erratum.metadata.get("pkglist") or ():
        yield from collection.get("packages") or ()


class NamedPackages:
    """The packages of some names.

    Args:
        packages: among which these are.
        names: of packages.
        nevras: of packages, as modules write them.
    """

    def __init__(
        self, packages: Iterable[Unit], names: Collection[str], nevras: Collection[str] = ()
    ) -> None:
        wanted = {*names, *(nevra.rsplit("-", 2)[0] for nevra in nevras)}
        self._named: dict[str, list[tuple[int, PackageColumns]]] = defaultdict(list)
        for unit in packages:
            if unit.package and unit.package.name in wanted:
                self._named[unit.package.name].append((unit.id, unit.package))

    def newest(self, name: str) -> set[int]:
        """Return the unit ids of the newest package of a name for each architecture."""
        best: dict[str, tuple[int, PackageColumns]] = {}
        for unit_id, package in self._named.get(name, ()):
            known = best.get(package.arch)
            if known is None or _age(package) > _age(known[1]):
                best[package.arch] = (unit_id, package)
        return {unit_id for unit_id, _ in best.values()}

    def same(self, listed: Mapping[str, Any]) -> set[int]:
        """Return the unit ids of what an erratum lists, which may leave out the epoch."""
        parts = {
            part: str(listed[part])
            for part in ("epoch", "version", "release", "arch")
            if listed.get(part) is not None
        }
        return {
            unit_id
            for unit_id, package in self._named.get(str(listed.get("name")), ())
            if all(getattr(package, part) == value for part, value in parts.items())
        }

    def by_nevra(self) -> dict[str, set[int]]:
        """Return the packages as modules write them, with their unit ids."""
        found: dict[str, set[int]] = defaultdict(set)
        for packages in self._named.values():
            for unit_id, package in packages:
                found[nevra_text(package)].add(unit_id)
        return found


def _age(package: PackageColumns) -> Any:
    return evr_key((package.epoch, package.version, package.release))
