"""Content units over REST: documents in Pulp 2's fields, searches, and what users note of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pubtools.pulplib import Unit

from pulpit.domain.units import UNIT_KEYS
from pulpit.storage.sqlite import SqliteStorage
from tests.api_site import API, Site, assert_error, copy_of
from tests.feeds import SAMPLE
from tests.synced import site as sync_site

_PACKAGE = {"name": "bell", "version": "2.0", "arch": "noarch"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield the web application over the sample repository, synced into ``zoo``."""
    folder = tmp_path_factory.mktemp("units")
    with sync_site(folder) as synced:
        synced.repository("zoo", SAMPLE.as_uri())
        synced.sync("zoo")
        database = Path(synced.storage.path)
    with Site(database, folder) as made:
        assert made.ask("POST", "repositories/", json={"id": "empty"}).status_code == 201
        yield made
        assert made.log.told == []


def _search(site: Site, type_id: str, **body: Any) -> list[dict[str, Any]]:
    """Search units of a type."""
    answer = site.ask("POST", f"content/units/{type_id}/search/", json={"criteria": {}, **body})
    assert answer.status_code == 200, answer.json()
    return list(answer.json())


def _search_in(site: Site, repo_id: str, **criteria: Any) -> list[dict[str, Any]]:
    """Search units of a repository."""
    path = f"repositories/{repo_id}/search/units/"
    answer = site.ask("POST", path, json={"criteria": criteria})
    assert answer.status_code == 200, answer.json()
    return list(answer.json())


def test_a_package_has_all_fields(site: Site) -> None:
    """A package is shown with what its file and its metadata say, under Pulp 2's names."""
    criteria = {"filters": _PACKAGE}
    [found] = _search(site, "rpm", criteria=criteria, include_repos=True)
    checksum, uid = found["checksum"], found["_id"]
    assert found["checksums"] == {found["checksumtype"]: checksum}
    assert found["_href"] == f"{API}/content/units/rpm/{uid}/"
    assert (found["_ns"], found["_content_type_id"]) == ("units_rpm", "rpm")
    assert found["repository_memberships"] == ["zoo"]
    assert found["filename"] == found["relativepath"] == "bell-2.0-1.noarch.rpm"
    assert found["relative_url_path"].endswith("/bell-2.0-1.noarch.rpm")
    own = {"name": "bell", "flags": "EQ", "epoch": "0", "version": "2.0", "release": "1"}
    assert own in found["provides"]
    assert "/usr/share/chapel/bell/tone" in found["files"]["file"]
    assert all(len(change) == 3 for change in found["changelog"])
    assert found["header_range"]["start"] < found["header_range"]["end"]
    assert (found["downloaded"], Path(found["_storage_path"]).is_file()) == (True, True)
    assert (found["signing_key"], found["is_modular"]) == (None, False)
    one = site.ask("GET", found["_href"])
    assert (one.status_code, one.json()) == (200, found)


@pytest.mark.parametrize("type_id", UNIT_KEYS)
def test_clients_understand_units_of_every_type(site: Site, type_id: str) -> None:
    """Pulp 2's client library reads what searches return; nothing of a unit key is missing."""
    for document in _search(site, type_id, include_repos=True):
        assert document.keys() >= set(UNIT_KEYS[type_id])
        unit = Unit.from_data(document)
        assert unit.content_type_id == type_id
        assert list(getattr(unit, "repository_memberships", ["zoo"])) == ["zoo"]
    counts = site.ask("GET", "repositories/zoo/").json()["content_unit_counts"]
    assert len(_search(site, type_id)) == counts.get(type_id, 0)


def test_a_module_tells_what_it_needs(site: Site) -> None:
    """The dependencies of a module are those at run time, as the client library reads them."""
    found = _search(site, "modulemd", criteria={"filters": {"stream": "classical"}, "limit": 1})
    assert found[0]["dependencies"] == [{"platform": ["f1"]}]
    assert isinstance(found[0]["version"], int)


