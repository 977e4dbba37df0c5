"""Listeners from creation to deletion: what is accepted, what stays, what nobody gets to see."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulpit.domain.deliveries import REASON_KEPT, Attempt, DeliveryState, Receipt, Verdict
from pulpit.domain.events import EventKind
from pulpit.domain.findings import Finding, Outcome
from pulpit.domain.listeners import (
    EVENT_TYPES,
    Filters,
    Health,
    NotifierType,
    OpenListener,
    Secrets,
)
from pulpit.domain.messages import Message
from pulpit.errors import (
    InvalidValue,
    MissingResource,
    MissingValue,
    NotImplementedHere,
    RequestError,
    SecretsUnreadable,
    TooManyListeners,
    UnsupportedValue,
    WrongJsonType,
)
from pulpit.services.listeners import Listeners, ListenerView
from pulpit.services.trials import Trials
from pulpit.testing import FrozenClock, MemoryStorage, MemoryVault, RecordingNotifier

URL = "https://hooks.example/"
PASSWORD = "keeper-of-the-zoo"


def _secret(size: int = 24, fill: bytes = b"s") -> str:
    return "whsec_" + base64.b64encode(fill * size).decode()


class _House:
    """Storage with the services of listeners around it."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.clock = FrozenClock()
        self.notifiers = {kind: RecordingNotifier() for kind in NotifierType}
        self.changes = 0
        self.use(MemoryVault())

    def use(self, vault: MemoryVault) -> None:
        """Let secrets be sealed and opened by another vault."""
        self.vault = vault
        parts: dict[str, Any] = {
            "clock": self.clock,
            "vault": vault,
            "notifiers": self.notifiers,
        }
        self.listeners = Listeners(self.storage, changed=self._count, **parts)
        self.trials = Trials(self.storage, diagnose=None, **parts)

    def _count(self) -> None:
        self.changes += 1

    def create(self, kind: str = "http", /, **more: Any) -> ListenerView:
        """Create a listener, by http to a URL unless told otherwise."""
        config = {"url": URL} if kind == "http" else {}
        sent = {"notifier_type_id": kind, "notifier_config": config, "event_types": ["*"]}
        return self.listeners.create(sent | more)

    def configured(self, **config: Any) -> ListenerView:
        """Create a listener with this configuration."""
        return self.create(notifier_config={"url": URL, **config})

    def reconfigure(self, view: ListenerView, **config: Any) -> ListenerView:
        """Change the configuration of a listener."""
        return self.listeners.update(view.listener.id, {"notifier_config": config})

    def secrets(self, view: ListenerView) -> Secrets:
        """Return what is sealed of a listener."""
        sealed = self.listeners.get(view.listener.id).listener.sealed
        return Secrets() if sealed is None else self.vault.open(sealed)

    def fail_since_yesterday(self, view: ListenerView) -> None:
        """Let the deliveries of a listener have failed."""
        health = Health(failing_since=self.clock() - timedelta(days=1), last_reason="refused")
        with self.storage.write() as transaction:
            transaction.listeners.set_health({view.listener.id: health})

    def leave_pending(self, view: ListenerView, *, due: datetime) -> None:
        """Let a delivery to a listener have failed, to be tried again at a time."""
        message = Message(
            sequence=1,
            event_id="urn:uuid:1",
            event_type="task.error",
            repo_id="zoo",
            task_id="t",
            tags=(),
            time=self.clock(),
            body=b"{}",
        )
        listener_id = view.listener.id
        with self.storage.write() as transaction:
            transaction.deliveries.add([(message, [listener_id])], now=self.clock())
            (made,) = transaction.deliveries.pending(listener_id, after=0, limit=2)
            attempt = Attempt(time=self.clock(), duration=1, verdict=Verdict.FAILED, status=500)
            tried = made.tried(attempt, state=DeliveryState.PENDING, due=due)
            assert transaction.deliveries.settle([tried])

    def due(self, view: ListenerView) -> list[datetime | None]:
        """Return when what is pending for a listener is due."""
        with self.storage.read() as transaction:
            found = transaction.deliveries.pending(view.listener.id, after=0, limit=10)
        return [each.due for each in found]

    def told(self) -> list[dict[str, Any]]:
        """Return what the journal tells of listeners."""
        events = self.storage.events.read(0, 100)
        return [json.loads(each.body) for each in events if each.kind is EventKind.LISTENER]


