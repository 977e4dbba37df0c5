"""Which packages a repository holds after a sync."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from sys import intern

from pulpit.content.rpm.version import evr_key
from pulpit.domain.units import PackageColumns

__all__ = ["Held", "Nevra", "apart", "nevra_of", "retained", "without_duplicates"]

#: Name, epoch, version, release, arch.
Nevra = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Held:
    """A package that is, or may come to be, in a repository."""

    unit_id: int
    type_id: str
    nevra: Nevra


def nevra_of(package: PackageColumns) -> Nevra:
    """Return what tells a package from others of its name."""
    # many packages share each of these
    return (
        intern(package.name),
        intern(package.epoch),
        intern(package.version),
        intern(package.release),
        intern(package.arch),
    )


def apart(held: Iterable[Held]) -> tuple[list[Held], list[Held]]:
    """Return packages and deltas apart: many deltas make one package."""
    packages: list[Held] = []
    deltas: list[Held] = []
    for one in held:
        (deltas if one.type_id == "drpm" else packages).append(one)
    return packages, deltas


def without_duplicates(held: Iterable[Held], offered: Iterable[Held]) -> dict[int, Held]:
    """Return what is held, unit id to package, with one package for each NEVRA that is offered.

    What a feed offers takes the place of what was held; of two offers the later one counts.
    """
    chosen = {(one.type_id, one.nevra): one for one in offered}
    kept = {one.unit_id: one for one in held if (one.type_id, one.nevra) not in chosen}
    kept.update((one.unit_id, one) for one in chosen.values())
    return kept


def retained(held: Mapping[int, Held], *, old: int, modular: Collection[str]) -> dict[int, Held]:
    """Return what is left when of each name and architecture only *old* older versions are kept.

    Args:
        held: unit id to package.
        old: how many versions beside the newest one.
        modular: ``name-epoch:version-release.arch`` of packages of modules, which all stay:
            streams stand beside each other, whatever their versions.
    """
    groups: dict[tuple[str, str, str], list[Held]] = defaultdict(list)
    for one in held.values():
        name, _, _, _, arch = one.nevra
        groups[one.type_id, name, arch].append(one)
    kept: dict[int, Held] = {}
    for group in groups.values():
        plain = [one for one in group if _rendered(one.nevra) not in modular]
        newest = sorted({one.nevra[1:4] for one in plain}, key=evr_key, reverse=True)[: old + 1]
        gone = {one.unit_id for one in plain if one.nevra[1:4] not in newest}
        kept.update((one.unit_id, one) for one in group if one.unit_id not in gone)
    return kept


def _rendered(nevra: Nevra) -> str:
    """Return a NEVRA as modules write it."""
    name, epoch, version, release, arch = nevra
    return f"{name}-{epoch or '0'}:{version}-{release}.{arch}"
