"""Plugins over REST: what the server offers, and a repository's importers and distributors."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api_site import API, Site, assert_error, spawned

_DISTRIBUTOR: dict[str, Any] = {
    "distributor_id": "yum",
    "distributor_type_id": "yum_distributor",
    "distributor_config": {"relative_url": "zoo"},
}


@pytest.fixture(autouse=True)
def _zoo(site: Site) -> None:
    """Let there be a repository."""
    assert site.ask("POST", "repositories/", json={"id": "zoo"}).status_code == 201


def _set_importer(site: Site, **config: Any) -> None:
    sent = {"importer_type_id": "yum_importer", "importer_config": config}
    spawned(site, site.ask("POST", "repositories/zoo/importers/", json=sent))
    site.work()


def _add_distributor(site: Site, **changes: Any) -> dict[str, Any]:
    answer = site.ask("POST", "repositories/zoo/distributors/", json=_DISTRIBUTOR | changes)
    assert answer.status_code == 201, answer.json()
    return dict(answer.json())


def test_content_types_are_listed(site: Site) -> None:
    """Each type has an id, a link to itself and a key."""
    types = site.ask("GET", "plugins/types/").json()
    assert {"rpm", "srpm", "erratum", "package_group", "modulemd"} <= {one["id"] for one in types}
    for one in types:
        assert one["_href"] == f"{API}/plugins/types/{one['id']}/"
        assert one["unit_key"]
        assert site.ask("GET", one["_href"]).json() == one


@pytest.mark.parametrize(
    ("kind", "plugin_id"), [("importers", "yum_importer"), ("distributors", "yum_distributor")]
)
def test_plugins_are_listed(site: Site, kind: str, plugin_id: str) -> None:
    """Each plugin tells which content it is for."""
    listed = {plugin["id"]: plugin for plugin in site.ask("GET", f"plugins/{kind}/").json()}
    plugin = listed[plugin_id]
    assert plugin["_href"] == f"{API}/plugins/{kind}/{plugin_id}/"
    assert "rpm" in plugin["types"]
    assert site.ask("GET", plugin["_href"]).json() == plugin


@pytest.mark.parametrize("kind", ["types", "importers", "distributors"])
def test_an_unknown_plugin_is_404(site: Site, kind: str) -> None:
    """The body names it."""
    body = assert_error(site.ask("GET", f"plugins/{kind}/none/"), 404, "PLP0009")
    assert body["resources"] == {"plugin_id": "none"}


def test_an_importer_is_set_by_a_task(site: Site) -> None:
    """It is there once the task is done, its password masked; setting it again replaces it."""
    assert site.ask("GET", "repositories/zoo/importers/").json() == []
    config = {"feed": "https://me:secret@feed.example/"}
    sent = {"importer_type_id": "yum_importer", "importer_config": config}
    answer = site.ask("POST", "repositories/zoo/importers/", json=sent)
    (report,) = spawned(site, answer)
    assert report["tags"] == ["pulp:repository:zoo", "pulp:action:add_importer"]
    assert site.ask("GET", "repositories/zoo/importers/").json() == []
    site.work()
    (importer,) = site.ask("GET", "repositories/zoo/importers/").json()
    assert importer["config"] == {
        "feed": "https://feed.example/",
        "basic_auth_username": "me",
        "basic_auth_password": "*****",
    }
    _set_importer(site)
    (importer,) = site.ask("GET", "repositories/zoo/importers/").json()
    assert importer["config"] == {}


def test_secrets_stand_in_no_answer(site: Site) -> None:
    """Neither reports nor errors nor events show what was sent to be kept secret."""
    secret = "hunter-two"
    secrets = {
        "feed": f"https://me:{secret}@feed.example/",
        "proxy_host": "proxy.example",
        "proxy_password": secret,
        "ssl_client_key": secret,
        "query_auth_token": secret,
        "ssl_client_cert": f"-----BEGIN PRIVATE KEY-----\n{secret}",
    }
    _set_importer(site, **secrets)
    _add_distributor(site, distributor_config={"relative_url": "zoo", "auth_password": secret})
    answers = [
        site.ask("PUT", "repositories/zoo/", json={"importer_config": secrets}),
        site.ask(
            "PUT", "repositories/zoo/importers/yum_importer/", json={"importer_config": secrets}
        ),
        site.ask(
            "PUT",
            "repositories/zoo/distributors/yum/",
            json={"distributor_config": {"auth_password": secret}},
        ),
        site.ask("POST", "repositories/zoo/actions/sync/", json={"override_config": secrets}),
        site.ask(
            "PUT",
            "repositories/zoo/",
            json={"importer_config": {"feed": f"gopher://me:{secret}@x/"}},
        ),
    ]
    site.work()
    answers += [
        site.ask("GET", path)
        for path in (
            "tasks/",
            "repositories/?details=true",
            "repositories/zoo/importers/",
            "repositories/zoo/distributors/",
            "/pulpit/v1/events/?since=0",
        )
    ]
    answers.append(site.ask("POST", "distributors/search/", json={"criteria": {}}))
    filters = {"config.auth_password": secret}
    found = site.ask("POST", "distributors/search/", json={"criteria": {"filters": filters}})
    assert found.json() == []
    for answer in answers:
        assert secret not in answer.text, answer.request.url


def test_an_importer_is_updated_by_a_task(site: Site) -> None:
    """Keys merge; null takes one away; a masked secret stays."""
    _set_importer(site, feed="http://u:p@feed.example/", max_speed=5)
    config = {"basic_auth_password": "*****", "max_speed": None, "validate": True}
    answer = site.ask(
        "PUT", "repositories/zoo/importers/yum_importer/", json={"importer_config": config}
    )
    (report,) = spawned(site, answer)
    assert report["tags"] == [
        "pulp:repository:zoo",
        "pulp:action:update_importer",
        "pulp:repository_importer:yum_importer",
    ]
    site.clock.advance(seconds=1)
    site.work()
    with site.storage.read() as transaction:
        (importer,) = transaction.repositories.importers(["zoo"])
    assert importer.config == {
        "feed": "http://feed.example/",
        "basic_auth_username": "u",
        "basic_auth_password": "p",
        "validate": True,
    }
    assert importer.last_updated == site.clock()


def test_an_importer_is_removed_by_a_task(site: Site) -> None:
    """After it there is none, and a second removal is 404."""
    _set_importer(site)
    path = "repositories/zoo/importers/yum_importer/"
    (report,) = spawned(site, site.ask("DELETE", path))
    assert report["tags"] == [
        "pulp:repository:zoo",
        "pulp:action:delete_importer",
        "pulp:repository_importer:yum_importer",
    ]
    site.work()
    body = assert_error(site.ask("DELETE", path), 404, "PLP0009")
    assert body["resources"] == {"repo_id": "zoo", "importer_id": "yum_importer"}


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        (("POST", "", {}), 400, "PLP0016"),
        (("POST", "", {"importer_type_id": 1}), 400, "PLP0015"),
        (("POST", "", {"importer_type_id": "none"}), 400, "PLP0015"),
        (("POST", "", {"importer_type_id": "yum_importer", "config": {}}), 400, "PLP0017"),
        (("POST", "", {"importer_type_id": "yum_importer", "importer_config": 1}), 400, "PLP0015"),
        (("PUT", "yum_importer/", {}), 400, "PLP0016"),
        (("PUT", "yum_importer/", {"importer_config": None}), 400, "PLP0016"),
        (("PUT", "yum_importer/", {"importer_config": {}, "x": 1}), 400, "PLP0017"),
        (("PUT", "yum_importer/", {"importer_config": {"feed": []}}), 400, "PLP0015"),
        (("PUT", "none/", {"importer_config": {}}), 404, "PLP0009"),
        (("GET", "none/", None), 404, "PLP0009"),
        (("DELETE", "none/", None), 404, "PLP0009"),
    ],
)
def test_bad_importers_are_refused(
    site: Site, call: tuple[str, str, Any], status: int, code: str
) -> None:
    """What can be seen to be wrong hands in no task."""
    _set_importer(site)
    before = site.ask("GET", "tasks/").json()
    method, path, sent = call
    answer = site.ask(method, f"repositories/zoo/importers/{path}", json=sent)
    assert_error(answer, status, code)
    assert site.ask("GET", "tasks/").json() == before


def test_a_distributor_is_added_at_once(site: Site) -> None:
    """POST answers 201 with the document and where it is; the config comes back unchanged."""
    config = {"relative_url": "zoo", "unknown": [1, {"a": None}]}
    document = _add_distributor(site, distributor_config=config, auto_publish=True)
    assert document["_href"] == f"{API}/repositories/zoo/distributors/yum/"
    assert (document["config"], document["auto_publish"]) == (config, True)
    assert site.ask("GET", document["_href"]).json() == document
    assert site.ask("GET", "repositories/zoo/distributors/").json() == [document]
    again = site.ask("POST", "repositories/zoo/distributors/", json=_DISTRIBUTOR)
    assert assert_error(again, 409, "PLP0018")["resource_id"] == "yum"


def test_a_distributor_without_id_gets_one(site: Site) -> None:
    """The server makes up an id, another one each time."""
    ids = {_add_distributor(site, distributor_id=None)["id"] for _ in range(2)}
    assert len(ids) == 2
    for distributor_id in ids:
        assert site.ask("GET", f"repositories/zoo/distributors/{distributor_id}/").json()


def test_a_distributor_is_updated_by_a_task(site: Site) -> None:
    """Keys merge, null takes one away, and the document is the task's result."""
    _add_distributor(site, distributor_config={"relative_url": "zoo", "http": True})
    sent = {"distributor_config": {"http": None, "https": True}, "delta": {"auto_publish": True}}
    answer = site.ask("PUT", "repositories/zoo/distributors/yum/", json=sent)
    (report,) = spawned(site, answer)
    site.work()
    document = site.ask("GET", "repositories/zoo/distributors/yum/").json()
    assert document["config"] == {"relative_url": "zoo", "https": True}
    assert document["auto_publish"] is True
    assert site.ask("GET", report["_href"]).json()["result"] == document


