"""``content/orphans/``: what is shown of orphans, and the tasks that remove them."""

from __future__ import annotations

from typing import Any

import pytest

from pulpit.domain.units import Unit, unit_key_digest
from tests.api_site import API, Site, assert_error, spawned
from tests.contract.databases import NOW, new_erratum, new_package, new_repository

_ALL = f"{API}/content/orphans/"


@pytest.fixture
def units(site: Site) -> dict[str, Unit]:
    """Keep some units, of which "held" is in a repository; return them by name."""
    named = {name: new_package(name) for name in ("bell", "candle", "held")}
    named["E1"] = new_erratum("E1")
    with site.storage.write() as transaction:
        transaction.repositories.add(new_repository("zoo"))
        ids = transaction.content.add([*named.values()])
        held = ids[unit_key_digest("rpm", named["held"].key)]
        transaction.content.associate("zoo", [held], now=NOW)
    return named


def _counts(site: Site) -> dict[str, int]:
    """Return the number of orphans of each type that has some."""
    answer = site.ask("GET", _ALL)
    assert answer.status_code == 200
    for type_id, told in answer.json().items():
        assert told.keys() == {"count", "_href"}
        assert told["_href"] == f"{_ALL}{type_id}/"
    return {type_id: told["count"] for type_id, told in answer.json().items() if told["count"]}


def test_what_is_shown(site: Site, units: dict[str, Unit]) -> None:
    """Every type is counted; orphans are listed with their keys, and can be had one by one."""
    assert _counts(site) == {"rpm": 2, "erratum": 1}
    assert {"iso", "srpm", "modulemd"} < site.ask("GET", _ALL).json().keys()
    [erratum] = site.ask("GET", f"{_ALL}erratum/").json()
    uid = units["E1"].uid
    href = f"{_ALL}erratum/{uid}/"
    assert erratum == {"_id": uid, "_content_type_id": "erratum", "_href": href, "id": "E1"}
    assert site.ask("GET", href).json() == erratum
    found = site.ask("GET", f"{_ALL}rpm/").json()
    assert {one["name"] for one in found} == {"bell", "candle"}
    assert site.ask("GET", f"{_ALL}iso/").json() == []


def test_what_is_missing(site: Site, units: dict[str, Unit]) -> None:
    """An unknown type, and a unit that is no orphan, are not found."""
    for method in ("GET", "DELETE"):
        body = assert_error(site.ask(method, f"{_ALL}nonsense/"), 404, "PLP0009")
        assert body["resources"] == {"content_type_id": "nonsense"}
        held = units["held"].uid
        body = assert_error(site.ask(method, f"{_ALL}rpm/{held}/"), 404, "PLP0009")
        assert body["resources"] == {"content_type": "rpm", "content_unit": held}
        assert_error(site.ask(method, f"{_ALL}erratum/{units['bell'].uid}/"), 404, "PLP0009")


def _removed(site: Site, answer: Any, name: str) -> dict[str, Any]:
    """Run the task of the answer; return its report."""
    [task] = spawned(site, answer)
    assert task["tags"] == ["pulp:content_unit:orphans"]
    assert task["task_type"] == f"pulp.server.managers.content.orphan.{name}"
    site.work()
    report: dict[str, Any] = site.ask("GET", task["_href"]).json()
    assert report["state"] == "finished", report
    return report


def test_all_are_removed(site: Site, units: dict[str, Unit]) -> None:
    """The result counts what went, by type; what is in a repository stays."""
    report = _removed(site, site.ask("DELETE", _ALL), "delete_all_orphans")
    assert report["result"] == {"rpm": 2, "erratum": 1}
    assert _counts(site) == {}
    with site.storage.read() as transaction:
        assert len(transaction.content.members("zoo")) == 1
    again = _removed(site, site.ask("DELETE", _ALL), "delete_all_orphans")
    assert again["result"] == {}


def test_some_are_removed(site: Site, units: dict[str, Unit]) -> None:
    """One, a type, or a list, in which other units and nonsense ids are of no matter."""
    answer = site.ask("DELETE", f"{_ALL}rpm/{units['bell'].uid}/")
    assert _removed(site, answer, "delete_orphans_by_id")["result"] == {"rpm": 1}
    assert _counts(site) == {"rpm": 1, "erratum": 1}
    answer = site.ask("DELETE", f"{_ALL}erratum/")
    assert _removed(site, answer, "delete_orphans_by_type")["result"] == {"erratum": 1}
    listed = [{"content_type_id": "rpm", "unit_id": units[name].uid} for name in ("held", "candle")]
    listed.append({"content_type_id": "rpm", "unit_id": "none"})
    answer = site.ask("POST", "content/actions/delete_orphans/", json=listed)
    assert _removed(site, answer, "delete_orphans_by_id")["result"] == {"rpm": 1}
    assert _counts(site) == {}


@pytest.mark.parametrize("body", [{}, "x", [1], [{}], [{"content_type_id": "rpm", "unit_id": 1}]])
def test_lists_that_cannot_be_used(site: Site, body: Any) -> None:
    """Anything but a list of types with ids is refused by these names."""
    answer = site.ask("POST", "content/actions/delete_orphans/", json=body)
    error = assert_error(answer, 400, "PLP0015")
    assert error["property_names"] == ["content_type_id", "unit_id"]


def test_removals_take_turns(site: Site, units: dict[str, Unit]) -> None:
    """They wait for each other, and neither for repositories nor these for them."""
    for _ in range(2):
        site.ask("DELETE", _ALL)
    site.ask("DELETE", "repositories/zoo/")
    states = [(task.operation, task.state.value) for task in site.lifecycle.claim("here", 10)]
    assert states == [("orphans.remove", "running"), ("repository.delete", "running")]
