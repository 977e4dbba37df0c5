"""Deliveries to listeners by a notifier that does as it is told, over a database in memory."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog

from pulpit.domain.clock import utc_now
from pulpit.domain.deliveries import Delivery, DeliveryState, Parcel, Receipt, Verdict
from pulpit.domain.events import EventKind
from pulpit.domain.listeners import Listener, NotifierType, OpenListener, Secrets
from pulpit.domain.messages import Message
from pulpit.errors import DatabaseFailed, SecretsUnreadable
from pulpit.events.listeners import Deliverer, DelivererSettings, Tally
from pulpit.events.listeners.schedule import Schedule
from pulpit.testing import MemoryStorage, MemoryTransaction, MemoryVault

_DELIVERED = Receipt(verdict=Verdict.DELIVERED, status=200)
_FAILED = Receipt(verdict=Verdict.FAILED, status=500, reason="it answered 500")
_GONE = Receipt(verdict=Verdict.GONE, status=410, reason="it answered 410 Gone")
_DEADLINE = 60.0

#: What comes of the attempt of a listener, with a parcel.
_Answer = Callable[[str, Parcel], Awaitable[Receipt]]


class _Storage(MemoryStorage):
    """A database that is away as long as it is told to be."""

    is_away = False

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        #: Set after each commit.
        self.news = asyncio.Event()

    @contextlib.contextmanager
    def write(self) -> Iterator[MemoryTransaction]:
        if self.is_away:
            raise DatabaseFailed("it is away")
        with super().write() as transaction:
            yield transaction
        self._loop.call_soon_threadsafe(self.news.set)

    @contextlib.contextmanager
    def read(self) -> Iterator[MemoryTransaction]:
        if self.is_away:
            raise DatabaseFailed("it is away")
        with super().read() as transaction:
            yield transaction


class _Notifier:
    """Implements ``pulpit.ports.Notifier``: answers as a function says."""

    def __init__(self, answer: _Answer) -> None:
        self.answer = answer
        #: (listener, delivery, repository) as they came.
        self.arrived: list[tuple[str, str, str | None]] = []
        self.under_way: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.secrets: list[Secrets] = []
        self._changed = asyncio.Condition()

    async def deliver(
        self, listener: OpenListener, parcel: Parcel, *, trace: bool = False
    ) -> Receipt:
        listener_id = listener.listener.id
        self.secrets.append(listener.secrets)
        self.arrived.append((listener_id, parcel.id, parcel.repo_id))
        self.under_way[listener_id] = self.under_way.get(listener_id, 0) + 1
        self.most[listener_id] = max(self.most.get(listener_id, 0), self.under_way[listener_id])
        async with self._changed:
            self._changed.notify_all()
        try:
            return await self.answer(listener_id, parcel)
        finally:
            self.under_way[listener_id] -= 1

    def check(self, config: Mapping[str, Any]) -> None:
        pass

    async def close(self) -> None:
        pass

    def of(self, listener_id: str) -> list[str]:
        """Return the ids of what has arrived at a listener."""
        return [delivery for listener, delivery, _ in self.arrived if listener == listener_id]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds, which is asked after each arrival."""
        async with asyncio.timeout(_DEADLINE), self._changed:
            await self._changed.wait_for(condition)


async def _take(_listener: str, _parcel: Parcel) -> Receipt:
    return _DELIVERED


class _LostKey(MemoryVault):
    """A vault that can't open anything as long as its key is lost."""

    is_lost = True

    def open(self, sealed: bytes) -> Secrets:
        if self.is_lost:
            raise SecretsUnreadable
        return super().open(sealed)


