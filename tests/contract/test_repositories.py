"""Repositories, their importers and distributors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pulpit.domain.criteria import parse_criteria
from pulpit.domain.repositories import Repository
from pulpit.errors import DuplicateResource, MissingResource
from tests.contract.databases import (
    NOW,
    OID,
    Database,
    new_distributor,
    new_erratum,
    new_importer,
    new_package,
    new_publication,
    new_repository,
)


def _add(database: Database, *repositories: Repository) -> None:
    with database.write() as transaction:
        for repository in repositories:
            transaction.repositories.add(repository)


def _ids(repositories: Sequence[Repository]) -> list[str]:
    return [repository.id for repository in repositories]


def test_a_repository_comes_back_whole(database: Database) -> None:
    """Every field of a repository is kept."""
    zoo = new_repository(
        "zoo",
        display_name="The Zoo",
        description="ünï",
        notes={"a": {"b": [1, None]}},
        scratchpad={"n": 1},
        content_unit_counts={"rpm": 3},
        last_unit_added=NOW.replace(microsecond=5),
        last_unit_removed=NOW,
        content_revision=7,
    )
    _add(database, zoo)
    with database.read() as transaction:
        assert transaction.repositories.get("zoo") == zoo


def test_ids_are_unique(database: Database) -> None:
    """A second repository of the same id is refused, and the transaction may go on."""
    _add(database, new_repository("zoo"))
    with database.write() as transaction:
        transaction.repositories.add(new_repository("bear"))
        with pytest.raises(DuplicateResource) as caught:
            transaction.repositories.add(new_repository("zoo", description="other"))
        assert caught.value.resource_id == "zoo"
        transaction.repositories.add(new_repository("ZOO"))
    with database.read() as transaction:
        assert _ids(transaction.repositories.list()) == ["ZOO", "bear", "zoo"]
        assert transaction.repositories.get("zoo").description is None


def test_an_unknown_repository_is_missing(database: Database) -> None:
    """Getting an unknown repository raises and names it."""
    with database.read() as transaction, pytest.raises(MissingResource) as caught:
        transaction.repositories.get("zoo")
    assert caught.value.resources == {"repo_id": "zoo"}


def test_notes_of_many(database: Database) -> None:
    """By id, of those that exist."""
    with database.write() as transaction:
        transaction.repositories.add(new_repository("zoo", notes={"n": [1, None]}))
        transaction.repositories.add(new_repository("farm"))
        assert transaction.repositories.notes(["zoo", "farm", "none"]) == {
            "zoo": {"n": [1, None]},
            "farm": {},
        }
        assert transaction.repositories.notes([]) == {}


def test_an_update_writes_what_users_change(database: Database) -> None:
    """An update writes display name, description, notes and scratchpad, and nothing else."""
    zoo = new_repository("zoo", content_revision=3)
    _add(database, zoo, new_repository("bear"))
    changed = replace(zoo, display_name="Z", description="d", notes={"a": 1}, scratchpad={"b": 2})
    with database.write() as transaction:
        transaction.repositories.update(
            replace(changed, content_revision=0, content_unit_counts={"rpm": 9})
        )
        transaction.repositories.update(new_repository("unknown"))
    with database.read() as transaction:
        assert transaction.repositories.list() == [new_repository("bear"), changed]


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, ["bear", "zoo", "zoo-2"]),
        ({"filters": {"id": {"$in": ["zoo", "x"]}}}, ["zoo"]),
        ({"filters": {"id": {"$regex": "^zoo"}}}, ["zoo", "zoo-2"]),
        ({"filters": {"notes._repo-type": "rpm-repo"}}, ["zoo"]),
        ({"filters": {"notes": {"$exists": True}}}, ["bear", "zoo", "zoo-2"]),
        ({"filters": {"display_name": "Z"}, "limit": 1, "skip": 1}, ["zoo-2"]),
        ({"filters": {"content_unit_counts.rpm": {"$gt": 2}}}, ["zoo-2"]),
        ({"filters": {"last_unit_added": {"$gte": {"$date": "2026-03-01T12:00:00Z"}}}}, ["zoo"]),
        ({"filters": {"description": None}}, ["bear", "zoo"]),
        ({"filters": {"_id": {"$oid": OID}, "scratchpad.n": 1}}, ["zoo-2"]),
        (
            {"sort": [["display_name", "descending"], ["id", "descending"]]},
            ["bear", "zoo-2", "zoo"],
        ),
    ],
)
def test_criteria_select(database: Database, criteria: dict[str, Any], expected: list[str]) -> None:
    """Criteria find repositories by every field that searches use."""
    _add(
        database,
        new_repository(
            "zoo", display_name="Z", notes={"_repo-type": "rpm-repo"}, last_unit_added=NOW
        ),
        new_repository("bear"),
        new_repository(
            "zoo-2",
            display_name="Z",
            description="",
            content_unit_counts={"rpm": 3},
            scratchpad={"n": 1},
        ),
    )
    with database.read() as transaction:
        assert _ids(transaction.repositories.search(parse_criteria(criteria))) == expected


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, ["bear/yum", "zoo/iso", "zoo/yum"]),
        ({"filters": {"repo_id": {"$in": ["zoo", "x"]}, "id": "yum"}}, ["zoo/yum"]),
        ({"filters": {"distributor_type_id": {"$regex": "^iso"}}}, ["zoo/iso"]),
        ({"filters": {"config.relative_url": {"$regex": "^b"}}}, ["bear/yum"]),
        ({"filters": {"auto_publish": True}}, ["zoo/yum"]),
        ({"filters": {"last_publish": {"$gte": {"$date": "2026-03-01T12:00:00Z"}}}}, ["bear/yum"]),
        ({"filters": {"last_publish": None}, "limit": 1, "skip": 1}, ["zoo/yum"]),
        ({"sort": [["config.relative_url", "descending"]], "limit": 1}, ["zoo/yum"]),
        ({"filters": {"config.proxy_password": "secret"}}, []),
        ({"filters": {"config.proxy_password": {"$regex": "^s"}}}, []),
        ({"filters": {"config.proxy_password": {"$regex": "^[*]+$"}}}, ["zoo/yum"]),
    ],
)
def test_criteria_select_distributors(
    database: Database, criteria: dict[str, Any], expected: list[str]
) -> None:
    """Criteria find distributors of all repositories, and tell none of their secrets."""
    _add(database, new_repository("zoo"), new_repository("bear"))
    secret = {"relative_url": "zoo", "proxy_password": "secret"}
    with database.write() as transaction:
        for made in (
            new_distributor("zoo", config=secret, auto_publish=True),
            new_distributor("zoo", "iso", distributor_type_id="iso_distributor"),
            new_distributor("bear", config={"relative_url": "bear"}, last_publish=NOW),
        ):
            transaction.repositories.set_distributor(made)
    with database.read() as transaction:
        found = transaction.repositories.search_distributors(parse_criteria(criteria))
    assert [f"{one.repo_id}/{one.id}" for one in found] == expected
    assert all(one.config.get("proxy_password") in {None, "secret"} for one in found)


def test_a_repository_has_one_importer(database: Database) -> None:
    """A new importer takes the place of the one before; others are left alone."""
    _add(database, new_repository("zoo"), new_repository("bear"))
    feed = new_importer("zoo", config={"feed": "http://h/"}, scratchpad={"a": 1}, last_sync=NOW)
    bears = new_importer("bear")
    with database.write() as transaction:
        repositories = transaction.repositories
        repositories.set_importer(new_importer("zoo"))
        repositories.set_importer(bears)
        repositories.set_importer(feed)
        assert list(repositories.importers(["zoo", "x"])) == [feed]
        assert {importer.repo_id for importer in repositories.importers(["zoo", "bear"])} == {
            "zoo",
            "bear",
        }
        repositories.remove_importer("zoo")
        repositories.remove_importer("zoo")
        assert list(repositories.importers(["zoo", "bear"])) == [bears]
        assert list(repositories.importers([])) == []


def test_a_repository_has_any_number_of_distributors(database: Database) -> None:
    """Distributors are kept by repository and id, and come sorted."""
    _add(database, new_repository("zoo"), new_repository("bear"))
    later = NOW + timedelta(seconds=1)
    changed = new_distributor(
        "zoo",
        "b",
        config={"relative_url": "zoo", "http": True},
        auto_publish=True,
        scratchpad={"a": 1},
        last_publish=NOW,
        last_updated=later,
    )
    with database.write() as transaction:
        repositories = transaction.repositories
        for repo_id, distributor_id in [("zoo", "b"), ("zoo", "a"), ("bear", "b")]:
            repositories.set_distributor(new_distributor(repo_id, distributor_id))
        repositories.set_distributor(changed)
        assert list(repositories.distributors(["zoo"])) == [new_distributor("zoo", "a"), changed]
        repositories.remove_distributor("zoo", "b")
        repositories.remove_distributor("zoo", "b")
        assert list(repositories.distributors(["zoo"])) == [new_distributor("zoo", "a")]
        assert list(repositories.distributors(["bear"])) == [new_distributor("bear", "b")]


def test_removing_a_repository_takes_all_that_is_its(database: Database) -> None:
    """Importer, distributors, associations, sources and publications go with the repository."""
    _add(database, new_repository("zoo"), new_repository("bear"))
    with database.write() as transaction:
        content, publications = transaction.content, transaction.publications
        [bell] = content.add([new_package("bell")]).values()
        [erratum] = content.add([new_erratum("E1")]).values()
        for repo_id in ("zoo", "bear"):
            transaction.repositories.set_importer(new_importer(repo_id))
            transaction.repositories.set_distributor(new_distributor(repo_id))
            content.associate(repo_id, [bell], now=NOW)
            content.set_sources(repo_id, {bell: f"http://{repo_id}/"})
            publication = publications.add(new_publication(repo_id, repo_id))
            publications.add_files(publication.id, {"bell.rpm": bell}, ["repodata/repomd.xml"])
            publications.switch(publication.id, now=NOW)
        content.associate("zoo", [erratum], now=NOW)
    with database.write() as transaction:
        transaction.repositories.remove("zoo")
        transaction.repositories.remove("unknown")
    with database.write() as transaction:
        repositories, content = transaction.repositories, transaction.content
        assert _ids(repositories.list()) == ["bear"]
        assert [importer.repo_id for importer in repositories.importers(["zoo", "bear"])] == [
            "bear"
        ]
        assert [item.repo_id for item in repositories.distributors(["zoo", "bear"])] == ["bear"]
        assert content.sources(bell) == [("bear", "http://bear/")]
        assert content.members("zoo") == {}
        assert list(content.members("bear")) == [bell]
        assert transaction.publications.resolve("zoo/bell.rpm") is None
        assert transaction.publications.resolve("bear/bell.rpm") is not None
        assert content.remove_orphans() == (1, [])


def test_removing_a_distributor_takes_its_publications(database: Database) -> None:
    """What a distributor has published goes with it; that of others stays."""
    _add(database, new_repository("zoo"))
    with database.write() as transaction:
        for distributor_id in ("a", "b"):
            transaction.repositories.set_distributor(new_distributor("zoo", distributor_id))
            publication = transaction.publications.add(
                new_publication("zoo", distributor_id, distributor_id=distributor_id)
            )
            transaction.publications.add_files(publication.id, {}, ["x"])
            transaction.publications.switch(publication.id, now=NOW)
        transaction.repositories.remove_distributor("zoo", "a")
        assert transaction.publications.live("zoo", "a") is None
        assert transaction.publications.resolve("a/x") is None
        assert transaction.publications.resolve("b/x") is not None
