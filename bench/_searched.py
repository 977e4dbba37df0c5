"""A database that is searched: many tasks, and units of many repositories; made once, then kept."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import zstandard

from bench._packages import CACHE
from pulpit.domain.clock import render_time
from pulpit.domain.tasks import PUBLISH_TASK, SYNC_TASK
from pulpit.domain.units import unit_key_digest
from pulpit.storage import migrations
from pulpit.storage.database import DATABASE
from pulpit.storage.schema import upgrade

__all__ = ["Sizes", "package_key", "searched_database", "time_of", "uid_of"]

_EDITION = 1
#: 2026-01-01, in microseconds since 1970; a task begins each 20 seconds.
_EPOCH, _APART = 1_767_225_600_000_000, 20_000_000
_PER_REPOSITORY = 10_000
_WORDS = ("bell", "candle", "choir", "organ", "window", "rope", "pew", "altar", "hymnal", "spire")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much there is to search."""

    tasks: int
    packages: int
    errata: int
    modules: int

    @property
    def repositories(self) -> int:
        """Of which each has packages of its own and half of the next one's."""
        return max(2, self.packages // _PER_REPOSITORY)


def searched_database(sizes: Sizes, *, cache: Path = CACHE) -> Path:
    """Return a data folder with a database of this version's schema, filled to these sizes."""
    steps = hashlib.sha256()
    for step in sorted(Path(str(migrations.__file__)).parent.glob("versions/*.py")):
        steps.update(step.read_bytes())
    name = f"searched-{sizes.tasks}-{sizes.packages}-{_EDITION}-{steps.hexdigest()[:8]}"
    dest = cache / name
    if not dest.is_dir():
        scratch = cache / f".{name}-{uuid.uuid4().hex}"
        scratch.mkdir(parents=True)
        upgrade(scratch)
        with closing(sqlite3.connect(scratch / DATABASE)) as connection:
            connection.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;")
            _fill(connection, sizes)
            connection.commit()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if dest.is_dir():
            shutil.rmtree(scratch)
        else:
            scratch.rename(dest)
    return dest


def _fill(connection: sqlite3.Connection, sizes: Sizes) -> None:
    """Insert everything."""
    source = random.Random(_EDITION)
    _insert(connection, "repositories", _repositories(sizes))
    _insert(connection, "distributors", _distributors(sizes))
    _insert(connection, "tasks", _tasks(sizes, source))
    _insert(connection, "task_tags", _tags(sizes))
    _insert(connection, "units", _units(sizes))
    _insert(connection, "unit_chunks", _chunks(sizes))
    _insert(connection, "repository_units", _members(sizes))


def _insert(connection: sqlite3.Connection, table: str, rows: Iterator[Mapping[str, Any]]) -> None:
    """Insert rows that all have the same columns."""
    first = next(rows)
    names = ", ".join(f'"{name}"' for name in first)
    places = ", ".join("?" * len(first))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", [*first.values()])
    connection.executemany(
        f"INSERT INTO {table} ({names}) VALUES ({places})", (tuple(row.values()) for row in rows)
    )


def _repository(number: int) -> str:
    return f"zoo-{number:04}"


def uid_of(kind: str, number: int) -> str:
    """Return the id of a ``task``, by its number, or of a ``unit``, by its own."""
    return str(uuid.UUID(bytes=hashlib.md5(f"{kind}-{number}".encode()).digest()))


def _oid(kind: str, number: int) -> str:
    return hashlib.md5(f"{kind}-{number}".encode()).hexdigest()[:24]


def _repositories(sizes: Sizes) -> Iterator[Mapping[str, Any]]:
    for number in range(sizes.repositories):
        yield {
            "id": _repository(number),
            "oid": _oid("repository", number),
            "display_name": f"Zoo {number}",
            "notes": json.dumps({"_repo-type": "rpm-repo", "arch": "x86_64"}),
            "scratchpad": "{}",
            "content_unit_counts": json.dumps({"rpm": _PER_REPOSITORY}),
            "created": _EPOCH,
            "content_revision": 1,
        }


def _distributors(sizes: Sizes) -> Iterator[Mapping[str, Any]]:
    for number in range(sizes.repositories):
        yield {
            "repo_id": _repository(number),
            "id": "yum",
            "oid": _oid("distributor", number),
            "distributor_type_id": "yum_distributor",
            "config": json.dumps({"relative_url": f"content/{number}", "http": True}),
            "auto_publish": 0,
            "scratchpad": "{}",
            "last_updated": _EPOCH,
        }


_PROGRESS = json.dumps(
    {
        "yum_importer": {
            "metadata": {"state": "FINISHED"},
            "content": {
                "state": "FINISHED",
                "items_total": 120,
                "items_left": 0,
                "size_total": 12_000_000,
                "size_left": 0,
                "details": {"rpm_total": 120, "rpm_done": 120, "drpm_total": 0, "drpm_done": 0},
                "error_details": [],
            },
            **{
                stage: {"state": "FINISHED"}
                for stage in ("distribution", "modules", "errata", "comps", "purge_duplicates")
            },
        }
    }
)


def _state(number: int, count: int) -> str:
    """Return the state of a task: the last ones wait or run, one of fifty before has failed."""
    if number > count - 40:
        return "waiting" if number > count - 20 else "running"
    return "error" if number % 50 == 0 else "finished"


def _tasks(sizes: Sizes, source: random.Random) -> Iterator[Mapping[str, Any]]:
    for number in range(1, sizes.tasks + 1):
        state, begun = _state(number, sizes.tasks), _EPOCH + number * _APART
        repo_id = _repository(number % sizes.repositories)
        has_begun, is_over = state != "waiting", state in {"finished", "error"}
        result = {"repo_id": repo_id, "added_count": 3, "details": {}, "summary": {}}
        yield {
            "number": number,
            "id": uid_of("task", number),
            "oid": _oid("task", number),
            "task_type": SYNC_TASK if number % 2 else PUBLISH_TASK,
            "operation": "sync" if number % 2 else "publish",
            "arguments": json.dumps({"repo_id": repo_id}),
            "state": state,
            "tags": json.dumps([*_task_tags(number, sizes)]),
            "resources": json.dumps([f"repository:{repo_id}"]),
            "created": begun,
            "start_time": begun + source.randrange(_APART) if has_begun else None,
            "finish_time": begun + _APART + source.randrange(_APART) if is_over else None,
            "progress": _PROGRESS if has_begun else "{}",
            "result": json.dumps(result) if state == "finished" else None,
            "error": '{"code": "PLP0000", "description": "x"}' if state == "error" else None,
            "worker_name": "worker-1@zoo" if has_begun else None,
            "spawned": "[]",
            "revision": 4,
            "attempt": 1,
        }


def time_of(number: int) -> tuple[str, int]:
    """Return the time from which a task can have begun: as clients write it, and as it is kept."""
    moment = _EPOCH + number * _APART
    return render_time(datetime.fromtimestamp(moment // 1_000_000, tz=UTC)) or "", moment


def _task_tags(number: int, sizes: Sizes) -> Sequence[str]:
    action = "sync" if number % 2 else "publish"
    return (f"pulp:repository:{_repository(number % sizes.repositories)}", f"pulp:action:{action}")


def _tags(sizes: Sizes) -> Iterator[Mapping[str, Any]]:
    for number in range(1, sizes.tasks + 1):
        for tag in _task_tags(number, sizes):
            yield {"tag": tag, "task_number": number}


def package_key(number: int) -> dict[str, str]:
    """Return the unit key of a package, from 0; its unit has the number after that."""
    name = f"{_WORDS[number % len(_WORDS)]}-{number // 40:04}"
    return {
        "name": name,
        "epoch": "0",
        "version": f"{number // 10 % 4}.{number % 7}",
        "release": f"{number}.el9",
        "arch": ("noarch", "x86_64", "aarch64")[number % 3],
        "checksumtype": "sha256",
        "checksum": hashlib.sha256(str(number).encode()).hexdigest(),
    }


def _units(sizes: Sizes) -> Iterator[Mapping[str, Any]]:
    for number in range(sizes.packages):
        key = package_key(number)
        nevra = f"{key['name']}-{key['version']}-{key['release']}"
        metadata = {
            "summary": f"The {key['name']} of the zoo",
            "description": "It is there for all who come to see it, and it is shown daily. " * 8,
            "url": "https://zoo.example/",
            "license": "Apache-2.0",
            "vendor": "Zoo",
            "group": "Unspecified",
            "buildhost": "builder.zoo.example",
            "sourcerpm": f"{nevra}.src.rpm",
            "packager": None,
            "build_time": 1_740_916_800,
            "time": 1_740_916_800,
            "signing_key": "fd431d51" if number % 10 else None,
        }
        row = _unit(number + 1, "rpm", key, metadata)
        columns = ("name", "epoch", "version", "release", "arch", "checksum")
        yield (
            row
            | {name: key[name] for name in columns}
            | {
                "filename": f"{nevra}.{key['arch']}.rpm",
                "size": 20_000 + number,
                "checksum_type": "sha256",
            }
        )
    for place in range(sizes.errata):
        key = {"id": f"ZOO-2026:{place:04}"}
        packages = [{"name": _WORDS[place % 10], "filename": f"{n}.rpm"} for n in range(20)]
        erratum = {
            "title": f"Erratum {place}",
            "severity": ("Low", "Critical")[place % 2],
            "type": "security",
            "pkglist": [{"name": "zoo", "packages": packages}],
        }
        yield _document(sizes.packages + place + 1, "erratum", key, erratum)
    for place in range(sizes.modules):
        module: dict[str, Any] = {
            "name": _WORDS[place % 10],
            "stream": f"{place // 10}",
            "version": 20_260_101 + place,
            "context": "c0ffee00",
            "arch": "x86_64",
        }
        artifacts = [f"{module['name']}-0:{n}.0-1.x86_64" for n in range(20)]
        number = sizes.packages + sizes.errata + place + 1
        yield _document(number, "modulemd", module, {"artifacts": artifacts, "profiles": {}})


def _unit(
    number: int, type_id: str, key: Mapping[str, Any], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what rows of all units have."""
    return {
        "id": number,
        "uid": uid_of("unit", number),
        "type_id": type_id,
        "key_digest": unit_key_digest(type_id, key),
        "key": json.dumps(key),
        "metadata": json.dumps(metadata),
        "updated": _EPOCH + number,
    }


def _document(
    number: int, type_id: str, key: Mapping[str, Any], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the row of a unit that is no package."""
    columns = ("name", "epoch", "version", "release", "arch", "checksum")
    more = ("filename", "size", "checksum_type")
    return _unit(number, type_id, key, metadata) | dict.fromkeys((*columns, *more))


def _chunks(sizes: Sizes) -> Iterator[Mapping[str, Any]]:
    """Yield the elements of each package: with some files, dependencies and changes."""
    pack = zstandard.ZstdCompressor(level=3).compress
    for number in range(sizes.packages):
        key = package_key(number)
        name, version = key["name"], f'epoch="0" ver="{key["version"]}" rel="{key["release"]}"'
        needs = "".join(f'<rpm:entry name="lib{n}.so.{number % 9}()(64bit)"/>' for n in range(10))
        primary = (
            f'<package type="rpm"><name>{name}</name><arch>{key["arch"]}</arch>'
            f'<version {version}/><checksum type="sha256" pkgid="YES">{key["checksum"]}</checksum>'
            "<summary>s</summary><description>d</description><packager/><url/>"
            '<time file="1" build="1"/><size package="1" installed="1" archive="1"/>'
            f'<location href="{name}.rpm"/><format><rpm:header-range start="1" end="2"/>'
            f'<rpm:provides><rpm:entry name="{name}" flags="EQ" {version}/></rpm:provides>'
            f"<rpm:requires>{needs}</rpm:requires></format></package>"
        )
        head = f'<package pkgid="{key["checksum"]}" name="{name}" arch="{key["arch"]}">'
        files = "".join(f"<file>/usr/share/{name}/{n}</file>" for n in range(12))
        changes = f'<changelog author="A &lt;a@zoo.example&gt; - {number}" date="1">- x</changelog>'
        yield {
            "unit_id": number + 1,
            "chunk_0": pack(primary.encode()),
            "chunk_1": pack(f"{head}<version {version}/>{files}</package>".encode()),
            "chunk_2": pack(f"{head}<version {version}/>{changes * 5}</package>".encode()),
        }


def _members(sizes: Sizes) -> Iterator[Mapping[str, Any]]:
    """Yield which unit is in which repository: each package in one or two, all else in each."""
    share = sizes.packages // sizes.repositories
    total = sizes.packages + sizes.errata + sizes.modules
    for number in range(sizes.repositories):
        first = number * share
        beside = sizes.packages if number + 1 == sizes.repositories else first + share * 3 // 2
        everywhere = range(sizes.packages, total) if number < 2 else range(0)
        for place in (*range(first, min(beside, sizes.packages)), *everywhere):
            yield {"repo_id": _repository(number), "unit_id": place + 1, "created": _EPOCH}
