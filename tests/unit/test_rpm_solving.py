"""What packages and modules need, as libsolv sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pulpit.content.rpm.rich import Clause, clauses
from pulpit.content.rpm.solvables import Chunks
from pulpit.content.rpm.solving import Rank, Solver, Stream
from pulpit.errors import Unparsable
from tests.primaries import Sketch, filelists_chunk


def _chunks(names: Mapping[int, str], files: Mapping[str, Sequence[str]]) -> Chunks:
    for unit_id, name in names.items():
        yield unit_id, filelists_chunk(files.get(name, ()))


class _Zoo:
    """A solver whose packages are called by names, or by name and version."""

    def __init__(self, *, files: Mapping[str, Sequence[str]] | None = None) -> None:
        self.solver = Solver()
        self.ids: dict[str, int] = {}
        self._files = files or {}

    def add(self, *packages: Sketch, rank: Rank = Rank.USUAL) -> _Zoo:
        """Add packages."""
        chunks, names = [], {}
        for package in packages:
            unit_id = len(self.ids) + 1
            full = f"{package.name}-{package.version}"
            name = full if package.name in self.ids else package.name
            name = f"{name}.{package.arch}" if name in self.ids else name
            self.ids[name] = names_key = unit_id
            names[names_key] = package.name
            chunks.append((unit_id, package.chunk()))
        self.solver.add_packages(chunks, partial(_chunks, names, self._files), rank=rank)
        return self

    def closure(self, *names: str) -> set[str]:
        """Return what these need."""
        called = {unit_id: name for name, unit_id in self.ids.items()}
        found = self.solver.closure([self.ids[name] for name in names])
        return {called[unit_id] for unit_id in found}


def _p(name: str, *requires: str, **more: Any) -> Sketch:
    """Return a package."""
    return Sketch(name=name, requires=requires, **more)


def test_direct_and_indirect() -> None:
    """Dependencies come along with those of their own, and nothing else does."""
    zoo = _Zoo().add(_p("a", "b"), _p("b", "c >= 2"), _p("c", version="2"), _p("other"))
    assert zoo.closure("a") == {"a", "b", "c"}


def test_newest() -> None:
    """Of several versions that would do the newest is chosen."""
    zoo = _Zoo().add(
        _p("a", "b < 3"), _p("b", version="1"), _p("b", version="2"), _p("b", version="3")
    )
    assert zoo.closure("a") == {"a", "b-2"}


def test_lacking() -> None:
    """What nothing provides is passed over, and the rest comes along all the same."""
    zoo = _Zoo().add(
        _p("a", "b", "nowhere", "/bin/sh", "rpmlib(PayloadIsXz) <= 5"), _p("b", "b(elsewhere) = 1")
    )
    assert zoo.closure("a") == {"a", "b"}


def test_many_versions() -> None:
    """Versions of one package that are copied at once each get what they need."""
    zoo = _Zoo().add(
        _p("a", "b = 1-1"),
        _p("a", "b = 2-1", version="2"),
        _p("b", version="1"),
        _p("b", version="2"),
    )
    assert zoo.closure("a", "a-2") == {"a", "a-2", "b", "b-2"}


def test_conflicting_wishes() -> None:
    """Packages that can't be installed together each get what they need."""
    zoo = _Zoo().add(_p("a", "x", conflicts=["b"]), _p("b", "y"), _p("x"), _p("y"))
    assert zoo.closure("a", "b") == {"a", "b", "x", "y"}


def test_uninstallable() -> None:
    """A package that conflicts with its own dependency is copied with it, and what that needs."""
    zoo = _Zoo().add(
        _p("a", "b", "c", conflicts=["b"]),
        _p("b", "d"),
        _p("c", version="1"),
        _p("c", version="2"),
        _p("d"),
    )
    assert zoo.closure("a") == {"a", "b", "c-2", "d"}


def test_choice_avoids_conflict() -> None:
    """Of two that would do the one is chosen that can be installed beside the package."""
    zoo = _Zoo().add(
        _p("a", "mta", conflicts=["best-mta"]),
        _p("best-mta", version="9", provides=["mta"]),
        _p("other-mta", provides=["mta"]),
    )
    assert zoo.closure("a") == {"a", "other-mta"}


