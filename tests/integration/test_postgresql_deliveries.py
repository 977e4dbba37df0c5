"""Several processes write listeners and deliveries at once: none fails, none loses anything."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from pulpit.domain.deliveries import Attempt, Delivery, DeliveryState, Verdict
from pulpit.domain.listeners import Health
from pulpit.storage.postgresql import PostgresStorage
from tests.contract.databases import NOW, new_listener, new_message
from tests.services import PATIENCE, until

_A, _B = "a" * 24, "b" * 24

Run = Callable[..., Future[Any]]


@pytest.fixture
def storages(postgresql_url: str) -> Iterator[Sequence[PostgresStorage]]:
    """Yield a database with two listeners, as two processes have it open."""
    with ExitStack() as stack:
        opened = [stack.enter_context(PostgresStorage(postgresql_url)) for _ in range(2)]
        with opened[0].write() as transaction:
            for listener_id in (_A, _B):
                transaction.listeners.add(new_listener(listener_id))
        yield opened


@pytest.fixture
def run() -> Iterator[Run]:
    """Yield what runs a function in a thread of its own."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


def _waits(storage: PostgresStorage) -> None:
    """Return once a session waits for a lock."""
    statement = text("SELECT count(*) FROM pg_locks WHERE NOT granted")

    def is_waiting() -> bool:
        with storage.reading() as connection:
            return bool(connection.execute(statement).scalar_one())

    until(is_waiting, "one waits for a lock")


def _add(storage: PostgresStorage, *sequences: int) -> int:
    wanted = [(new_message(sequence), [_A, _B]) for sequence in sequences]
    with storage.write_beside() as transaction:
        return transaction.deliveries.add(wanted, now=NOW)


def _remove(storage: PostgresStorage, listener_id: str = _A) -> None:
    with storage.write_beside() as transaction:
        transaction.listeners.remove(listener_id)


def _settle(storage: PostgresStorage, tried: Sequence[Delivery]) -> Collection[str]:
    with storage.write_beside() as transaction:
        return transaction.deliveries.settle(tried)


def _pending(storage: PostgresStorage, listener_id: str = _A) -> Sequence[Delivery]:
    with storage.read() as transaction:
        return transaction.deliveries.pending(listener_id, after=0, limit=10_000)


def _tried(delivery: Delivery, state: DeliveryState = DeliveryState.DELIVERED) -> Delivery:
    due = NOW if state is DeliveryState.PENDING else None
    attempt = Attempt(time=NOW, duration=0.1, verdict=Verdict.FAILED)
    return delivery.tried(attempt, state=state, due=due)


def test_who_adds_waits_for_who_removes_the_listener(
    storages: Sequence[PostgresStorage], run: Run
) -> None:
    """And leaves it out."""
    one, two = storages
    with one.write_beside() as transaction:
        transaction.listeners.remove(_A)
        adding = run(_add, two, 1)
        _waits(one)
    assert adding.result(PATIENCE) == 1
    assert len(_pending(one, _B)) == 1


def test_who_removes_the_listener_waits_for_who_adds(
    storages: Sequence[PostgresStorage], run: Run
) -> None:
    """So that no delivery outlives it."""
    one, two = storages
    with one.write_beside() as transaction:
        transaction.deliveries.add([(new_message(1), [_A, _B])], now=NOW)
        removing = run(_remove, two)
        _waits(one)
    removing.result(PATIENCE)
    assert (len(_pending(one)), len(_pending(one, _B))) == (0, 1)


def test_what_was_tried_while_its_listener_went_is_not_written(
    storages: Sequence[PostgresStorage], run: Run
) -> None:
    """What others were told at the same time is."""
    one, two = storages
    _add(one, 1)
    tried = [_tried(each) for listener_id in (_A, _B) for each in _pending(one, listener_id)]
    with one.write_beside() as transaction:
        transaction.listeners.remove(_A)
        settling = run(_settle, two, tried)
        _waits(one)
    assert settling.result(PATIENCE) == {tried[1].id}