def test_a_distributor_is_removed_by_a_task(site: Site) -> None:
    """What it published goes with it."""
    _add_distributor(site)
    spawned(site, site.ask("POST", "repositories/zoo/actions/publish/", json={"id": "yum"}))
    site.work()
    path = "repositories/zoo/distributors/yum/"
    (report,) = spawned(site, site.ask("DELETE", path))
    assert report["tags"] == [
        "pulp:repository:zoo",
        "pulp:repository_distributor:yum",
        "pulp:action:remove_distributor",
    ]
    site.work()
    body = assert_error(site.ask("DELETE", path), 404, "PLP0009")
    assert body["resources"] == {"repo_id": "zoo", "distributor_id": "yum"}
    with site.storage.read() as transaction:
        assert transaction.publications.live("zoo", "yum") is None


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        (("PUT", "yum/", {}), 400, "PLP0016"),
        (("PUT", "yum/", {"config": {}}), 400, "PLP0017"),
        (("PUT", "yum/", {"distributor_config": []}), 400, "PLP0015"),
        (("PUT", "yum/", {"distributor_config": {"relative_url": None}}), 400, "PLP0016"),
        (("PUT", "yum/", {"distributor_config": {"relative_url": "a//b"}}), 400, "PLP0015"),
        (("PUT", "yum/", {"delta": {"auto_publish": "no"}}), 400, "PLP0015"),
        (("PUT", "yum/", {"delta": {"id": "x"}}), 400, "PLP0017"),
        (("PUT", "none/", {"distributor_config": {}}), 404, "PLP0009"),
        (("GET", "none/", None), 404, "PLP0009"),
        (("DELETE", "none/", None), 404, "PLP0009"),
    ],
)
def test_bad_changes_of_distributors_are_refused(
    site: Site, call: tuple[str, str, Any], status: int, code: str
) -> None:
    """What can be seen to be wrong hands in no task."""
    before = _add_distributor(site)
    method, path, sent = call
    answer = site.ask(method, f"repositories/zoo/distributors/{path}", json=sent)
    assert_error(answer, status, code)
    assert site.ask("GET", "tasks/").json() == []
    assert site.ask("GET", "repositories/zoo/distributors/yum/").json() == before


