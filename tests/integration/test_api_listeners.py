"""Event listeners over REST: Pulp 2's paths and documents, and all that is beyond them."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import httpx
import pytest

from pulpit.client import AsyncClient, NotFound
from pulpit.domain.deliveries import Attempt, DeliveryState, Receipt, Verdict
from pulpit.domain.findings import Outcome
from pulpit.domain.listeners import NotifierType, Secrets
from pulpit.domain.messages import Message
from pulpit.errors import InvalidValue
from pulpit.testing import MemoryVault
from tests.api_site import API, AUTH, Site, assert_error, known

EVENTS = f"{API}/events/"
LISTENERS = "/pulpit/v1/listeners/"
URL = "https://hooks.example/"
PASSWORD = "keeper-of-the-zoo"
SECRET = "whsec_c2VjcmV0LW9mLXRoZS16b28ta2VlcGVyLXRvLXNpZ24="
NOW = "2026-01-01T00:00:00Z"


def _sent(**more: Any) -> dict[str, Any]:
    """Return the document of a new listener."""
    config = {"url": URL, "username": "me", "password": PASSWORD}
    return {"notifier_type_id": "http", "notifier_config": config, "event_types": ["*"]} | more


def _create(site: Site, path: str = LISTENERS, **more: Any) -> dict[str, Any]:
    answer = site.ask("POST", path, json=_sent(**more))
    assert answer.status_code == 201, answer.json()
    return dict(answer.json())


def _one(site: Site, **more: Any) -> str:
    """Create a listener, and return its path."""
    return str(_create(site, **more)["_href"])


def _deliver(site: Site, listener_id: str, state: DeliveryState, *, sequence: int = 1) -> str:
    """Let there be a delivery in this state; return its id."""
    message = Message(
        sequence=sequence,
        event_id=f"e{sequence}",
        event_type="repo.sync.finish",
        repo_id="zoo",
        task_id="t",
        tags=("pulp:repository:zoo",),
        time=site.clock(),
        body=b"{}",
    )
    with site.storage.write_beside() as transaction:
        transaction.deliveries.add([(message, [listener_id])], now=site.clock())
    with site.storage.write_beside() as transaction:
        *_, delivery = transaction.deliveries.pending(listener_id, after=0, limit=100)
        if state is not DeliveryState.PENDING:
            verdict = Verdict.FAILED if state is DeliveryState.EXHAUSTED else Verdict.DELIVERED
            attempt = Attempt(
                time=site.clock(), duration=0.12345, verdict=verdict, status=500, reason="HTTP 500"
            )
            transaction.deliveries.settle([delivery.tried(attempt, state=state, due=None)])
    return delivery.id


def test_pulp_2_s_document_is_whole(site: Site) -> None:
    """Its keys, and no others; what is secret is masked, and a made-up secret has no key."""
    answer = site.ask("POST", EVENTS, json=_sent())
    document = answer.json()
    listener_id = document["id"]
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{EVENTS}{listener_id}/"
    assert document == {
        "_href": f"{EVENTS}{listener_id}/",
        "_id": {"$oid": listener_id},
        "_ns": "event_listeners",
        "id": listener_id,
        "notifier_type_id": "http",
        "notifier_config": {"url": URL, "username": "me", "password": "*****"},
        "event_types": ["*"],
    }
    assert site.ask("GET", document["_href"]).json() == document
    assert site.ask("GET", "events/").json() == [document]
    assert len(listener_id) == 24


def test_pulp_2_s_update_merges(site: Site) -> None:
    """Null removes a key, absent keys stay, event types are replaced."""
    href = _create(site, EVENTS)["_href"]
    sent = {"notifier_config": {"username": None, "ca_path": "/ca"}, "event_types": ["task.error"]}
    answer = site.ask("PUT", href, json=sent)
    assert answer.status_code == 200
    document = answer.json()
    assert document["notifier_config"] == {"url": URL, "password": "*****", "ca_path": "/ca"}
    assert document["event_types"] == ["task.error"]
    assert site.ask("PUT", href, json=document).json() == document
    assert site.ask("GET", href).json() == document


def test_pulp_2_s_delete_answers_null(site: Site) -> None:
    """With 200; then it is gone."""
    href = _create(site, EVENTS)["_href"]
    answer = site.ask("DELETE", href)
    assert (answer.status_code, answer.json()) == (200, None)
    assert_error(site.ask("DELETE", href), 404, "PLP0009")
    assert site.ask("GET", "events/").json() == []


def test_filters_stand_where_some_are_set(site: Site) -> None:
    """Clients of Pulp 2 meet none that they have not sent."""
    filters = {"repositories": ["zoo"], "tags": ["nightly"]}
    href = _create(site, EVENTS, filters=filters)["_href"]
    assert site.ask("GET", href).json()["filters"] == filters
    assert "filters" not in site.ask("PUT", href, json={"filters": {}}).json()


@pytest.mark.parametrize("path", [EVENTS, LISTENERS])
def test_wrong_listeners_are_refused(site: Site, path: str) -> None:
    """The body names what is wrong."""
    for sent, code, key, names in (
        (_sent(notifier_type_id="pigeon"), "PLP0015", "property_names", ["notifier_type_id"]),
        (_sent(event_types=["repo.*"]), "PLP0015", "property_names", ["event_types"]),
        (_sent(event_types=[]), "PLP0015", "property_names", ["event_types"]),
        (_sent(event_types=None), "PLP0016", "missing_property_names", ["event_types"]),
        ({}, "PLP0016", "missing_property_names", ["notifier_type_id"]),
        (_sent(url=URL), "PLP0017", "unsupported_property_names", ["url"]),
    ):
        body = assert_error(site.ask("POST", path, json=sent), 400, code)
        assert body[key] == names
    assert_error(site.ask("POST", path), 400, "PLP1015")
    assert site.ask("GET", path).json() == []


def test_what_the_notifier_refuses_is_400(site: Site) -> None:
    """Its words reach the client."""
    site.notifiers[NotifierType.HTTP].problem = InvalidValue("url", why="it holds a password")
    body = assert_error(site.ask("POST", EVENTS, json=_sent()), 400, "PLP0015")
    assert "it holds a password" in str(body["error_message"])
    assert body["property_names"] == ["url"]


def test_unknown_listeners_are_404(site: Site) -> None:
    """On every path below one, in one body."""
    calls = [("GET", EVENTS), ("PUT", EVENTS), ("DELETE", EVENTS)]
    calls += [("GET", LISTENERS), ("PUT", LISTENERS), ("DELETE", LISTENERS)]
    calls += [
        ("POST", f"{LISTENERS}none/{action}/")
        for action in ("enable", "disable", "rotate-secret", "test", "doctor")
    ]
    calls += [("GET", f"{LISTENERS}none/deliveries/"), ("GET", f"{LISTENERS}none/deliveries/x/")]
    for method, path in calls:
        url = path if "none" in path else f"{path}none/"
        body = assert_error(
            site.ask(method, url, json={} if method == "PUT" else None), 404, "PLP0009"
        )
        assert body["resources"] == {"event_listener_id": "none"}, url


def test_the_full_document(site: Site) -> None:
    """It has the keys of Pulp 2, and how the listener fares; the secret comes once."""
    answer = site.ask("POST", LISTENERS, json=_sent())
    created = answer.json()
    secret = created.pop("secret")
    href = f"{LISTENERS}{created['id']}/"
    assert secret.startswith("whsec_")
    assert answer.headers["location"] == href
    assert answer.headers["cache-control"] == "no-store"
    assert created == {
        "_href": href,
        "_id": {"$oid": created["id"]},
        "_ns": "event_listeners",
        "id": created["id"],
        "notifier_type_id": "http",
        "notifier_config": {"url": URL, "username": "me", "password": "*****"},
        "event_types": ["*"],
        "filters": {"repositories": [], "tags": []},
        "enabled": True,
        "disabled": None,
        "health": {
            "failing_since": None,
            "last_delivered": None,
            "last_failed": None,
            "last_reason": None,
        },
        "counts": {"pending": 0, "exhausted": 0},
        "created": NOW,
        "last_updated": NOW,
        "signing": {"secrets": 1, "until": None},
    }
    assert site.ask("GET", href).json() == created
    assert site.ask("GET", LISTENERS).json() == [created]


def test_secrets_stand_in_no_other_answer(site: Site) -> None:
    """Whoever chose the secret, and whatever is asked for."""
    config = {"url": URL, "password": PASSWORD, "secret": SECRET}
    created = _create(site, notifier_config=config)
    assert created["secret"] == SECRET
    assert created["notifier_config"] == {"url": URL, "password": "*****", "secret": "*****"}
    href = created["_href"]
    other = f"{EVENTS}{created['id']}/"
    answers = [
        site.ask("GET", EVENTS),
        site.ask("GET", LISTENERS),
        site.ask("GET", href),
        site.ask("GET", other),
        site.ask("PUT", other, json={"notifier_config": config}),
        site.ask("PUT", href, json={"notifier_config": config | {"extra": 1}}),
        site.ask("POST", EVENTS, json=_sent(notifier_config=config)),
        site.ask("POST", EVENTS, json=_sent(notifier_config=config | {"secret": SECRET + "!"})),
        site.ask("POST", f"{href}disable/"),
        site.ask("POST", f"{href}enable/"),
        site.ask("POST", f"{href}test/"),
        site.ask("POST", f"{href}rotate-secret/"),
        site.ask("GET", "/pulpit/v1/events/?since=0"),
    ]
    for answer in answers:
        assert PASSWORD not in answer.text
        assert SECRET not in answer.text


def test_a_listener_is_disabled_and_enabled(site: Site) -> None:
    """The document says why and since when; the journal tells of it."""
    href = _one(site)
    disabled = site.ask("POST", f"{href}disable/", json={"reason": "it moves"}).json()
    assert (disabled["enabled"], disabled["disabled"]) == (
        False,
        {"reason": "it moves", "time": NOW},
    )
    page = site.ask("GET", "/pulpit/v1/events/?since=0&kind=listener").json()
    (event,) = page["events"]
    assert event["type"] == "pulpit.listener.disabled.v1"
    assert event["body"]["reason"] == "it moves"
    enabled = site.ask("POST", f"{href}enable/").json()
    assert (enabled["enabled"], enabled["disabled"]) == (True, None)
    assert enabled == site.ask("GET", href).json()


def test_a_secret_is_rotated(site: Site) -> None:
    """The answer alone has it; the document tells until when the old one is used."""
    href = _one(site)
    answer = site.ask("POST", f"{href}rotate-secret/", json={"overlap": 48})
    assert answer.headers["cache-control"] == "no-store"
    rotated = answer.json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["until"] == "2026-01-03T00:00:00Z"
    signing = site.ask("GET", href).json()["signing"]
    assert signing == {"secrets": 2, "until": "2026-01-03T00:00:00Z"}
    again = site.ask("POST", f"{href}rotate-secret/", json={"overlap": 0}).json()
    assert again["until"] is None
    assert again["secret"] != rotated["secret"]


def test_a_ping_is_shown_whole(site: Site) -> None:
    """Receipt and exchange, also of a listener that is disabled."""
    href = _one(site)
    told = site.ask("POST", f"{href}test/").json()
    assert told == {
        "delivered": True,
        "disabled": False,
        "receipt": {
            "verdict": "delivered",
            "status": None,
            "reason": "",
            "response": "",
            "retry_after": None,
        },
        "exchange": {"peer": "memory", "sent": ["a parcel"], "received": ["thanks"]},
    }
    site.ask("POST", f"{href}disable/")
    receipt = Receipt(verdict=Verdict.FAILED, status=503, reason="HTTP 503", retry_after=7.5)
    site.notifiers[NotifierType.HTTP].receipts.append(receipt)
    told = site.ask("POST", f"{href}test/").json()
    assert (told["delivered"], told["disabled"]) == (False, True)
    assert told["receipt"]["status"] == 503
    assert told["receipt"]["retry_after"] == 7.5


def test_findings_of_the_doctor(site: Site) -> None:
    """Each as it was found."""
    href = _one(site, event_types=["task.error"])
    assert site.ask("POST", f"{href}doctor/").json() == {
        "findings": [
            {
                "group": "Listener",
                "check": "told",
                "title": "Told",
                "outcome": "ok",
                "detail": "it is told of task.error",
                "fix": "",
            }
        ]
    }


@pytest.mark.parametrize("action", ["enable", "test", "doctor"])
def test_actions_take_no_arguments(site: Site, action: str) -> None:
    """What would be passed over is refused."""
    href = _one(site)
    assert site.ask("POST", f"{href}{action}/", json={}).status_code == 200
    assert_error(site.ask("POST", f"{href}{action}/", json={"x": 1}), 400, "PLP0017")
    assert_error(site.ask("POST", f"{href}{action}/", json=[1]), 400, "PLP1015")
    assert_error(site.ask("POST", f"{href}{action}/", content=b"{"), 400, "PLP1009")


def test_a_delivery_is_shown_with_its_attempts(site: Site) -> None:
    """On a page with the last one alone."""
    created = _create(site)
    delivery_id = _deliver(site, created["id"], DeliveryState.EXHAUSTED)
    page = site.ask("GET", f"{created['_href']}deliveries/").json()
    (listed,) = page["deliveries"]
    attempt = {
        "time": NOW,
        "duration": 0.123,
        "verdict": "failed",
        "status": 500,
        "reason": "HTTP 500",
        "response": "",
    }
    assert page["next"] is None
    assert listed == {
        "_href": f"{created['_href']}deliveries/{delivery_id}/",
        "id": delivery_id,
        "listener_id": created["id"],
        "event_type": "repo.sync.finish",
        "sequence": 1,
        "lane": "repository:zoo",
        "state": "exhausted",
        "attempted": 1,
        "created": NOW,
        "due": None,
        "finished": NOW,
        "last_attempt": attempt,
    }
    assert listed.pop("last_attempt")
    assert site.ask("GET", listed["_href"]).json() == listed | {"attempts": [attempt]}
    assert site.ask("GET", created["_href"]).json()["counts"] == {"pending": 0, "exhausted": 1}


def test_deliveries_are_listed_as_wanted(site: Site) -> None:
    """By state and time, page by page."""
    created = _create(site)
    href, listener_id = f"{created['_href']}deliveries/", created["id"]
    old = _deliver(site, listener_id, DeliveryState.DELIVERED)
    site.clock.advance(hours=1)
    new = _deliver(site, listener_id, DeliveryState.EXHAUSTED, sequence=2)
    waits = _deliver(site, listener_id, DeliveryState.PENDING, sequence=3)

    def ids(query: str) -> list[str]:
        page = site.ask("GET", f"{href}?{query}").json()
        return [each["id"] for each in page["deliveries"]]

    assert ids("") == [waits, new, old]
    assert ids("state=exhausted&state=delivered") == [new, old]
    assert ids("since=2026-01-01T01:00:00Z") == [waits, new]
    page = site.ask("GET", f"{href}?limit=2").json()
    assert [each["id"] for each in page["deliveries"]] == [waits, new]
    last = site.ask("GET", f"{href}?limit=2&before={page['next']}").json()
    assert [each["id"] for each in last["deliveries"]] == [old]
    assert last["next"] is None


@pytest.mark.parametrize(
    "query",
    ["state=lost", "since=yesterday", "since=a&since=b", "before=-1", "before=x", "limit=0"],
)
def test_wrong_queries_of_deliveries(site: Site, query: str) -> None:
    """The error names the key."""
    answer = site.ask("GET", f"{_one(site)}deliveries/?{query}")
    assert assert_error(answer, 400, "PLP0015")["property_names"] == [query.partition("=")[0]]


@pytest.mark.parametrize(
    "sent", [{"delivery": None}, {"since": "2026-01-01T00:00:00Z"}, {"all": True}]
)
def test_deliveries_are_resent(site: Site, sent: dict[str, Any]) -> None:
    """One by its id, or those that were given up; they wait again, under their ids."""
    created = _create(site)
    delivery_id = _deliver(site, created["id"], DeliveryState.EXHAUSTED)
    if "delivery" in sent:
        sent = {"delivery": delivery_id}
    answer = site.ask("POST", f"{created['_href']}resend/", json=sent)
    assert (answer.status_code, answer.json()) == (200, {"resent": 1})
    resent = site.ask("GET", f"{created['_href']}deliveries/{delivery_id}/").json()
    assert (resent["state"], resent["due"], resent["attempted"]) == ("pending", NOW, 1)


def test_deliveries_of_others_are_not_found(site: Site) -> None:
    """An id does not open another listener's."""
    mine, other = _create(site), _create(site)
    delivery_id = _deliver(site, mine["id"], DeliveryState.EXHAUSTED)
    answer = site.ask("GET", f"{other['_href']}deliveries/{delivery_id}/")
    assert assert_error(answer, 404, "PLP0009")["resources"] == {"delivery_id": delivery_id}
    answer = site.ask("POST", f"{other['_href']}resend/", json={"delivery": delivery_id})
    assert assert_error(answer, 404, "PLP0009")["resources"] == {"delivery_id": delivery_id}