class _Site:
    """A database, a notifier and who delivers."""

    def __init__(self, answer: _Answer = _take, **settings: Any) -> None:
        self.storage, self.notifier, self.tally = _Storage(), _Notifier(answer), Tally()
        self.vault = MemoryVault()
        self.holds = True
        values: dict[str, Any] = {
            "schedule": Schedule(retry_hours=1.0, disable_days=5.0),
            "concurrency": 16,
            "per_listener": 4,
            "rate": 0.0,
            "batch_seconds": 0.001,
            "look_seconds": 0.02,
            "rest": 0.01,
        }
        self.settings = DelivererSettings(**{**values, **settings})
        self.deliverer = self.another()
        self._sequence = 0

    def another(self) -> Deliverer:
        """Return who delivers next."""
        return Deliverer(
            self.storage,
            settings=self.settings,
            notifiers=dict.fromkeys(NotifierType, self.notifier),
            vault=self.vault,
            tally=self.tally,
            clock=utc_now,
            log=structlog.wrap_logger(None, processors=[_drop]),
            may_deliver=lambda: self.holds,
        )

    @contextlib.asynccontextmanager
    async def delivering(self, seconds: float = 5.0) -> AsyncIterator[None]:
        """Deliver while the block runs."""
        self.deliverer.start()
        try:
            yield
        finally:
            await self.deliverer.stop(seconds)

    def listen(self, *ids: str, sealed: bytes | None = None) -> None:
        """Add listeners."""
        now = utc_now()
        with self.storage.write() as transaction:
            for each in ids:
                transaction.listeners.add(
                    Listener(
                        id=each,
                        notifier_type=NotifierType.HTTP,
                        event_types=("*",),
                        sealed=sealed,
                        created=now,
                        last_updated=now,
                    )
                )

    def change(self, listener_id: str, **values: Any) -> None:
        """Change a listener, which is told."""
        with self.storage.write() as transaction:
            known = transaction.listeners.get(listener_id)
            transaction.listeners.update(
                replace(known, revision=known.revision + 1, last_updated=utc_now(), **values)
            )
        self.deliverer.look()

    def tell(self, *repo_ids: str, to: tuple[str, ...] = ("one",)) -> None:
        """Write a message of each repository for the listeners, and tell the deliverer."""
        wanted = []
        for repo_id in repo_ids:
            self._sequence += 1
            message = Message(
                sequence=self._sequence,
                event_id=f"event-{self._sequence}",
                event_type="repo.sync.finish",
                repo_id=repo_id,
                task_id=None,
                tags=(),
                time=utc_now(),
                body=b"{}",
            )
            wanted.append((message, to))
        with self.storage.write() as transaction:
            transaction.deliveries.add(wanted, now=utc_now())

    def rows(self, listener_id: str = "one") -> list[Delivery]:
        """Return the deliveries of a listener, by number."""
        with self.storage.read() as transaction:
            page = transaction.deliveries.page(
                listener_id=listener_id, states=(), since=None, before=None, limit=10_000
            )
        return list(page)[::-1]

    def listener(self, listener_id: str = "one") -> Listener:
        with self.storage.read() as transaction:
            return transaction.listeners.get(listener_id)

    async def settled(self, count: int, listener_id: str = "one") -> list[Delivery]:
        """Wait until so many deliveries are over; return all."""

        def over() -> int:
            return sum(row.finished is not None for row in self.rows(listener_id))

        await self.until(lambda: over() >= count)
        return self.rows(listener_id)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition of the database holds."""
        async with asyncio.timeout(_DEADLINE):
            while not condition():
                self.storage.news.clear()
                with contextlib.suppress(TimeoutError):
                    # not all that is waited for is written
                    async with asyncio.timeout(0.05):
                        await self.storage.news.wait()


def _in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Return a test that runs in an event loop of its own."""

    @functools.wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


@_in_a_loop
async def test_what_is_pending_at_the_start_and_what_comes_is_delivered_once_in_order() -> None:
    site = _Site()
    site.listen("one", "two")
    site.tell("zoo", "zoo", "zoo", to=("one", "two"))
    async with site.delivering():
        await site.settled(3)
        site.tell("zoo", "bear", to=("one", "two"))
        site.deliverer.told(["one", "two"])
        for listener in ("one", "two"):
            rows = await site.settled(5, listener)
            assert [row.state for row in rows] == [DeliveryState.DELIVERED] * 5
            zoo = [row.id for row in rows if row.lane == "repository:zoo"]
            arrived = site.notifier.of(listener)
            assert [each for each in arrived if each in zoo] == zoo
            assert sorted(arrived) == sorted(row.id for row in rows)
    assert site.tally.attempts == {(NotifierType.HTTP, Verdict.DELIVERED): 10}
    assert site.listener().health.last_delivered is not None


