"""The client's calls about event listeners: what they send, and what they make of answers."""

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC, datetime
from typing import Any

import pytest

from pulpit.client import AsyncClient, Client, NotFound, Unintelligible
from pulpit.client.asynchronous_listeners import AsyncListenerCalls
from pulpit.client.blocking_listeners import ListenerCalls
from pulpit.domain.deliveries import DeliveryState
from pulpit.domain.findings import Finding, Outcome
from tests.unit.fake_api import FakeApi

ALL = "/pulpit/v1/listeners/"
ONE = f"{ALL}l1/"
SINCE = datetime(2026, 5, 1, 12, tzinfo=UTC)
AUTH = ("admin", "secret")

LISTENER: dict[str, Any] = {
    "id": "l1",
    "notifier_type_id": "http",
    "notifier_config": {"url": "https://hooks.example/", "password": "*****"},
    "event_types": ["*", "task.error"],
    "filters": {"repositories": ["zoo"], "tags": ["nightly"]},
    "enabled": False,
    "disabled": {"reason": "it moves", "time": "2026-05-01T12:00:00Z"},
    "counts": {"pending": 3, "exhausted": 1},
}
ATTEMPT = {"time": "2026-05-01T12:00:00Z", "verdict": "failed", "reason": "refused"}
DELIVERY: dict[str, Any] = {
    "id": "msg_1",
    "state": "pending",
    "event_type": "task.error",
    "attempted": 7,
    "created": "2026-05-01T12:00:00Z",
    "due": "2026-05-01T13:00:00Z",
    "finished": None,
}
FINDING = {
    "group": "Receiver",
    "check": "tcp",
    "title": "TCP",
    "outcome": "failed",
    "detail": "refused",
    "fix": "start it",
}

_CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("listeners", (), {}),
    ("listener", ("l1",), {}),
    ("create_listener", ({"notifier_type_id": "http"},), {}),
    ("update_listener", ("l1", {"event_types": ["*"]}), {}),
    ("delete_listener", ("l1",), {}),
    ("enable_listener", ("l1",), {}),
    ("disable_listener", ("l1",), {"reason": "it moves"}),
    ("rotate_listener_secret", ("l1",), {"overlap": 48}),
    ("test_listener", ("l1",), {}),
    ("diagnose_listener", ("l1",), {}),
    ("deliveries", ("l1",), {"states": ["pending", "exhausted"], "since": SINCE, "before": 9}),
    ("delivery", ("l1", "msg_1"), {}),
    ("resend", ("l1",), {"delivery": "msg_1"}),
]


def _scripted() -> FakeApi:
    """Return a server that answers each of the calls."""
    api = FakeApi()
    api.at("GET", ALL, [LISTENER])
    api.at("POST", ALL, LISTENER | {"secret": "whsec_x"}, 201)
    api.at("GET", ONE, LISTENER)
    api.at("PUT", ONE, LISTENER)
    api.at("DELETE", ONE, None)
    api.at("POST", f"{ONE}enable/", LISTENER | {"enabled": True, "disabled": None})
    api.at("POST", f"{ONE}disable/", LISTENER)
    api.at("POST", f"{ONE}rotate-secret/", {"secret": "whsec_y", "until": None})
    api.at("POST", f"{ONE}resend/", {"resent": 5})
    api.at("GET", f"{ONE}deliveries/", {"deliveries": [DELIVERY], "next": 4})
    api.at("GET", f"{ONE}deliveries/msg_1/", DELIVERY | {"attempts": [ATTEMPT, ATTEMPT]})
    api.at("POST", f"{ONE}doctor/", {"findings": [FINDING]})
    told = {"receipt": {"verdict": "delivered"}, "exchange": None, "disabled": True}
    api.at("POST", f"{ONE}test/", told)
    return api


@pytest.fixture
def api() -> FakeApi:
    """Return a server with one listener."""
    return _scripted()


@pytest.fixture
def client(api: FakeApi) -> Client:
    """Return a client that the server knows."""
    return Client("http://server:1/", auth=AUTH, transport=api.transport)


@pytest.mark.parametrize(("name", "args", "options"), _CALLS, ids=[call[0] for call in _CALLS])
def test_both_clients_send_and_return_the_same(
    name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """Each call of AsyncClient is that of Client, awaited."""
    ours, theirs = _scripted(), _scripted()

    async def ask() -> Any:
        url = "http://server:1/"
        async with AsyncClient(url, auth=AUTH, transport=theirs.transport) as other:
            return await getattr(other, name)(*args, **options)

    with Client("http://server:1/", auth=AUTH, transport=ours.transport) as client:
        assert getattr(client, name)(*args, **options) == asyncio.run(ask())
    sent = [(item.method, item.url, item.content) for item in ours.requests]
    assert sent == [(item.method, item.url, item.content) for item in theirs.requests]
    assert len(sent) == 1


def test_both_clients_have_the_same_calls() -> None:
    """None is left out of one of them, or of the comparison above."""

    def calls(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(found).parameters)
            for name, found in vars(kind).items()
            if inspect.isfunction(found)
        }

    assert calls(ListenerCalls) == calls(AsyncListenerCalls)
    assert set(calls(ListenerCalls)) == {name for name, _, _ in _CALLS}


def test_listeners_are_typed(client: Client) -> None:
    """All that a program wants to know stands in fields of its own."""
    (listener,) = client.listeners()
    assert (listener.id, listener.notifier_type) == ("l1", "http")
    assert listener.event_types == ("*", "task.error")
    assert (listener.repositories, listener.tags) == (("zoo",), ("nightly",))
    assert (listener.is_enabled, listener.disabled_reason) == (False, "it moves")
    assert (listener.pending, listener.exhausted) == (3, 1)
    assert listener.document == LISTENER
    assert client.enable_listener("l1").is_enabled


