"""Searches among much else: ``python -m bench.search [--quick] [--json]``.

A database of a million tasks and 200,000 packages is searched as clients search it, by POST to the
web application in this process, without a socket between. Beside it, in turns, the same rows are
selected by statements that were written for them, through Python's sqlite3: the floor.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench._report import Aim, Measured, run
from bench._searched import Sizes, package_key, searched_database, time_of, uid_of
from pulpit.storage.database import DATABASE
from tests.api_site import Site

__all__ = ["measure"]

_WHOLE = Sizes(tasks=1_000_000, packages=200_000, errata=4_000, modules=500)
_SMALL = Sizes(tasks=50_000, packages=20_000, errata=400, modules=50)
_ROUNDS, _QUICK_ROUNDS = 40, 10
_PAGE = 50
#: What clients that want everything ask for at a time.
_LARGE_PAGE = 2_000
#: Values of one ``$in``.
_LISTED = 50

_TITLE = (
    "Searches over the REST API, in process, on SQLite: 1,000,000 tasks and 200,000 packages in\n"
    "20 repositories (--quick: a twentieth and a tenth), pages of 50. The floor is the statement\n"
    "that somebody would write by hand for the same rows, by Python's sqlite3."
)
_AIMS = {
    "search_p99_ms": Aim(most=50, text="of all searches together"),
    "slowest_p99_ms": Aim(text="of the kind of search that has the highest"),
    "large_page_of_packages_ms": Aim(text="2,000 whole documents, 3 KB each; not in the p99"),
    "vs_sqlite3": Aim(text="median time of all kinds together, over the floor's"),
}


@dataclass(frozen=True, kw_only=True)
class _Question:
    """One search, and the statement by hand that answers it."""

    path: str
    criteria: Mapping[str, Any]
    floor: str
    values: Sequence[Any] = ()


@dataclass(kw_only=True)
class _Times:
    """Milliseconds of one kind of search."""

    ours: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)


#: Returns the question of one round.
_Ask = Callable[[Sizes, random.Random], _Question]


def measure(*, quick: bool) -> Measured:
    """Return the ratios and figures; *quick* has less to search, and asks less often."""
    sizes = _SMALL if quick else _WHOLE
    folder = searched_database(sizes)
    times = {name: _Times() for name in _KINDS}
    source = random.Random(1)
    with (
        tempfile.TemporaryDirectory(prefix="bench-search-") as files,
        Site(folder / DATABASE, Path(files)) as site,
        closing(sqlite3.connect(folder / DATABASE)) as floor,
    ):
        for _ in range(3):
            _round(site, floor, sizes, source, {name: _Times() for name in _KINDS})
        for _ in range(_QUICK_ROUNDS if quick else _ROUNDS):
            _round(site, floor, sizes, source, times)
        large = _large_pages(site)
    measured = _measured(times)
    return Measured(ratios=measured.ratios, figures={**measured.figures, **large})


def _large_pages(site: Site) -> dict[str, float]:
    """Return the milliseconds of pages that are long for what stands in them."""
    limit = {"limit": _LARGE_PAGE}
    few = {**limit, "fields": ["name", "version", "release", "arch", "checksum"]}
    asked = {
        "large_page_of_tasks_ms": ("tasks/search/", limit),
        "large_page_of_packages_ms": ("content/units/rpm/search/", limit),
        "large_page_of_names_ms": ("content/units/rpm/search/", few),
    }
    times: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(5):
        for name, (path, criteria) in asked.items():
            began = time.perf_counter()
            answer = site.ask("POST", path, json={"criteria": criteria})
            times[name].append((time.perf_counter() - began) * 1000)
            if len(answer.json()) != _LARGE_PAGE:
                raise RuntimeError(f"{name}: {answer.text[:300]}")
    return {name: statistics.median(taken) for name, taken in times.items()}


def _round(
    site: Site,
    floor: sqlite3.Connection,
    sizes: Sizes,
    source: random.Random,
    times: Mapping[str, _Times],
) -> None:
    """Ask each question once, both ways."""
    for name, ask in _KINDS.items():
        question = ask(sizes, source)
        began = time.perf_counter()
        answer = site.ask("POST", question.path, json={"criteria": question.criteria})
        told = time.perf_counter()
        rows = floor.execute(question.floor, question.values).fetchall()
        times[name].ours.append((told - began) * 1000)
        times[name].floor.append((time.perf_counter() - told) * 1000)
        if answer.status_code != 200 or len(answer.json()) != len(rows):
            raise RuntimeError(f"{name}: {answer.text[:300]} and {len(rows)} rows of the floor")


def _measured(times: Mapping[str, _Times]) -> Measured:
    """Return what was measured, kind by kind and of all together."""
    together = [each for kind in times.values() for each in kind.ours]
    p99s = {name: _p99(kind.ours) for name, kind in times.items()}
    medians = {name: statistics.median(kind.ours) for name, kind in times.items()}
    floors = {name: statistics.median(kind.floor) for name, kind in times.items()}
    return Measured(
        ratios={"vs_sqlite3": sum(medians.values()) / sum(floors.values())},
        figures={
            "search_p99_ms": _p99(together),
            "slowest_p99_ms": max(p99s.values()),
            **{f"{name}_ms": value for name, value in medians.items()},
            **{f"{name}_floor_ms": value for name, value in floors.items()},
        },
    )


def _p99(values: Sequence[float]) -> float:
    """Return what at most one value in a hundred is above."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _tasks(filters: Mapping[str, Any], where: str, values: Sequence[Any] = ()) -> _Question:
    """Return a search for tasks, in order of submission."""
    return _Question(
        path="tasks/search/",
        criteria={"filters": filters, "limit": _PAGE},
        floor=f"SELECT * FROM tasks WHERE {where} ORDER BY number LIMIT {_PAGE}",
        values=values,
    )