def test_obsolete() -> None:
    """Of two that would do the one that obsoletes the other is chosen."""
    zoo = _Zoo().add(
        _p("a", "lib"),
        _p("lib", version="9"),
        _p("new-lib", provides=["lib = 10"], obsoletes=["lib < 10"]),
    )
    assert zoo.closure("a") == {"a", "new-lib"}


@pytest.mark.parametrize(
    ("dependency", "expected"),
    [
        ("(x if y)", {"a"}),
        ("(x or nowhere)", {"a", "x"}),
        ("(x and y)", {"a", "x", "y"}),
        ("(x if b)", {"a", "b", "x"}),
        ("(lib(z) >= 1 with lib(z) < 2)", {"a", "x"}),
        ("(lib(z) >= 4 with lib(z) < 5)", {"a"}),
        ("(nowhere or y)", {"a", "y"}),
        ("(nowhere if y)", {"a"}),
        ("(nowhere and y)", {"a", "y"}),
    ],
)
def test_rich(dependency: str, expected: set[str]) -> None:
    """Rich dependencies mean what they mean to dnf, also where parts of them stand elsewhere."""
    zoo = _Zoo().add(
        Sketch(name="a", requires=[dependency, *(["b"] if "if b" in dependency else [])]),
        _p("b"),
        _p("x", provides=["lib(z) = 1.5"]),
        _p("y", provides=["lib(z) = 3"]),
    )
    assert zoo.closure("a") == expected


def test_multilib() -> None:
    """Packages of a lesser architecture come along only if they, or what needs them, say so."""
    small = partial(Sketch, arch="i686")
    zoo = _Zoo().add(
        _p("a", "lib"),
        small(name="lib", provides=["lib.so"]),
        _p("lib", provides=["lib.so()(64bit)"]),
        small(name="old", requires=["lib.so"]),
    )
    assert zoo.closure("a") == {"a", "lib-1"}
    assert zoo.closure("old") == {"old", "lib"}
    assert zoo.closure("a", "old") == {"a", "old", "lib", "lib-1"}


def test_foreign_architectures() -> None:
    """In a repository for machines that share nothing each package gets what runs with it."""
    zoo = _Zoo().add(
        *(Sketch(name="a", arch=arch, requires=["b"]) for arch in ("aarch64", "s390x")),
        *(Sketch(name="b", arch=arch) for arch in ("aarch64", "s390x")),
        Sketch(name="any", arch="noarch", requires=["b"]),
    )
    assert zoo.closure("a") == {"a", "b"}
    assert zoo.closure("a-1") == {"a-1", "b-1"}
    assert zoo.closure("any") == {"any", "b", "b-1"}


def test_files() -> None:
    """A required file is found in primary, or in filelists where only these have it."""
    files = {"x": ["/usr/share/x & y", "/usr/share/z"]}
    zoo = _Zoo(files=files).add(
        _p("a", "/usr/share/x & y", "/usr/bin/y"),
        _p("x"),
        _p("y", files=["/usr/bin/y"]),
        _p("z"),
    )
    assert zoo.closure("a") == {"a", "x", "y"}


def test_filelists_unread() -> None:
    """Filelists are not even asked for where primary has all the files that are needed."""
    solver = Solver()
    solver.add_packages(
        [(1, _p("a", "/usr/bin/y", "/etc/z").chunk())],
        lambda: pytest.fail("asked for"),
        rank=Rank.USUAL,
    )
    assert solver.closure([1]) == {1}


def test_present() -> None:
    """What the destination has is good enough, and what that needs comes along if it lacks."""
    zoo = _Zoo().add(_p("b", "c", version="1"), rank=Rank.PRESENT)
    zoo.add(_p("a", "b"), _p("b", version="2"), _p("c"))
    assert zoo.closure("a") == {"a", "b", "c"}
    zoo.add(_p("needy", "b >= 2"))
    assert zoo.closure("needy") == {"needy", "b-2"}


def test_unknown_units() -> None:
    """Units that the solver was never told of need nothing."""
    zoo = _Zoo().add(_p("a"))
    assert zoo.solver.closure([7]) == {7}
    assert zoo.solver.closure([]) == set()


