"""Schedules over REST, from their creation to their end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api_site import Site, assert_error

_IMPORTER = "repositories/zoo/importers/yum_importer/schedules/sync/"
_DISTRIBUTOR = "repositories/zoo/distributors/web/schedules/publish/"


@pytest.fixture
def zoo(site: Site) -> Site:
    """Return a site with one repository that can be synced and published."""
    web = {
        "distributor_id": "web",
        "distributor_type_id": "yum_distributor",
        "distributor_config": {"relative_url": "zoo"},
    }
    document = {
        "id": "zoo",
        "importer_type_id": "yum_importer",
        "importer_config": {"feed": "http://feed.example/"},
        "distributors": [web],
    }
    assert site.ask("POST", "repositories/", json=document).status_code == 201
    return site


def _create(site: Site, path: str, **document: Any) -> dict[str, Any]:
    """Create a schedule and return it."""
    answer = site.ask("POST", path, json={"schedule": "PT1H", **document})
    assert answer.status_code == 201, answer.json()
    created: dict[str, Any] = answer.json()
    assert answer.headers["location"] == created["_href"]
    assert site.ask("GET", created["_href"]).json() == created
    return created


@pytest.mark.parametrize(("path", "action"), [(_IMPORTER, "sync"), (_DISTRIBUTOR, "publish")])
def test_a_schedule_lives(zoo: Site, path: str, action: str) -> None:
    """It is created, listed, run, changed and deleted."""
    created = _create(zoo, path, failure_threshold=3)
    assert zoo.ask("GET", path).json() == [created]
    (task,) = zoo.schedules.run_due()
    assert {f"pulp:action:{action}", "pulp:repository:zoo"} <= {*task.tags}
    zoo.work()
    ran = zoo.ask("GET", created["_href"]).json()
    assert (ran["total_run_count"], ran["consecutive_failures"]) == (1, 0)
    changed = zoo.ask("PUT", created["_href"], json={"schedule": "P1D", "enabled": False})
    assert changed.status_code == 200
    assert (changed.json()["schedule"], changed.json()["enabled"]) == ("P1D", False)
    assert changed.json()["failure_threshold"] == 3
    deleted = zoo.ask("DELETE", created["_href"])
    assert (deleted.status_code, deleted.json()) == (200, None)
    assert_error(zoo.ask("DELETE", created["_href"]), 404, "PLP0009")
    assert zoo.ask("GET", path).json() == []


def test_bad_schedules_are_refused(zoo: Site) -> None:
    """Without a schedule, with one that is none, and for a plugin that is not there."""
    assert_error(zoo.ask("POST", _IMPORTER, json={}), 400, "PLP0016")
    assert_error(zoo.ask("POST", _IMPORTER, json={"schedule": "never"}), 400, "PLP0015")
    assert_error(zoo.ask("POST", _IMPORTER, json={"schedule": "P1D", "x": 1}), 400, "PLP0017")
    nowhere = _IMPORTER.replace("yum_importer", "none")
    assert_error(zoo.ask("POST", nowhere, json={"schedule": "P1D"}), 404, "PLP0009")
    created = _create(zoo, _IMPORTER)
    elsewhere = f"{_DISTRIBUTOR}{created['_id']}/"
    assert_error(zoo.ask("GET", elsewhere), 404, "PLP0009")


def test_secrets_are_not_told(zoo: Site) -> None:
    """A login in the URL of a feed is kept apart; what comes back masked stays as it is."""
    override = {"feed": "http://me:secret@feed.example/x"}
    created = _create(zoo, _IMPORTER, override_config=override)
    shown = {
        "feed": "http://feed.example/x",
        "basic_auth_username": "me",
        "basic_auth_password": "*****",
    }
    assert created["kwargs"] == {"overrides": shown}
    changed = zoo.ask("PUT", created["_href"], json={"override_config": {**shown, "max_speed": 9}})
    assert changed.json()["kwargs"]["overrides"] == {**shown, "max_speed": 9}
    (task,) = zoo.schedules.run_due()
    assert task.arguments["override_config"]["basic_auth_password"] == "secret"


def test_schedules_go_with_what_they_are_for(zoo: Site) -> None:
    """An importer or distributor that is removed is run no longer."""
    _create(zoo, _IMPORTER)
    _create(zoo, _DISTRIBUTOR)
    for path in ("importers/yum_importer", "distributors/web"):
        assert zoo.ask("DELETE", f"repositories/zoo/{path}/").status_code == 202
    zoo.work()
    zoo.clock.advance(hours=2)
    assert zoo.schedules.run_due() == []