@_in_a_loop
async def test_a_listener_that_comes_later_is_found_without_being_told() -> None:
    site = _Site()
    async with site.delivering():
        site.listen("one")
        site.tell("zoo")
        await site.settled(1)


@_in_a_loop
async def test_of_a_repository_one_is_under_way_and_of_a_listener_so_many() -> None:
    release = asyncio.Event()

    async def answer(_listener: str, parcel: Parcel) -> Receipt:
        if parcel.repo_id != "warm":
            await release.wait()
        return _DELIVERED

    site = _Site(answer)
    site.listen("one")
    site.tell(*["warm"] * 5)
    async with site.delivering():
        # it is trusted with more at a time as it answers
        await site.settled(5)
        site.tell(*(f"r{number % 10}" for number in range(30)))
        site.deliverer.told(["one"])
        await site.notifier.until(lambda: site.notifier.under_way.get("one") == 4)
        begun = {repo for _, _, repo in site.notifier.arrived if repo != "warm"}
        assert begun == {"r0", "r1", "r2", "r3"}
        release.set()
        await site.settled(35)
    assert site.notifier.most["one"] == 4


@_in_a_loop
async def test_receivers_that_hang_leave_room_for_those_that_answer() -> None:
    async def answer(listener: str, _parcel: Parcel) -> Receipt:
        if listener.startswith("bad"):
            await asyncio.Event().wait()
        return _DELIVERED

    bad = tuple(f"bad{number}" for number in range(20))
    site = _Site(answer, concurrency=8)
    site.listen("one", *bad)
    site.tell(*(f"r{number}" for number in range(40)))
    async with site.delivering(0.1):
        await site.settled(1)
        for _ in range(2):
            site.tell(*(f"r{number}" for number in range(40)), to=("one", *bad))
            site.deliverer.told(["one", *bad])
        await site.settled(120)
        hanging = sum(site.notifier.under_way[each] for each in bad if each in site.notifier.most)
        assert hanging == 4


@_in_a_loop
async def test_a_failing_head_holds_up_its_repository_alone_and_is_tried_again() -> None:
    failures = 2

    async def answer(_listener: str, parcel: Parcel) -> Receipt:
        nonlocal failures
        if parcel.repo_id == "bad" and failures:
            failures -= 1
            return _FAILED
        return _DELIVERED

    # attempts come after 1/100,000 of an hour's schedule
    site = _Site(answer, schedule=Schedule(retry_hours=1e-3, disable_days=5))
    site.listen("one")
    site.tell("bad", "bad", "good", "bad", "good")
    async with site.delivering():
        rows = await site.settled(5)
    assert [row.state for row in rows] == [DeliveryState.DELIVERED] * 5
    assert [row.attempted for row in rows] == [3, 1, 1, 1, 1]
    bad = [row.id for row in rows if row.lane == "repository:bad"]
    arrived = [each for each in site.notifier.of("one") if each in bad]
    assert arrived == [bad[0]] * 3 + bad[1:]


@_in_a_loop
async def test_what_fails_too_often_is_exhausted_and_the_next_goes_on() -> None:
    async def answer(_listener: str, parcel: Parcel) -> Receipt:
        return _FAILED if parcel.sequence == 1 else _DELIVERED

    site = _Site(answer, schedule=Schedule(retry_hours=1e-5, disable_days=0))
    site.listen("one")
    site.tell("zoo", "zoo")
    async with site.delivering():
        rows = await site.settled(2)
        assert [(row.state, row.attempted) for row in rows] == [
            (DeliveryState.EXHAUSTED, 8),
            (DeliveryState.DELIVERED, 1),
        ]
        with site.storage.write() as transaction:
            transaction.deliveries.resend("one", now=utc_now(), limit=10)
        site.change("one")
        await site.until(lambda: site.rows()[0].attempted == 16)