@pytest.fixture
def house() -> _House:
    """Return a house without listeners."""
    return _House()


def test_what_is_created_is_there(house: _House) -> None:
    """A listener has what was sent, once each, and the deliverer hears of it."""
    made = house.create(
        event_types=["task.error", "*", "task.error"],
        filters={"repositories": ["zoo", "zoo"], "tags": ["nightly"]},
    ).listener
    assert house.changes == 1
    assert made.config == {"url": URL}
    assert made.event_types == ("task.error", "*")
    assert made.filters == Filters(repositories=("zoo",), tags=("nightly",))
    assert (made.revision, made.is_enabled, made.created) == (1, True, house.clock())
    assert [view.listener for view in house.listeners.list()] == [made]
    assert house.listeners.get(made.id).listener == made


@pytest.mark.parametrize(
    ("sent", "error", "names"),
    [
        ({"notifier_type_id": None}, MissingValue, {"notifier_type_id"}),
        ({"notifier_type_id": "pigeon"}, InvalidValue, {"notifier_type_id"}),
        ({"notifier_type_id": 5}, InvalidValue, {"notifier_type_id"}),
        ({"event_types": None}, MissingValue, {"event_types"}),
        ({"event_types": []}, InvalidValue, {"event_types"}),
        ({"event_types": ["*", "repo.sync"]}, InvalidValue, {"event_types"}),
        ({"event_types": ["ping"]}, InvalidValue, {"event_types"}),
        ({"event_types": [["*"]]}, InvalidValue, {"event_types"}),
        ({"event_types": "*"}, InvalidValue, {"event_types"}),
        ({"event_types": ["*"] * 101}, InvalidValue, {"event_types"}),
        ({"notifier_config": []}, InvalidValue, {"notifier_config"}),
        ({"notifier_config": {"url": "u" * (64 << 10)}}, InvalidValue, {"notifier_config"}),
        ({"filters": []}, InvalidValue, {"filters"}),
        ({"filters": {"tasks": []}}, UnsupportedValue, {"tasks"}),
        ({"filters": {"repositories": "zoo"}}, InvalidValue, {"repositories"}),
        ({"filters": {"repositories": [""]}}, InvalidValue, {"repositories"}),
        ({"filters": {"tags": [5]}}, InvalidValue, {"tags"}),
        ({"filters": {"tags": ["t"] * 101}}, InvalidValue, {"tags"}),
        ({"filters": {"tags": ["t" * 1_001]}}, InvalidValue, {"tags"}),
        ({"enabled": False}, UnsupportedValue, {"enabled"}),
        ({"id": "0" * 24}, UnsupportedValue, {"id"}),
    ],
)
def test_what_can_t_be_created(
    house: _House, sent: dict[str, Any], error: type[RequestError], names: set[str]
) -> None:
    """The error names what is wrong, and nothing is kept."""
    with pytest.raises(error) as caught:
        house.create(**sent)
    assert set(getattr(caught.value, "names", ())) == names
    assert house.listeners.list() == []
    assert house.changes == 0


@pytest.mark.parametrize("document", [None, [], "x", 5])
def test_only_objects_are_taken(house: _House, document: object) -> None:
    """Whatever else comes is no listener and no change of one."""
    made = house.create().listener
    with pytest.raises(WrongJsonType):
        house.listeners.create(document)
    with pytest.raises(WrongJsonType):
        house.listeners.update(made.id, document)


def test_the_notifier_judges_the_configuration(house: _House) -> None:
    """It sees all of it but the secrets; what it refuses is neither created nor changed."""
    notifier = house.notifiers[NotifierType.HTTP]
    made = house.configured(username="me", password=PASSWORD, ca_path=None)
    assert notifier.checked == [{"url": URL, "username": "me"}]
    house.reconfigure(made, ca_path="/etc/ca.pem")
    assert notifier.checked[-1] == {"url": URL, "username": "me", "ca_path": "/etc/ca.pem"}
    notifier.problem = InvalidValue("url", why="no")
    with pytest.raises(InvalidValue):
        house.create()
    with pytest.raises(InvalidValue):
        house.reconfigure(made, url="ftp://hooks.example/")
    (kept,) = house.listeners.list()
    assert kept.listener.config["url"] == URL


