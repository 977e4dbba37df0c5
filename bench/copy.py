"""Copies between repositories: ``python -m bench.copy [--quick] [--json]``.

Packages that need eight others each are copied from a large repository on SQLite to an empty one,
in a process of its own. Beside it, in turns, libsolv alone reads the same metadata and solves.
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench._copy_run import DESTINATION, SOURCE
from bench._report import Aim, Measured, run
from pulpit.domain.clock import new_oid, utc_now
from pulpit.domain.repositories import Importer, Repository
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from tests.copied import package
from tests.primaries import Sketch

__all__ = ["measure"]

_TITLE = (
    "10,000 packages with what they need from a repository of 50,000 to an empty one\n"
    "(1,000 of 5,000 with --quick); libsolv alone reads the same metadata and solves."
)
_AIMS = {
    "recursive_vs_libsolv": Aim(most=5, text="times its seconds; reading and writing the database"),
    "recursive_peak_mb": Aim(most=300, text="the task's process"),
}
_NEEDS, _NEAR, _FILES, _BATCH = 8, 2_000, 60, 5_000


def _sketches(count: int) -> Iterator[Sketch]:
    """Yield a shell, and packages that need it and some of those before them."""
    # the solver alone would install nothing without it
    yield Sketch(name="shell", files=["/bin/sh"])
    chance = random.Random(1)
    for place in range(count):
        first = max(0, place - _NEAR)
        needed = [chance.randrange(first, place) for _ in range(_NEEDS)] if place else []
        yield Sketch(
            name=f"package{place}",
            requires=[*(f"lib{each}.so.1()(64bit)" for each in needed), "/bin/sh", "(a if b)"],
            provides=[f"lib{place}.so.1()(64bit)"],
            files=[f"/usr/bin/package{place}"],
        )


def _fill(folder: Path, count: int) -> tuple[Path, Path]:
    """Make the database with both repositories, and the same packages as primary."""
    database, primary = upgrade(folder), folder / "primary.xml"
    storage, now = SqliteStorage(database), utc_now()
    with storage.write() as transaction:
        for repo_id in (SOURCE, DESTINATION):
            oid = new_oid(now)
            transaction.repositories.add(
                Repository(id=repo_id, oid=oid, display_name=repo_id, created=now)
            )
            transaction.repositories.set_importer(
                Importer(
                    repo_id=repo_id, oid=oid, importer_type_id="yum_importer", last_updated=now
                )
            )
    sketches = [*_sketches(count)]
    files = [f"/usr/share/doc/a-file-with-a-name/{place}" for place in range(_FILES)]
    for start in range(0, count, _BATCH):
        units = [
            package(sketch, files=files, description="d" * 800)
            for sketch in sketches[start : start + _BATCH]
        ]
        with storage.write() as transaction:
            ids = transaction.content.add(units)
            transaction.content.associate(SOURCE, [*ids.values()], now=now)
    storage.close()
    names = 'xmlns="http://linux.duke.edu/metadata/common"'
    names += ' xmlns:rpm="http://linux.duke.edu/metadata/rpm"'
    elements = "".join(sketch.primary() for sketch in sketches)
    primary.write_text(f"<metadata {names}>{elements}</metadata>", encoding="utf-8")
    return database, primary


def _child(*arguments: str) -> dict[str, Any]:
    """Run the other module; return what it prints."""
    command = [sys.executable, "-m", "bench._copy_run", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def _copied(database: Path, override: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Copy in a database of its own."""
    with tempfile.TemporaryDirectory(dir=database.parent) as name:
        fresh = shutil.copyfile(database, Path(name) / database.name)
        return _child("copy", str(fresh), json.dumps(override), str(count))


def measure(*, quick: bool) -> Measured:
    """Return the ratio and figures; *quick* takes a tenth of the packages."""
    total, count, rounds = (5_000, 1_000, 3) if quick else (50_000, 10_000, 5)
    plain: list[dict[str, Any]] = []
    recursive: list[dict[str, Any]] = []
    alone: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-copy-") as name:
        database, primary = _fill(Path(name), total)
        for _ in range(rounds):
            alone.append(_child("solver", str(primary), str(count)))
            recursive.append(_copied(database, {"recursive": True}, count))
            plain.append(_copied(database, {}, count))
    ratio = _median(recursive, "seconds") / _median(alone, "seconds")
    figures = {
        "libsolv_s": _median(alone, "seconds"),
        "recursive_s": _median(recursive, "seconds"),
        "recursive_units": _median(recursive, "units"),
        "recursive_peak_mb": max(each["peak_mb"] for each in recursive),
        "plain_s": _median(plain, "seconds"),
        "plain_peak_mb": max(each["peak_mb"] for each in plain),
    }
    return Measured(ratios={"recursive_vs_libsolv": ratio}, figures=figures)


def _median(runs: list[dict[str, Any]], name: str) -> float:
    return float(statistics.median(each[name] for each in runs))


if __name__ == "__main__":
    run("copy", _TITLE, lambda quick: measure(quick=quick), _AIMS)
