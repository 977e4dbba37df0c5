"""What units that are copied need, in the repositories that they come from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

from pulpit.content.rpm.belonging import (
    NamedPackages,
    erratum_modules,
    erratum_packages,
    group_ids,
    package_names,
)
from pulpit.content.rpm.modularity import Modules, default_streams, module_of
from pulpit.content.rpm.solvables import Chunks
from pulpit.content.rpm.solving import Rank, Solver
from pulpit.domain.units import Unit
from pulpit.ports import ContentStore

__all__ = ["Needs", "Places", "left_with"]

_GROUP, _ERRATUM, _MODULE = "package_group", "erratum", "modulemd"
_HOLD_GROUPS = frozenset({"package_category", "package_environment"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where needs are looked for: ids of repositories."""

    #: The first one is where the units come from.
    sources: Collection[str]
    #: Those whose content does, if it fits; none if the newest is wanted from the sources.
    destinations: Collection[str] = ()


class Needs:
    """Looks for what units need.

    Args:
        content: of one snapshot.
        source: the repository that the units come from.
        refused: ids of units that must not be copied.
    """

    def __init__(self, content: ContentStore, source: str, *, refused: AbstractSet[int]) -> None:
        self._content = content
        self._source = source
        self._refused = refused

    def artifacts(self, unit_ids: AbstractSet[int]) -> set[int]:
        """Return the packages of those of the units that are modules."""
        modules = self._modules(Places(sources=[self._source]))
        return {package for each in unit_ids for package in modules.packages_of(each)}

    def belongings(self, unit_ids: AbstractSet[int], *, destination: str) -> set[int]:
        """Return the groups, packages and modules that these categories, groups, errata name.

        Packages of groups by name, the newest ones, but for those that the destination has in some
        version, as Pulp 2 had it.
        """
        groups = self._groups(unit_ids)
        errata = [unit for unit in self._units(_ERRATUM) if unit.id in unit_ids]
        names = {name for group in groups for name in package_names(group)}
        if names:
            present = (unit.package for unit in self._content.packages(destination))
            names -= {package.name for package in present if package}
        listed = [package for erratum in errata for package in erratum_packages(erratum)]
        found = {group.id for group in groups} | self._errata_modules(errata)
        if names or listed:
            every = names | {str(package.get("name")) for package in listed}
            packages = NamedPackages(self._binaries(), every)
            found |= {unit_id for name in names for unit_id in packages.newest(name)}
            found |= {unit_id for package in listed for unit_id in packages.same(package)}
        return found

    def _binaries(self) -> Iterator[Unit]:
        return (unit for unit in self._content.packages(self._source) if unit.type_id == "rpm")

    def _units(self, *type_ids: str) -> Iterator[Unit]:
        return self._content.units(self._source, type_ids)

    def _groups(self, unit_ids: AbstractSet[int]) -> list[Unit]:
        """Return the groups among the units, and those of categories and environments."""
        holders = [unit for unit in self._units(*_HOLD_GROUPS) if unit.id in unit_ids]
        named = {each for holder in holders for each in group_ids(holder)}
        return [
            unit for unit in self._units(_GROUP) if unit.id in unit_ids or unit.key["id"] in named
        ]

    def _errata_modules(self, errata: Collection[Unit]) -> set[int]:
        """Return the modules that errata are about."""
        wanted = {key for erratum in errata for key in erratum_modules(erratum)}
        names = ("name", "stream", "version", "context", "arch")
        return {
            unit.id
            for unit in (self._units(_MODULE) if wanted else ())
            if tuple(str(unit.key[name]) for name in names) in wanted
        }

    def _modules(self, places: Places) -> Modules:
        """Return the modules of all places."""
        every = [*places.sources, *places.destinations]
        units = [unit for each in every for unit in self._content.units(each, {_MODULE})]
        modules = [module_of(unit) for unit in {unit.id: unit for unit in units}.values()]
        nevras = {nevra for module in modules for nevra in module.artifacts}
        packages: dict[str, set[int]] = defaultdict(set)
        for each in every if nevras else ():
            found = NamedPackages(self._content.packages(each), (), nevras)
            for nevra, unit_ids in found.by_nevra().items():
                packages[nevra] |= unit_ids - self._refused
        defaults = (
            unit for each in every for unit in self._content.units(each, {"modulemd_defaults"})
        )
        return Modules(modules, packages, defaults=default_streams(defaults))

    def closure(self, unit_ids: AbstractSet[int], places: Places) -> set[int]:
        """Return the units, and the packages and modules that they need, directly or not.

        With modules come their defaults.
        """
        modules = self._modules(places)
        reached = modules.within_reach(unit_ids)
        ranks = _Ranks(modules, reached=reached, asked=unit_ids, refused=self._refused)
        solver = Solver()
        present = self._add_packages(solver, places, ranks)
        solver.add_streams(modules.streams(reached, asked=unit_ids, present=present))
        found = set(solver.closure(unit_ids))
        found |= {package for each in found for package in modules.packages_of(each)}
        return found | self._defaults(places.sources, modules.names(found))

    def _add_packages(self, solver: Solver, places: Places, ranks: _Ranks) -> set[int]:
        """Tell the solver of all packages that may be chosen; return what the destinations have."""
        present: set[int] = set()
        for repo_id in places.destinations:
            present |= self._content.members(repo_id).keys()
            self._add(solver, repo_id, Rank.PRESENT, lambda _: True)
        for rank in ranks.used:
            for repo_id in places.sources:
                self._add(solver, repo_id, rank, partial(ranks.has, rank))
        return present

    def _add(
        self, solver: Solver, repo_id: str, rank: Rank, accepts: Callable[[int], bool]
    ) -> None:
        """Add those packages of a repository."""
        chunks = partial(_accepted, self._content, repo_id, accepts)
        solver.add_packages(chunks(0), partial(chunks, 1), rank=rank)

    def _defaults(self, repo_ids: Collection[str], names: AbstractSet[str]) -> set[int]:
        """Return the defaults of modules, in the first of the repositories that has some."""
        found: dict[str, int] = {}
        for repo_id in repo_ids if names else ():
            for unit in self._content.units(repo_id, {"modulemd_defaults"}):
                if unit.key["name"] in names:
                    found.setdefault(unit.key["name"], unit.id)
        return {*found.values()}