def test_there_are_so_many_listeners_at_the_most(house: _House) -> None:
    """The error says what to do, and does not fall on those that are there."""
    made = house.create().listener
    with house.storage.write() as transaction:
        for number in range(999):
            transaction.listeners.add(dataclasses.replace(made, id=f"{number:024x}"))
    with pytest.raises(TooManyListeners, match="delete one"):
        house.create()
    house.listeners.delete("0" * 24)
    house.create()


def test_secrets_are_sealed_and_kept_apart(house: _House) -> None:
    """Neither the row nor what represents it holds them in the clear."""
    made = house.configured(username="me", password=PASSWORD, secret=_secret())
    assert made.listener.config == {"url": URL, "username": "me"}
    for secret in (PASSWORD, _secret()):
        assert secret not in repr(made)
        assert secret.encode() not in (made.listener.sealed or b"")
    secrets = house.secrets(made)
    assert secrets.password == PASSWORD
    assert [(each.value, each.is_chosen) for each in secrets.signing] == [(_secret(), True)]


def test_a_secret_is_made_for_http_alone(house: _House) -> None:
    """Each http listener gets its own, of 32 bytes that nobody can guess."""
    made = [house.secrets(house.create()).signing for _ in range(3)]
    values = {secret.value for (secret,) in made}
    assert len(values) == 3
    for value in values:
        assert len(base64.b64decode(value.removeprefix("whsec_"), validate=True)) == 32
    assert house.create("email").listener.sealed is None
    assert house.create("amqp").listener.sealed is None


@pytest.mark.parametrize("kind", ["email", "amqp"])
@pytest.mark.parametrize("key", ["password", "secret"])
def test_only_http_has_secrets(house: _House, kind: str, key: str) -> None:
    """So that none is kept where nobody would look for it."""
    with pytest.raises(UnsupportedValue):
        house.create(kind, notifier_config={key: "x"})


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets_of_any_fitting_size_are_taken(house: _House, size: int) -> None:
    """From 24 to 64 bytes, as Standard Webhooks has it."""
    assert house.secrets(house.configured(secret=_secret(size))).signing[0].value == _secret(size)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        _secret(23),
        _secret(65),
        _secret().removeprefix("whsec_"),
        _secret() + "\n",
        _secret() + "é",
        _secret().replace("c", "-"),
        "whsec_" + "=" * 32,
        5,
        "*****",
    ],
)
def test_other_secrets_are_refused(house: _House, secret: object) -> None:
    """Deliveries would be signed with what nobody can verify, or anybody guess."""
    with pytest.raises(InvalidValue) as caught:
        house.configured(secret=secret)
    assert caught.value.names == ("secret",)
    # neither log nor answer shows what may be nearly right
    assert _secret()[6:20] not in str(caught.value)


def test_a_secret_can_t_be_taken_away(house: _House) -> None:
    """Deliveries by http are always signed."""
    made = house.create()
    with pytest.raises(InvalidValue):
        house.reconfigure(made, secret=None)
    assert len(house.secrets(made).signing) == 1


@pytest.mark.parametrize("password", [5, "a\nb", "a\x00b", "p" * 1_001, "*****"])
def test_passwords_are_checked(house: _House, password: object) -> None:
    """A mask stands for a password that is kept, and none is."""
    with pytest.raises(InvalidValue) as caught:
        house.configured(username="me", password=password)
    assert caught.value.names == ("password",)


def test_a_configuration_merges(house: _House) -> None:
    """Keys that are absent stay, null takes one away; the deliverer sees a new revision."""
    made = house.configured(username="me", ca_path="/etc/ca.pem")
    house.clock.advance(seconds=5)
    changed = house.reconfigure(made, url=f"{URL}2", ca_path=None).listener
    assert changed.config == {"url": f"{URL}2", "username": "me"}
    assert (changed.revision, changed.last_updated) == (2, house.clock())
    assert changed.created == made.listener.created
    assert house.changes == 2


def test_event_types_and_filters_are_replaced(house: _House) -> None:
    """What is not named stays; null for the filters takes them all away."""
    made = house.create(filters={"repositories": ["zoo"], "tags": ["a"]}).listener
    changed = house.listeners.update(made.id, {"event_types": ["task.*"]}).listener
    assert (changed.event_types, changed.filters) == (("task.*",), made.filters)
    changed = house.listeners.update(made.id, {"filters": {"tags": ["b"]}}).listener
    assert (changed.event_types, changed.filters) == (("task.*",), Filters(tags=("b",)))
    assert house.listeners.update(made.id, {"filters": None}).listener.filters == Filters()
    assert house.listeners.get(made.id).listener.config == made.config