def test_two_that_tell_of_the_same_events_write_them_once(
    storages: Sequence[PostgresStorage], run: Run
) -> None:
    """A leader that was frozen goes on beside the next one."""
    one, two = storages
    with one.write_beside() as transaction:
        transaction.deliveries.add([(new_message(number), [_A]) for number in (1, 2)], now=NOW)
        adding = run(_add, two, 2, 1, 3)
        _waits(one)
    assert adding.result(PATIENCE) == 2
    assert [each.sequence for each in _pending(one)] == [1, 2, 3]


def test_numbers_are_committed_in_their_order(
    storages: Sequence[PostgresStorage], run: Run
) -> None:
    """Who reads on from the newest one passes none that is still to come."""
    one, two = storages
    with one.write_beside() as transaction:
        transaction.deliveries.add([(new_message(1), [_A])], now=NOW)
        adding = run(_add, two, 2)
        _waits(one)
        assert _pending(two) == []
    assert adding.result(PATIENCE) == 2
    assert [each.sequence for each in _pending(one)] == [1, 2]


def test_of_two_that_have_tried_the_same_one_is_written(
    storages: Sequence[PostgresStorage], run: Run
) -> None:
    """The second one is told that it was not."""
    one, two = storages
    _add(one, 1)
    (delivery,) = _pending(one)
    with one.write_beside() as transaction:
        assert transaction.deliveries.settle([_tried(delivery, DeliveryState.PENDING)])
        settling = run(_settle, two, [_tried(delivery)])
        _waits(one)
    assert settling.result(PATIENCE) == set()


def test_nobody_waits_for_each_other(storages: Sequence[PostgresStorage], run: Run) -> None:
    """Whatever is done at once, in whatever order, ends without an error."""
    one, _ = storages
    _add(one, *range(200))
    acts = [_try_some, _resend_some, _purge_some, _discard_some, _change, _add_some, _come_and_go]
    done = [
        run(_repeat, partial(act, storages[number % 2]), random.Random(number))
        for number, act in enumerate(acts * 2, 1)
    ]
    for each in done:
        each.result(PATIENCE)
    assert all(each.attempted == len(each.attempts) for each in _pending(one, _B))


def _repeat(act: Callable[[random.Random], None], chance: random.Random) -> None:
    for _ in range(25):
        act(chance)


def _try_some(storage: PostgresStorage, chance: random.Random) -> None:
    some = [*_pending(storage), *_pending(storage, _B)]
    chance.shuffle(some)
    _settle(storage, [_tried(each, chance.choice([*DeliveryState])) for each in some[:40]])


def _resend_some(storage: PostgresStorage, chance: random.Random) -> None:
    with storage.write_beside() as transaction:
        for listener_id in chance.sample([_A, _B], 1):
            transaction.deliveries.resend(listener_id, now=NOW, limit=20)


def _purge_some(storage: PostgresStorage, chance: random.Random) -> None:
    with storage.write_beside() as transaction:
        transaction.deliveries.purge(before=NOW, limit=chance.randint(1, 5))


def _discard_some(storage: PostgresStorage, chance: random.Random) -> None:
    with storage.write_beside() as transaction:
        transaction.deliveries.discard(_A, limit=chance.randint(1, 5))


def _change(storage: PostgresStorage, chance: random.Random) -> None:
    with storage.write() as transaction:
        healths = {listener_id: Health(last_failed=NOW) for listener_id in (_B, _A)}
        transaction.listeners.set_health(healths)
        for listener in transaction.listeners.list():
            transaction.listeners.update(listener)
            transaction.deliveries.resend(listener.id, now=NOW, limit=chance.randint(1, 9))


def _add_some(storage: PostgresStorage, chance: random.Random) -> None:
    first = chance.randrange(200, 400)
    _add(storage, *range(first, first + 5))


def _come_and_go(storage: PostgresStorage, chance: random.Random) -> None:
    if chance.random() < 0.1:
        _remove(storage)
        with storage.write() as transaction:
            if all(each.id != _A for each in transaction.listeners.list()):
                transaction.listeners.add(new_listener(_A))
