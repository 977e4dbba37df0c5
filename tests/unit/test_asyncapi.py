"""The AsyncAPI document is valid, whole, and says what the server does."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pamqp.frame
import pytest
from jsonschema import Draft7Validator
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from pulpit.domain.events import EventKind
from pulpit.domain.listeners import EVENT_TYPES
from pulpit.events.asyncapi import Servers, asyncapi
from pulpit.events.examples import example_parcel
from pulpit.events.message import EXCHANGE, message_of
from pulpit.events.notifiers.amqp_messages import frames_of
from pulpit.events.schemas import BODIES, PAYLOADS, TASK_BODIES
from tests.schemas import assert_told, assert_valid, errors_in
from tests.services import missing
from tests.services.journal import make_event

#: The AsyncAPI project's own JSON Schemas, from npm.
_SPECS = (
    Path(__file__).resolve().parents[1]
    / "acceptance/node/node_modules/@asyncapi/specs/schemas/3.0.0.json"
)
_SERVERS = Servers(
    source="https://pulp.example.com/front/",
    brokers=["amqps://user:***@one.example.com:5671/vhost", "amqp://two.example.com"],
    door=("127.0.0.1", 5672),
    listener_brokers=["amqp://user:***@three.example.com//"],
    listener_exchange="pulp.events",
)


@pytest.fixture(scope="module")
def official() -> Draft7Validator:
    """Return what validates AsyncAPI 3.0 documents."""
    if not _SPECS.is_file():
        missing("@asyncapi/specs (npm ci in tests/acceptance/node)")
    # it holds every part that it refers to
    return Draft7Validator(json.loads(_SPECS.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "servers", [_SERVERS, Servers(source="http://localhost:8080")], ids=["all", "http alone"]
)
def test_the_document_is_asyncapi_3(official: Draft7Validator, servers: Servers) -> None:
    """The AsyncAPI project's own schema has nothing against it."""
    assert [error.message for error in official.iter_errors(asyncapi(servers))] == []


def test_the_official_schema_can_refuse(official: Draft7Validator) -> None:
    """It finds what is wrong in servers, channels, bindings, messages and schemas."""
    document = asyncapi(_SERVERS)
    for path, value in {
        ("info", "version"): 1,
        ("servers", "http", "protocol"): None,
        ("channels", "taskEvents", "address"): 1,
        ("channels", "taskEvents", "bindings", "amqp", "is"): "topic",
        ("operations", "streamEvents", "action"): "tell",
        ("operations", "streamEvents", "bindings", "http", "method"): "FETCH",
        ("channels", "webhooks", "servers"): "receiver",
        ("operations", "notifyListeners", "bindings", "http", "method"): "SHOUT",
        ("components", "messages", "page", "payload"): 1,
        ("components", "schemas", "TaskReport", "type"): "document",
    }.items():
        doctored = copy.deepcopy(document)
        place = doctored
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        assert not official.is_valid(doctored), path


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for item in part:
            yield from _references(item)


@pytest.mark.parametrize(
    "servers", [_SERVERS, Servers(source="http://localhost:8080")], ids=["all", "http alone"]
)
def test_references_stay_in_the_document(servers: Servers) -> None:
    """Each leads to something, and every message is sent on some channel."""
    document = asyncapi(servers)
    found = set(_references(document))
    for reference in found:
        assert reference.startswith("#/")
        place = document
        for key in reference[2:].split("/"):
            place = place[key]
    if servers.door:
        used = {one.rpartition("/")[2] for one in found if one.startswith("#/components/messages/")}
        assert used == set(document["components"]["messages"])


def test_the_amqp_channel_is_what_is_published() -> None:
    """Exchange, key, content and headers are those of a message."""
    document = asyncapi(_SERVERS)
    channel = document["channels"]["taskEvents"]
    assert channel["bindings"]["amqp"]["exchange"] == {
        "name": EXCHANGE,
        "type": "topic",
        "durable": True,
        "autoDelete": False,
    }
    for kind in (EventKind.STATUS, EventKind.PROGRESS):
        message = message_of(make_event(1, kind=kind), source="https://x")
        told = document["components"]["messages"][f"amqp.{message.type}"]
        assert channel["address"].format(taskId=make_event(1).task_id) == message.routing_key
        assert document["defaultContentType"] == message.content_type
        assert told["bindings"]["amqp"]["contentEncoding"] == message.content_encoding
        assert told["bindings"]["amqp"]["messageType"] == message.type == told["name"]
        assert ("persistent" in told["description"]) == (message.delivery_mode == 2)
        headers = document["components"]["schemas"]["AmqpHeaders"]
        assert set(headers["required"]) == set(message.headers)