def test_a_change_that_changes_nothing(house: _House) -> None:
    """Nobody needs to heed it."""
    made = house.configured(username="me", password=PASSWORD)
    same = {"notifier_config": {"url": URL, "password": "*****"}, "event_types": ["*"]}
    assert house.listeners.update(made.listener.id, same).listener == made.listener
    assert house.listeners.update(made.listener.id, {}).listener == made.listener
    assert house.changes == 1


def test_a_document_may_be_sent_back(house: _House) -> None:
    """With its links and names, as long as these say the same."""
    made = house.create().listener
    sent = {"_href": "/x/", "_id": {"$oid": made.id}, "_ns": "event_listeners", "id": made.id}
    kept = house.listeners.update(made.id, sent | {"notifier_type_id": "http"}).listener
    assert kept == made
    for other in ({"notifier_type_id": "email"}, {"id": "other"}):
        with pytest.raises(InvalidValue, match="it can't change"):
            house.listeners.update(made.id, sent | other)
    with pytest.raises(UnsupportedValue):
        house.listeners.update(made.id, {"enabled": False})


def test_masks_keep_secrets(house: _House) -> None:
    """What a client saw masked it may send back; what it sends anew takes the place."""
    made = house.configured(username="me", password=PASSWORD, secret=_secret())
    before = house.secrets(made)
    house.reconfigure(made, password="*****", secret="*****", username="you")
    assert house.secrets(made) == before
    house.reconfigure(made, secret=_secret())
    assert house.secrets(made) == before
    house.reconfigure(made, secret=_secret(fill=b"t"))
    after = house.secrets(made)
    assert after.password == PASSWORD
    assert [each.value for each in after.signing] == [_secret(fill=b"t")]
    house.reconfigure(made, password=None)
    assert house.secrets(made).password is None
    with pytest.raises(InvalidValue):
        house.reconfigure(made, password="*****")


def test_a_deleted_listener_is_gone(house: _House) -> None:
    """The deliverer hears of it; a second time it is missing."""
    made = house.create().listener
    house.listeners.delete(made.id)
    assert house.listeners.list() == []
    assert house.changes == 2
    with pytest.raises(MissingResource):
        house.listeners.delete(made.id)


def test_missing_listeners(house: _House) -> None:
    """Every call names the one that is not there."""
    calls: list[Callable[[], object]] = [
        lambda: house.listeners.get("none"),
        lambda: house.listeners.update("none", {}),
        lambda: house.listeners.delete("none"),
        lambda: house.listeners.enable("none"),
        lambda: house.listeners.disable("none", None),
        lambda: house.listeners.rotate_secret("none", None),
    ]
    for call in calls:
        with pytest.raises(MissingResource) as caught:
            call()
        assert caught.value.resources == {"event_listener_id": "none"}


def test_disabling_is_told_by_the_journal(house: _House) -> None:
    """Once, with the reason; the same again changes nothing."""
    made = house.create().listener
    disabled = house.listeners.disable(made.id, {"reason": "it moves on Monday"}).listener
    assert (disabled.disabled_reason, disabled.disabled_at) == (
        "it moves on Monday",
        house.clock(),
    )
    assert disabled.revision == 2
    assert house.listeners.disable(made.id, {"reason": "again"}).listener == disabled
    (told,) = house.told()
    assert (told["listener"]["id"], told["reason"]) == (made.id, "it moves on Monday")
    assert house.changes == 2


def test_changes_of_a_disabled_listener_are_not_told_again(house: _House) -> None:
    """Only that it was disabled is news."""
    made = house.create().listener
    house.listeners.disable(made.id, None)
    house.listeners.update(made.id, {"event_types": ["task.*"]})
    assert len(house.told()) == 1


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (None, "disabled by an operator"),
        ({}, "disabled by an operator"),
        ({"reason": " \n "}, "disabled by an operator"),
        ({"reason": "a\r\nb\x1b[31m"}, "a b [31m"),
        ({"reason": "r" * 1_000}, "r" * REASON_KEPT),
    ],
)
def test_a_reason_is_one_line(house: _House, document: object, reason: str) -> None:
    """Whatever was sent, logs and terminals can show it."""
    made = house.create().listener
    assert house.listeners.disable(made.id, document).listener.disabled_reason == reason