def test_a_deleted_listener_takes_its_deliveries_along(site: Site) -> None:
    """Nothing of it is left."""
    created = _create(site)
    _deliver(site, created["id"], DeliveryState.PENDING)
    assert site.ask("DELETE", created["_href"]).json() is None
    with site.storage.read() as transaction:
        assert transaction.deliveries.counts() == {}


def test_changes_at_once_are_all_kept(site: Site) -> None:
    """Each grows the revision; none is lost."""
    created = _create(site)
    path = f"{created['_href']}rotate-secret/"
    answers = site.ask_at_once(8, "POST", path)
    secrets = {answer.json()["secret"] for answer in answers}
    assert len(secrets) == 8
    with site.storage.read() as transaction:
        listener = transaction.listeners.get(created["id"])
    assert listener.revision == 9
    assert listener.sealed is not None
    kept = site.vault.open(listener.sealed).signing
    assert len(kept) == 2
    assert {each.value for each in kept} < secrets


def test_without_the_key_listeners_can_be_seen(site: Site) -> None:
    """The answer says that nothing is known of what deliveries are signed with; a test, why."""
    href = _one(site)
    with site.storage.write() as transaction:
        (listener,) = transaction.listeners.list()
        sealed = MemoryVault("another").seal(Secrets(password=PASSWORD))
        transaction.listeners.update(dataclasses.replace(listener, sealed=sealed))
    assert site.ask("GET", href).json()["signing"] is None
    assert "password" not in site.ask("GET", EVENTS).json()[0]["notifier_config"]
    body = site.ask("POST", f"{href}test/").json()
    assert body["http_status"] == 500
    assert "the key that they were sealed with is not here" in body["error_message"]
    assert body["traceback"] is None