class _Ranks:
    """How the packages of sources rank.

    Args:
        modules: all of them.
        reached: unit ids of modules that may come along.
        asked: ids of units that are copied in any case.
        refused: ids of those that must not be.
    """

    def __init__(
        self,
        modules: Modules,
        *,
        reached: AbstractSet[int],
        asked: AbstractSet[int],
        refused: AbstractSet[int],
    ) -> None:
        self._holders = modules.holders
        self._reached, self._asked, self._refused = reached, asked, refused
        #: The ranks that there are.
        self.used = (Rank.USUAL, Rank.MODULAR) if self._holders else (Rank.USUAL,)

    def has(self, rank: Rank, unit_id: int) -> bool:
        """Tell whether a package has that rank; some have none, and are not to be chosen."""
        holders = self._holders.get(unit_id, set())
        if unit_id in self._refused:
            return False
        if not holders or unit_id in self._asked or holders & self._asked:
            return rank is Rank.USUAL
        return rank is Rank.MODULAR and not holders.isdisjoint(self._reached)


def _accepted(
    content: ContentStore, repo_id: str, accepts: Callable[[int], bool], chunk: int
) -> Chunks:
    """Return unit id and chunk of those packages of a repository."""
    metadata = content.package_metadata(repo_id, chunk)
    return ((unit_id, each) for unit_id, each in metadata if accepts(unit_id))


def left_with(content: ContentStore, repo_id: str, unit_ids: AbstractSet[int]) -> set[int]:
    """Return the packages that leave a repository with these modules, as in Pulp 2.

    Those that another module of the repository has stay.
    """
    units = {unit.id: unit for unit in content.units(repo_id, {_MODULE})}
    gone = [module_of(unit) for unit in units.values() if unit.id in unit_ids]
    stay = [module_of(unit) for unit in units.values() if unit.id not in unit_ids]
    nevras = {nevra for module in gone for nevra in module.artifacts}
    nevras -= {nevra for module in stay for nevra in module.artifacts}
    if not nevras:
        return set()
    found = NamedPackages(content.packages(repo_id), (), nevras).by_nevra()
    return {unit_id for nevra in nevras for unit_id in found.get(nevra, ())} - unit_ids
