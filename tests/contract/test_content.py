"""Content: units kept once, their repositories, files, sources and leases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pulpit.domain.units import Unit, UnitFile, unit_key_digest
from pulpit.errors import MissingResource
from pulpit.ports import Transaction
from tests.contract.databases import (
    NOW,
    Database,
    new_erratum,
    new_package,
    new_publication,
    new_repository,
)

LATER = NOW + timedelta(minutes=1)
SHA = "ab" * 32


@pytest.fixture
def transaction(database: Database) -> Iterator[Transaction]:
    """Yield a transaction that sees two empty repositories."""
    with database.write() as opened:
        for repo_id in ("zoo", "bear"):
            opened.repositories.add(new_repository(repo_id))
        yield opened


def _digest(unit: Unit) -> bytes:
    return unit_key_digest(unit.type_id, unit.key)


def _add(transaction: Transaction, *units: Unit) -> list[int]:
    """Keep units; return their ids in order."""
    ids = transaction.content.add(units)
    return [ids[_digest(unit)] for unit in units]


def test_a_unit_comes_back_whole(transaction: Transaction) -> None:
    """Every field of a unit is kept; its chunks come when a repository is read."""
    for unit in (new_package("bell", artifact=SHA), new_erratum("E1")):
        [unit_id] = _add(transaction, unit)
        assert transaction.content.unit(unit_id) == replace(unit, id=unit_id, chunks=())
        transaction.content.associate("zoo", [unit_id], now=NOW)
        [read] = transaction.content.units("zoo", [unit.type_id])
        assert read == replace(unit, id=unit_id)


def test_an_unknown_unit_is_missing(transaction: Transaction) -> None:
    """Getting an unknown unit raises."""
    with pytest.raises(MissingResource):
        transaction.content.unit(99)


def test_equal_keys_are_one_unit(transaction: Transaction) -> None:
    """A unit that is there keeps its uid and metadata, and gets the artifact that it had not."""
    bell = new_package("bell")
    [unit_id] = _add(transaction, bell)
    again = replace(bell, uid="other", metadata={"summary": "other"}, artifact=SHA)
    assert _add(transaction, again, new_package("candle"))[0] == unit_id
    kept = transaction.content.unit(unit_id)
    assert (kept.uid, kept.metadata, kept.artifact) == (bell.uid, bell.metadata, SHA)
    _add(transaction, replace(again, artifact="cd" * 32))
    assert transaction.content.unit(unit_id).artifact == SHA
    assert transaction.content.add([]) == {}


def test_keys_of_other_types_are_other_units(transaction: Transaction) -> None:
    """The same key means another unit in another type."""
    ids = _add(transaction, new_package("bell"), new_package("bell", type_id="srpm"))
    assert len(set(ids)) == 2


def test_known_keys_are_found(transaction: Transaction) -> None:
    """Digests are looked up by type, any number of them at once."""
    bell, candle = new_package("bell"), new_package("candle")
    bell_id, candle_id = _add(transaction, bell, candle)
    wanted = [_digest(bell), _digest(candle), *(bytes([n % 256, n // 256]) for n in range(25_000))]
    known = transaction.content.known("rpm", wanted)
    assert known == {_digest(bell): bell_id, _digest(candle): candle_id}
    assert transaction.content.known("srpm", wanted) == {}


def test_replacing_changes_what_repositories_hold(transaction: Transaction) -> None:
    """A replaced unit gets new metadata and chunks; those that hold it get a new revision."""
    erratum = new_erratum("E1")
    [unit_id] = _add(transaction, erratum)
    transaction.content.associate("zoo", [unit_id], now=NOW)
    before = transaction.repositories.get("zoo").content_revision
    newer = replace(erratum, uid="other", metadata={"title": "newer"}, chunks=(b"<newer/>",))
    assert transaction.content.replace([newer, new_erratum("E2")])[_digest(erratum)] == unit_id
    [read] = transaction.content.units("zoo", ["erratum"])
    assert read == replace(newer, id=unit_id, uid=erratum.uid)
    assert transaction.repositories.get("zoo").content_revision == before + 1
    assert transaction.repositories.get("bear").content_revision == 0
    transaction.content.replace([newer])
    assert transaction.repositories.get("zoo").content_revision == before + 1
    transaction.content.replace([replace(newer, chunks=())])
    [read] = transaction.content.units("zoo", ["erratum"])
    assert read.chunks == ()
    assert transaction.repositories.get("zoo").content_revision == before + 2
    transaction.content.replace([newer])
    assert transaction.repositories.get("zoo").content_revision == before + 3


def test_units_come_in_order(transaction: Transaction) -> None:
    """Packages come sorted by name, arch and version, with what each way of reading promises."""
    units = [new_package("candle"), new_package("bell", "2.0"), new_package("bell", "1.0")]
    units += [new_erratum("E1"), new_package("Zulu")]
    ids = _add(transaction, *units)
    content = transaction.content
    content.associate("zoo", ids, now=NOW)
    names = [
        (unit.package.name, unit.package.version)
        for unit in content.units("zoo", ["rpm", "drpm"])
        if unit.package
    ]
    assert names == [("Zulu", "1.0"), ("bell", "1.0"), ("bell", "2.0"), ("candle", "1.0")]
    assert {unit.id for unit in content.units("zoo", ["erratum", "rpm"])} == set(ids)
    chunked = list(content.package_chunks("zoo", ["rpm"]))
    assert [unit.package.name for unit in chunked if unit.package] == [name for name, _ in names]
    assert all(unit.chunks and not unit.metadata for unit in chunked)
    bare = list(content.packages("zoo"))
    assert {unit.id for unit in bare} == set(ids) - {ids[3]}
    assert not any(unit.chunks or unit.metadata for unit in bare)
    assert {unit.key["name"] for unit in bare} == {"bell", "candle", "Zulu"}
    assert list(content.units("bear", ["rpm"])) == list(content.packages("bear")) == []


def test_packages_are_found_by_name(transaction: Transaction) -> None:
    """In one repository; of no other name, and nothing that is no package."""
    ids = _add(transaction, new_package("bell"), new_package("candle"), new_erratum("bell"))
    transaction.content.associate("zoo", ids, now=NOW)
    [found] = transaction.content.packages("zoo", name="bell")
    assert found.id == ids[0]
    assert not [*transaction.content.packages("bear", name="bell")]


def test_signing_keys_are_kept_among_metadata(transaction: Transaction) -> None:
    """None is kept too: that a package is unsigned is known then."""
    ids = _add(transaction, new_package("bell"), new_package("candle"), new_package("organ"))
    before = [transaction.content.unit(unit_id).metadata for unit_id in ids]
    transaction.content.set_signing_keys({ids[0]: "0a1b2c3d", ids[1]: None, 99: "0a1b2c3d"})
    assert [transaction.content.unit(unit_id).metadata for unit_id in ids] == [
        {**before[0], "signing_key": "0a1b2c3d"},
        {**before[1], "signing_key": None},
        before[2],
    ]


def test_a_repository_is_touched(transaction: Transaction) -> None:
    """Its content has changed though no unit came or went; its times only grow."""
    transaction.content.touch("zoo", now=NOW)
    later = NOW + timedelta(hours=1)
    transaction.content.touch("zoo", now=later)
    transaction.content.touch("zoo", now=NOW)
    touched = transaction.repositories.get("zoo")
    assert (touched.last_unit_added, touched.last_unit_removed) == (later, None)
    assert touched.content_revision == 3
    assert transaction.repositories.get("bear").content_revision == 0


def test_members_are_told_by_type(transaction: Transaction) -> None:
    """The members of a repository come as id and key digest."""
    bell, erratum = new_package("bell"), new_erratum("E1")
    bell_id, erratum_id = _add(transaction, bell, erratum)
    transaction.content.associate("zoo", [bell_id, erratum_id], now=NOW)
    digests = {bell_id: _digest(bell), erratum_id: _digest(erratum)}
    assert transaction.content.members("zoo") == digests
    assert transaction.content.members("zoo", "rpm") == {bell_id: _digest(bell)}
    assert transaction.content.members("bear") == {}


def test_many_units_are_read_in_part(transaction: Transaction) -> None:
    """Keys, single chunks and signing keys are had of many units, without the rest of them."""
    signed = new_package("bell", metadata={"signing_key": "1234abcd"})
    source = replace(new_package("bell"), type_id="srpm")
    others = [new_package("candle"), new_erratum("E1"), replace(new_package("drum"), chunks=())]
    ids = [number for unit in (signed, source, *others) for number in _add(transaction, unit)]
    transaction.content.associate("zoo", ids, now=NOW)
    content = transaction.content
    assert content.unit_keys([*ids[:2], 99]) == {
        ids[0]: ("rpm", signed.key),
        ids[1]: ("srpm", source.key),
    }
    assert [*content.package_metadata("zoo", 0)] == [(ids[0], b"primary"), (ids[2], b"primary")]
    assert [*content.package_metadata("zoo", 1)][1] == (ids[2], b"filelists")
    assert [*content.package_metadata("bear", 0)] == []
    assert content.signing_keys("zoo") == {
        ids[0]: "1234abcd",
        **dict.fromkeys((ids[1], ids[2], ids[4]), None),
    }


def test_associations_are_counted(transaction: Transaction) -> None:
    """Putting in and taking out count what changed, and keep counts, times and revision."""
    ids = _add(transaction, new_package("bell"), new_package("candle"), new_erratum("E1"))
    content, repositories = transaction.content, transaction.repositories
    assert content.associate("zoo", [*ids[:2], ids[0]], now=LATER) == 2
    assert content.associate("zoo", ids, now=NOW) == 1
    zoo = repositories.get("zoo")
    assert zoo.content_unit_counts == {"rpm": 2, "erratum": 1}
    # it only grows, whatever the clock does
    assert (zoo.last_unit_added, zoo.last_unit_removed) == (LATER, None)
    assert content.associate("zoo", ids, now=LATER) == content.associate("zoo", [], now=LATER) == 0
    assert content.unassociate("bear", ids, now=LATER) == 0
    assert repositories.get("zoo") == zoo
    assert content.unassociate("zoo", [ids[2], ids[0], 99], now=NOW) == 2
    shrunk = repositories.get("zoo")
    assert shrunk.content_unit_counts == {"rpm": 1}
    assert (shrunk.last_unit_added, shrunk.last_unit_removed) == (LATER, NOW)
    assert zoo.content_revision < shrunk.content_revision
    assert repositories.get("bear").content_revision == 0


def test_locally_stored_units_are_counted(transaction: Transaction) -> None:
    """Units whose file is here, or that need none, are stored locally."""
    ids = _add(
        transaction, new_package("bell"), new_package("candle", artifact=SHA), new_erratum("E1")
    )
    transaction.content.associate("zoo", ids, now=NOW)
    assert transaction.content.locally_stored("zoo") == 2
    transaction.content.set_artifact(ids[0], "cd" * 32, 5)
    assert transaction.content.locally_stored("zoo") == 3
    assert transaction.content.locally_stored("bear") == 0


def test_sources_are_kept_by_repository(transaction: Transaction) -> None:
    """A unit may be had from several places, one for each repository."""
    [bell] = _add(transaction, new_package("bell"))
    content = transaction.content
    content.set_sources("zoo", {bell: "http://old/bell.rpm"})
    content.set_sources("zoo", {bell: "http://zoo/bell.rpm"})
    content.set_sources("bear", {bell: "http://bear/bell.rpm"})
    content.set_sources("bear", {})
    assert content.sources(bell) == [
        ("bear", "http://bear/bell.rpm"),
        ("zoo", "http://zoo/bell.rpm"),
    ]
    assert content.sources(99) == []


def test_artifacts_are_known(transaction: Transaction) -> None:
    """Files are known by their SHA-256, and by the checksum of the package that they are of."""
    content = transaction.content
    content.add_artifacts({SHA: 5, "cd" * 32: 6})
    content.add_artifacts({SHA: 5})
    assert set(content.has_artifacts([SHA, "ef" * 32])) == {SHA}
    bell, _ = _add(transaction, new_package("bell"), new_package("candle"))
    wanted = [("sha256", "bell-1.0"), ("md5", "bell-1.0"), ("sha256", "candle-1.0")]
    assert content.artifacts_by_checksum(wanted) == {}
    content.set_artifact(bell, SHA, 5)
    assert content.artifacts_by_checksum(wanted) == {("sha256", "bell-1.0"): SHA}
    content.set_artifact(bell, "ef" * 32, 7)
    assert content.unit(bell).artifact == "ef" * 32
    assert set(content.has_artifacts(["ef" * 32])) == {"ef" * 32}


def test_a_download_is_leased_to_one(transaction: Transaction) -> None:
    """One owner at a time may download; a lease runs out, is renewed, or is given back."""
    [bell, candle] = _add(transaction, new_package("bell"), new_package("candle"))
    claim, release = transaction.content.claim_download, transaction.content.release_download
    assert claim(bell, "a", now=NOW, seconds=60)
    assert not claim(bell, "b", now=NOW, seconds=60)
    assert claim(candle, "b", now=NOW, seconds=60)
    assert claim(bell, "a", now=NOW + timedelta(seconds=30), seconds=60)
    assert not claim(bell, "b", now=NOW + timedelta(seconds=89), seconds=60)
    release(bell, "b")
    assert not claim(bell, "b", now=NOW + timedelta(seconds=89), seconds=60)
    assert claim(bell, "b", now=NOW + timedelta(seconds=90), seconds=60)
    release(bell, "b")
    release(bell, "b")
    assert claim(bell, "a", now=NOW, seconds=60)


def test_orphans_are_removed(transaction: Transaction) -> None:
    """Units that nobody holds go, with files that no other unit names."""
    other = "cd" * 32
    in_repository, published, shared, orphan, erratum = _add(
        transaction,
        new_package("a", artifact=SHA),
        new_package("b", artifact="ef" * 32),
        new_package("c", artifact=SHA),
        new_package("d", artifact=other),
        new_erratum("E1"),
    )
    content = transaction.content
    content.add_artifacts({SHA: 1, other: 2, "ef" * 32: 3, "12" * 32: 4})
    content.associate("zoo", [in_repository], now=NOW)
    publication = transaction.publications.add(new_publication("zoo", "zoo"))
    transaction.publications.add_files(publication.id, {"b.rpm": published}, [])
    content.set_sources("zoo", {orphan: "http://h/d.rpm"})
    assert content.remove_orphans([in_repository, published, shared, 99]) == (1, [])
    assert content.remove_orphans([orphan]) == (1, [other])
    removed, digests = content.remove_orphans()
    assert (removed, list(digests)) == (1, ["12" * 32])
    assert content.sources(orphan) == []
    for unit_id in (shared, orphan, erratum):
        with pytest.raises(MissingResource):
            content.unit(unit_id)
    assert content.unit(in_repository).artifact == SHA
    assert set(content.has_artifacts([SHA, other, "ef" * 32])) == {SHA, "ef" * 32}
    [again] = _add(transaction, new_package("d"))
    assert content.unit(again).artifact is None


def test_ids_are_given_once(transaction: Transaction) -> None:
    """A task that remembers a unit which was removed meanwhile must not find another one."""
    content = transaction.content
    kept, *gone = _add(transaction, *(new_package(name) for name in "abc"))
    content.associate("zoo", [kept], now=NOW)
    assert content.remove_orphans(gone) == (2, [])
    [fourth] = _add(transaction, new_package("d"))
    assert fourth > max(gone)
    assert content.remove_orphans() == (1, [])
    assert content.remove_orphans() == (0, [])
    fifth, sixth = _add(transaction, new_package("e"), new_package("f"))
    assert min(fifth, sixth) > fourth
    [seventh] = _add(transaction, new_package("g"))
    assert seventh > max(fifth, sixth)
    assert content.known("rpm", [_digest(new_package("a"))]) == {_digest(new_package("a")): kept}


def _tree(transaction: Transaction) -> int:
    """Keep a unit of several files; return its id."""
    tree = Unit(uid="tree", type_id="distribution", key={"distribution_id": "ks-x"})
    [unit_id] = _add(transaction, tree)
    transaction.content.set_unit_files(
        unit_id,
        [
            UnitFile(path="images/b.iso", checksum_type="sha256", checksum="bb"),
            UnitFile(path="images/a.img"),
        ],
    )
    return unit_id


def test_files_of_a_unit(transaction: Transaction) -> None:
    """A unit of several files has them by path; what is stored stays known while it is the same."""
    content, unit_id = transaction.content, _tree(transaction)
    assert [file.path for file in content.unit_files(unit_id)] == ["images/a.img", "images/b.iso"]
    assert content.unit_file(unit_id, "images/c") is None
    content.associate("zoo", [unit_id], now=NOW)
    assert content.locally_stored("zoo") == 0
    content.set_artifact(unit_id, SHA, 7, path="images/b.iso")
    content.set_artifact(unit_id, "cd" * 32, 8, path="images/a.img")
    stored = content.unit_file(unit_id, "images/b.iso")
    assert stored is not None
    assert (stored.artifact, stored.size) == (SHA, 7)
    assert content.locally_stored("zoo") == 1
    same = UnitFile(path="images/b.iso", checksum_type="sha256", checksum="bb")
    content.set_unit_files(unit_id, [same, UnitFile(path="images/a.img")])
    assert content.unit_file(unit_id, "images/b.iso") == stored
    # nothing says that it is the same
    assert content.unit_file(unit_id, "images/a.img") == UnitFile(path="images/a.img")
    content.set_unit_files(unit_id, [replace(same, checksum="cc")])
    assert content.unit_files(unit_id) == [replace(same, checksum="cc")]
    assert content.unit(unit_id).artifact is None


def test_files_of_a_unit_are_leased_one_by_one(transaction: Transaction) -> None:
    """One downloads a file of a unit while another downloads the next; unknown ones nobody."""
    content, unit_id = transaction.content, _tree(transaction)

    def claim(owner: str, path: str, *, at: datetime = NOW) -> bool:
        return content.claim_download(unit_id, owner, now=at, seconds=30, path=path)

    assert claim("a", "images/b.iso")
    assert claim("a", "images/b.iso")
    assert not claim("b", "images/b.iso")
    assert claim("b", "images/a.img")
    assert not claim("b", "images/c")
    content.release_download(unit_id, "b", path="images/b.iso")
    assert not claim("b", "images/b.iso")
    content.release_download(unit_id, "a", path="images/b.iso")
    assert claim("b", "images/b.iso")
    assert claim("a", "images/a.img", at=NOW + timedelta(seconds=31))


def test_files_of_a_unit_are_no_orphans(transaction: Transaction) -> None:
    """Files are named by the unit that has them, and are forgotten with it."""
    content, unit_id = transaction.content, _tree(transaction)
    content.set_artifact(unit_id, SHA, 7, path="images/b.iso")
    content.associate("zoo", [unit_id], now=NOW)
    assert content.remove_orphans() == (0, [])
    content.unassociate("zoo", [unit_id], now=NOW)
    assert content.remove_orphans([unit_id]) == (1, [SHA])
    assert content.unit_files(unit_id) == []


def test_revisions_grow_with_chunks(transaction: Transaction) -> None:
    """Only other chunks make a revision, and only that unit's."""
    content = transaction.content
    bell, bear = new_erratum("bell"), new_erratum("bear")
    first, second = _add(transaction, bell, bear)
    content.associate("zoo", [first, second], now=NOW)
    before = content.revisions("zoo", ["erratum"])
    assert content.revisions("zoo", ["rpm"]) == {}
    content.replace([replace(bell, metadata={"title": "new"})])
    assert content.revisions("zoo", ["erratum"]) == before
    content.replace([replace(bell, chunks=(b"<update>new</update>",))])
    after = content.revisions("zoo", ["erratum"])
    assert after[second] == before[second]
    assert after[first] > before[first]


