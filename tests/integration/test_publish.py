"""Publishing from a real database into a real folder, read back by createrepo_c."""

from __future__ import annotations

import gzip
import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import createrepo_c
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pulpit.domain.units import Unit
from pulpit.errors import InvalidValue, MalformedRepository
from tests.published import Shelf, document, metadata_file, package, shelf

_UNCHANGED = "Skipped: Repository content has not changed since last publish."
_STEPS = [
    "initialize_repo_metadata",
    "distribution",
    "rpms",
    "drpms",
    "errata",
    "modules",
    "comps",
    "metadata",
    "close_repo_metadata",
    "remove_old_repodata",
    "generate sqlite",
    "repoview",
    "publish_directory",
    "initialize_repo_metadata",
    "initialize_repo_metadata",
]
_MODULE = "---\ndocument: modulemd\nversion: 2\ndata:\n  name: choir\n...\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Shelf]:
    """Yield an empty store."""
    with shelf(tmp_path / "data") as opened:
        yield opened


def parsed(folder: Path) -> dict[str, Any]:
    """Return pkgid to package, as createrepo_c reads the published metadata."""
    reader = createrepo_c.RepositoryReader.from_path(str(folder))
    packages, warnings = reader.parse_packages(only_primary=False)
    assert not warnings
    return dict(packages)


def records(folder: Path) -> dict[str, Any]:
    """Return type to record of the published repomd.xml."""
    repomd = createrepo_c.Repomd(str(folder / "repodata/repomd.xml"))
    return {record.type: record for record in repomd.records}


def written(folder: Path, kind: str) -> bytes:
    """Return the content of a published metadata file, decompressed."""
    path = folder / str(records(folder)[kind].location_href)
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def paths_of(store: Shelf, repo_id: str) -> dict[str, int | None]:
    """Return every path that is served below the repository's URL, with its unit."""
    found: dict[str, int | None] = {}
    waiting = [""]
    with store.storage.read() as transaction:
        while waiting:
            folder = waiting.pop()
            for name in transaction.publications.listing(f"{repo_id}/{folder}") or ():
                if name.endswith("/"):
                    waiting.append(folder + name)
                else:
                    resolved = transaction.publications.resolve(f"{repo_id}/{folder}{name}")
                    assert resolved is not None
                    found[folder + name] = resolved[2].id if resolved[2] else None
    return found


def test_packages_come_back(store: Shelf) -> None:
    """Every package is listed with its files, changelog, checksum and place."""
    ids = store.repository("zoo", [package("bell"), package("Organ", arch="x86_64")])
    _, folder = store.publish("zoo")
    assert folder is not None
    found = {item.name: item for item in parsed(folder).values()}
    assert set(found) == {"bell", "Organ"}
    assert found["bell"].location_href == "Packages/b/bell-1.0-1.noarch.rpm"
    assert found["Organ"].location_href == "Packages/o/Organ-1.0-1.x86_64.rpm"
    assert found["bell"].description == "A bell & <more>"
    assert found["bell"].files == [(None, "/usr/bin/", "bell")]
    assert [entry[2] for entry in found["bell"].changelogs] == ["- first"]
    served = paths_of(store, "zoo")
    for item in found.values():
        assert served[item.location_href] == ids[item.location_href.rpartition("/")[2]]


def test_empty_repository(store: Shelf) -> None:
    """Even nothing is published with five files, all of which parse."""
    store.repository("void")
    _, folder = store.publish("void")
    assert folder is not None
    assert parsed(folder) == {}
    assert [*records(folder)] == ["primary", "filelists", "other", "updateinfo", "group"]
    assert ET.fromstring(written(folder, "updateinfo")).tag == "updates"
    assert ET.fromstring(written(folder, "group")).tag == "comps"
    assert ET.fromstring(written(folder, "primary")).get("packages") == "0"


@pytest.mark.parametrize("compression", ["gz", "zstd"])
@pytest.mark.parametrize("checksum_type", ["sha256", "sha512", "sha1"])
def test_checksums_and_sizes(store: Shelf, compression: str, checksum_type: str) -> None:
    """repomd.xml tells the truth about each file, before and after compression."""
    store.repository("zoo", [package("bell")])
    _, folder = store.publish("zoo", checksum_type=checksum_type, compress_type=compression)
    assert folder is not None
    for kind, record in records(folder).items():
        data = (folder / record.location_href).read_bytes()
        content = written(folder, kind)
        assert record.checksum_type == checksum_type
        assert record.checksum == hashlib.new(checksum_type, data).hexdigest()
        assert record.size == len(data)
        assert Path(record.location_href).name.startswith(record.checksum)
        if kind != "group":
            assert record.checksum_open == hashlib.new(checksum_type, content).hexdigest()
            assert record.size_open == len(content)


