"""Repositories of units that exist as metadata alone, to be copied from one to another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import httpx
import zstandard

from pulpit.domain.units import PackageColumns, Unit
from tests.api_site import Site, spawned
from tests.primaries import Sketch, filelists_chunk

__all__ = ["Zoo", "document", "module", "package"]


def package(sketch: Sketch, *, files: Sequence[str] = (), **metadata: Any) -> Unit:
    """Return the unit of a package; of type srpm if its architecture is src."""
    checksum = hashlib.sha256(sketch.primary().encode()).hexdigest()
    columns = PackageColumns(
        name=sketch.name,
        epoch="0",
        version=sketch.version,
        release="1",
        arch=sketch.arch,
        filename=f"{sketch.name}-{sketch.version}-1.{sketch.arch}.rpm",
        size=1,
        checksum_type="sha256",
        checksum=checksum,
    )
    names = ("name", "epoch", "version", "release", "arch")
    return Unit(
        uid=str(uuid4()),
        type_id="srpm" if sketch.arch == "src" else "rpm",
        key={name: getattr(columns, name) for name in names}
        | {"checksumtype": "sha256", "checksum": checksum},
        package=columns,
        metadata=metadata,
        chunks=(sketch.chunk(), filelists_chunk([*sketch.files, *files]), b""),
    )


def document(type_id: str, key: Mapping[str, Any], *, text: str = "<x/>", **metadata: Any) -> Unit:
    """Return a unit that is a document."""
    chunk = zstandard.ZstdCompressor().compress(text.encode())
    return Unit(uid=str(uuid4()), type_id=type_id, key=key, metadata=metadata, chunks=(chunk,))


def module(
    name: str,
    stream: str,
    artifacts: Sequence[str] = (),
    *,
    version: int = 1,
    requires: Mapping[str, Sequence[str]] | None = None,
) -> Unit:
    """Return a stream of a module; its artifacts are written without epoch, as ``a-1-1.noarch``."""
    parts = [artifact.rsplit("-", 2) for artifact in artifacts]
    return document(
        "modulemd",
        {"name": name, "stream": stream, "version": version, "context": "c", "arch": "x86_64"},
        artifacts=[f"{part[0]}-0:{part[1]}-{part[2]}" for part in parts],
        dependencies=[{"requires": {"platform": ["el8"], **(requires or {})}}],
    )


class Zoo:
    """A site with repositories that hold such units."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def make(
        self,
        repo_id: str,
        units: Iterable[Unit] = (),
        *,
        importer: str = "yum_importer",
        **config: Any,
    ) -> None:
        """Make a repository with an importer, and put units into it."""
        created = {"id": repo_id, "importer_type_id": importer, "importer_config": config}
        answer = self.site.ask("POST", "repositories/", json=created)
        assert answer.status_code == 201, answer.json()
        with self.site.storage.write() as transaction:
            ids = transaction.content.add([*units])
            transaction.content.associate(repo_id, [*ids.values()], now=self.site.clock())

    def names(self, repo_id: str) -> set[str]:
        """Return what a repository has: packages as name-version.arch, others by type and key."""
        with self.site.storage.read() as transaction:
            ids = transaction.content.members(repo_id)
            keys = transaction.content.unit_keys(ids).values()
        return {name_of(type_id, key) for type_id, key in keys}

    def ask(self, repo_id: str, action: str, **sent: Any) -> httpx.Response:
        """Ask for an action."""
        return self.site.ask("POST", f"repositories/{repo_id}/actions/{action}/", json=sent)

    def copy(self, source: str, destination: str, **sent: Any) -> dict[str, Any]:
        """Copy, and return the task's report."""
        answer = self.ask(destination, "associate", source_repo_id=source, **sent)
        return self.done(answer)

    def done(self, answer: httpx.Response) -> dict[str, Any]:
        """Have the task of an answer run, and return its report."""
        [task] = spawned(self.site, answer)
        self.site.work()
        return dict(self.site.ask("GET", task["_href"]).json())

    def copied(self, source: str, destination: str, *names: str, **override: Any) -> set[str]:
        """Copy packages by name, and return the names of all that was copied."""
        criteria = {"type_ids": ["rpm"], "filters": {"unit": {"name": {"$in": names}}}}
        report = self.copy(source, destination, criteria=criteria, override_config=override)
        assert report["state"] == "finished", report["error"]
        return names_in(report["result"]["units_successful"])


def names_in(listed: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return what the result of a task lists; see ``Zoo.names``."""
    return {name_of(each["type_id"], each["unit_key"]) for each in listed}


def name_of(type_id: str, key: Mapping[str, Any]) -> str:
    """Return how a unit is called here."""
    if type_id in ("rpm", "srpm"):
        return f"{key['name']}-{key['version']}.{key['arch']}"
    if type_id == "modulemd":
        return f"module {key['name']}:{key['stream']}:{key['version']}"
    parts = [str(value) for name, value in key.items() if name != "repo_id"]
    return " ".join([type_id, *parts])
