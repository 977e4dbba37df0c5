"""The task that downloads what a repository lacks, beside those who read it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from pulpit.domain.tasks import Task
from pulpit.domain.units import Unit, UnitFile
from pulpit.errors import DownloadFailed
from pulpit.ports import ContentTypes
from pulpit.services.downloads import download_body, download_task
from tests.integration.serving import Sources, offer
from tests.published import Shelf, package, shelf

_NAMES = ("bell", "organ", "harp")


@dataclass(kw_only=True)
class _Place(Shelf):
    """A shelf whose task is a download."""

    work: Task | None = None
    told: list[dict[str, Any]] = field(default_factory=list)

    @property
    def task(self) -> Task:
        assert self.work is not None
        return self.work

    def progress(self, report: Mapping[str, Any], *, boundary: bool = False) -> None:
        self.told.append(json.loads(json.dumps(report))["on_demand_download"][0])

    def download(self, sources: Sources, *, verify: bool = False) -> dict[str, Any]:
        """Run the task; return the last report of its step."""
        self.told.clear()
        self.work = download_task(repo_id="zoo", verify=verify, now=self.now)
        download_body(self, _types(sources))
        return self.told[-1]

    def artifacts(self) -> dict[str, str | None]:
        """Return name of each package of the repository to its file."""
        with self.storage.read() as transaction:
            units = [*transaction.content.packages("zoo")]
        return {unit.package.name: unit.artifact for unit in units if unit.package}


@dataclass
class _Types:
    """A registry that knows one downloader."""

    sources: Sources

    def downloader(self, settings: Any) -> Sources:
        return self.sources


def _types(sources: Sources) -> ContentTypes:
    """Return the registry for the task."""
    return cast("ContentTypes", _Types(sources))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[_Place]:
    """Yield a store with a repository whose three packages are not here."""
    with shelf(tmp_path / "data") as opened:
        place = _Place(storage=opened.storage, files=opened.files)
        units = [package(name, content=name.encode()) for name in _NAMES]
        ids = place.repository("zoo", units)
        offer(place, "zoo", {number: f"http://feed/{name}" for name, number in ids.items()})
        yield place


def sources_of(**files: bytes) -> Sources:
    """Return a downloader of the packages that is changed in parts."""
    content = {name: name.encode() for name in _NAMES} | files
    return Sources(
        {f"http://feed/{name}-1.0-1.noarch.rpm": [data] for name, data in content.items()}
    )


def test_all_that_is_missing(store: _Place) -> None:
    """What is not here is downloaded once, counted, and stays."""
    sources = sources_of()
    last = store.download(sources)
    assert (last["state"], last["items_total"], last["num_success"]) == ("FINISHED", 3, 3)
    assert [step["num_processed"] for step in store.told] == [0, 1, 2, 3, 3]
    assert None not in store.artifacts().values()
    assert sources.is_closed
    again = sources_of()
    assert store.download(again)["items_total"] == 0
    assert not again.asked


def test_rotten_files(store: _Place) -> None:
    """Only who asks for that has all files read; a rotten one is downloaded again."""
    store.download(sources_of())
    digest = store.artifacts()["bell"]
    assert digest is not None
    store.files.path(digest).write_bytes(b"BELL")
    assert store.download(sources_of())["items_total"] == 0
    assert store.download(sources_of(), verify=True)["num_success"] == 1
    assert store.files.path(digest).read_bytes() == b"bell"


def test_some_that_can_not_be_had(store: _Place) -> None:
    """A file that can't be had fails the task, which says so; the others stay."""
    with pytest.raises(DownloadFailed, match="1 of 3 files failed"):
        store.download(sources_of(bell=b"other"))
    last = store.told[-1]
    assert (last["state"], last["num_failures"], last["num_success"]) == ("FAILED", 1, 2)
    assert last["error_details"][0]["name"] == "bell-1.0-1.noarch.rpm"
    assert [name for name, digest in store.artifacts().items() if digest is None] == ["bell"]


def test_one_that_a_reader_gave_up(store: _Place) -> None:
    """A lease that another process has left behind is no hindrance once it has run out."""
    with store.storage.write() as transaction:
        [first, *_] = transaction.content.members("zoo")
        assert transaction.content.claim_download(first, "reader", now=store.now, seconds=-1)
    assert store.download(sources_of())["num_success"] == 3


def test_files_of_a_tree(store: _Place) -> None:
    """The files of a unit of several are downloaded, too, from below its source."""
    key = {
        "distribution_id": "ks",
        "family": "F",
        "variant": "",
        "version": "1",
        "arch": "x",
    }
    with store.storage.write() as transaction:
        content = transaction.content
        [unit_id] = content.add(
            [Unit(uid=str(uuid4()), type_id="distribution", key=key, chunks=(b"",))]
        ).values()
        content.set_unit_files(unit_id, [UnitFile(path="images/a.img")])
        content.associate("zoo", [unit_id], now=store.now)
        content.set_sources("zoo", {unit_id: "http://feed"})
    sources = sources_of()
    sources.files = {**sources.files, "http://feed/images/a.img": [b"an ", b"image"]}
    assert store.download(sources)["num_success"] == 4
    with store.storage.read() as transaction:
        file = transaction.content.unit_file(unit_id, "images/a.img")
    assert file is not None
    assert file.artifact is not None
    assert file == dataclasses.replace(file, size=8, path="images/a.img")
    assert store.files.path(file.artifact).read_bytes() == b"an image"
