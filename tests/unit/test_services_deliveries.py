"""Deliveries for those who look after listeners: pages, and what is sent again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pulpit.domain.deliveries import Attempt, Delivery, DeliveryState, Verdict
from pulpit.domain.listeners import Listener, NotifierType
from pulpit.domain.messages import Message
from pulpit.errors import InvalidValue, MissingResource, MissingValue, RequestError
from pulpit.services.deliveries import Deliveries, moment
from pulpit.testing import FrozenClock, MemoryStorage, MemoryTransaction

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PENDING, DELIVERED, EXHAUSTED = (
    DeliveryState.PENDING,
    DeliveryState.DELIVERED,
    DeliveryState.EXHAUSTED,
)


class _House:
    """Storage with two listeners and their deliveries."""

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self.storage = storage or MemoryStorage()
        self.clock = FrozenClock()
        self.changes = 0
        self.deliveries = Deliveries(self.storage, clock=self.clock, changed=self._count)
        self._sequence = 0
        with self.storage.write() as transaction:
            for listener_id in ("a", "b"):
                transaction.listeners.add(
                    Listener(
                        id=listener_id,
                        notifier_type=NotifierType.HTTP,
                        created=self.clock(),
                        last_updated=self.clock(),
                    )
                )

    def _count(self) -> None:
        self.changes += 1

    def add(self, listener_id: str = "a", state: DeliveryState = EXHAUSTED) -> Delivery:
        """Let there be one more delivery, in this state."""
        self.add_many(1, listener_id)
        return self.settle(self.all(listener_id)[0], state)

    def add_many(self, count: int, listener_id: str = "a") -> None:
        """Let there be so many more pending deliveries."""
        numbers = range(self._sequence + 1, self._sequence + count + 1)
        self._sequence += count
        wanted = [(_message(number), [listener_id]) for number in numbers]
        with self.storage.write() as transaction:
            transaction.deliveries.add(wanted, now=self.clock())

    def settle(self, delivery: Delivery, state: DeliveryState) -> Delivery:
        """Let the delivery have come to a state."""
        if state is not PENDING:
            verdict = Verdict.FAILED if state is EXHAUSTED else Verdict.DELIVERED
            attempt = Attempt(time=self.clock(), duration=0.1, verdict=verdict)
            with self.storage.write() as transaction:
                tried = transaction.deliveries.get(delivery.id).tried(
                    attempt, state=state, due=None
                )
                assert transaction.deliveries.settle([tried]) == {delivery.id}
        with self.storage.read() as transaction:
            return transaction.deliveries.get(delivery.id)

    def all(self, listener_id: str = "a") -> Sequence[Delivery]:
        """Return all deliveries of a listener, the newest first."""
        return self.page(listener_id, limit=10_000)

    def page(self, listener_id: str = "a", **asked: Any) -> Sequence[Delivery]:
        """Return a page."""
        wanted: dict[str, Any] = {"states": (), "since": None, "before": None, "limit": 100}
        return self.deliveries.page(listener_id, **(wanted | asked)).deliveries

    def states(self, listener_id: str = "a") -> list[DeliveryState]:
        """Return the states of all deliveries of a listener, the oldest first."""
        return [each.state for each in self.all(listener_id)][::-1]

    def revision(self, listener_id: str = "a") -> int:
        """Return how often who delivers had to look."""
        with self.storage.read() as transaction:
            return transaction.listeners.get(listener_id).revision


def _message(sequence: int) -> Message:
    return Message(
        sequence=sequence,
        event_id=str(sequence),
        event_type="task.error",
        repo_id=None,
        task_id="t",
        tags=(),
        time=NOW,
        body=b"{}",
    )


@pytest.fixture
def house() -> _House:
    """Return a house without deliveries."""
    return _House()


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_pages_are_all_deliveries(house: _House, limit: int) -> None:
    """Each once, the newest first, and no page after the last one is promised."""
    made = [house.add() for _ in range(4)]
    house.add("b")
    seen: list[Delivery] = []
    before: int | None = None
    pages = 0
    while True:
        page = house.deliveries.page("a", states=(), since=None, before=before, limit=limit)
        seen += page.deliveries
        pages += 1
        if (before := page.next) is None:
            break
    assert seen == made[::-1]
    assert pages == -(-4 // limit)


def test_pages_hold_what_is_wanted(house: _House) -> None:
    """By state, and by when they were created."""
    old = house.add(state=DELIVERED)
    house.clock.advance(hours=1)
    new = house.add(state=EXHAUSTED)
    waits = house.add(state=PENDING)
    assert house.page(states={EXHAUSTED, DELIVERED}) == [new, old]
    assert house.page(since=new.created) == [waits, new]
    assert house.page(since=house.clock() + timedelta(seconds=1)) == []


def test_only_ones_own_deliveries_are_found(house: _House) -> None:
    """An id of another listener's is as unknown as any."""
    mine = house.add()
    assert house.deliveries.get("a", mine.id) == mine
    for call in (house.deliveries.get, lambda *ids: house.deliveries.resend(ids[0], _one(ids[1]))):
        with pytest.raises(MissingResource) as caught:
            call("b", mine.id)
        assert caught.value.resources == {"delivery_id": mine.id}
        with pytest.raises(MissingResource) as caught:
            call("none", mine.id)
        assert caught.value.resources == {"event_listener_id": "none"}
    with pytest.raises(MissingResource):
        house.page("none")
    with pytest.raises(MissingResource):
        house.deliveries.resend("none", {"all": True})
    assert (house.revision("b"), house.changes) == (1, 0)


