"""Publications: switched in one step, readers of the one before finish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from pulpit.domain.published import Root
from pulpit.domain.repositories import Publication
from pulpit.errors import InvalidValue, MissingResource
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
REPOMD = "repodata/repomd.xml"


@pytest.fixture
def transaction(database: Database) -> Iterator[Transaction]:
    """Yield a transaction that sees one repository."""
    with database.write() as opened:
        opened.repositories.add(new_repository("zoo"))
        yield opened


def _publish(transaction: Transaction, url: str, *files: str, **changes: str) -> Publication:
    """Make a publication live; return it."""
    publications = transaction.publications
    made = publications.add(replace(new_publication("zoo", url), **changes))  # type: ignore[arg-type]
    publications.add_files(made.id, {}, files)
    publications.switch(made.id, now=NOW)
    return replace(made, live=True)


def _found(transaction: Transaction, path: str) -> tuple[int, str] | None:
    """Return the publication and inner path that a path resolves to."""
    resolved = transaction.publications.resolve(path)
    return (resolved[0].id, resolved[1]) if resolved else None


def test_a_publication_is_not_live_at_first(transaction: Transaction) -> None:
    """A new publication is kept whole, and nobody is served from it before the switch."""
    publications = transaction.publications
    first = publications.add(new_publication("zoo", "a/zoo"))
    second = publications.add(new_publication("zoo", "a/zoo"))
    publications.add_files(first.id, {}, [REPOMD])
    assert first.id != second.id
    assert publications.live("zoo", "yum") is None
    assert publications.resolve(f"a/zoo/{REPOMD}") is None
    assert publications.listing("") is None
    assert set(publications.folders()) == {first.folder, second.folder}
    publications.switch(first.id, now=NOW)
    assert publications.live("zoo", "yum") == replace(first, live=True)
    assert publications.live("zoo", "other") is None


def test_switching_to_nothing_is_refused(transaction: Transaction) -> None:
    """A publication that is not there can't go live."""
    with pytest.raises(MissingResource):
        transaction.publications.switch(99, now=NOW)


def test_a_switch_to_where_another_publishes_is_refused(transaction: Transaction) -> None:
    """Of two distributors that published to one URL at a time, only the first goes live."""
    publications = transaction.publications
    first = publications.add(new_publication("zoo", "a/b"))
    rival = publications.add(new_publication("zoo", "a", distributor_id="rival"))
    publications.switch(first.id, now=NOW)
    with pytest.raises(InvalidValue, match="distributor yum"):
        publications.switch(rival.id, now=NOW)
    assert publications.live("zoo", "rival") is None
    assert publications.live("zoo", "yum") == replace(first, live=True)


def test_a_switch_replaces_the_one_before(transaction: Transaction) -> None:
    """The new one is asked first; what only the old ones had is still found, the newest first."""
    publications = transaction.publications
    first = _publish(transaction, "zoo", REPOMD, "repodata/old.xml", "both")
    second = _publish(transaction, "zoo", REPOMD, "both")
    third = publications.add(new_publication("zoo", "zoo"))
    publications.add_files(third.id, {}, [REPOMD])
    publications.switch(third.id, now=LATER)
    publications.switch(third.id, now=LATER)
    assert publications.live("zoo", "yum") == replace(third, live=True)
    assert _found(transaction, f"zoo/{REPOMD}") == (third.id, REPOMD)
    assert _found(transaction, "zoo/both") == (second.id, "both")
    assert _found(transaction, "zoo/repodata/old.xml") == (first.id, "repodata/old.xml")
    assert _found(transaction, "zoo/repodata") is None
    assert _found(transaction, "zoo") is None
    assert _found(transaction, "") is None


def test_paths_lead_to_units(transaction: Transaction) -> None:
    """A path of a package resolves to its unit, bare; a generated file to none."""
    bell = new_package("bell", artifact="ab" * 32)
    [unit_id] = transaction.content.add([bell]).values()
    publications = transaction.publications
    made = publications.add(new_publication("zoo", "a/b"))
    publications.add_files(made.id, {"Packages/b/bell.rpm": unit_id}, [REPOMD])
    publications.switch(made.id, now=NOW)
    live = replace(made, live=True)
    assert publications.resolve(f"a/b/{REPOMD}") == (live, REPOMD, None)
    resolved = publications.resolve("a/b/Packages/b/bell.rpm")
    assert resolved == (
        live,
        "Packages/b/bell.rpm",
        replace(bell, id=unit_id, metadata={}, chunks=()),
    )


@pytest.mark.parametrize("path", ["zoo%", "zo_", "ZOO", "zoo2", "a/zoo", "zoo/../zoo", "/zoo"])
def test_other_paths_lead_nowhere(transaction: Transaction, path: str) -> None:
    """Nothing but the exact URL is served."""
    _publish(transaction, "zoo", REPOMD)
    assert transaction.publications.resolve(f"{path}/{REPOMD}") is None
    assert transaction.publications.listing(path.removeprefix("/") + "/x") is None


def test_urls_may_not_lie_in_each_other(transaction: Transaction) -> None:
    """Live URLs that are, contain, or lie in another one are told."""
    _publish(transaction, "a/b", distributor_id="1")
    _publish(transaction, "a/c/d", distributor_id="2")
    old = _publish(transaction, "x/y", distributor_id="3")
    _publish(transaction, "x/z", distributor_id=old.distributor_id)
    conflicting = transaction.publications.conflicting
    assert conflicting("a/b") == [("zoo", "1")]
    assert conflicting("a") == [("zoo", "1"), ("zoo", "2")]
    assert conflicting("a/c/d/e") == [("zoo", "2")]
    assert conflicting("a/c/de") == conflicting("a/bb") == conflicting("A/b") == []
    assert conflicting("x/y") == []


