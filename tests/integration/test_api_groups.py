"""``repo_groups/`` and ``task_groups/``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pulpit.domain.permissions import Operation
from tests.api_site import API, Site, assert_error
from tests.contract.databases import new_task

_ALL = f"{API}/repo_groups/"


@pytest.fixture(autouse=True)
def _repositories(site: Site) -> None:
    """Let there be repositories."""
    for repo_id in ("bear", "cat", "zoo"):
        assert site.ask("POST", "repositories/", json={"id": repo_id}).status_code == 201


def _create(site: Site, **sent: Any) -> Mapping[str, Any]:
    answer = site.ask("POST", _ALL, json={"id": "pets", **sent})
    assert answer.status_code == 201, answer.json()
    assert answer.headers["location"] == f"{_ALL}pets/"
    created: dict[str, Any] = answer.json()
    return created


def test_a_group_is_created_and_shown(site: Site) -> None:
    """All of it comes back, by POST, by GET and in the list."""
    created = _create(site, repo_ids=["zoo", "cat", "zoo"], notes={"a": 1}, description="d")
    oid = created["_id"]["$oid"]
    assert created == {
        "_id": {"$oid": oid},
        "_ns": "repo_groups",
        "_href": f"{_ALL}pets/",
        "id": "pets",
        "display_name": "pets",
        "description": "d",
        "notes": {"a": 1},
        "repo_ids": ["cat", "zoo"],
        "scratchpad": None,
        "distributors": [],
    }
    shown = {key: value for key, value in created.items() if key != "distributors"}
    assert site.ask("GET", f"{_ALL}pets/").json() == shown
    assert site.ask("GET", _ALL).json() == [shown]
    body = assert_error(site.ask("POST", _ALL, json={"id": "pets"}), 409, "PLP0018")
    assert body["resource_id"] == "pets"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({}, 400, "PLP0016"),
        ([], 400, "PLP1015"),
        ({"id": "a b"}, 400, "PLP0015"),
        ({"id": "g", "notes": 1}, 400, "PLP0015"),
        ({"id": "g", "repo_ids": [1]}, 400, "PLP0015"),
        ({"id": "g", "repo_ids": ["none"]}, 404, "PLP0009"),
        ({"id": "g", "other": 1}, 400, "PLP0017"),
        ({"id": "g", "distributors": [{"distributor_type_id": "x"}]}, 400, "PLP0015"),
    ],
)
def test_groups_that_cannot_be_created(site: Site, sent: Any, status: int, code: str) -> None:
    """What is wrong is said, and nothing is kept."""
    assert_error(site.ask("POST", _ALL, json=sent), status, code)
    assert site.ask("GET", _ALL).json() == []


def test_a_group_is_updated_and_deleted(site: Site) -> None:
    """What is named changes, in either form; empty notes go; repositories stay where they are."""
    _create(site, notes={"a": 1, "b": 2, "c": 3}, repo_ids=["zoo"])
    sent = {"display_name": "Pets", "notes": {"a": None, "b": "", "d": 4}}
    changed = site.ask("PUT", f"{_ALL}pets/", json=sent).json()
    assert (changed["display_name"], changed["notes"]) == ("Pets", {"c": 3, "d": 4})
    changed = site.ask("PUT", f"{_ALL}pets/", json={"delta": {"description": "x"}}).json()
    assert (changed["description"], changed["display_name"]) == ("x", "Pets")
    assert changed["repo_ids"] == ["zoo"]
    assert_error(site.ask("PUT", f"{_ALL}pets/", json={"repo_ids": []}), 400, "PLP0017")
    assert site.ask("DELETE", f"{_ALL}pets/").json() is None
    for method in ("GET", "PUT", "DELETE"):
        body = assert_error(site.ask(method, f"{_ALL}pets/", json={}), 404, "PLP0009")
        assert body["resources"] == {"repo_group": "pets"}
    assert site.ask("GET", "repositories/zoo/").status_code == 200


def test_members_are_selected_by_criteria(site: Site) -> None:
    """Repositories come and go as criteria say; without any, all do."""
    _create(site)
    one = {"criteria": {"filters": {"id": {"$in": ["zoo", "cat"]}}}}
    answer = site.ask("POST", f"{_ALL}pets/actions/associate/", json=one)
    assert answer.json() == ["cat", "zoo"]
    answer = site.ask("POST", f"{_ALL}pets/actions/associate/", json={})
    assert answer.json() == ["bear", "cat", "zoo"]
    for action in ("associate", "unassociate"):
        answer = site.ask("POST", f"{_ALL}pets/actions/{action}/")
        assert_error(answer, 400, "PLP1015")
    answer = site.ask("POST", f"{_ALL}pets/actions/unassociate/", json=one)
    assert answer.json() == ["bear"]
    for action in ("associate", "unassociate", "publish"):
        answer = site.ask("POST", f"{_ALL}none/actions/{action}/", json={})
        assert_error(answer, 404, "PLP0009")


def test_nobody_finds_repositories_by_groups(site: Site) -> None:
    """Who may change a group puts into it only what they may read."""
    _create(site)
    user = {"login": "ann", "password": "a long secret"}
    assert site.ask("POST", "users/", json=user).status_code == 201
    for resource in ("/v2/repo_groups/", "/v2/repositories/cat/"):
        granted = {
            "login": "ann",
            "resource": resource,
            "operations": [each.value for each in Operation],
        }
        path = "permissions/actions/grant_to_user/"
        assert site.ask("POST", path, json=granted).status_code == 200
    auth = (user["login"], user["password"])
    answer = site.ask("POST", f"{_ALL}pets/actions/associate/", json={}, auth=auth)
    assert answer.json() == ["cat"]
    for repo_id in ("zoo", "none"):
        sent = {"id": "g", "repo_ids": [repo_id]}
        body = assert_error(site.ask("POST", _ALL, json=sent, auth=auth), 404, "PLP0009")
        assert body["resources"] == {"repo_id": repo_id}


def test_groups_are_searched(site: Site) -> None:
    """By any of their fields, repositories and notes included; only what is asked for comes."""
    _create(site, repo_ids=["zoo"], notes={"kind": "big"})
    site.ask("POST", _ALL, json={"id": "other"})
    for filters in ({"repo_ids": "zoo"}, {"notes.kind": "big"}, {"id": {"$regex": "^p"}}):
        criteria = {"criteria": {"filters": filters, "fields": ["id"]}}
        found = site.ask("POST", f"{_ALL}search/", json=criteria).json()
        assert found == [{"id": "pets"}]
    found = site.ask("GET", f"{_ALL}search/?id=other").json()
    assert [group["id"] for group in found] == ["other"]


def test_groups_have_no_distributors(site: Site) -> None:
    """There are none, none can be added, and so none can be published by."""
    _create(site)
    below = f"{_ALL}pets/distributors/"
    assert site.ask("GET", below).json() == []
    assert_error(site.ask("POST", below, json={}), 400, "PLP0016")
    sent = {"distributor_type_id": "export_distributor"}
    body = assert_error(site.ask("POST", below, json=sent), 400, "PLP0015")
    assert body["property_names"] == ["distributor_type_id"]
    for method in ("GET", "PUT", "DELETE"):
        assert_error(site.ask(method, f"{below}d/", json={}), 404, "PLP0009")
    publish = f"{_ALL}pets/actions/publish/"
    assert_error(site.ask("POST", publish, json={}), 400, "PLP0016")
    assert_error(site.ask("POST", publish, json={"id": "d"}), 404, "PLP0009")
    assert_error(site.ask("GET", f"{_ALL}none/distributors/"), 404, "PLP0009")


def test_task_groups(site: Site) -> None:
    """Tasks of a group are shown, counted and canceled together; an unknown group has none."""
    with site.storage.write() as transaction:
        for number in range(3):
            group = "g" if number else None
            transaction.tasks.add(new_task(id=f"t{number}", group_id=group))
    group = f"{API}/task_groups/g/"
    assert [task["task_id"] for task in site.ask("GET", group).json()] == ["t1", "t2"]
    summary = site.ask("GET", f"{group}state_summary/").json()
    assert (summary["total"], summary["waiting"], summary["finished"]) == (2, 2, 0)
    assert site.ask("DELETE", group).json() is None
    summary = site.ask("GET", f"{group}state_summary/").json()
    assert (summary["total"], summary["waiting"], summary["canceled"]) == (2, 0, 2)
    assert site.ask("GET", "tasks/t0/").json()["state"] == "waiting"
    assert site.ask("DELETE", group).json() is None
    unknown = f"{API}/task_groups/none/"
    for method in ("GET", "DELETE"):
        body = assert_error(site.ask(method, unknown), 404, "PLP0009")
        assert body["resources"] == {"group_id": "none"}
    summary = site.ask("GET", f"{unknown}state_summary/").json()
    assert set(summary.values()) == {0}