def _some_task(sizes: Sizes, source: random.Random) -> int:
    return source.randint(1, sizes.tasks - 100)


def _task_by_id(sizes: Sizes, source: random.Random) -> _Question:
    wanted = uid_of("task", _some_task(sizes, source))
    return _tasks({"task_id": wanted}, "id = ?", [wanted])


def _tasks_by_ids(sizes: Sizes, source: random.Random) -> _Question:
    wanted = [uid_of("task", _some_task(sizes, source)) for _ in range(_LISTED)]
    return _tasks({"task_id": {"$in": wanted}}, f"id IN ({_marks(_LISTED)})", wanted)


def _tagged(where: str = "") -> str:
    """Return the condition for tasks with a tag, and what else they must meet."""
    return f"number IN (SELECT task_number FROM task_tags WHERE tag = ?){where}"


def _tag(sizes: Sizes, source: random.Random) -> str:
    return f"pulp:repository:zoo-{source.randrange(sizes.repositories):04}"


def _tasks_by_tag(sizes: Sizes, source: random.Random) -> _Question:
    tag = _tag(sizes, source)
    return _tasks({"tags": tag}, _tagged(), [tag])


def _tasks_by_tag_and_state(sizes: Sizes, source: random.Random) -> _Question:
    tag, states = _tag(sizes, source), ["waiting", "running"]
    filters = {"tags": {"$in": [tag]}, "state": {"$in": states}}
    return _tasks(filters, _tagged(" AND state IN (?, ?)"), [tag, *states])


def _tasks_by_state(_sizes: Sizes, _source: random.Random) -> _Question:
    states = ["waiting", "running"]
    return _tasks({"state": {"$in": states}}, "state IN (?, ?)", states)


def _tasks_by_type(_sizes: Sizes, _source: random.Random) -> _Question:
    filters = {"task_type": {"$regex": "^pulp\\.server\\.managers\\.repo\\.sync"}}
    return _tasks(filters, "task_type GLOB 'pulp.server.managers.repo.sync*'")


def _tasks_of_an_hour(sizes: Sizes, source: random.Random) -> _Question:
    first = _some_task(sizes, source)
    begin, end = time_of(first), time_of(first + 180)
    times = {"$gte": {"$date": begin[0]}, "$lt": {"$date": end[0]}}
    where = "+state = 'finished' AND start_time >= ? AND start_time < ?"
    return _tasks({"state": "finished", "start_time": times}, where, [begin[1], end[1]])