def test_servers_are_told_without_secrets() -> None:
    """Hosts, ports and protocols, and no user; what is not open is not there."""
    servers = asyncapi(_SERVERS)["servers"]
    assert {name: (one["protocol"], one["host"]) for name, one in servers.items()} == {
        "http": ("https", "pulp.example.com"),
        "broker": ("amqps", "one.example.com:5671"),
        "broker1": ("amqp", "two.example.com"),
        "door": ("amqp", "127.0.0.1:5672"),
        "listenerBroker": ("amqp", "three.example.com"),
        "receiver": ("https", "{host}"),
    }
    assert servers["http"]["pathname"] == "/front/"
    text = json.dumps(asyncapi(_SERVERS))
    assert "user:" not in text
    assert "***" not in text
    alone = asyncapi(Servers(source="http://localhost:8080"))
    assert set(alone["servers"]) == {"http", "receiver"}
    assert "taskEvents" not in alone["channels"]
    assert "publishTaskEvents" not in alone["operations"]
    assert "notifyExchanges" not in alone["operations"]


@pytest.mark.parametrize(
    ("source", "listens", "reached"),
    [
        ("http://[::1]:8080", "::1", "[::1]:5672"),
        ("http://[::1]:8080", "::", "[::1]:5672"),
        ("https://pulp.example.com:8443/front", "0.0.0.0", "pulp.example.com:5672"),
        ("https://pulp.example.com", "127.0.0.1", "127.0.0.1:5672"),
    ],
)
def test_the_door_is_where_clients_reach_it(source: str, listens: str, reached: str) -> None:
    """Whoever listens at every address is reached under the server's name."""
    servers = asyncapi(Servers(source=source, door=(listens, 5672)))["servers"]
    assert servers["door"]["host"] == reached


def test_every_type_of_event_is_told_on_every_channel() -> None:
    """In the stream; by AMQP, if it is of tasks; and to listeners, if they may ask for it."""
    channels = asyncapi(_SERVERS)["channels"]
    for name in BODIES:
        assert (f"amqp.{name}" in channels["taskEvents"]["messages"]) == (name in TASK_BODIES)
        assert f"sse.{name}" in channels["eventStream"]["messages"]
    told = {name.removeprefix("webhook.") for name in channels["webhooks"]["messages"]}
    sent = {name.removeprefix("exchange.") for name in channels["listenerExchange"]["messages"]}
    by_name = {name for name in EVENT_TYPES if not name.endswith("*")}
    assert told == sent == set(PAYLOADS) == by_name - {"task.skipped"}


def test_examples_are_valid() -> None:
    """Each is an event of its type, headers and body, and the document says it word for word."""
    for name in TASK_BODIES:
        message = asyncapi(_SERVERS)["components"]["messages"][f"amqp.{name}"]
        (sample,) = message["examples"]
        assert_valid(name, sample["payload"])
        assert_valid("pulpit.amqp.headers.v1", sample["headers"])
        assert sample["headers"]["cloudEvents:type"] == name
        assert sample["headers"]["cloudEvents:source"] == _SERVERS.source


@pytest.mark.parametrize("event_type", PAYLOADS)
def test_examples_for_listeners_are_valid(event_type: str) -> None:
    """Each is told under its event type, with headers, and adds no keys to what is promised."""
    document = asyncapi(_SERVERS)
    for kind, headers in (("webhook", "webhook"), ("exchange", "notification")):
        message = document["components"]["messages"][f"{kind}.{event_type}"]
        (sample,) = message["examples"]
        assert message["name"] == sample["payload"]["event_type"] == event_type
        assert_told("pulpit.notification.v1", sample["payload"])
        assert_told(f"pulpit.{headers}.headers.v1", sample["headers"])
    for key in sample["payload"]["payload"]:
        doctored = copy.deepcopy(sample["payload"])
        del doctored["payload"][key]
        assert errors_in("pulpit.notification.v1", doctored), key


@pytest.mark.parametrize("event_type", PAYLOADS)
def test_the_listeners_exchange_is_what_messages_go_to(event_type: str) -> None:
    """Exchange, key, properties and headers are those of a message on its way to the broker."""
    document = asyncapi(_SERVERS)
    channel = document["channels"]["listenerExchange"]
    told = document["components"]["messages"][f"exchange.{event_type}"]
    frames = frames_of(
        example_parcel(event_type), exchange="e", source=_SERVERS.source, frame_max=1 << 17
    )
    size, _, method = pamqp.frame.unmarshal(frames)
    _, _, header = pamqp.frame.unmarshal(frames[size:])
    assert isinstance(method, Basic.Publish)
    assert isinstance(header, ContentHeader)
    properties = header.properties
    assert channel["bindings"]["amqp"]["exchange"]["name"] == _SERVERS.listener_exchange
    assert channel["address"].format(eventType=event_type) == method.routing_key
    assert told["examples"][0]["headers"] == properties.headers
    assert told["bindings"]["amqp"]["contentEncoding"] == properties.content_encoding
    assert told["bindings"]["amqp"]["messageType"] == properties.message_type
    assert document["defaultContentType"] == properties.content_type
    assert ("persistent" in told["description"]) == (properties.delivery_mode == 2)


def test_the_contract_is_versioned() -> None:
    """Three numbers, as semantic versions have."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", asyncapi(_SERVERS)["info"]["version"])