@pytest.mark.parametrize(
    ("fields", "below"),
    [
        (["name"], {"name"}),
        (["repodata"], {"repodata"}),
        (["files.file", "arch"], {"files", "arch"}),
        (["pulp_user_metadata.none"], {"pulp_user_metadata"}),
    ],
)
def test_fields_narrow_documents(site: Site, fields: list[str], below: set[str]) -> None:
    """Only the fields asked for are returned, beside those that tell what the unit is."""
    [found] = _search(site, "rpm", criteria={"filters": _PACKAGE, "fields": fields})
    always = {"_id", "_content_type_id", "_href"}
    assert found.keys() == always | below
    if "repodata" in found:
        assert found["repodata"]["filelists"].startswith("<package")
    [association] = _search_in(
        site,
        "zoo",
        type_ids=["rpm"],
        filters={"unit": _PACKAGE},
        fields={"unit": fields, "association": ["created"]},
    )
    assert association["metadata"] == found
    assert association.keys() == {"_id", "unit_id", "unit_type_id", "created", "metadata"}


def test_units_of_a_repository(site: Site) -> None:
    """A repository's units come as associations, which say when each was added."""
    [found] = _search_in(site, "zoo", type_ids=["rpm"], filters={"unit": _PACKAGE})
    unit, oid = found.pop("metadata"), found.pop("_id")["$oid"]
    moments = {found.pop("created"), found.pop("updated")}
    assert moments == {"2026-01-02T04:04:05Z"}
    assert {**unit, "repository_memberships": ["zoo"]} == site.ask("GET", unit["_href"]).json()
    assert found == {
        "_ns": "repo_content_units",
        "id": oid,
        "repo_id": "zoo",
        "unit_id": unit["_id"],
        "unit_type_id": "rpm",
        "owner_type": "importer",
        "owner_id": "yum_importer",
    }
    assert _search_in(site, "empty") == []
    late = {"association": {"created": {"$gt": {"$date": "2026-01-02T04:04:05Z"}}}}
    assert _search_in(site, "zoo", filters=late) == []


def test_pages_hold_each_unit_once(site: Site) -> None:
    """Paging by limit and skip comes by every unit once, over all types as over one."""
    whole = [one["unit_id"] for one in _search_in(site, "zoo")]
    paged: list[str] = []
    while page := _search_in(site, "zoo", limit=20, skip=len(paged)):
        paged += [one["unit_id"] for one in page]
    assert paged == whole
    assert len(set(paged)) == len(paged) > 50
    names = [one["metadata"]["name"] for one in _search_in(site, "zoo", type_ids=["rpm"])]
    by_name = {"sort": {"unit": [["name", "descending"]]}, "limit": 3}
    first = [
        one["metadata"]["name"] for one in _search_in(site, "zoo", type_ids=["rpm"], **by_name)
    ]
    assert first == sorted(names, reverse=True)[:3]


def test_get_searches_and_lists(site: Site) -> None:
    """The forms by GET find the same as those by POST."""
    query = "content/units/rpm/search/?name=bell&version=2.0&field=name&include_repos=true"
    [found] = site.ask("GET", query).json()
    assert (found["name"], found["repository_memberships"]) == ("bell", ["zoo"])
    assert "arch" not in found
    listed = site.ask("GET", "content/units/erratum/").json()
    assert [one["_id"] for one in listed] == [one["_id"] for one in _search(site, "erratum")]
    assert site.ask("GET", "content/units/erratum/?limit=1&skip=1").json() == listed[1:2]