def test_folders_are_listed(transaction: Transaction) -> None:
    """The names in a folder are sorted, folders end in a slash."""
    _publish(
        transaction, "a/b", REPOMD, "Packages/b/x.rpm", "Packages/c/y.rpm", "z", distributor_id="1"
    )
    _publish(transaction, "a/c/d", distributor_id="2")
    _publish(transaction, "top", distributor_id="3")
    listing = transaction.publications.listing
    assert listing("") == listing("/") == ["a/", "top/"]
    assert listing("a") == listing("a/") == ["b/", "c/"]
    assert listing("a/c") == ["d/"]
    assert listing("a/b") == ["Packages/", "repodata/", "z"]
    assert listing("a/b/Packages/") == ["b/", "c/"]
    assert listing("a/b/Packages/b") == ["x.rpm"]
    for absent in ("b", "a/b/x", "a/b/Pack", "a/b/z", "a/b/Packages/b/x.rpm"):
        assert listing(absent) is None


def test_old_publications_expire(transaction: Transaction) -> None:
    """Those superseded before a time expire, and those that never went live; the live one never."""
    publications = transaction.publications
    never = publications.add(new_publication("zoo", "zoo"))
    fresh = publications.add(new_publication("zoo", "zoo", created=LATER))
    first = _publish(transaction, "zoo", REPOMD)
    second = _publish(transaction, "zoo", REPOMD)
    assert publications.expired(before=NOW) == []
    found = publications.expired(before=LATER)
    assert [publication.id for publication in found] == [never.id, first.id]
    assert found[1] == replace(first, live=False, superseded=NOW)
    publications.remove([publication.id for publication in found])
    publications.remove([])
    assert publications.expired(before=LATER) == []
    assert set(publications.folders()) == {fresh.folder, second.folder}
    assert _found(transaction, f"zoo/{REPOMD}") == (second.id, REPOMD)


def test_published_units_are_kept_until_then(transaction: Transaction) -> None:
    """A unit that a publication names is no orphan before the publication is forgotten."""
    [unit_id] = transaction.content.add([new_package("bell")]).values()
    made = transaction.publications.add(new_publication("zoo", "zoo"))
    transaction.publications.add_files(made.id, {"bell.rpm": unit_id}, [])
    assert transaction.content.remove_orphans()[0] == 0
    transaction.publications.remove([made.id])
    assert transaction.content.remove_orphans()[0] == 1


def test_roots_have_urls_of_their_own(transaction: Transaction) -> None:
    """What is published below one root neither answers below another, nor is in its way."""
    packages = _publish(transaction, "a/zoo", REPOMD)
    files = _publish(transaction, "a", "x/y.iso", root=Root.ISOS, distributor_id="iso")
    publications = transaction.publications
    assert files.root is Root.ISOS
    assert publications.live("zoo", "iso") == files
    assert _found(transaction, f"a/zoo/{REPOMD}") == (packages.id, REPOMD)
    assert _found(transaction, "a/x/y.iso") is None
    found = publications.resolve("a/x/y.iso", Root.ISOS)
    assert found == (files, "x/y.iso", None)
    assert publications.resolve(f"a/zoo/{REPOMD}", Root.ISOS) is None
    assert publications.listing("a") == ["zoo/"]
    assert publications.listing("", Root.ISOS) == ["a/"]
    assert publications.listing("a", Root.ISOS) == ["x/"]
    assert publications.conflicting("a/b") == []
    assert publications.conflicting("a/b", Root.ISOS) == [("zoo", "iso")]


def test_paths_of_units_are_copied(transaction: Transaction) -> None:
    """A publication may have the paths of another's units, of some types."""
    publications = transaction.publications
    units = [new_package("bell"), new_erratum("E")]
    bell, erratum = (next(iter(transaction.content.add([unit]).values())) for unit in units)
    first = publications.add(new_publication("zoo", "zoo"))
    publications.add_files(first.id, {"bell.rpm": bell, "b/bell.rpm": bell, "E": erratum}, [REPOMD])
    second = publications.add(new_publication("zoo", "zoo"))
    publications.copy_units(first.id, second.id, ["rpm", "srpm"])
    assert publications.unit_paths(second.id) == {"bell.rpm": bell, "b/bell.rpm": bell}
    publications.switch(second.id, now=NOW)
    assert _found(transaction, "zoo/bell.rpm") == (second.id, "bell.rpm")
    assert _found(transaction, f"zoo/{REPOMD}") is None


def test_what_can_be_reused_is_kept(transaction: Transaction) -> None:
    """What a publication keeps for the next one comes back with the live one alone."""
    publications = transaction.publications
    first, second = (publications.add(new_publication("zoo", "zoo")) for _ in range(2))
    publications.set_reusable(first.id, {"packages": "ab"})
    publications.switch(first.id, now=NOW)
    live = publications.live("zoo", "yum")
    assert live is not None
    assert live.reusable == {"packages": "ab"}
    publications.switch(second.id, now=LATER)
    assert publications.live("zoo", "yum") == replace(second, live=True)


def test_names_above_publications(transaction: Transaction) -> None:
    """Folders that lead to publications are named, none that lies in one."""
    _publish(transaction, "a/b", REPOMD, distributor_id="1")
    _publish(transaction, "a/c/d", distributor_id="2")
    leading = transaction.publications.leading
    assert leading("") == ["a/"]
    assert leading("a") == leading("a/") == ["b/", "c/"]
    assert leading("a/c") == ["d/"]
    for path in ("a/b", "a/b/repodata", "a/c/d", "x", "a/bb"):
        assert leading(path) is None
