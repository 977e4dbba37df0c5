"""What clients upload is the same as what a sync brings in, and is published like it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import createrepo_c
import pytest
import zstandard

from pulpit.content.rpm.importer import YumImporter
from pulpit.domain.repositories import Importer
from pulpit.domain.units import Unit
from pulpit.errors import (
    ChecksumMismatch,
    ForeignSignature,
    InvalidValue,
    NotAnRpm,
    Unparsable,
    UnsignedPackage,
)
from tests.feeds import SAMPLE
from tests.task_context import OID
from tests.uploaded import DELTAS, SIGNED, Desk, desk

_BELL = SAMPLE / "noarch" / "bell-1.0-1.noarch.rpm"
_PACKAGES = sorted(SAMPLE.rglob("*.rpm"))
#: When a file was last written is nothing that two servers have in common.
_TIME = re.compile(rb'<time file="\d+"')
_DOCUMENTS = ("erratum", "package_group", "package_category", "package_environment")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Desk]:
    """Yield a store with an empty repository."""
    with desk(tmp_path / "data") as opened:
        opened.repository("chapel")
        yield opened


def _sync(store: Desk, repo_id: str, **config: Any) -> Mapping[str, Any]:
    """Sync the sample feed into a repository."""
    kept = YumImporter().normalize({"feed": f"file://{SAMPLE}", **config})
    importer = Importer(
        repo_id=repo_id,
        oid=OID,
        importer_type_id="yum_importer",
        config=kept,
        last_updated=store.now,
    )
    with store.storage.write() as transaction:
        transaction.repositories.set_importer(importer)
        repository = transaction.repositories.get(repo_id)
    return YumImporter().sync(store, repository=repository, importer=importer, override={})


def _written(folder: Path, kind: str) -> bytes:
    """Return what was published of a type of metadata."""
    [path] = (folder / "repodata").glob(f"*-{kind}.*")
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def _metadata(unit: Unit) -> dict[str, Any]:
    """Return what clients see of a package, but for what only a file tells."""
    hidden = {"checksums", "signing_key", "relative_url_path", "time"}
    return {name: value for name, value in unit.metadata.items() if name not in hidden}


def test_uploaded_packages_are_published_as_synced_ones(store: Desk) -> None:
    """Every byte of primary, filelists and other, of all packages of the sample."""
    store.repository("synced")
    _sync(store, "synced", type_skip_list=["erratum"])
    _, synced = store.publish("synced")
    with desk(store.files.path("x").parents[2] / "other") as other:
        other.repository("chapel")
        for path in _PACKAGES:
            other.upload("chapel", "rpm", path.read_bytes())
        _, uploaded = other.publish("chapel")
        assert synced is not None
        assert uploaded is not None
        for kind in ("primary.xml", "filelists.xml", "other.xml"):
            before, after = (
                _TIME.sub(b"", _written(folder, kind.partition(".")[0]))
                for folder in (synced, uploaded)
            )
            assert after == before
        found = {unit.uid: unit for unit in store.units("synced", "rpm", "srpm")}
        names = {unit.key["checksum"]: _metadata(unit) for unit in found.values()}
        assert {unit.key["checksum"]: _metadata(unit) for unit in other.units("chapel")} == names


def test_a_package_is_one_unit_however_it_came(store: Desk) -> None:
    """What was synced on demand gets its file, and is known to be unsigned by then."""
    store.repository("synced")
    _sync(store, "synced", download_policy="on_demand")
    store.upload("chapel", "rpm", _BELL.read_bytes())
    [unit] = store.units("chapel")
    [same] = [one for one in store.units("synced", "rpm") if one.key == unit.key]
    assert same == unit
    assert unit.artifact == unit.key["checksum"]
    assert unit.metadata["signing_key"] is None
    assert store.files.path(str(unit.artifact)).read_bytes() == _BELL.read_bytes()


def test_a_package_has_what_pulp_2_told(store: Desk) -> None:
    """Key, name of the file, its checksums, and what users note of it."""
    [named] = store.upload(
        "chapel",
        "rpm",
        SIGNED.read_bytes(),
        metadata={"pulp_user_metadata": {"cdn_path": "/x"}, "nonsense": 1},
    )
    [unit] = store.units("chapel")
    assert named == {"type_id": "rpm", "unit_key": dict(unit.key)}
    assert unit.package is not None
    assert unit.package.filename == "bell-1.0-1.noarch.rpm"
    assert unit.metadata["signing_key"] == "e4d9c3c2"
    assert set(unit.metadata["checksums"]) == {"md5", "sha1", "sha256"}
    assert unit.metadata["checksums"]["sha256"] == unit.key["checksum"]
    assert unit.user_metadata == {"cdn_path": "/x"}
    store.upload("chapel", "rpm", SIGNED.read_bytes())
    assert store.units("chapel") == [unit]


def test_the_same_version_is_replaced(store: Desk) -> None:
    """One package of each name, epoch, version, release and architecture, the last one."""
    store.upload("chapel", "rpm", _BELL.read_bytes())
    store.upload("chapel", "rpm", (SAMPLE / "noarch" / "bell-1.1-1.noarch.rpm").read_bytes())
    store.upload("chapel", "rpm", SIGNED.read_bytes())
    units = store.units("chapel")
    assert [unit.key["version"] for unit in units] == ["1.0", "1.1"]
    assert units[0].metadata["signing_key"] == "e4d9c3c2"


def test_signatures_are_asked_for(store: Desk) -> None:
    """By any key, or by some; only what is signed has a wrong key, as in Pulp 2."""
    unsigned, signed = _BELL.read_bytes(), SIGNED.read_bytes()
    with pytest.raises(UnsignedPackage):
        store.upload("chapel", "rpm", unsigned, require_signature=True)
    with pytest.raises(ForeignSignature) as caught:
        store.upload("chapel", "rpm", signed, allowed_keys=["0" * 40, "abcdef01"])
    assert caught.value.data["key"] == "e4d9c3c2"
    assert store.units("chapel") == []
    store.upload("chapel", "rpm", unsigned, allowed_keys=["abcdef01"])
    store.upload(
        "chapel", "rpm", signed, require_signature="true", allowed_keys="0xE4D9C3C2, 00000000"
    )
    assert len(store.units("chapel")) == 1


def test_a_package_that_lies_is_refused(store: Desk) -> None:
    """Names that would lead elsewhere are refused, control characters left out."""
    data = _BELL.read_bytes()
    assert data.count(b"bell\0") > 1
    for name in (b"..//", b"a\nbc", b"a&<b", b"\xff\xfe<>"):
        evil = _redigested(data.replace(b"bell\0", name + b"\0"))
        with pytest.raises(NotAnRpm):
            store.upload("chapel", "rpm", evil)
    summary = re.search(rb"A[ a-z]{8,}\0", data)
    assert summary is not None
    told = summary[0][:1] + b"\x1b\x07" + summary[0][3:]
    store.upload("chapel", "rpm", _redigested(data.replace(summary[0], told)))
    [unit] = store.units("chapel")
    assert unit.metadata["summary"] == (told[:1] + told[3:-1]).decode()
    _, folder = store.publish("chapel")
    assert folder is not None
    packages, _ = createrepo_c.RepositoryReader.from_path(str(folder)).parse_packages(
        only_primary=False
    )
    assert [one.summary for one in packages.values()] == [unit.metadata["summary"]]


def _redigested(data: bytes) -> bytes:
    """Return a package without the digests of its signature header, which no longer are right."""
    # tags 269, 273 and 1004 under numbers that nobody asks for
    head = bytearray(data[:408])
    for tag in (269, 273, 1004):
        head = head.replace(tag.to_bytes(4, "big"), (4000).to_bytes(4, "big"), 1)
    return bytes(head) + data[408:]


def test_uploaded_documents_are_those_of_a_sync(store: Desk) -> None:
    """comps.xml, updateinfo.xml and modules.yaml, packed or plain, whatever type is named."""
    store.repository("synced")
    _sync(store, "synced")
    repodata = SAMPLE / "repodata"
    for type_id, pattern in (
        ("package_group", "*-comps.xml"),
        ("erratum", "*-updateinfo.xml.gz"),
        ("modulemd", "*-modules.yaml.gz"),
    ):
        [path] = repodata.glob(pattern)
        named = store.upload("chapel", type_id, path.read_bytes())
        assert type_id in {one["type_id"] for one in named}
    types = (*_DOCUMENTS, "package_langpacks", "modulemd", "modulemd_defaults")
    synced = {_identity(unit): _told(unit) for unit in store.units("synced", *types)}
    uploaded = {_identity(unit): _told(unit) for unit in store.units("chapel", *types)}
    assert uploaded == synced
    assert len(uploaded) == 14


def _identity(unit: Unit) -> tuple[str, str]:
    key = {name: value for name, value in unit.key.items() if name != "repo_id"}
    return unit.type_id, str(key)


def _told(unit: Unit) -> tuple[Mapping[str, Any], bytes]:
    return unit.metadata, zstandard.ZstdDecompressor().decompress(unit.chunks[0])


def test_a_changed_document_is_published(store: Desk) -> None:
    """The same again changes nothing; another content does, wherever the unit is."""
    store.repository("other")
    values = {"id": "E1", "title": "First", "pulp_user_metadata": {"x": 1}}
    [named] = store.upload("chapel", "erratum", key={"id": "E1"}, metadata=values)
    assert named == {"type_id": "erratum", "unit_key": {"id": "E1"}}
    store.upload("other", "erratum", metadata=values)
    revisions = _revisions(store)
    store.now += timedelta(hours=1)
    store.upload("chapel", "erratum", metadata=values)
    assert _revisions(store) == revisions
    store.publish("other")
    store.upload("chapel", "erratum", metadata={**values, "title": "Second", "version": "2"})
    assert all(now > before for now, before in zip(_revisions(store), revisions, strict=True))
    with store.storage.read() as transaction:
        assert transaction.repositories.get("chapel").last_unit_added == store.now
    _, folder = store.publish("other")
    assert folder is not None
    assert b"<title>Second</title>" in _written(folder, "updateinfo")
    [unit] = store.units("chapel", "erratum")
    assert unit.user_metadata == {"x": 1}


def _revisions(store: Desk) -> list[int]:
    with store.storage.read() as transaction:
        return [transaction.repositories.get(it).content_revision for it in ("chapel", "other")]


def test_an_erratum_may_be_known_only(store: Desk) -> None:
    """With skip_erratum_link it is in no repository."""
    store.upload("chapel", "erratum", metadata={"id": "E1"}, skip_erratum_link=True)
    assert store.units("chapel") == []


def test_a_group_is_sent_as_json(store: Desk) -> None:
    """It belongs to the repository that it is sent to, and to no other."""
    group = {"id": "g", "name": "G", "repo_id": "chapel", "mandatory_package_names": ["bell"]}
    [named] = store.upload("chapel", "package_group", metadata=group)
    assert named["unit_key"] == {"id": "g", "repo_id": "chapel"}
    [langpacks] = store.upload("chapel", "package_langpacks", metadata={"repo_id": "chapel"})
    assert langpacks["unit_key"] == {"repo_id": "chapel"}
    with pytest.raises(InvalidValue):
        store.upload("chapel", "package_group", metadata={**group, "repo_id": "other"})
    _, folder = store.publish("chapel")
    assert folder is not None
    assert b'<packagereq type="mandatory">bell</packagereq>' in _written(folder, "comps")


@pytest.mark.parametrize(
    ("type_id", "data", "error"),
    [
        ("package_group", b"<comps><group>", Unparsable),
        ("package_group", b"<updates/>", Unparsable),
        ("package_group", b"<comps/>", InvalidValue),
        ("erratum", b"\x1f\x8bnot gzip", Unparsable),
        ("modulemd", b"- just\n- a list\n", Unparsable),
        ("modulemd", b"document: modulemd\ndata: {name: &a x, stream: *a}\n", Unparsable),
        ("modulemd", b"", InvalidValue),
        ("distribution", b"x", InvalidValue),
        ("rpm", b"", InvalidValue),
    ],
)
def test_a_bad_document_is_refused(
    store: Desk, type_id: str, data: bytes, error: type[Exception]
) -> None:
    """It says what is wrong, and nothing of it is in the repository."""
    with pytest.raises(error):
        store.upload("chapel", type_id, data)
    assert store.units("chapel") == []


def test_a_metadata_file_is_published_as_it_is(store: Desk) -> None:
    """A new one takes the place of the old one."""
    for content in (b"first", b"second", b"second"):
        store.now += timedelta(hours=1)
        told = {"checksum": "0" * 64}
        with pytest.raises(ChecksumMismatch):
            store.upload(
                "chapel",
                "yum_repo_metadata_file",
                content,
                key={"data_type": "productid", "repo_id": "chapel"},
                metadata=told,
            )
        [named] = store.upload(
            "chapel", "yum_repo_metadata_file", content, key={"data_type": "productid"}
        )
        assert named["unit_key"] == {"data_type": "productid", "repo_id": "chapel"}
        result, folder = store.publish("chapel")
        if folder is not None:
            [path] = (folder / "repodata").glob("*-productid")
            assert path.read_bytes() == content
    assert "Skipped" in str(result["summary"])
    for bad in ({}, {"data_type": "primary"}, {"data_type": "../x"}, {"data_type": ["x"]}):
        with pytest.raises(InvalidValue):
            store.upload("chapel", "yum_repo_metadata_file", b"x", key=bad)


def test_a_delta_is_imported(store: Desk) -> None:
    """It is published as createrepo_c tells of it; another one of the same version stays."""
    data = (DELTAS / "bell-1.0-1_1.1-1.noarch.drpm").read_bytes()
    [named] = store.upload("chapel", "drpm", data)
    store.upload("chapel", "drpm", data)
    store.upload("chapel", "drpm", data, metadata={"filename": "drpms/again.drpm"})
    [_, unit] = sorted(store.units("chapel", "drpm"), key=lambda one: str(one.key["filename"]))
    assert named == {"type_id": "drpm", "unit_key": dict(unit.key)}
    assert unit.key["filename"] == "drpms/bell-1.0-1_1.1-1.noarch.drpm"
    assert unit.metadata["signing_key"] is None
    _, folder = store.publish("chapel")
    assert folder is not None
    root = ET.fromstring(_written(folder, "prestodelta"))
    [delta] = [
        (package.attrib, one)
        for package in root
        for one in package
        if one.findtext("filename") == unit.key["filename"]
    ]
    made = {"name": "bell", "epoch": "0", "version": "1.1", "release": "1", "arch": "noarch"}
    assert delta[0] == made
    assert delta[1].attrib == {"oldepoch": "0", "oldversion": "1.0", "oldrelease": "1"}
    assert delta[1].findtext("sequence") == "bell-1.0-1-9e708203b8cfb4899bfb95c04734b69020"
    assert delta[1].findtext("size") == "2513"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda _: (DELTAS / "only.drpm").read_bytes(), "no headers of its own"),
        (lambda _: _BELL.read_bytes(), "not a delta"),
        (lambda data: data[:-1], "of 2513"),
        (lambda data: data[:2100] + bytes(len(data) - 2100), "can't be read"),
    ],
)
def test_what_is_no_delta_is_refused(
    store: Desk, change: Callable[[bytes], bytes], says: str
) -> None:
    """It says why; so does a place where it can't lie."""
    data = (DELTAS / "bell-1.0-1_1.1-1.noarch.drpm").read_bytes()
    with pytest.raises(NotAnRpm) as caught:
        store.upload("chapel", "drpm", change(data))
    assert says in caught.value.message
    with pytest.raises(InvalidValue):
        store.upload("chapel", "drpm", data, key={"filename": "../x.drpm"})
    assert store.units("chapel") == []