def test_users_note_something_of_a_unit(site: Site) -> None:
    """``pulp_user_metadata`` is replaced as a whole, shown with the unit, and searched."""
    [unit] = _search(site, "erratum", criteria={"limit": 1})
    path = f"{unit['_href']}pulp_user_metadata/"
    assert site.ask("GET", path).json() == {}
    for noted in ({"a": {"b": [1]}}, {"cdn_path": "/content/x"}):
        answer = site.ask("PUT", path, json=noted)
        assert (answer.status_code, answer.json()) == (200, None)
        assert site.ask("GET", path).json() == noted
    filters = {"pulp_user_metadata.cdn_path": {"$regex": "^/content"}}
    [found] = _search(site, "erratum", criteria={"filters": filters})
    assert (found["_id"], found["pulp_user_metadata"]) == (unit["_id"], noted)
    assert_error(site.ask("PUT", path, json=[1]), 400, "PLP1015")
    assert site.ask("PUT", path, json={}).status_code == 200


def test_what_is_not_there(site: Site) -> None:
    """Unknown types, units and repositories are missing resources."""
    [unit] = _search(site, "erratum", criteria={"limit": 1})
    for method, path in (
        ("GET", "content/units/erratum/nothing/"),
        ("GET", f"content/units/rpm/{unit['_id']}/"),
        ("GET", "content/units/nothing/"),
        ("GET", f"content/units/rpm/{unit['_id']}/pulp_user_metadata/"),
        ("GET", "content/units/nothing/search/"),
    ):
        assert_error(site.ask(method, path), 404, "PLP0009")
    assert_error(
        site.ask("PUT", "content/units/rpm/x/pulp_user_metadata/", json={}), 404, "PLP0009"
    )
    everything: dict[str, Any] = {"criteria": {}}
    assert_error(
        site.ask("POST", "repositories/nowhere/search/units/", json=everything), 404, "PLP0009"
    )


@pytest.mark.parametrize(
    ("criteria", "code"),
    [
        ({"filters": {"unit": {"name": {"$where": "1"}}}}, "PLP0017"),
        ({"filters": {"unit": {"requires.name": "bell"}}}, "PLP0017"),
        ({"filters": {"association": {"_id": "x"}}}, "PLP0017"),
        ({"sort": {"unit": [["files", "ascending"]]}}, "PLP0017"),
        ({"filters": {"name": "bell"}}, "PLP0015"),
        ({"filters": []}, "PLP0015"),
        ({"type_ids": {"rpm": 1}}, "PLP0015"),
        ({"type_ids": ["rpm"] * 200}, "PLP0015"),
        ({"fields": ["name"]}, "PLP0015"),
        ({"limit": 0}, "PLP0015"),
        ({"nothing": 1}, "PLP0017"),
        ([], "PLP1015"),
    ],
)
def test_bad_criteria_are_refused(site: Site, criteria: Any, code: str) -> None:
    """Criteria that can't be used are refused with what is wrong about them."""
    path = "repositories/zoo/search/units/"
    assert_error(site.ask("POST", path, json={"criteria": criteria}), 400, code)


def test_a_search_that_takes_too_long(new_database: Path, tmp_path: Path) -> None:
    """A client whose search is broken off is told so, and how to ask for less."""
    storage = SqliteStorage(copy_of(new_database, tmp_path), search_seconds=1e-9)
    with Site(storage, tmp_path) as hurried:
        hurried.ask("POST", "repositories/", json={"id": "zoo"})
        answer = hurried.ask("POST", "repositories/search/", json={"criteria": {}})
        body = assert_error(answer, 400, "PLPIT17")
        assert "narrow it" in str(body["error_message"])
        assert hurried.ask("GET", "repositories/zoo/").status_code == 200


def test_there_are_no_content_sources(site: Site) -> None:
    """The catalog of alternate sources is empty, and deleting from it deletes nothing."""
    assert site.ask("GET", "content/sources/").json() == []
    assert_error(site.ask("GET", "content/sources/mirror/"), 404, "PLP0009")
    answer = site.ask("DELETE", "content/catalog/mirror/")
    assert (answer.status_code, answer.json()) == (200, {"deleted": 0})