def test_a_secret_is_told_once_and_never_shown(client: Client) -> None:
    """It comes with what has made it, and stands in no representation."""
    created = client.create_listener({"notifier_type_id": "http"})
    assert created.secret == "whsec_x"
    assert "whsec" not in repr(created)
    assert client.listener("l1").secret is None
    rotated = client.rotate_listener_secret("l1")
    assert (rotated.secret, rotated.until) == ("whsec_y", None)
    assert "whsec" not in repr(rotated)


def test_deliveries_are_asked_for_as_wanted(api: FakeApi, client: Client) -> None:
    """The query names what is wanted, and nothing else; the page says how to go on."""
    page = client.deliveries("l1", states=["pending", "exhausted"], since=SINCE, before=9, limit=2)
    assert dict(api.requests[-1].url.params.multi_items()) == {
        "state": "exhausted",
        "since": "2026-05-01T12:00:00+00:00",
        "before": "9",
        "limit": "2",
    }
    assert api.requests[-1].url.params.get_list("state") == ["pending", "exhausted"]
    (delivery,) = page.deliveries
    assert (page.next, delivery.id, delivery.state) == (4, "msg_1", DeliveryState.PENDING)
    client.deliveries("l1")
    assert not api.requests[-1].url.query


def test_attempts_of_a_delivery(api: FakeApi, client: Client) -> None:
    """Alone it has all that are remembered; on a page, the last one."""
    assert client.delivery("l1", "msg_1").attempts == (ATTEMPT, ATTEMPT)
    page = {"deliveries": [DELIVERY | {"last_attempt": ATTEMPT}], "next": None}
    api.at("GET", f"{ONE}deliveries/", page)
    (delivery,) = client.deliveries("l1").deliveries
    assert delivery.attempts == (ATTEMPT,)


def test_what_is_resent(api: FakeApi, client: Client) -> None:
    """One delivery, those since a time, or all that were given up."""
    assert client.resend("l1", delivery="msg_1") == 5
    client.resend("l1", since=SINCE)
    client.resend("l1")
    assert api.bodies("POST", f"{ONE}resend/") == [
        {"delivery": "msg_1"},
        {"since": "2026-05-01T12:00:00+00:00"},
        {"all": True},
    ]


def test_options_that_are_left_out_are_the_servers(api: FakeApi, client: Client) -> None:
    """What the caller does not say is not said for him."""
    client.disable_listener("l1")
    client.rotate_listener_secret("l1")
    assert api.bodies("POST", f"{ONE}disable/") == [{}]
    assert api.bodies("POST", f"{ONE}rotate-secret/") == [{}]


@pytest.mark.parametrize(
    ("verdict", "delivered"), [("delivered", True), ("failed", False), ("gone", False)]
)
def test_a_test_tells_how_it_went(
    api: FakeApi, client: Client, verdict: str, *, delivered: bool
) -> None:
    """Only what was taken is delivered; without a connection there is no exchange."""
    exchange = {"peer": "192.0.2.7:443", "sent": ["POST / HTTP/1.1"], "received": []}
    told = {"receipt": {"verdict": verdict}, "exchange": exchange, "disabled": False}
    api.at("POST", f"{ONE}test/", told)
    tested = client.test_listener("l1")
    assert (tested.delivered, tested.disabled) == (delivered, False)
    assert tested.exchange == exchange
    api.at("POST", f"{ONE}test/", {"receipt": {"verdict": verdict}, "exchange": None})
    assert client.test_listener("l1").exchange == {}


def test_findings_are_those_of_the_doctor(client: Client) -> None:
    """Each finding is as the server has found it."""
    assert client.diagnose_listener("l1") == [
        Finding(
            group="Receiver",
            check="tcp",
            title="TCP",
            outcome=Outcome.FAILED,
            detail="refused",
            fix="start it",
        )
    ]


def test_ids_are_quoted(api: FakeApi, client: Client) -> None:
    """An id can't reach another path."""
    with pytest.raises(NotFound):
        client.delivery("../l1", "a/b?c")
    assert api.requests[-1].url.raw_path == b"/pulpit/v1/listeners/..%2Fl1/deliveries/a%2Fb%3Fc/"


@pytest.mark.parametrize("document", [None, [], [1], "x", {}, {"id": 5}, {"deliveries": [{}]}])
@pytest.mark.parametrize(("name", "args", "options"), _CALLS, ids=[call[0] for call in _CALLS])
def test_strange_answers_are_refused(
    document: object, name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """What is not what was asked for is told, not passed on."""
    api = FakeApi()
    for method, path in _scripted().answers:
        api.at(method, path, document)
    client = Client("http://server:1", auth=AUTH, transport=api.transport)
    if name == "delete_listener" or (name == "listeners" and document == []):
        getattr(client, name)(*args, **options)
        return
    with pytest.raises(Unintelligible):
        getattr(client, name)(*args, **options)


@pytest.mark.parametrize("attempts", [5, {}, [5], "x"])
def test_strange_attempts_are_refused_or_left_out(
    api: FakeApi, client: Client, attempts: object
) -> None:
    """Nothing but objects ever stands among them."""
    api.at("GET", f"{ONE}deliveries/msg_1/", DELIVERY | {"attempts": attempts})
    if attempts == [5]:
        with pytest.raises(Unintelligible):
            client.delivery("l1", "msg_1")
    else:
        assert client.delivery("l1", "msg_1").attempts == ()
