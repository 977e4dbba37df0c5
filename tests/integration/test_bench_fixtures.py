"""What the benchmarks stand on: their repositories, their feed server, their measure of memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import createrepo_c
import httpx

from bench._feed import serving
from bench._memory import Memory, resident, shared_once
from bench._packages import listed_repository, real_repository
from bench._searched import Sizes, package_key, searched_database, uid_of
from pulpit.domain.associations import UnitCriteria
from pulpit.domain.criteria import Selection, parse_criteria
from pulpit.storage.database import DATABASE
from pulpit.storage.sqlite import SqliteStorage
from tests.feeds import SAMPLE
from tests.feeds.draft import digest
from tests.services import missing


def test_listed_packages_are_as_many_as_asked_for(tmp_path: Path) -> None:
    """The metadata lists the packages with files, changelogs and dependencies; once made, kept."""
    made = listed_repository(30, cache=tmp_path)
    packages = list(createrepo_c.RepositoryReader.from_path(str(made)).iter_packages())
    assert len({package.pkgId for package in packages}) == 30
    assert {len(package.files) for package in packages} == {12}
    assert {len(package.changelogs) for package in packages} == {5}
    before = made.stat().st_ino
    assert listed_repository(30, cache=tmp_path).stat().st_ino == before
    assert [path.name for path in tmp_path.iterdir()] == [made.name]


def test_a_searched_database_holds_what_was_asked_for(tmp_path: Path) -> None:
    """Tasks and units are such that stores read them, and are made once."""
    sizes = Sizes(tasks=60, packages=40, errata=20, modules=10)
    made = searched_database(sizes, cache=tmp_path)
    with SqliteStorage(made / DATABASE) as storage, storage.read() as transaction:
        wanted = uid_of("task", 7)
        [task] = transaction.tasks.search(parse_criteria({"filters": {"task_id": wanted}}))
        assert (task.number, task.tags[1]) == (7, "pulp:action:sync")
        key = package_key(11)
        [package] = transaction.content.search(["rpm"], parse_criteria({"filters": key}))
        assert (package.uid, package.key) == (uid_of("unit", 12), key)
        assert transaction.content.chunks([package.id])
        assert len(transaction.content.search(["erratum"], Selection())) == 20
        assert len(transaction.content.search_associations("zoo-0001", UnitCriteria())) == 50
    assert searched_database(sizes, cache=tmp_path) == made


def test_real_packages_have_their_size_and_checksum(tmp_path: Path) -> None:
    """The packages are real, of 20 KB each, and the metadata is right about them."""
    try:
        made = real_repository(5, cache=tmp_path)
    except FileNotFoundError:
        missing("rpmbuild and createrepo_c")
    packages = list(createrepo_c.RepositoryReader.from_path(str(made)).iter_packages())
    assert len(packages) == 5
    for package in packages:
        data = (made / package.location_href).read_bytes()
        assert 19_000 < len(data) < 21_000
        assert digest("sha256", data) == package.pkgId


def test_the_feed_serves_every_file() -> None:
    """Each file of the folder comes back whole over one connection; others are not found."""
    with serving(SAMPLE) as url, httpx.Client(base_url=url) as client:
        for path in SAMPLE.rglob("*.rpm"):
            assert client.get(str(path.relative_to(SAMPLE))).content == path.read_bytes()
        assert client.get("nothing").status_code == 404


def test_memory_of_children_counts() -> None:
    """A child of the child that takes 50 MiB is seen, by both measures."""
    script = (
        "import subprocess, sys\n"
        "grandchild = 'taken = bytearray(50 << 20); taken[::4096] = bytes(b\"x\" * 12800); '\n"
        "grandchild += 'print(1, flush=True); input()'\n"
        "subprocess.run([sys.executable, '-c', grandchild], check=True)\n"
    )
    for measure in (resident, shared_once):
        with subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            with Memory(process.pid, measure) as used:
                pass
            process.stdin.write("\n")
            process.stdin.flush()
            process.wait()
        assert 50 <= used.peak_mb < 200
