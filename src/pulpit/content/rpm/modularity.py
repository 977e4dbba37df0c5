"""Which packages modules have, and which other modules they need, among those of repositories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from pulpit.content.rpm.solving import Rank, Stream
from pulpit.domain.unit_documents import required_streams
from pulpit.domain.units import PackageColumns, Unit

__all__ = ["Module", "Modules", "default_streams", "module_of", "nevra_text"]

#: What a machine is, and no repository has.
_PLATFORM = "platform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One version of a stream."""

    unit_id: int
    name: str
    stream: str
    version: int
    context: str
    arch: str
    #: Its packages, ``name-epoch:version-release.arch`` each.
    artifacts: frozenset[str]
    #: Module and streams that it needs one of; none named: any, those with a minus: any other.
    requires: Sequence[tuple[str, tuple[str, ...]]]


def module_of(unit: Unit) -> Module:
    """Return the module that a unit of type modulemd is."""
    needs = required_streams(unit.metadata.get("dependencies"))
    return Module(
        unit_id=unit.id,
        name=unit.key["name"],
        stream=unit.key["stream"],
        version=unit.key["version"],
        context=unit.key["context"],
        arch=unit.key["arch"],
        artifacts=frozenset(unit.metadata.get("artifacts") or ()),
        # as in Pulp 2 all alternatives count: they are for different platforms
        requires=[(name, tuple(streams)) for one in needs for name, streams in one.items()],
    )


def default_streams(units: Iterable[Unit]) -> set[tuple[str, str]]:
    """Return name and default stream of the modules that units of modulemd_defaults tell of."""
    return {
        (unit.key["name"], unit.metadata["stream"]) for unit in units if unit.metadata.get("stream")
    }


def nevra_text(package: PackageColumns) -> str:
    """Return a package as modules write it."""
    evr = f"{package.epoch or '0'}:{package.version}-{package.release}"
    return f"{package.name}-{evr}.{package.arch}"


class Modules:
    """The modules of some repositories.

    Args:
        modules: all of them.
        packages: ``name-epoch:version-release.arch`` to unit ids of the packages there are.
        defaults: name and stream of those that need not be enabled.
    """

    def __init__(
        self,
        modules: Iterable[Module],
        packages: Mapping[str, AbstractSet[int]],
        *,
        defaults: Collection[tuple[str, str]] = (),
    ) -> None:
        self._modules = {module.unit_id: module for module in modules}
        self._packages = packages
        self._defaults = frozenset(defaults)
        self._named: dict[str, list[Module]] = defaultdict(list)
        #: Unit id of a package to those of the modules that have it.
        self.holders: dict[int, set[int]] = defaultdict(set)
        for module in self._modules.values():
            self._named[module.name].append(module)
            for package in self.packages_of(module.unit_id):
                self.holders[package].add(module.unit_id)

    def packages_of(self, unit_id: int) -> set[int]:
        """Return the unit ids of a module's packages, of those there are; none for no module."""
        module = self._modules.get(unit_id)
        artifacts = module.artifacts if module else ()
        return {each for nevra in artifacts for each in self._packages.get(nevra, ())}

    def names(self, unit_ids: Collection[int]) -> set[str]:
        """Return the names of those of the units that are modules."""
        return {self._modules[each].name for each in unit_ids if each in self._modules}

    def within_reach(self, unit_ids: Collection[int]) -> set[int]:
        """Return which modules may come along: default ones, those of the units, and their needs.

        Args:
            unit_ids: of modules, and of packages that bring theirs.
        """
        pending = [
            module.unit_id
            for module in self._modules.values()
            if (module.name, module.stream) in self._defaults
        ]
        pending += [each for each in unit_ids if each in self._modules]
        pending += [holder for each in unit_ids for holder in self.holders.get(each, ())]
        reached = set(pending)
        while pending:
            for alternatives in self._needs(self._modules[pending.pop()]):
                pending += alternatives - reached
                reached |= alternatives
        return reached

    def _needs(self, module: Module) -> list[set[int]]:
        """Return what meets each requirement; what nothing meets, stands elsewhere."""
        found = [
            {
                other.unit_id
                for other in self._named.get(name, ())
                if _meets(other.stream, streams) and other.arch == module.arch
            }
            for name, streams in module.requires
            if name != _PLATFORM
        ]
        return [alternatives for alternatives in found if alternatives]

    def streams(
        self, reached: Collection[int], *, asked: AbstractSet[int], present: AbstractSet[int]
    ) -> list[Stream]:
        """Return modules as the solver wants them.

        Args:
            reached: which.
            asked: those that are copied in any case.
            present: those that the destination has.
        """
        streams = []
        for module in (self._modules[unit_id] for unit_id in sorted(reached)):
            is_usual = module.unit_id in asked or (module.name, module.stream) in self._defaults
            rank = Rank.USUAL if is_usual else Rank.MODULAR
            streams.append(
                Stream(
                    unit_id=module.unit_id,
                    name=module.name,
                    stream=module.stream,
                    version=module.version,
                    arch=module.arch,
                    packages=frozenset(self.packages_of(module.unit_id)),
                    requires=self._needs(module),
                    rank=Rank.PRESENT if module.unit_id in present else rank,
                )
            )
        return streams


def _meets(stream: str, wanted: Sequence[str]) -> bool:
    """Tell whether a stream is one of those that are wanted."""
    refused = {each.removeprefix("-") for each in wanted if each.startswith("-")}
    named = [each for each in wanted if not each.startswith("-")]
    return stream in named if named else stream not in refused