def test_orphans_are_found(transaction: Transaction) -> None:
    """By type, by id and in pages, in the order in which they were added."""
    content = transaction.content
    units = [new_package(name) for name in ("a", "b", "c", "d")]
    first, held, published, last = (_add(transaction, unit)[0] for unit in units)
    [erratum] = _add(transaction, new_erratum("E1"))
    content.associate("zoo", [held], now=NOW)
    publication = transaction.publications.add(new_publication("zoo", "zoo"))
    transaction.publications.add_files(publication.id, {"c.rpm": published}, ())
    assert content.orphan_counts() == {"rpm": 2, "erratum": 1}
    found = content.orphans(limit=10)
    assert [one.id for one in found] == [first, last, erratum]
    assert (found[0].uid, found[0].type_id, found[0].key) == (units[0].uid, "rpm", units[0].key)
    assert content.orphans(limit=1) == [found[0]]
    assert content.orphans(after=first, limit=10) == [found[1], found[2]]
    assert content.orphans(type_id="erratum", limit=10) == [found[2]]
    uids = [unit.uid for unit in units]
    assert content.orphans(type_id="rpm", uids=uids, limit=10) == [found[0], found[1]]
    assert content.orphans(uids=[], limit=10) == []
    content.unassociate("zoo", [held], now=NOW)
    transaction.publications.remove([publication.id])
    assert content.orphan_counts() == {"rpm": 4, "erratum": 1}


def test_files_that_nothing_names(transaction: Transaction) -> None:
    """Those that no unit names are forgotten; those that no row names may be deleted."""
    content = transaction.content
    shas = [f"{number:02x}" * 32 for number in range(5)]
    content.add_artifacts(dict.fromkeys(shas[:4], 5))
    _add(transaction, new_package("bell", artifact=shas[1]))
    [tree] = _add(transaction, new_package("tree"))
    content.set_unit_files(tree, [UnitFile(path="x", artifact=shas[2])])
    assert content.nameless_artifacts(after="", limit=10) == [shas[0], shas[3]]
    assert content.nameless_artifacts(after="", limit=1) == [shas[0]]
    assert content.nameless_artifacts(after=shas[0], limit=10) == [shas[3]]
    assert set(content.drop_artifacts([shas[0], shas[1], shas[2], shas[4]])) == {shas[0], shas[4]}
    assert set(content.has_artifacts(shas)) == set(shas[1:4])
    assert content.drop_artifacts([]) == set()
