"""Which packages and modules others need: what libsolv chooses to install with them.

A repository is no machine. It may hold packages that can't be installed together, and lack what
stands in another one; so of two that conflict each is solved by itself, and what nothing provides
counts as there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from typing import Any

import solv

from pulpit.content.rpm.rich import clauses
from pulpit.content.rpm.solvables import Chunks, is_in_primary, listing_packages, load_packages

__all__ = ["Rank", "Solver", "Stream"]

#: Times that those are tried again which could not be installed with the others.
_ROUNDS = 10
_INSTALL = solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE | solv.Job.SOLVER_WEAK
_MANY_VERSIONS = solv.Job.SOLVER_MULTIVERSION | solv.Job.SOLVER_SOLVABLE_ALL
_FLAGS = (
    solv.Solver.SOLVER_FLAG_IGNORE_RECOMMENDED,
    # of packages for two architectures both may be wanted
    solv.Solver.SOLVER_FLAG_NO_INFARCHCHECK,
)
_RELATIONS: Mapping[str, int] = {
    "<": solv.REL_LT,
    "<=": solv.REL_LT | solv.REL_EQ,
    "=": solv.REL_EQ,
    ">=": solv.REL_GT | solv.REL_EQ,
    ">": solv.REL_GT,
}
_ANY_ARCH = "noarch"
#: Begins what one unit alone provides; no XML can hold it, and so no package can claim it.
_UNIT = "\x01unit:"


class Rank(IntEnum):
    """Where a dependency is looked for: whoever ranks higher is chosen, whatever its version."""

    #: Stands for what nothing provides.
    ABSENT = 0
    #: In modules that nobody asked for.
    MODULAR = 1
    USUAL = 2
    #: In the repository that is copied to.
    PRESENT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream of a module, in one version."""

    unit_id: int
    name: str
    stream: str
    version: int
    arch: str
    #: Unit ids of its packages.
    packages: frozenset[int]
    #: Alternatives for each requirement: unit ids of streams that meet it, at least one each.
    requires: Sequence[AbstractSet[int]] = ()
    rank: Rank = Rank.USUAL


