"""Schemas and the AsyncAPI document over HTTP, and the live documents that they hold for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pulpit.domain.events import listener_event
from pulpit.domain.listeners import Listener, NotifierType
from pulpit.domain.tasks import TaskState
from pulpit.events.asyncapi import Servers
from pulpit.events.message import message_of
from pulpit.events.schemas import BODIES, SCHEMAS
from tests.api_site import Site, assert_error, spawned
from tests.schemas import assert_told, validator_of

_INDEX, _ASYNCAPI = "/pulpit/v1/schemas/", "/pulpit/v1/asyncapi.json"
_EVENTS = "/pulpit/v1/events/"
_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_LISTENER = Listener(
    id="5e1f00000000000000000000",
    notifier_type=NotifierType.HTTP,
    config={"url": "https://ci.example.com/hook"},
    event_types=("*",),
    created=_NOW,
    last_updated=_NOW,
)


def _synced(site: Site) -> None:
    """Make a repository, sync and publish it, let one sync fail and one task be canceled."""
    body = {
        "id": "zoo",
        "importer_type_id": "yum_importer",
        "importer_config": {"feed": "http://feed.example/"},
        "distributors": [
            {
                "distributor_id": "web",
                "distributor_type_id": "yum_distributor",
                "distributor_config": {"http": True, "https": False, "relative_url": "zoo"},
                "auto_publish": True,
            }
        ],
    }
    assert site.ask("POST", "repositories/", json=body).status_code == 201
    spawned(site, site.ask("POST", "repositories/zoo/actions/sync/"))
    site.work()
    bad = {"override_config": {"feed": ""}}
    spawned(site, site.ask("POST", "repositories/zoo/actions/sync/", json=bad))
    site.work()
    (task,) = spawned(site, site.ask("POST", "repositories/zoo/actions/sync/"))
    assert site.ask("DELETE", f"tasks/{task['task_id']}/").status_code == 200


def _get(site: Site, url: str) -> Any:
    """Return the document at a URL of the site, asked for by nobody in particular."""
    answer = site.ask("GET", url.removeprefix(site.servers.source.rstrip("/")), auth=None)
    assert answer.status_code == 200, url
    return answer.json()


def test_the_dataschema_of_an_event_holds_for_its_body(site: Site) -> None:
    """It is found at its own address on the server itself, for each type of event."""
    with site.storage.write() as transaction:
        transaction.journal.append([listener_event(_LISTENER, "it is gone", now=_NOW)])
    _synced(site)
    events = site.storage.events.read(0, 1_000)
    assert {event.state for event in events} == {
        TaskState.WAITING,
        TaskState.RUNNING,
        TaskState.FINISHED,
        TaskState.ERROR,
        TaskState.CANCELED,
        None,
    }
    page = site.ask("GET", f"{_EVENTS}?since=0&limit=1000").json()
    assert len(page["events"]) == len(events)
    validators = {}
    for event, told in zip(events, page["events"], strict=True):
        url = message_of(event, source=site.servers.source).headers["cloudEvents:dataschema"]
        document = _get(site, str(url))
        assert document["$id"] == url
        validators[event.type] = validator_of(document)
        validators[event.type].validate(told["body"])
    assert validators.keys() == BODIES.keys()
    doctored = page["events"][-1]["body"] | {"state": "done"}
    assert not any(validator.is_valid(doctored) for validator in validators.values())


def test_a_page_is_as_its_schema_says(site: Site) -> None:
    """The page itself, and within it each body by the type of its event."""
    _synced(site)
    page = site.ask("GET", f"{_EVENTS}?since=0&limit=1000").json()
    validator = validator_of(_get(site, f"{_INDEX}pulpit.events.page.v1.json"))
    validator.validate(page)
    assert_told("pulpit.events.page.v1", page)
    page["events"][3]["body"]["state"] = "done"
    assert not validator.is_valid(page)


@pytest.mark.parametrize("operation", ["streamEvents", "answerEvents", "answerSnapshot"])
def test_what_can_be_asked_for_is_understood(site: Site, operation: str) -> None:
    """Each parameter that is told keeps out what it does not name, or is refused."""
    _synced(site)
    document = _get(site, _ASYNCAPI)
    told = document["operations"][operation]
    path = document["channels"][told["channel"]["$ref"].rpartition("/")[2]]["address"]
    query = told["bindings"]["http"]["query"]["properties"]
    assert len(query) > 5
    headers = {"Accept": "text/event-stream"} if operation == "streamEvents" else {}
    for name, schema in query.items():
        items = schema.get("items", schema)
        if "enum" in items or schema["type"] == "integer" or name == "page":
            url = f"{path}?{name}=none"
            assert_error(site.ask("GET", url, headers=headers), 400, "PLP0015")
        else:
            url = f"{path}?since=0&state=finished&{name}=none"
            answer = site.ask("GET", url).json()
            assert answer.get("events", answer.get("tasks")) == [], name


def test_a_snapshot_is_as_its_schema_says(site: Site) -> None:
    """Tasks in every state, and each page of several."""
    _synced(site)
    validator = validator_of(_get(site, f"{_INDEX}pulpit.snapshot.v1.json"))
    states = "&".join(f"state={state}" for state in TaskState)
    for limit in (1, 1_000):
        snapshot = site.ask("GET", f"/pulpit/v1/snapshot/?{states}&limit={limit}").json()
        assert (snapshot["next"] is not None) == (limit == 1)
        validator.validate(snapshot)
        assert_told("pulpit.snapshot.v1", snapshot)
        snapshot["tasks"][0]["task"]["state"] = "done"
        assert not validator.is_valid(snapshot)


def test_cloudevents_are_as_their_schema_says(site: Site) -> None:
    """On a page, whose media type the client names or not."""
    _synced(site)
    validator = validator_of(_get(site, f"{_INDEX}pulpit.events.cloudevents.v1.json"))
    page = site.ask("GET", f"{_EVENTS}?since=0&format=cloudevents").json()
    assert len(page["events"]) > 10
    validator.validate(page)
    assert_told("pulpit.events.cloudevents.v1", page)
    for event in page["events"]:
        validator_of(_get(site, event["dataschema"])).validate(event["data"])
    page["events"][0]["data"]["state"] = "done"
    assert not validator.is_valid(page)


def test_the_index_names_every_schema(site: Site) -> None:
    """With its address, where it is, and the document that binds them together."""
    index = _get(site, _INDEX)
    assert {one["type"]: one["is_event"] for one in index["schemas"]} == {
        name: name in BODIES for name in SCHEMAS
    }
    for one in index["schemas"]:
        answer = site.ask("GET", one["_href"], auth=None)
        assert answer.headers["content-type"] == "application/schema+json"
        assert answer.json()["$id"] == f"http://site{one['_href']}"
    assert _get(site, index["asyncapi"])["asyncapi"] == "3.0.0"


def test_a_schema_that_is_not_there_is_404(site: Site) -> None:
    """The error names what was asked for."""
    for name in ("pulpit.task.status.v9", "%00", "x" * 5_000):
        body = assert_error(site.ask("GET", f"{_INDEX}{name}.json", auth=None), 404, "PLP0009")
        assert "schema=" in str(body["error_message"])


@pytest.mark.parametrize("path", [_INDEX, f"{_INDEX}pulpit.task.status.v1.json", _ASYNCAPI])
def test_who_has_it_need_not_get_it_again(site: Site, path: str) -> None:
    """By its tag, one of several, weak or not; another tag is of no use."""
    first = site.ask("GET", path, auth=None)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "public, max-age=300"
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = site.ask("GET", path, auth=None, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    for other in ('"other"', "", tag.strip('"')):
        answer = site.ask("GET", path, auth=None, headers={"If-None-Match": other})
        assert (answer.status_code, answer.content) == (200, first.content)
    assert site.ask("HEAD", path, auth=None).headers["etag"] == tag


def test_the_asyncapi_document_follows_the_servers(site: Site) -> None:
    """What is opened later is told from then on, under another tag."""
    first = site.ask("GET", _ASYNCAPI, auth=None)
    assert first.headers["content-type"] == "application/vnd.aai.asyncapi+json;version=3.0.0"
    assert set(first.json()["servers"]) == {"http", "door", "receiver"}
    site.servers = Servers(source="http://site/", brokers=["amqps://user:***@broker.example.com"])
    second = site.ask("GET", _ASYNCAPI, headers={"If-None-Match": first.headers["etag"]})
    assert second.json()["servers"]["broker"]["host"] == "broker.example.com"
    assert "door" not in second.json()["servers"]