def test_the_client_speaks_all_of_it(site: Site) -> None:
    """Whatever it asks is understood, and it understands the answers."""

    async def ask() -> None:
        transport = httpx.ASGITransport(known(site.app))
        async with AsyncClient("http://site", auth=AUTH, transport=transport) as client:
            made = await client.create_listener(_sent(filters={"repositories": ["zoo"]}))
            assert made.secret is not None
            assert made.repositories == ("zoo",)
            failed = _deliver(site, made.id, DeliveryState.EXHAUSTED)
            _deliver(site, made.id, DeliveryState.PENDING, sequence=2)
            (listed,) = await client.listeners()
            assert (listed.pending, listed.exhausted) == (1, 1)
            changed = await client.update_listener(made.id, {"event_types": ["task.*"]})
            assert changed.event_types == ("task.*",)
            disabled = await client.disable_listener(made.id, reason="it moves")
            assert disabled.disabled_reason == "it moves"
            tested = await client.test_listener(made.id)
            assert (tested.delivered, tested.disabled) == (True, True)
            assert (await client.enable_listener(made.id)).is_enabled
            rotated = await client.rotate_listener_secret(made.id, overlap=0)
            assert rotated.secret != made.secret
            (finding,) = await client.diagnose_listener(made.id)
            assert finding.outcome is Outcome.OK
            page = await client.deliveries(
                made.id, states=["exhausted", "delivered"], since=site.clock(), limit=5
            )
            assert [each.id for each in page.deliveries] == [failed]
            assert (await client.delivery(made.id, failed)).attempts[0]["reason"] == "HTTP 500"
            assert await client.resend(made.id, since=site.clock()) == 1
            assert await client.resend(made.id) == 0
            assert await client.resend(made.id, delivery=failed) == 1
            await client.delete_listener(made.id)
            with pytest.raises(NotFound):
                await client.listener(made.id)

    asyncio.run(ask())