def test_documents_come_back(store: Shelf) -> None:
    """Errata, comps, modules and other metadata are written as they are kept."""
    erratum = '<update type="security"><id>E-1</id><title>a &amp; b</title></update>\n'
    comps = {
        "package_category": "<category><id>c</id></category>\n",
        "package_group": "<group><id>g</id></group>\n",
    }
    store.repository(
        "zoo",
        [
            document("erratum", {"id": "E-1"}, erratum),
            *(document(kind, {"id": "x", "repo_id": "zoo"}, comps[kind]) for kind in comps),
            document("modulemd", {"name": "choir"}, _MODULE),
            document("modulemd_defaults", {"name": "choir"}, _MODULE.strip().strip("-.").strip()),
            metadata_file("productid", "00" * 32 + "-productid.gz", store.store(b"as it is")),
        ],
    )
    _, folder = store.publish("zoo")
    assert folder is not None
    assert ET.fromstring(written(folder, "updateinfo")).findtext("update/title") == "a & b"
    assert [item.tag for item in ET.fromstring(written(folder, "group"))] == ["group", "category"]
    assert written(folder, "modules").decode() == _MODULE * 2
    record = records(folder)["productid"]
    assert (folder / record.location_href).read_bytes() == b"as it is"
    assert Path(record.location_href).name == f"{record.checksum}-productid.gz"
    assert record.checksum_open == "11" * 32
    assert [*records(folder)][-2:] == ["modules", "productid"]


@pytest.mark.parametrize("name", ["x" * 250, "..", "ü\n.gz", ""])
def test_odd_name_of_a_metadata_file(store: Shelf, name: str) -> None:
    """A name that can't stand behind a checksum gives way to the type."""
    store.repository("zoo", [metadata_file("odd", name, store.store(b"as it is"))])
    _, folder = store.publish("zoo")
    assert folder is not None
    record = records(folder)["odd"]
    assert Path(record.location_href).name == f"{record.checksum}-odd"
    assert written(folder, "odd") == b"as it is"


def test_same_filename_twice(store: Shelf) -> None:
    """Two files of one name both have a place, the same one each time, and say so."""
    first, second = package("bell", content=b"one"), package("bell", content=b"two")
    store.repository("zoo", [second, first])
    _, folder = store.publish("zoo")
    assert folder is not None
    found = parsed(folder)
    low, high = sorted(found)
    name = "bell-1.0-1.noarch.rpm"
    assert found[low].location_href == f"Packages/b/{name}"
    assert found[high].location_href == f"Packages/b/{high}/{name}"
    assert {item.location_href for item in found.values()} < set(paths_of(store, "zoo"))


def test_location_of_the_feed_is_replaced(store: Shelf) -> None:
    """Metadata that name another place are corrected, whatever the file is called."""
    odd = package(
        "odd", filename='o"d&d <1>.rpm', location_href="../x.rpm", location_base="http://x/"
    )
    dotted = package("dot", filename=".dot.rpm")
    store.repository("zoo", [odd, dotted])
    _, folder = store.publish("zoo")
    assert folder is not None
    found = {item.name: item for item in parsed(folder).values()}
    assert found["odd"].location_href == 'Packages/o/o"d&d <1>.rpm'
    assert found["odd"].location_base is None
    assert found["dot"].location_href == "Packages/_/.dot.rpm"


def test_impossible_filename(store: Shelf) -> None:
    """A file name with a slash fails the publish; nothing of it stays, and the step says why."""
    store.repository("zoo", [package("bell", filename="a/../b.rpm")])
    with pytest.raises(MalformedRepository):
        store.publish("zoo")
    assert not store.files.publication_folders()
    with store.storage.read() as transaction:
        assert not transaction.publications.folders()
    failed = [step for step in store.reports[-1][0]["yum"] if step["state"] == "FAILED"]
    assert [step["step_type"] for step in failed] == ["rpms"]
    assert failed[0]["error_details"][0]["code"] == "RPM1015"


def test_steps_in_order(store: Shelf) -> None:
    """The progress report goes through the steps of Pulp 2 in their order, units counted."""
    store.repository("zoo", [package(name) for name in ("a", "b", "c")])
    result, _ = store.publish("zoo")
    last = store.reports[-1][0]["yum"]
    assert [step["step_type"] for step in last] == _STEPS
    assert {step["state"] for step in last} == {"FINISHED", "SKIPPED"}
    rpms = last[2]
    assert (rpms["items_total"], rpms["num_processed"], rpms["num_success"]) == (3, 3, 3)
    assert len({step["step_id"] for step in last}) == len(last)
    seen = [report["yum"][2]["num_processed"] for report, _ in store.reports]
    assert [count for count, _ in itertools.groupby(seen)] == [0, 1, 2, 3]
    running = [
        [step["step_type"] for step in report["yum"] if step["state"] == "IN_PROGRESS"]
        for report, _ in store.reports
    ]
    begun = [kind for kind, _ in itertools.groupby(names[0] for names in running if names)]
    skipped = {"remove_old_repodata", "generate sqlite", "repoview"}
    assert begun[:-1] == [kind for kind in _STEPS[:-2] if kind not in skipped]
    assert result["summary"]["rpms"] == "FINISHED"
    assert result["details"] == last


