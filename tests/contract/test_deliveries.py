"""Deliveries: made once, in order, settled by who has tried them last, and kept until then."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import pytest

from pulpit.domain.deliveries import Attempt, Delivery, DeliveryState, Verdict
from pulpit.domain.listeners import Health
from pulpit.domain.messages import Message
from pulpit.errors import MissingResource
from tests.contract.databases import NOW, Database, new_listener, new_message

_A, _B, _GONE = "a" * 24, "b" * 24, "c" * 24
_LATER = NOW + timedelta(seconds=5)
_LONG_AFTER = NOW + timedelta(days=1)


@pytest.fixture
def house(database: Database) -> Database:
    """Return a database with two listeners."""
    with database.write() as transaction:
        transaction.listeners.add(new_listener(_A))
        transaction.listeners.add(new_listener(_B))
    return database


def _add(
    database: Database,
    *messages: Message,
    to: Collection[str] = (_A,),
    now: datetime = NOW,
) -> int:
    with database.write_beside() as transaction:
        return transaction.deliveries.add([(message, to) for message in messages], now=now)


def _pending(database: Database, listener_id: str = _A, *, after: int = 0) -> Sequence[Delivery]:
    with database.read() as transaction:
        return transaction.deliveries.pending(listener_id, after=after, limit=1_000)


def _page(database: Database, *states: DeliveryState, listener_id: str = _A) -> Sequence[Delivery]:
    with database.read() as transaction:
        return transaction.deliveries.page(
            listener_id=listener_id, states=states, since=None, before=None, limit=1_000
        )


def _sequences(found: Sequence[Delivery]) -> list[int]:
    return [each.sequence for each in found]


def _settle(database: Database, *tried: Delivery) -> Collection[str]:
    with database.write_beside() as transaction:
        return transaction.deliveries.settle(tried)


def _purge(database: Database, before: datetime, limit: int = 1_000) -> int:
    with database.write_beside() as transaction:
        return transaction.deliveries.purge(before=before, limit=limit)


def _get(database: Database, delivery: Delivery) -> Delivery:
    with database.read() as transaction:
        return transaction.deliveries.get(delivery.id)


def _delivered(delivery: Delivery, *, at: datetime = NOW) -> Delivery:
    attempt = Attempt(time=at, duration=0.25, verdict=Verdict.DELIVERED, status=204)
    return delivery.tried(attempt, state=DeliveryState.DELIVERED, due=None)


def _failed(delivery: Delivery, *, due: datetime | None = _LATER) -> Delivery:
    """Return the delivery after an attempt in vain, which was the last one without *due*."""
    attempt = Attempt(
        time=NOW, duration=2, verdict=Verdict.FAILED, status=500, reason="é 🦒", response="\0\n"
    )
    state = DeliveryState.EXHAUSTED if due is None else DeliveryState.PENDING
    return delivery.tried(attempt, state=state, due=due)


def _resend(
    database: Database,
    *,
    listener_id: str = _A,
    delivery_id: str | None = None,
    since: datetime | None = None,
    limit: int = 1_000,
) -> int:
    with database.write_beside() as transaction:
        return transaction.deliveries.resend(
            listener_id, now=_LATER, delivery_id=delivery_id, since=since, limit=limit
        )


def test_delivery_is_what_its_message_says(house: Database) -> None:
    """It is due at once, and leads to the message."""
    sent = new_message(7, body=bytes(range(256)), tags=("é", "b"))
    assert _add(house, sent, to=[_A, _B]) == 2
    ((of_a,), (of_b,)) = _pending(house), _pending(house, _B)
    assert of_a == Delivery(
        id=of_a.id,
        number=of_a.number,
        listener_id=_A,
        message=of_a.message,
        event_type="repo.sync.finish",
        sequence=7,
        lane="repository:zoo",
        created=NOW,
        due=NOW,
    )
    assert of_a.id.startswith("msg_")
    assert of_a.id != of_b.id
    assert of_a.message == of_b.message
    with house.read() as transaction:
        found = transaction.deliveries.messages([of_a.message, 10**9])
    assert found == {of_a.message: dataclasses.replace(sent, number=of_a.message)}


def test_message_without_repository_and_task_is_kept(house: Database) -> None:
    """A lane of its own holds what is about neither."""
    _add(house, new_message(1, repo_id=None, task_id=None, tags=()))
    (delivery,) = _pending(house)
    with house.read() as transaction:
        message = transaction.deliveries.messages([delivery.message])[delivery.message]
    assert (delivery.lane, message.repo_id, message.task_id, message.tags) == ("", None, None, ())


def test_numbers_follow_the_order_given(house: Database) -> None:
    """Whatever the sequence numbers are."""
    _add(house, new_message(5), new_message(3), new_message(4), to=[_B, _A])
    _add(house, new_message(1))
    assert _sequences(_pending(house)) == [5, 3, 4, 1]


def test_same_event_again_changes_nothing(house: Database) -> None:
    """Not even if others want it now; another type of the event is another message."""
    assert _add(house, new_message(1), new_message(2)) == 2
    before = _pending(house)
    assert _add(house, new_message(2), new_message(1), new_message(3), to=[_A, _B]) == 2
    assert _pending(house)[:2] == before
    assert _sequences(_pending(house, _B)) == [3]
    assert _add(house, new_message(1, event_type="task.finished")) == 1


def test_same_event_twice_in_one_list_is_one(house: Database) -> None:
    """The first one counts, and a listener that is named twice is told once."""
    assert _add(house, new_message(1), new_message(1), to=[_A, _A]) == 1


def test_listeners_that_are_gone_are_left_out(house: Database) -> None:
    """A message that nobody else wants is not kept, and may be given again."""
    assert _add(house, new_message(1), to=[_GONE, _A]) == 1
    assert _add(house, new_message(2), to=[_GONE]) == 0
    assert _add(house, new_message(3), to=[]) == 0
    assert _add(house) == 0
    assert _add(house, new_message(2)) == 1


def test_pending_ones_come_by_number(house: Database) -> None:
    """Above one, of a lane, no more than asked for."""
    _add(house, *(new_message(n, repo_id="emu" if n % 2 else "zoo") for n in range(1, 7)))
    _add(house, new_message(7), to=[_B])
    first, second, *_ = _pending(house)
    assert _sequences(_pending(house, after=second.number)) == [3, 4, 5, 6]
    with house.read() as transaction:
        pending = transaction.deliveries.pending
        assert _sequences(pending(_A, after=0, limit=2)) == [1, 2]
        odd = pending(_A, after=first.number, limit=9, lane="repository:emu")
    assert _sequences(odd) == [3, 5]


def test_attempts_are_written(house: Database) -> None:
    """What was tried is found as it was told, and what is over is not pending."""
    _add(house, new_message(1), new_message(2), new_message(3))
    one, two, three = _pending(house)
    tried = [_failed(one), _delivered(two), _failed(three, due=None)]
    assert set(_settle(house, *tried)) == {one.id, two.id, three.id}
    assert [_get(house, each) for each in (one, two, three)] == tried
    assert _pending(house) == [tried[0]]
    again = _delivered(tried[0])
    assert set(_settle(house, again)) == {one.id}
    assert _get(house, one) == again


def test_attempt_that_somebody_else_made_first_is_not_written(house: Database) -> None:
    """Nor one at what is gone, or over; what stands beside it is."""
    _add(house, new_message(1), new_message(2), new_message(3))
    one, two, three = _pending(house)
    _settle(house, _failed(one), _delivered(two))
    before = _page(house)
    stale = [_delivered(one), _failed(two), dataclasses.replace(_failed(one), number=10**9)]
    assert set(_settle(house, *stale, _failed(three))) == {three.id}
    assert _page(house) == [_failed(three), *before[1:]]
    assert not _settle(house)


def test_answer_that_is_no_text_is_written(house: Database) -> None:
    """Mail servers may answer with any bytes; what stands beside them is told as it is."""
    _add(house, new_message(1))
    (one,) = _pending(house)
    attempt = Attempt(
        time=NOW, duration=0, verdict=Verdict.FAILED, reason="\udcff", response="é \udc80 ok"
    )
    assert _settle(house, one.tried(attempt, state=DeliveryState.EXHAUSTED, due=None))
    (kept,) = _get(house, one).attempts
    assert kept.response.startswith("é ")
    assert kept.response.endswith(" ok")
    with house.write() as transaction:
        transaction.listeners.set_health({_A: Health(last_reason="\udcff")})
        assert transaction.listeners.get(_A).health.last_reason


def test_resent_one_starts_anew(house: Database) -> None:
    """It keeps its id and attempts, and a late word of the attempt before changes nothing."""
    _add(house, new_message(1), new_message(2))
    one, two = _pending(house)
    over = _failed(one, due=None)
    _settle(house, over, _delivered(two))
    assert _resend(house, delivery_id=one.id) == 1
    anew = dataclasses.replace(
        over, state=DeliveryState.PENDING, attempted_before=1, due=_LATER, finished=None
    )
    assert _get(house, one) == anew
    assert not _settle(house, over)
    assert _resend(house, delivery_id=two.id) == 1
    assert _sequences(_pending(house)) == [1, 2]


def test_pending_one_is_hurried_and_keeps_its_schedule(house: Database) -> None:
    """It is due now, and the attempt that is under way is written all the same."""
    _add(house, new_message(1))
    (one,) = _pending(house)
    tried = _failed(one, due=_LONG_AFTER)
    _settle(house, tried)
    assert _resend(house, delivery_id=one.id) == 1
    assert _get(house, one) == dataclasses.replace(tried, due=_LATER)
    assert set(_settle(house, _delivered(tried))) == {one.id}


def test_what_is_due_later_is_hurried(house: Database) -> None:
    """Of that listener alone; what is due already, is delivered or is given up stays as it is."""
    _add(house, *map(new_message, range(1, 5)), to=(_A, _B))
    later, due, delivered, exhausted = _pending(house)
    (others, *_) = _pending(house, _B)
    tried = _failed(later, due=_LONG_AFTER)
    over = [_delivered(delivered), _failed(exhausted, due=None)]
    _settle(house, tried, *over, _failed(others, due=_LONG_AFTER))
    with house.write() as transaction:
        assert transaction.deliveries.hurry(_A, now=_LATER) == 1
        assert transaction.deliveries.hurry(_GONE, now=_LATER) == 0
    assert _pending(house) == [dataclasses.replace(tried, due=_LATER), due]
    assert [_get(house, each) for each in over] == over
    assert _get(house, others).due == _LONG_AFTER


def test_what_is_another_listeners_or_unknown_is_not_resent(house: Database) -> None:
    """However it is asked for."""
    _add(house, new_message(1))
    (one,) = _pending(house)
    _settle(house, _failed(one, due=None))
    assert _resend(house, listener_id=_B, delivery_id=one.id) == 0
    assert _resend(house, delivery_id="msg_unknown") == 0
    assert _resend(house, listener_id=_B) == 0
    assert _resend(house, listener_id=_GONE) == 0
    assert _pending(house) == []


def test_exhausted_ones_are_resent_from_a_time_on(house: Database) -> None:
    """The lowest numbers first; those that were delivered or are pending are left alone."""
    _add(house, new_message(1))
    _add(house, *map(new_message, range(2, 7)), now=_LATER)
    *exhausted, delivered, pending = _pending(house)
    _settle(house, *(_failed(each, due=None) for each in exhausted), _delivered(delivered))
    assert _resend(house, since=_LATER, limit=2) == 2
    assert _sequences(_pending(house)) == [2, 3, pending.sequence]
    assert _resend(house) == 2
    assert _sequences(_pending(house)) == [1, 2, 3, 4, 6]
    assert _resend(house) == 0


def test_delivery_that_is_not_there_is_missing(database: Database) -> None:
    """It is told by name."""
    with database.read() as transaction, pytest.raises(MissingResource) as caught:
        transaction.deliveries.get("msg_x")
    assert caught.value.resources == {"delivery_id": "msg_x"}


def test_pages_go_back_in_time(house: Database) -> None:
    """Filtered by state and time, one page after the other."""
    _add(house, new_message(1), new_message(2))
    _add(house, new_message(3), new_message(4), now=_LATER)
    _add(house, new_message(5), to=[_B])
    one, two, *_ = _pending(house)
    _settle(house, _delivered(one), _failed(two, due=None))
    assert _sequences(_page(house)) == [4, 3, 2, 1]
    assert _sequences(_page(house, DeliveryState.DELIVERED)) == [1]
    assert _sequences(_page(house, DeliveryState.PENDING, DeliveryState.EXHAUSTED)) == [4, 3, 2]
    with house.read() as transaction:
        page = transaction.deliveries.page
        since = page(listener_id=_A, states=(), since=_LATER, before=None, limit=9)
        first = page(listener_id=_A, states=(), since=None, before=None, limit=3)
        rest = page(listener_id=_A, states=(), since=None, before=first[-1].number, limit=3)
    assert list(map(_sequences, (since, first, rest))) == [[4, 3], [4, 3, 2], [1]]


def test_counts_tell_what_is_not_delivered(house: Database) -> None:
    """And since when the first of it waits; of listeners without any, nothing."""
    _add(house, *map(new_message, range(1, 5)))
    _add(house, new_message(5), now=_LATER)
    one, two, three, four, _ = _pending(house)
    _settle(house, _delivered(one), _failed(two, due=None), _failed(three), _delivered(four))
    with house.read() as transaction:
        counts = transaction.deliveries.counts()
        assert counts == {_A: {DeliveryState.PENDING: 2, DeliveryState.EXHAUSTED: 1}}
        assert transaction.deliveries.oldest_pending() == {_A: NOW}
    _settle(house, _delivered(_failed(three)))
    with house.read() as transaction:
        assert transaction.deliveries.oldest_pending() == {_A: _LATER}


def test_what_is_long_over_is_purged(house: Database) -> None:
    """With its message, unless somebody else is still to be told; pending ones stay."""
    _add(house, new_message(1), new_message(2), new_message(3))
    _add(house, new_message(4), to=[_A, _B])
    one, two, three, four = _pending(house)
    _settle(house, _delivered(one), _delivered(two, at=_LATER), _delivered(four))
    assert _purge(house, NOW) == 0
    assert _purge(house, _LATER) == 3
    assert _sequences(_page(house)) == [3, 2]
    with house.read() as transaction:
        left = transaction.deliveries.messages([each.message for each in (one, two, three, four)])
    assert [each.sequence for each in left.values()] == [2, 3, 4]
    assert _purge(house, _LONG_AFTER) == 2


def test_purge_goes_by_parts(house: Database) -> None:
    """As long as it reaches its limit there may be more."""
    _add(house, *map(new_message, range(1, 8)))
    _settle(house, *map(_delivered, _pending(house)))
    parts = [_purge(house, _LATER, limit=3)]
    while parts[-1] >= 3:
        parts.append(_purge(house, _LATER, limit=3))
    assert sum(parts) == 14
    assert len(parts) > 2


def test_what_a_listener_has_is_discarded_by_parts(house: Database) -> None:
    """Whatever came of it; what others are to be told stays, with its message."""
    _add(house, new_message(1), new_message(2), new_message(3))
    _add(house, new_message(4), to=[_A, _B])
    one, two, _, four = _pending(house)
    _settle(house, _delivered(one), _failed(two, due=None))
    with house.write_beside() as transaction:
        assert transaction.deliveries.discard(_A, limit=3) == 3
        assert transaction.deliveries.discard(_A, limit=3) == 1
        assert transaction.deliveries.discard(_A, limit=3) == 0
        assert len(transaction.deliveries.messages([one.message, two.message, four.message])) == 1
    assert _page(house) == []
    assert _sequences(_pending(house, _B)) == [4]


def test_messages_of_listeners_that_are_gone_are_purged(house: Database) -> None:
    """Though their deliveries went before, and never were over."""
    _add(house, new_message(1))
    (one,) = _pending(house)
    with house.write() as transaction:
        transaction.listeners.remove(_A)
    assert _purge(house, NOW) == 1
    with house.read() as transaction:
        assert not transaction.deliveries.messages([one.message])