@pytest.mark.parametrize(
    "text", ["<package/>", "", "<package><name>a", _p("a").primary() * 2, "</metadata>"]
)
def test_bad_chunk(text: str) -> None:
    """A chunk that is not that of one package is refused."""
    chunk = zstandard.ZstdCompressor().compress(text.encode())
    with pytest.raises(Unparsable, match="sync or upload it anew"):
        Solver().add_packages([(1, chunk)], lambda: (), rank=Rank.USUAL)


def _stream(unit_id: int, name: str, stream: str, *packages: int, **more: Any) -> Stream:
    """Return a stream of a module."""
    given = {"version": 1, "arch": "x86_64", "packages": frozenset(packages), **more}
    return Stream(unit_id=unit_id, name=name, stream=stream, **given)


def test_streams() -> None:
    """A stream needs its packages, and one stream of each of the modules that it requires."""
    zoo = _Zoo().add(_p("app", "lib"), _p("lib"), _p("runtime"), _p("old-runtime"))
    zoo.solver.add_streams(
        [
            _stream(101, "app", "1", zoo.ids["app"], requires=[{102, 103}]),
            _stream(102, "runtime", "1", zoo.ids["old-runtime"], version=1),
            _stream(103, "runtime", "1", zoo.ids["runtime"], version=2),
        ]
    )
    ids = zoo.ids
    wanted = {101, 103, ids["app"], ids["lib"], ids["runtime"]}
    assert zoo.solver.closure([101]) == wanted
    assert zoo.solver.closure([ids["app"]]) == wanted


def test_modular_packages_are_last() -> None:
    """A package of a module is chosen only if nothing else will do, and brings its module."""
    zoo = _Zoo().add(_p("a", "lib"), _p("b", "rare"), _p("lib", version="1"))
    zoo.add(_p("lib", version="9"), _p("rare"), rank=Rank.MODULAR)
    ids = zoo.ids
    zoo.solver.add_streams(
        [
            _stream(101, "lib", "9", ids["lib-9"], rank=Rank.MODULAR),
            _stream(102, "rare", "1", ids["rare"], rank=Rank.MODULAR),
        ]
    )
    assert zoo.solver.closure([ids["a"]]) == {ids["a"], ids["lib"]}
    assert zoo.solver.closure([ids["b"]]) == {ids["b"], ids["rare"], 102}


def test_tokens_cannot_be_claimed() -> None:
    """No package can provide what stands for a unit: no XML holds that character."""
    claim = _p("evil", provides=["\x01unit:1"]).chunk()
    with pytest.raises(Unparsable):
        Solver().add_packages([(1, claim)], lambda: (), rank=Rank.USUAL)


def test_clauses() -> None:
    """The plain dependencies of a rich one are found, with the parentheses of their names."""
    assert clauses("(perl(Carp) >= 1:2-3 with (a or /bin/b(c)) unless d)") == [
        Clause(name="perl(Carp)", comparison=">=", evr="1:2-3"),
        Clause(name="a"),
        Clause(name="/bin/b(c)"),
        Clause(name="d"),
    ]


@given(st.text(alphabet="()ab <>=\tifor", max_size=60))
def test_clauses_of_anything(text: str) -> None:
    """Whatever is taken apart, names come of it and no error."""
    assert all(clause.name for clause in clauses(text))


_GRAPHS = st.lists(st.sets(st.integers(0, 14), max_size=4), min_size=1, max_size=15)


@settings(max_examples=40, deadline=None)
@given(_GRAPHS, st.data())
def test_closure_is_complete(graph: list[set[int]], data: st.DataObject) -> None:
    """Of plain dependencies all come along that the source has, and no package more."""
    wanted = data.draw(st.sets(st.integers(0, len(graph) - 1), min_size=1))
    needs = [{each for each in needed if each < len(graph)} for needed in graph]
    zoo = _Zoo().add(
        *(
            Sketch(
                name=f"p{place}",
                requires=[f"lib{each}" for each in sorted(graph[place])],
                provides=[f"lib{place}"],
                # some can't be installed beside another one
                conflicts=[f"p{place - 3}"] if place % 4 == 0 else [],
            )
            for place in range(len(graph))
        )
    )
    expected, pending = set(wanted), [*wanted]
    while pending:
        new = needs[pending.pop()] - expected
        expected |= new
        pending += new
    assert zoo.closure(*(f"p{each}" for each in wanted)) == {f"p{each}" for each in expected}