def test_result_document(store: Shelf) -> None:
    """The result has the keys of Pulp 2's publish results."""
    store.repository("zoo")
    result, _ = store.publish("zoo", http=True, https=False)
    assert {key: result[key] for key in ("_ns", "repo_id", "distributor_id", "result")} == {
        "_ns": "repo_publish_results",
        "repo_id": "zoo",
        "distributor_id": "yum",
        "result": "success",
    }
    assert result["started"] == result["completed"] == "2026-01-02T03:04:05Z"
    assert len(result["id"]) == 24
    assert [step["step_type"] for step in result["details"]] == _STEPS[:-1]


def test_unchanged_content_is_skipped(store: Shelf) -> None:
    """What is published is not published again, unless it changed or is forced."""
    store.repository("zoo", [package("bell")])
    _, first = store.publish("zoo")
    told = len(store.reports)
    result, folder = store.publish("zoo")
    assert (result["summary"], result["details"], folder) == (_UNCHANGED, _UNCHANGED, None)
    assert len(store.reports) == told
    _, forced = store.publish("zoo", override={"force_full": True})
    assert forced not in (None, first)
    assert store.publish("zoo")[1] is None
    store.add("zoo", [package("organ")])
    assert store.publish("zoo")[1] is not None
    assert store.publish("zoo", checksum_type="sha512")[1] is not None


def test_changed_erratum_is_published(store: Shelf) -> None:
    """A unit that was replaced by a newer text is a change of its repositories."""
    store.repository("zoo", [document("erratum", {"id": "E"}, "<update><id>E</id></update>")])
    store.publish("zoo")
    newer = document("erratum", {"id": "E"}, "<update><id>E</id><title>t</title></update>")
    with store.storage.write() as transaction:
        transaction.content.replace([newer])
    _, folder = store.publish("zoo")
    assert folder is not None
    assert ET.fromstring(written(folder, "updateinfo")).findtext("update/title") == "t"
    with store.storage.write() as transaction:
        transaction.content.replace([newer])
    assert store.publish("zoo")[1] is None


def test_equal_content_makes_equal_bytes(store: Shelf) -> None:
    """Two repositories with the same packages are published in the same bytes."""
    packages = [package(f"bell{number}") for number in range(5)]
    store.repository("one", packages)
    store.repository("two", packages[::-1])
    names = []
    for repo_id in ("one", "two"):
        _, folder = store.publish(repo_id)
        assert folder is not None
        names.append({path.name: path.read_bytes() for path in folder.rglob("*.*")})
    assert names[0] == names[1]


def test_override_of_relative_url(store: Shelf) -> None:
    """One publish may go elsewhere; the next one comes back."""
    store.repository("zoo", [package("bell")])
    store.publish("zoo")
    store.publish("zoo", override={"relative_url": "other/place"})
    assert "repodata/repomd.xml" in paths_of(store, "other/place")
    store.publish("zoo")
    with store.storage.read() as transaction:
        assert transaction.publications.listing("") == ["zoo/"]


@pytest.mark.parametrize("taken", ["a/b", "a/b/", "a", "a/b/c"])
def test_url_of_another(store: Shelf, taken: str) -> None:
    """A URL that equals, contains or lies in another's is refused, and names that one."""
    store.repository("first")
    store.repository("second")
    store.publish("first", relative_url="a/b")
    with pytest.raises(InvalidValue, match="distributor yum of repository first") as caught:
        store.publish("second", relative_url=taken)
    assert caught.value.names == ("relative_url",)
    assert store.publish("second", relative_url="a/bc")[1] is not None


def test_failing_database_leaves_nothing(store: Shelf) -> None:
    """A publish that can't write its paths removes what it wrote."""
    store.repository("zoo", [package("bell")])
    writes = itertools.count()

    def fail_once() -> None:
        if next(writes) == 1:
            raise OSError("no space")

    store.before_write = fail_once
    with pytest.raises(OSError, match="no space"):
        store.publish("zoo")
    assert not store.files.publication_folders()
    with store.storage.read() as transaction:
        assert not transaction.publications.folders()


_TEXT = st.text(st.characters(exclude_categories=["C"]), max_size=20)
_PACKAGES = st.lists(
    st.builds(
        lambda name, version, text: package(name, version, description=text, summary=text),
        st.from_regex(r"[a-zA-Z][a-z0-9+_-]{0,6}", fullmatch=True),
        st.from_regex(r"[0-9](\.[0-9]){0,2}~?", fullmatch=True),
        _TEXT,
    ),
    max_size=8,
)


def test_nothing_is_lost(store: Shelf) -> None:
    """Whatever packages a repository has, all of them are published and no others."""
    numbers = itertools.count()

    @settings(max_examples=25, deadline=None)
    @given(_PACKAGES)
    def check(units: list[Unit]) -> None:
        repo_id = f"zoo{next(numbers)}"
        store.repository(repo_id, units)
        _, folder = store.publish(repo_id)
        assert folder is not None
        found = parsed(folder)
        expected = {unit.package.checksum for unit in units if unit.package}
        assert set(found) == expected
        assert len({item.location_href for item in found.values()}) == len(expected)

    check()