def _one(delivery_id: str) -> dict[str, str]:
    return {"delivery": delivery_id}


@pytest.mark.parametrize("state", list(DeliveryState))
def test_one_is_resent_however_it_ended(house: _House, state: DeliveryState) -> None:
    """Under its id, at once; who delivers is told."""
    delivery = house.add(state=state)
    house.add()
    house.clock.advance(hours=1)
    assert house.deliveries.resend("a", _one(delivery.id)) == 1
    resent = house.deliveries.get("a", delivery.id)
    assert (resent.state, resent.due) == (PENDING, house.clock())
    assert house.states() == [PENDING, EXHAUSTED]
    assert (house.revision(), house.changes) == (2, 1)


def test_all_that_were_given_up_are_resent(house: _House) -> None:
    """What was delivered stays so, and other listeners have no part in it."""
    for state in (EXHAUSTED, DELIVERED, PENDING, EXHAUSTED):
        house.add(state=state)
    house.add("b")
    assert house.deliveries.resend("a", {"all": True}) == 2
    assert house.states() == [PENDING, DELIVERED, PENDING, PENDING]
    assert house.states("b") == [EXHAUSTED]
    assert house.deliveries.resend("a", {"all": True}) == 0


def test_those_since_a_time_are_resent(house: _House) -> None:
    """The time counts with its offset."""
    house.add()
    house.clock.advance(hours=1)
    house.add()
    since = house.clock().astimezone(UTC).isoformat()
    assert house.deliveries.resend("a", {"since": since}) == 1
    assert house.states() == [EXHAUSTED, PENDING]


def test_many_are_resent_in_portions(house: _House) -> None:
    """None is left out, and who delivers hears of each portion."""
    house.add_many(1_001)
    attempt = Attempt(time=NOW, duration=0.1, verdict=Verdict.FAILED)
    tried = [each.tried(attempt, state=EXHAUSTED, due=None) for each in house.all()]
    with house.storage.write() as transaction:
        transaction.deliveries.settle(tried)
    assert house.deliveries.resend("a", {"all": True}) == 1_001
    assert set(house.states()) == {PENDING}
    assert house.changes == 3


class _Refused(MemoryStorage):
    """Storage in which all that is pending has failed for good before the next one writes."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    @contextlib.contextmanager
    def write(self) -> Iterator[MemoryTransaction]:
        self.writes += 1
        assert self.writes < 10
        with super().write() as transaction:
            waiting = transaction.deliveries.pending("a", after=0, limit=10_000)
            attempt = Attempt(time=NOW, duration=0.1, verdict=Verdict.FAILED)
            transaction.deliveries.settle(
                [each.tried(attempt, state=EXHAUSTED, due=None) for each in waiting]
            )
            yield transaction


def test_what_fails_again_at_once_is_not_resent_for_ever() -> None:
    """Only as many as were exhausted when it was asked for are sent again."""
    house = _House(_Refused())
    house.add_many(501)
    with house.storage.write():
        """All have failed."""
    assert house.deliveries.resend("a", {"all": True}) == 501


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (None, RequestError),
        ([], RequestError),
        ({}, MissingValue),
        ({"all": False}, InvalidValue),
        ({"all": None}, InvalidValue),
        ({"all": 1}, InvalidValue),
        ({"all": True, "since": "2026-01-01"}, InvalidValue),
        ({"since": None}, MissingValue),
        ({"since": "yesterday"}, InvalidValue),
        ({"since": 5}, InvalidValue),
        ({"delivery": None}, MissingValue),
        ({"delivery": ["x"]}, InvalidValue),
        ({"deliveries": "x"}, RequestError),
    ],
)
def test_other_requests_are_refused(
    house: _House, document: object, error: type[RequestError]
) -> None:
    """Nothing is sent again by mistake."""
    house.add()
    with pytest.raises(error):
        house.deliveries.resend("a", document)
    assert house.states() == [EXHAUSTED]


@pytest.mark.parametrize(
    "text", ["", "x", "1", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]
)
def test_times_that_can_t_be_told(text: str) -> None:
    """The error shows how a time is written."""
    with pytest.raises(InvalidValue, match="2026-01-02T03:04:05Z"):
        moment(text, "since")


def test_times_without_an_offset_are_utc() -> None:
    """As all times of the API."""
    assert moment("2026-01-02T03:04:05", "since") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert moment("2026-01-02T03:04:05+01:00", "since").hour == 2