@_in_a_loop
async def test_a_receiver_that_is_gone_disables_its_listener_and_tells_of_it_once() -> None:
    async def answer(listener: str, _parcel: Parcel) -> Receipt:
        return _GONE if listener == "one" else _DELIVERED

    site = _Site(answer)
    site.listen("one", "two")
    site.tell(*(f"r{number}" for number in range(10)), to=("one", "two"))
    async with site.delivering():
        await site.settled(10, "two")
        await site.until(lambda: not site.listener().is_enabled)
        assert site.listener().disabled_reason == "it answered 410 Gone"
        assert site.listener().revision == 2
        events = site.storage.events.read(0, 10)
        assert [event.kind for event in events] == [EventKind.LISTENER]
        # what it was to be told waits
        assert [row.state for row in site.rows()] == [DeliveryState.PENDING] * 10
        # and is told once it is enabled again

        async def answer_again(_listener: str, _parcel: Parcel) -> Receipt:
            return _DELIVERED

        site.notifier.answer = answer_again
        with site.storage.write() as transaction:
            transaction.deliveries.resend(
                "one", now=utc_now(), delivery_id=site.rows()[0].id, limit=1
            )
        site.change("one", disabled_reason=None, disabled_at=None)
        await site.settled(10)


@_in_a_loop
async def test_days_of_failures_alone_disable_a_listener() -> None:
    async def answer(_listener: str, _parcel: Parcel) -> Receipt:
        return _FAILED

    site = _Site(answer, schedule=Schedule(retry_hours=1e-3, disable_days=1e-6))
    site.listen("one")
    site.tell("zoo")
    async with site.delivering():
        await site.until(lambda: not site.listener().is_enabled)
    listener = site.listener()
    assert listener.disabled_reason is not None
    assert listener.disabled_reason.startswith("all attempts of 1e-06 days have failed")
    assert listener.health.failing_since is not None
    assert listener.health.last_reason == "it answered 500"


@_in_a_loop
async def test_secrets_are_opened_and_those_that_cannot_be_are_a_reason() -> None:
    site = _Site()
    secrets = Secrets(password="pw")
    site.listen("one", sealed=site.vault.seal(secrets))
    site.listen("two", sealed=MemoryVault("another").seal(secrets))
    site.tell("zoo", to=("one", "two"))
    async with site.delivering():
        await site.settled(1)
        await site.until(lambda: site.rows("two")[0].attempted == 1)
    assert site.notifier.secrets == [secrets]
    attempt = site.rows("two")[0].attempts[0]
    assert attempt.verdict is Verdict.FAILED
    assert "key" in attempt.reason


@_in_a_loop
async def test_secrets_that_can_be_read_again_are_used_without_a_change_of_the_listener() -> None:
    site = _Site(schedule=Schedule(retry_hours=0.01, disable_days=5.0))
    site.vault = vault = _LostKey()
    site.deliverer = site.another()
    secrets = Secrets(password="pw")
    site.listen("one", sealed=vault.seal(secrets))
    site.tell("zoo")
    async with site.delivering():
        await site.until(lambda: site.rows()[0].attempted == 1)
        # as a key file that is put back
        vault.is_lost = False
        (row,) = await site.settled(1)
    assert row.state is DeliveryState.DELIVERED
    assert site.notifier.secrets == [secrets]


@_in_a_loop
async def test_results_wait_for_a_database_that_is_away_and_nothing_is_tried_twice() -> None:
    release = asyncio.Event()

    async def answer(_listener: str, _parcel: Parcel) -> Receipt:
        await release.wait()
        return _DELIVERED

    site = _Site(answer)
    site.listen("one")
    site.tell("a", "b", "c")
    async with site.delivering():
        await site.notifier.until(lambda: len(site.notifier.arrived) >= 1)
        site.storage.is_away = True
        release.set()
        await site.notifier.until(lambda: len(site.notifier.arrived) == 3)
        site.storage.is_away = False
        await site.settled(3)
    assert len(site.notifier.arrived) == 3


