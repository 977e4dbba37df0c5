"""Every route that answers 202: its task is found by the report, and its events by the task."""

from __future__ import annotations

from typing import Any

import pytest

from pulpit.api.openapi import openapi
from pulpit.events.message import message_of
from tests.api_site import API, Site, spawned

_WEB = {
    "distributor_id": "web",
    "distributor_type_id": "yum_distributor",
    "distributor_config": {"relative_url": "zoo"},
}
_ZOO = f"{API}/repositories/{{repo_id}}/"
_CONTENT = f"{API}/content/"
#: Method and path of each operation that may answer 202 to what is sent to it.
_BODIES: dict[tuple[str, str], Any] = {
    ("put", _ZOO): {"distributor_configs": {"web": {"http": False}}},
    ("delete", _ZOO): None,
    ("post", f"{_ZOO}importers/"): {"importer_type_id": "yum_importer"},
    ("put", f"{_ZOO}importers/{{importer_id}}/"): {"importer_config": {"validate": True}},
    ("delete", f"{_ZOO}importers/{{importer_id}}/"): None,
    ("put", f"{_ZOO}distributors/{{distributor_id}}/"): {"distributor_config": {"http": False}},
    ("delete", f"{_ZOO}distributors/{{distributor_id}}/"): None,
    ("post", f"{_ZOO}actions/sync/"): {},
    ("post", f"{_ZOO}actions/publish/"): {"id": "web"},
    ("post", f"{_ZOO}actions/download/"): {},
    ("post", f"{_ZOO}actions/associate/"): {"source_repo_id": "zoo", "criteria": {}},
    ("post", f"{_ZOO}actions/unassociate/"): {"criteria": {}},
    ("post", f"{_ZOO}actions/import_upload/"): {
        "unit_type_id": "erratum",
        "unit_key": {"id": "ZOO-1"},
        "unit_metadata": {"title": "A bear", "pkglist": [], "references": []},
    },
    ("delete", f"{_CONTENT}orphans/"): None,
    ("delete", f"{_CONTENT}orphans/{{type_id}}/"): None,
    ("delete", f"{_CONTENT}orphans/{{type_id}}/{{unit_id}}/"): None,
    ("post", f"{_CONTENT}actions/delete_orphans/"): [],
}
_NAMES = {
    "repo_id": "zoo",
    "importer_id": "yum_importer",
    "distributor_id": "web",
    "type_id": "erratum",
}


def _accepting() -> set[tuple[str, str]]:
    """Return method and path of the operations that are described with a 202."""
    return {
        (method, path)
        for path, methods in openapi()["paths"].items()
        for method, operation in methods.items()
        if "202" in operation["responses"]
    }


def test_all_of_them_are_walked() -> None:
    """A route that answers 202 and is not in the table fails here."""
    assert _accepting() == _BODIES.keys()


@pytest.fixture
def zoo(site: Site) -> Site:
    """Return a site with a repository, and an erratum that is in none."""
    document = {"id": "zoo", "importer_type_id": "yum_importer", "distributors": [_WEB]}
    assert site.ask("POST", "repositories/", json=document).status_code == 201
    return site


def _orphan(site: Site) -> str:
    """Make an erratum that is in no repository; return its id."""
    upload = site.ask("POST", "content/uploads/").json()["upload_id"]
    body = _BODIES["post", f"{_ZOO}actions/import_upload/"] | {"upload_id": upload}
    spawned(site, site.ask("POST", "repositories/zoo/actions/import_upload/", json=body))
    site.work()
    spawned(site, site.ask("POST", "repositories/zoo/actions/unassociate/", json={"criteria": {}}))
    site.work()
    (orphan,) = site.ask("GET", "content/orphans/erratum/").json()
    return str(orphan["_id"])


@pytest.mark.parametrize(("method", "path"), sorted(_BODIES))
def test_the_task_and_its_events_are_found(zoo: Site, method: str, path: str) -> None:
    """By the UUID of the call report: with the state that it is in, and every one before."""
    body, names = _BODIES[method, path], dict(_NAMES)
    if "unit_id" in path:
        names["unit_id"] = _orphan(zoo)
    if "import_upload" in path:
        body = body | {"upload_id": zoo.ask("POST", "content/uploads/").json()["upload_id"]}
    head = zoo.storage.events.head()
    sent = {} if body is None else {"json": body}
    reports = spawned(zoo, zoo.ask(method.upper(), path.format(**names), **sent))
    zoo.work()
    told = zoo.storage.events.read(head, 1000)
    for report in reports:
        task_id = report["task_id"]
        ended = zoo.ask("GET", f"tasks/{task_id}/").json()
        assert ended["state"] in {"finished", "error"}
        events = [event for event in told if event.task_id == task_id]
        states = [str(event.state) for event in events if event.kind == "status"]
        assert states == ["waiting", "running", ended["state"]]
        assert {message_of(event, source="x").routing_key for event in events} == {
            f"tasks.{task_id}"
        }