@pytest.mark.parametrize("document", [{"reason": 5}, {"why": "x"}])
def test_other_reasons_are_refused(house: _House, document: object) -> None:
    """And the listener stays enabled."""
    made = house.create().listener
    with pytest.raises(RequestError):
        house.listeners.disable(made.id, document)
    assert house.listeners.get(made.id).listener.is_enabled


def test_an_enabled_listener_begins_anew(house: _House) -> None:
    """Its failures of before don't disable it at the next one."""
    made = house.create()
    house.fail_since_yesterday(made)
    house.listeners.disable(made.listener.id, None)
    enabled = house.listeners.enable(made.listener.id).listener
    assert enabled == house.listeners.get(made.listener.id).listener
    assert (enabled.is_enabled, enabled.disabled_at, enabled.revision) == (True, None, 3)
    assert enabled.health == Health(last_reason="refused")
    assert house.listeners.enable(made.listener.id).listener == enabled


def test_enabling_what_is_enabled_leaves_its_health(house: _House) -> None:
    """Its failures go on counting."""
    made = house.create()
    house.fail_since_yesterday(made)
    house.listeners.enable(made.listener.id)
    health = house.listeners.get(made.listener.id).listener.health
    assert health.failing_since == house.clock() - timedelta(days=1)
    assert house.changes == 1


@pytest.mark.parametrize("enabled", [True, False])
def test_enabling_makes_what_waits_due_now(house: _House, *, enabled: bool) -> None:
    """Who delivers is told of it once, and sees a new revision."""
    made = house.create()
    house.leave_pending(made, due=house.clock() + timedelta(hours=10))
    if not enabled:
        house.listeners.disable(made.listener.id, None)
    before, changes = house.listeners.get(made.listener.id).listener, house.changes
    house.clock.advance(minutes=1)
    after = house.listeners.enable(made.listener.id).listener
    assert house.due(made) == [house.clock()]
    assert (after.revision, house.changes) == (before.revision + 1, changes + 1)
    assert house.listeners.enable(made.listener.id).listener == after
    assert house.changes == changes + 1


def test_a_rotated_secret_overlaps(house: _House) -> None:
    """The old one signs for a day more; the password stays."""
    made = house.configured(password=PASSWORD, secret=_secret())
    rotated = house.listeners.rotate_secret(made.listener.id, None)
    assert rotated.until == house.clock() + timedelta(hours=24)
    assert rotated.secret not in repr(rotated)
    secrets = house.secrets(made)
    assert secrets.password == PASSWORD
    assert [(each.value, each.until) for each in secrets.signing] == [
        (rotated.secret, None),
        (_secret(), rotated.until),
    ]
    view = house.listeners.get(made.listener.id)
    assert view.listener.revision == 2
    assert view.secrets is not None
    assert len(view.secrets.signing) == 2
    house.clock.advance(hours=24)
    view = house.listeners.get(made.listener.id)
    assert view.secrets is not None
    assert [each.value for each in view.secrets.signing] == [rotated.secret]


def test_at_most_two_secrets_are_used(house: _House) -> None:
    """The one before the last goes at once."""
    made = house.create()
    first = house.listeners.rotate_secret(made.listener.id, {"overlap": 168})
    second = house.listeners.rotate_secret(made.listener.id, {"overlap": 0.5})
    signing = house.secrets(made).signing
    assert [each.value for each in signing] == [second.secret, first.secret]
    assert signing[1].until == second.until == house.clock() + timedelta(minutes=30)


def test_without_overlap_the_old_secret_goes_at_once(house: _House) -> None:
    """For one that others have come to know."""
    made = house.create()
    rotated = house.listeners.rotate_secret(made.listener.id, {"overlap": 0})
    assert rotated.until is None
    assert [each.value for each in house.secrets(made).signing] == [rotated.secret]


@pytest.mark.parametrize(
    "document", [5, [], {"overlap": -1}, {"overlap": 169}, {"overlap": "1"}, {"hours": 1}]
)
def test_other_overlaps_are_refused(house: _House, document: object) -> None:
    """And the secret stays."""
    made = house.create()
    before = house.secrets(made)
    with pytest.raises(RequestError):
        house.listeners.rotate_secret(made.listener.id, document)
    with pytest.raises(InvalidValue):
        house.listeners.rotate_secret(made.listener.id, {"overlap": True})
    assert house.secrets(made) == before