@_in_a_loop
async def test_results_that_wait_are_bounded() -> None:
    site = _Site(most_results=5)
    site.listen("one")
    site.tell(*(f"r{number}" for number in range(40)))

    async def answer(_listener: str, _parcel: Parcel) -> Receipt:
        site.storage.is_away = True
        return _DELIVERED

    site.notifier.answer = answer
    async with site.delivering():
        await site.notifier.until(lambda: len(site.notifier.arrived) >= 4)
        # some rests of whoever writes
        await asyncio.sleep(0.05)
        assert len(site.notifier.arrived) <= 5 + 4
        site.notifier.answer = _take
        site.storage.is_away = False
        await site.settled(40)


@_in_a_loop
async def test_at_the_end_what_is_under_way_gets_its_time_and_is_written() -> None:
    release = asyncio.Event()

    async def answer(_listener: str, _parcel: Parcel) -> Receipt:
        await release.wait()
        return _DELIVERED

    site = _Site(answer)
    site.listen("one")
    site.tell("zoo", "zoo")
    async with site.delivering():
        await site.notifier.until(lambda: len(site.notifier.arrived) == 1)
        asyncio.get_running_loop().call_later(0.05, release.set)
    # the second one was not begun any more
    assert [row.state for row in site.rows()] == [DeliveryState.DELIVERED, DeliveryState.PENDING]


@_in_a_loop
async def test_what_hangs_at_the_end_is_given_up_and_stays_pending() -> None:
    async def answer(_listener: str, _parcel: Parcel) -> Receipt:
        await asyncio.Event().wait()
        return _DELIVERED

    site = _Site(answer)
    site.listen("one")
    site.tell("zoo")
    async with asyncio.timeout(_DEADLINE), site.delivering(0.1):
        await site.notifier.until(lambda: len(site.notifier.arrived) == 1)
    row = site.rows()[0]
    assert (row.state, row.attempted) == (DeliveryState.PENDING, 0)
    # whoever delivers next repeats it under the same id
    site.deliverer, site.notifier.answer = site.another(), _take
    async with site.delivering():
        await site.settled(1)
    assert site.notifier.of("one") == [row.id] * 2


@_in_a_loop
async def test_once_the_term_is_over_nothing_is_begun_nor_written() -> None:
    site = _Site()
    site.listen("one")
    site.tell("a")

    async def answer(_listener: str, _parcel: Parcel) -> Receipt:
        site.holds = False
        return _DELIVERED

    site.notifier.answer = answer
    async with site.delivering(0.2):
        await site.notifier.until(lambda: len(site.notifier.arrived) == 1)
        site.tell("b", "c")
        site.deliverer.told(["one"])
        await asyncio.sleep(0.05)
    assert len(site.notifier.arrived) == 1
    assert all(row.attempted == 0 for row in site.rows())


@_in_a_loop
async def test_a_listener_gets_no_more_a_second_than_it_may() -> None:
    site = _Site(rate=50.0)
    site.listen("one")
    site.tell(*(f"r{number}" for number in range(75)))
    loop = asyncio.get_running_loop()
    async with site.delivering():
        began = loop.time()
        rows = await site.settled(75)
        took = loop.time() - began
    first = min(row.attempts[0].time for row in rows)
    within = [row for row in rows if row.attempts[0].time - first < timedelta(seconds=0.2)]
    # what is saved up at the start is one second's worth
    assert len(within) <= 61
    assert took >= 0.4


@_in_a_loop
async def test_a_listener_that_is_removed_is_told_nothing_more() -> None:
    async def answer(listener: str, _parcel: Parcel) -> Receipt:
        return _FAILED if listener == "one" else _DELIVERED

    site = _Site(answer)
    site.listen("one", "two")
    site.tell("a", "b", to=("one", "two"))
    async with site.delivering():
        await site.settled(2, "two")
        with site.storage.write() as transaction:
            transaction.listeners.remove("one")
        site.deliverer.look()
        await site.until(lambda: site.deliverer.listeners == 1)