def _newest_failed(_sizes: Sizes, _source: random.Random) -> _Question:
    order = "ORDER BY finish_time DESC, number"
    return _Question(
        path="tasks/search/",
        criteria={
            "filters": {"state": "error"},
            "sort": [["finish_time", "descending"]],
            "limit": _PAGE,
        },
        floor=f"SELECT * FROM tasks WHERE +state = 'error' {order} LIMIT {_PAGE}",
    )


def _tasks_deep(sizes: Sizes, source: random.Random) -> _Question:
    skip = source.randrange(sizes.tasks * 95 // 100)
    page = f"SELECT number FROM tasks ORDER BY number LIMIT {_PAGE} OFFSET ?"
    return _Question(
        path="tasks/search/",
        criteria={"limit": _PAGE, "skip": skip},
        floor=f"SELECT * FROM tasks WHERE number IN ({page}) ORDER BY number",
        values=[skip],
    )


def _units(
    type_id: str, filters: Mapping[str, Any], where: str, values: Sequence[Any] = ()
) -> _Question:
    """Return a search for units of a type."""
    chosen = f"+type_id = '{type_id}' AND {where} ORDER BY +id LIMIT {_PAGE}"
    return _Question(
        path=f"content/units/{type_id}/search/",
        criteria={"filters": filters, "limit": _PAGE},
        floor=f"SELECT * FROM units LEFT JOIN unit_chunks ON unit_id = id WHERE {chosen}",
        values=values,
    )


def _some_package(sizes: Sizes, source: random.Random) -> int:
    return source.randrange(sizes.packages)


def _package_by_id(sizes: Sizes, source: random.Random) -> _Question:
    wanted = uid_of("unit", _some_package(sizes, source) + 1)
    return _units("rpm", {"_id": wanted}, "uid = ?", [wanted])


def _packages_by_checksums(sizes: Sizes, source: random.Random) -> _Question:
    wanted = [package_key(_some_package(sizes, source))["checksum"] for _ in range(_LISTED)]
    return _units("rpm", {"checksum": {"$in": wanted}}, f"checksum IN ({_marks(_LISTED)})", wanted)


def _package_by_nevra(sizes: Sizes, source: random.Random) -> _Question:
    key = package_key(_some_package(sizes, source))
    wanted = {name: key[name] for name in ("name", "epoch", "version", "release", "arch")}
    where = " AND ".join(f"{name} = ?" for name in wanted)
    return _units("rpm", wanted, where, [*wanted.values()])


def _packages_by_prefix(sizes: Sizes, source: random.Random) -> _Question:
    prefix = package_key(_some_package(sizes, source))["name"][:-1]
    return _units("rpm", {"name": {"$regex": f"^{prefix}"}}, "name GLOB ?", [f"{prefix}*"])


def _packages_deep(sizes: Sizes, source: random.Random) -> _Question:
    skip = source.randrange(sizes.packages * 95 // 100)
    page = f"SELECT id FROM units WHERE type_id = 'rpm' ORDER BY id LIMIT {_PAGE} OFFSET ?"
    joined = "SELECT * FROM units LEFT JOIN unit_chunks ON unit_id = id"
    return _Question(
        path="content/units/rpm/search/",
        criteria={"limit": _PAGE, "skip": skip},
        floor=f"{joined} WHERE id IN ({page}) ORDER BY id",
        values=[skip],
    )


def _errata_by_ids(sizes: Sizes, source: random.Random) -> _Question:
    wanted = [f"ZOO-2026:{source.randrange(sizes.errata):04}" for _ in range(_LISTED)]
    where = f"size IS NULL AND json_extract(\"key\", '$.id') IN ({_marks(_LISTED)})"
    return _units("erratum", {"id": {"$in": wanted}}, where, wanted)


def _module(sizes: Sizes, source: random.Random) -> _Question:
    stream = str(source.randrange(sizes.modules // 10))
    where = "size IS NULL AND json_extract(\"key\", '$.name') = 'choir'"
    where += " AND json_extract(\"key\", '$.stream') = ?"
    return _units("modulemd", {"name": "choir", "stream": stream}, where, [stream])


def _members(
    repo_id: str, criteria: Mapping[str, Any], where: str, values: Sequence[Any] = ()
) -> _Question:
    """Return a search for units of a repository."""
    joined = "repository_units AS r CROSS JOIN units AS u ON u.id = r.unit_id"
    joined += " LEFT JOIN unit_chunks AS c ON c.unit_id = u.id"
    chosen = f"r.repo_id = ? AND u.type_id = 'rpm' AND {where} LIMIT {_PAGE}"
    return _Question(
        path=f"repositories/{repo_id}/search/units/",
        criteria={"type_ids": ["rpm"], "limit": _PAGE, **criteria},
        floor=f"SELECT * FROM {joined} WHERE {chosen}",
        values=[repo_id, *values],
    )


def _home_of(number: int, sizes: Sizes) -> str:
    """Return a repository that has the package."""
    return f"zoo-{number // (sizes.packages // sizes.repositories):04}"


def _member_by_name(sizes: Sizes, source: random.Random) -> _Question:
    number = _some_package(sizes, source)
    name = package_key(number)["name"]
    named = "r.unit_id IN (SELECT id FROM units WHERE name = ?)"
    return _members(_home_of(number, sizes), {"filters": {"unit": {"name": name}}}, named, [name])


def _members_by_checksums(sizes: Sizes, source: random.Random) -> _Question:
    first = source.randrange(sizes.packages - _LISTED)
    wanted = [package_key(first + place)["checksum"] for place in range(_LISTED)]
    listed = f"r.unit_id IN (SELECT id FROM units WHERE checksum IN ({_marks(_LISTED)}))"
    filters = {"unit": {"checksum": {"$in": wanted}}}
    return _members(_home_of(first, sizes), {"filters": filters}, listed, wanted)


def _members_deep(sizes: Sizes, source: random.Random) -> _Question:
    repo_id = _home_of(_some_package(sizes, source), sizes)
    share = sizes.packages // sizes.repositories
    skip = source.randrange(share - _PAGE)
    page = f"SELECT unit_id FROM repository_units WHERE repo_id = ? LIMIT {_PAGE} OFFSET ?"
    return _members(repo_id, {"skip": skip}, f"r.unit_id IN ({page})", [repo_id, skip])


def _repositories(sizes: Sizes, _source: random.Random) -> _Question:
    return _Question(
        path="repositories/search/",
        criteria={"filters": {"notes._repo-type": "rpm-repo"}, "limit": _PAGE},
        floor=(
            "SELECT * FROM repositories WHERE json_extract(notes, '$.\"_repo-type\"') = 'rpm-repo' "
            f"LIMIT {min(_PAGE, sizes.repositories)}"
        ),
    )


_KINDS: Mapping[str, _Ask] = {
    "task_by_id": _task_by_id,
    "tasks_by_ids": _tasks_by_ids,
    "tasks_by_tag": _tasks_by_tag,
    "tasks_by_tag_and_state": _tasks_by_tag_and_state,
    "tasks_by_state": _tasks_by_state,
    "tasks_by_type": _tasks_by_type,
    "tasks_of_an_hour": _tasks_of_an_hour,
    "newest_failed": _newest_failed,
    "tasks_deep": _tasks_deep,
    "package_by_id": _package_by_id,
    "packages_by_checksums": _packages_by_checksums,
    "package_by_nevra": _package_by_nevra,
    "packages_by_prefix": _packages_by_prefix,
    "packages_deep": _packages_deep,
    "errata_by_ids": _errata_by_ids,
    "module": _module,
    "member_by_name": _member_by_name,
    "members_by_checksums": _members_by_checksums,
    "members_deep": _members_deep,
    "repositories": _repositories,
}


if __name__ == "__main__":
    run("search", _TITLE, lambda quick: measure(quick=quick), _AIMS)