def test_only_http_listeners_sign(house: _House) -> None:
    """There is nothing to rotate for others."""
    made = house.create("email")
    with pytest.raises(InvalidValue):
        house.listeners.rotate_secret(made.listener.id, None)


def test_without_the_key_listeners_can_be_read_and_changed(house: _House) -> None:
    """What is sealed stays for who finds the key again."""
    made = house.configured(username="me", password=PASSWORD)
    house.use(MemoryVault("another"))
    assert house.listeners.get(made.listener.id).secrets is None
    house.listeners.update(made.listener.id, {"event_types": ["task.*"]})
    house.reconfigure(made, url=f"{URL}2", password="*****")
    house.use(MemoryVault())
    assert house.secrets(made).password == PASSWORD


def test_without_the_key_secrets_can_be_set_anew(house: _House) -> None:
    """A new password or secret, or a rotation, needs nothing of the old ones."""
    made, other = house.configured(password=PASSWORD), house.create()
    house.use(MemoryVault("another"))
    house.reconfigure(made, password="new")
    secrets = house.secrets(made)
    assert (secrets.password, len(secrets.signing)) == ("new", 1)
    rotated = house.listeners.rotate_secret(other.listener.id, None)
    assert rotated.until is None
    assert [each.value for each in house.secrets(other).signing] == [rotated.secret]


async def _found(opened: OpenListener) -> list[Finding]:
    return [
        Finding(
            group="g",
            check="c",
            title="t",
            outcome=Outcome.OK,
            detail=str(opened.secrets.password),
        )
    ]


@pytest.mark.parametrize("enabled", [True, False])
def test_a_ping_changes_nothing(house: _House, *, enabled: bool) -> None:
    """It goes through the notifier with the secrets, and says whether the listener is told."""
    made = house.configured(password=PASSWORD).listener
    if not enabled:
        house.listeners.disable(made.id, None)
    before = house.listeners.get(made.id).listener
    notifier = house.notifiers[NotifierType.HTTP]
    notifier.receipts.append(Receipt(verdict=Verdict.GONE, status=410))
    tested = asyncio.run(house.trials.test(made.id))
    assert (tested.receipt.verdict, tested.is_enabled) == (Verdict.GONE, enabled)
    assert tested.receipt.exchange is not None
    ((opened, parcel),) = notifier.notified
    assert (opened.listener, opened.secrets.password) == (before, PASSWORD)
    assert (parcel.event_type, parcel.sequence, parcel.event_id) == ("ping", 0, parcel.id)
    body = json.loads(parcel.body)
    assert body.keys() == {"event_type", "payload", "call_report"}
    assert (body["event_type"], body["call_report"]) == ("ping", None)
    assert body["payload"]["listener_id"] == made.id
    assert house.listeners.get(made.id).listener == before
    asyncio.run(house.trials.test(made.id))
    assert len({each.parcel.id for each in notifier.notified}) == 2


def test_what_can_t_be_tried(house: _House) -> None:
    """A listener that is not there, secrets that can't be read, a doctor that nobody has."""
    made = house.configured(password=PASSWORD).listener
    with pytest.raises(MissingResource):
        asyncio.run(house.trials.test("none"))
    with pytest.raises(NotImplementedHere):
        asyncio.run(house.trials.diagnose(made.id))
    house.use(MemoryVault("another"))
    with pytest.raises(SecretsUnreadable):
        asyncio.run(house.trials.test(made.id))
    assert house.notifiers[NotifierType.HTTP].notified == []


def test_the_doctor_is_given_the_open_listener(house: _House) -> None:
    """With its secrets, which it has to try."""
    made = house.configured(password=PASSWORD).listener
    trials = Trials(
        house.storage,
        clock=house.clock,
        vault=house.vault,
        notifiers=house.notifiers,
        diagnose=_found,
    )
    (finding,) = asyncio.run(trials.diagnose(made.id))
    assert finding.detail == PASSWORD


@given(types=st.lists(st.sampled_from(EVENT_TYPES), min_size=1, max_size=100))
def test_event_types_keep_their_order_without_repeats(types: list[str]) -> None:
    """All that may be asked for is taken."""
    made = _House().create(event_types=types).listener
    assert list(made.event_types) == sorted(set(types), key=types.index)