def test_distributors_of_all_repositories_are_searched(site: Site) -> None:
    """The search sees what readers see, in all repositories."""
    _add_distributor(site)
    second = {"id": "b", "distributors": [_DISTRIBUTOR | {"distributor_id": "two"}]}
    assert site.ask("POST", "repositories/", json=second).status_code == 201
    for criteria, ids in [
        ({}, ["two", "yum"]),
        ({"filters": {"repo_id": "b"}}, ["two"]),
        ({"filters": {"distributor_type_id": "yum_distributor"}, "limit": 1}, ["two"]),
        ({"filters": {"config.relative_url": {"$regex": "^z"}}, "skip": 1}, ["yum"]),
        ({"sort": [["id", "descending"]]}, ["yum", "two"]),
    ]:
        found = site.ask("POST", "distributors/search/", json={"criteria": criteria}).json()
        assert [one["id"] for one in found] == ids
    assert site.ask("GET", "distributors/search/?repo_id=zoo&field=id").json() == [{"id": "yum"}]


def test_what_a_task_finds_gone_is_its_error(site: Site) -> None:
    """A change that waited behind the removal of its repository fails by name."""
    _set_importer(site)
    _add_distributor(site)
    (deletion,) = spawned(site, site.ask("DELETE", "repositories/zoo/"))
    late = [
        site.ask("POST", "repositories/zoo/actions/sync/"),
        site.ask("POST", "repositories/zoo/actions/publish/", json={"id": "yum"}),
        site.ask("DELETE", "repositories/zoo/distributors/yum/"),
        site.ask("DELETE", "repositories/zoo/importers/yum_importer/"),
        site.ask("DELETE", "repositories/zoo/"),
        site.ask("PUT", "repositories/zoo/importers/yum_importer/", json={"importer_config": {}}),
        site.ask(
            "PUT", "repositories/zoo/distributors/yum/", json={"delta": {"auto_publish": True}}
        ),
        site.ask("POST", "repositories/zoo/importers/", json={"importer_type_id": "yum_importer"}),
    ]
    site.work()
    assert site.ask("GET", deletion["_href"]).json()["state"] == "finished"
    for answer in late:
        (report,) = spawned(site, answer)
        assert report["state"] == "error"
        assert report["error"]["code"] == "PLP0009"
        assert report["error"]["data"] == {"resources": {"repo_id": "zoo"}}