class Solver:
    """Finds out what is needed; packages and modules are added first."""

    def __init__(self) -> None:
        self._pool: Any = solv.Pool()
        self._pool.setdisttype(solv.Pool.DISTTYPE_RPM)
        self._pool.set_flag(solv.Pool.POOL_FLAG_NOOBSOLETESMULTIVERSION, 1)
        self._repos = {rank: self._new_repo(rank) for rank in Rank}
        #: Unit id to solvable id, and back.
        self._solvables: dict[int, int] = {}
        self._units: dict[int, int] = {}
        self._filelists: list[Callable[[], Chunks]] = []

    def _new_repo(self, rank: Rank) -> Any:
        repo = self._pool.add_repo(rank.name.lower())
        repo.priority = rank
        return repo

    def add_packages(
        self, primaries: Chunks, filelists: Callable[[], Chunks], *, rank: Rank
    ) -> None:
        """Add packages; one that was added before stays as it is.

        Args:
            primaries: unit id and primary chunk.
            filelists: returns unit id and filelists chunk of the same; called if they are needed.
            rank: of all of them.

        Raises:
            Unparsable: a chunk is not that of one package.
        """
        new = ((unit, chunk) for unit, chunk in primaries if unit not in self._solvables)
        for unit_id, solvable_id in load_packages(self._repos[rank], new):
            self._keep(unit_id, solvable_id)
        self._filelists.append(filelists)

    def _keep(self, unit_id: int, solvable_id: int) -> None:
        self._solvables[unit_id] = solvable_id
        self._units[solvable_id] = unit_id

    def add_streams(self, streams: Iterable[Stream]) -> None:
        """Add streams of modules, once their packages are added.

        Each needs its packages; and a package needs one of the streams that have it.
        """
        added = [stream for stream in streams if stream.unit_id not in self._solvables]
        holders: dict[int, list[int]] = {}
        for stream in added:
            solvable = self._repos[stream.rank].add_solvable()
            solvable.name = f"module:{stream.name}:{stream.stream}"
            solvable.evr, solvable.arch = str(stream.version), stream.arch or _ANY_ARCH
            self._keep(stream.unit_id, solvable.id)
            solvable.add_provides(self._only(stream.unit_id))
        for stream in added:
            solvable = self._solvable(stream.unit_id)
            for unit_id in sorted(stream.packages & self._solvables.keys()):
                solvable.add_requires(self._only(unit_id))
                holders.setdefault(unit_id, []).append(stream.unit_id)
            for alternatives in stream.requires:
                solvable.add_requires(self._any_of(alternatives))
        for unit_id, streams_with_it in holders.items():
            package = self._solvable(unit_id)
            package.add_provides(self._only(unit_id))
            package.add_requires(self._any_of(streams_with_it))

    def _solvable(self, unit_id: int) -> Any:
        return self._pool.id2solvable(self._solvables[unit_id])

    def _only(self, unit_id: int) -> Any:
        """Return what that unit alone provides."""
        return self._pool.Dep(f"{_UNIT}{unit_id}")

    def _any_of(self, unit_ids: Collection[int]) -> Any:
        """Return a dependency on any of the units."""
        tokens = [self._only(unit_id) for unit_id in sorted(unit_ids)]
        return reduce(lambda left, right: left.Rel(solv.REL_OR, right), tokens)

    def closure(self, unit_ids: Collection[int]) -> AbstractSet[int]:
        """Return the ids of the units and of all that they need, directly or not.

        Units that were not added are returned, and need nothing.
        """
        wanted = [self._solvables[unit] for unit in sorted(unit_ids) if unit in self._solvables]
        found = set(wanted)
        required = self._required() if wanted else set()
        self._find_files(required)
        self._pool.addfileprovides()
        for arch in self._arches() if wanted else ():
            self._look_as(arch, required)
            for group in self._by_arch(wanted, arch):
                found |= self._solved(group)
        units = self._units
        return set(unit_ids) | {units[each] for each in found if each in units}

    def _arches(self) -> list[str]:
        """Return the architectures of machines, such that each package is for one of them."""
        samples = {
            solvable.arch: solvable.id
            for repo in self._repos.values()
            for solvable in repo.solvables_iter()
        }
        runs: dict[str, set[str]] = {}
        for arch in sorted(samples):
            self._pool.setarch(arch)
            able = (name for name, each in samples.items() if self._installable(each))
            runs[arch] = set(able) - {_ANY_ARCH}
        others = [(arch, able) for arch, able in runs.items() if arch != _ANY_ARCH]
        chosen = [
            arch
            for arch, able in others
            if not any(arch in more and not more <= able for _, more in others)
        ]
        return chosen or [_ANY_ARCH]

    def _by_arch(self, wanted: Sequence[int], arch: str) -> Sequence[Sequence[int]]:
        """Return those that a machine can install, the ones for lesser architectures apart.

        What these need would do for the others too, who are better off with their own.
        """
        groups: dict[str, list[int]] = {}
        for each in wanted:
            solvable = self._pool.id2solvable(each)
            if solvable.installable():
                own = arch if solvable.arch == _ANY_ARCH else solvable.arch
                groups.setdefault(own, []).append(each)
        return [*groups.values()]

    def _installable(self, solvable_id: int) -> bool:
        return bool(self._pool.id2solvable(solvable_id).installable())

    def _look_as(self, arch: str, required: Collection[int]) -> None:
        """See packages as a machine of that architecture does, and all that it lacks as there."""
        self._pool.setarch(arch)
        self._pool.createwhatprovides()
        missing = [each for each in sorted(required) if self._is_missing(each)]
        for dependency in missing:
            stand_in = self._repos[Rank.ABSENT].add_solvable()
            stand_in.name = f"absent:{dependency}"
            stand_in.evr, stand_in.arch = "0", _ANY_ARCH
            for provided in self._lacking_in(dependency):
                stand_in.add_deparray(solv.SOLVABLE_PROVIDES, provided)
        if missing:
            self._pool.createwhatprovides()

    def _required(self) -> set[int]:
        """Return the ids of all dependencies."""
        found: set[int] = set()
        for repo in self._repos.values():
            for solvable in repo.solvables_iter():
                found.update(solvable.lookup_idarray(solv.SOLVABLE_REQUIRES))
        return found - {solv.SOLVABLE_PREREQMARKER}

    def _is_missing(self, dependency: int) -> bool:
        """Tell whether something must stand in for a dependency, or for a part of a rich one."""
        text = self._pool.dep2str(dependency)
        if _UNIT in text:
            return False
        if not self._pool.whatprovides(dependency):
            return True
        return text.startswith("(") and not all(
            self._pool.whatprovides(part) for part in self._clause_ids(text)
        )

    def _lacking_in(self, dependency: int) -> list[int]:
        """Return what must be provided so that a dependency is met."""
        text = self._pool.dep2str(dependency)
        if not text.startswith("("):
            return [dependency]
        parts = [*self._clause_ids(text)]
        if " with" in text:
            # one package must provide them all
            return parts
        return [part for part in parts if not self._pool.whatprovides(part)]

    def _clause_ids(self, text: str) -> Iterator[int]:
        """Yield the ids of the dependencies within a rich one."""
        for clause in clauses(text):
            plain = self._pool.Dep(clause.name)
            if clause.comparison:
                relation = _RELATIONS[clause.comparison]
                plain = plain.Rel(relation, self._pool.Dep(clause.evr))
            yield plain.id

    def _find_files(self, required: Collection[int]) -> None:
        """Have packages provide the files that are required and primary does not list."""
        names = (self._pool.dep2str(each) for each in required)
        wanted: set[str] = set()
        for text in names:
            parts = [each.name for each in clauses(text)] if text.startswith("(") else [text]
            wanted |= {part for part in parts if part.startswith("/") and not is_in_primary(part)}
        for filelists in self._filelists if wanted else ():
            for unit_id, paths in listing_packages(filelists(), wanted):
                if unit_id in self._solvables:
                    for path in sorted(paths):
                        self._solvable(unit_id).add_provides(self._pool.Dep(path))

    def _solved(self, wanted: Sequence[int]) -> set[int]:
        """Return what is installed so that each of these is, not necessarily at once."""
        found: set[int] = set()
        rest = wanted
        for _ in range(_ROUNDS):
            installed = self._installed(rest)
            if installed.isdisjoint(rest):
                break
            found |= installed
            rest = [each for each in rest if each not in installed]
            if not rest:
                return found
        return self._completed(found, rest)

    def _installed(self, wanted: Sequence[int]) -> set[int]:
        """Return what is installed when as many of these are as can be at once."""
        jobs = [self._pool.Job(_MANY_VERSIONS, 0)]
        jobs += [self._pool.Job(_INSTALL, each) for each in wanted]
        solver = self._pool.Solver()
        for flag in _FLAGS:
            solver.set_flag(flag, 1)
        if solver.solve(jobs):
            # weak jobs leave no problems, but who knows
            return set()
        return {solvable.id for solvable in solver.transaction().newsolvables()}

    def _completed(self, found: set[int], broken: Sequence[int]) -> set[int]:
        """Return what was found with packages that can't be installed, and the best they need."""
        complete, pending = {*found, *broken}, [*broken]
        while pending:
            solvable = self._pool.id2solvable(pending.pop())
            for dependency in solvable.lookup_idarray(solv.SOLVABLE_REQUIRES):
                if dependency == solv.SOLVABLE_PREREQMARKER:
                    continue
                providers = self._pool.whatprovides(dependency)
                if providers and not any(each.id in complete for each in providers):
                    best = _best(providers)
                    complete.add(best.id)
                    pending.append(best.id)
        return complete


def _best(solvables: Sequence[Any]) -> Any:
    """Return the one of the highest rank, and of these the newest version of the first name."""
    best = solvables[0]
    for one in solvables[1:]:
        rank, highest = one.repo.priority, best.repo.priority
        if rank > highest or (
            rank == highest and one.nameid == best.nameid and one.evrcmp(best) > 0
        ):
            best = one
    return best
