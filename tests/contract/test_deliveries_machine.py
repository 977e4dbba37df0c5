"""Deliveries added, tried, resent, hurried and purged, with listeners that go, in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pulpit.domain.deliveries import Attempt, Delivery, DeliveryState, Verdict
from pulpit.domain.messages import Message
from tests.contract.databases import NOW, MakeDatabase, new_listener, new_message

_LISTENERS = tuple(letter * 24 for letter in "abc")
_SOME = st.lists(st.sampled_from(_LISTENERS), max_size=3)
#: Where attempts lead, and what each of them tells.
_STATES = {
    DeliveryState.PENDING: Verdict.FAILED,
    DeliveryState.DELIVERED: Verdict.DELIVERED,
    DeliveryState.EXHAUSTED: Verdict.FAILED,
}
_ALL = 1_000
_RETRY = timedelta(minutes=30)


class Deliveries(RuleBasedStateMachine):
    """What the database is told to do is done to a list as well."""

    make: MakeDatabase

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="pulpit-")
        self.database = type(self).make(Path(self.folder.name))
        self.now = NOW
        self.listeners: set[str] = set()
        #: Id to delivery, as it must be, in the order in which they were made.
        self.expected: dict[str, Delivery] = {}
        #: Deliveries as somebody saw them some time ago.
        self.seen: list[Delivery] = []
        #: (sequence, event type) of the messages that are there, to their numbers.
        self.messages: dict[tuple[int, str], int] = {}
        self.newest = 0
        for listener_id in _LISTENERS:
            self.join(listener_id)
        self.add([(sequence, "zoo", [*_LISTENERS]) for sequence in (7, 8, 9)])

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    @rule(minutes=st.integers(0, 60))
    def pass_time(self, minutes: int) -> None:
        """Time goes on."""
        self.now += timedelta(minutes=minutes)

    @rule(listener_id=st.sampled_from(_LISTENERS))
    def join(self, listener_id: str) -> None:
        """A listener comes, or comes back."""
        if listener_id not in self.listeners:
            with self.database.write() as transaction:
                transaction.listeners.add(new_listener(listener_id))
            self.listeners.add(listener_id)

    @rule(listener_id=st.sampled_from(_LISTENERS[2:]))
    def leave(self, listener_id: str) -> None:
        """A listener goes, with its deliveries."""
        with self.database.write() as transaction:
            transaction.listeners.remove(listener_id)
        self.listeners.discard(listener_id)
        for each in self._of(listener_id):
            del self.expected[each.id]

    @rule(
        wanted=st.lists(
            st.tuples(st.integers(1, 9), st.sampled_from(["zoo", "emu", None]), _SOME), max_size=4
        )
    )
    def add(self, wanted: list[tuple[int, str | None, list[str]]]) -> None:
        """Events are told of, some of them once more."""
        given = [
            (new_message(sequence, repo_id=repo_id, task_id="t"), listener_ids)
            for sequence, repo_id, listener_ids in wanted
        ]
        with self.database.write_beside() as transaction:
            count = transaction.deliveries.add(given, now=self.now)
        told = [new for message, listener_ids in given for new in self._told(message, listener_ids)]
        assert count == len(told)
        made = [each for each in self._kept() if each.number > self.newest]
        assert [(each.listener_id, each.sequence, each.lane) for each in made] == told
        for each in made:
            assert (each.state, each.due, each.created) == (
                DeliveryState.PENDING,
                self.now,
                self.now,
            )
            assert each.id not in self.expected
            self.expected[each.id] = each
            self.messages[each.sequence, each.event_type] = each.message
            self.newest = each.number

    def _told(
        self, message: Message, listener_ids: Collection[str]
    ) -> Sequence[tuple[str, int, str]]:
        """Return (listener, sequence, lane) of the deliveries that are to be made."""
        there = [each for each in dict.fromkeys(listener_ids) if each in self.listeners]
        key = message.sequence, message.event_type
        if not there or key in self.messages:
            return []
        self.messages[key] = 0
        return [(each, message.sequence, message.lane) for each in there]

    @rule(
        picks=st.lists(
            st.tuples(st.booleans(), st.integers(0, 9), st.sampled_from([*_STATES])),
            min_size=1,
            max_size=4,
        )
    )
    def settle(self, picks: list[tuple[bool, int, DeliveryState]]) -> None:
        """Somebody writes what came of attempts, which others may have made meanwhile."""
        tried = {}
        for stale, pick, state in picks:
            among = self.seen if stale else [*self.expected.values()][-9:]
            if not among:
                continue
            delivery = among[pick % len(among)]
            if not stale:
                self.seen = [delivery, *self.seen[:3]]
            attempt = Attempt(time=self.now, duration=0.5, verdict=_STATES[state])
            due = self.now + _RETRY if state is DeliveryState.PENDING else None
            tried[delivery.id] = delivery.tried(attempt, state=state, due=due)
        with self.database.write_beside() as transaction:
            written = transaction.deliveries.settle([*tried.values()])
        for delivery_id, after in tried.items():
            before = self.expected.get(delivery_id)
            is_next = (
                before is not None
                and before.state is DeliveryState.PENDING
                and before.attempted == after.attempted - 1
            )
            assert (delivery_id in written) == is_next
            if before is not None and is_next:
                # a resend that came meanwhile counts all the same
                self.expected[delivery_id] = replace(
                    after, attempted_before=before.attempted_before
                )

    @rule(pick=st.integers(0, 99), of_another=st.booleans())
    def resend(self, pick: int, of_another: bool) -> None:
        """One is sent again, whatever it is."""
        if not self.expected:
            return
        delivery = [*self.expected.values()][pick % len(self.expected)]
        listener_id = _LISTENERS[pick % 3] if of_another else delivery.listener_id
        with self.database.write_beside() as transaction:
            count = transaction.deliveries.resend(
                listener_id, now=self.now, delivery_id=delivery.id, limit=1
            )
        assert count == (listener_id == delivery.listener_id)
        if count:
            self._anew(delivery)

    @rule(listener_id=st.sampled_from(_LISTENERS), limit=st.integers(1, 4), hours=st.integers(0, 3))
    def resend_exhausted(self, listener_id: str, limit: int, hours: int) -> None:
        """All that have failed since a time are sent again, some at a time."""
        since = self.now - timedelta(hours=hours)
        failed = [
            each
            for each in self._of(listener_id)
            if each.state is DeliveryState.EXHAUSTED and each.created >= since
        ][:limit]
        with self.database.write_beside() as transaction:
            count = transaction.deliveries.resend(
                listener_id, now=self.now, since=since, limit=limit
            )
        assert count == len(failed)
        for each in failed:
            self._anew(each)

    @rule(listener_id=st.sampled_from(_LISTENERS))
    def hurry(self, listener_id: str) -> None:
        """What is due later is due now."""
        later = [
            each for each in self._of(listener_id) if each.due is not None and each.due > self.now
        ]
        with self.database.write_beside() as transaction:
            assert transaction.deliveries.hurry(listener_id, now=self.now) == len(later)
        for each in later:
            self.expected[each.id] = replace(each, due=self.now)

    def _anew(self, delivery: Delivery) -> None:
        pending = delivery.state is DeliveryState.PENDING
        self.expected[delivery.id] = replace(
            delivery,
            state=DeliveryState.PENDING,
            attempted_before=delivery.attempted_before if pending else delivery.attempted,
            due=self.now,
            finished=None,
        )

    @rule(hours=st.integers(0, 2), limit=st.sampled_from([1, 2, _ALL]))
    def purge(self, hours: int, limit: int) -> None:
        """What was over long ago goes, and messages that nobody is told of any more."""
        before = self.now - timedelta(hours=hours)
        old = {
            each.id
            for each in self.expected.values()
            if each.finished is not None and each.finished < before
        }
        with self.database.write_beside() as transaction:
            gone = transaction.deliveries.purge(before=before, limit=limit)
            left = transaction.deliveries.messages(self.messages.values())
        purged = self.expected.keys() - {each.id for each in self._kept()}
        assert purged <= old
        for delivery_id in purged:
            del self.expected[delivery_id]
        known = len(self.messages)
        self.messages = {key: number for key, number in self.messages.items() if number in left}
        assert gone == len(purged) + known - len(self.messages)
        named = {each.message for each in self.expected.values()}
        assert named <= set(left)
        if gone < limit:
            assert purged == old
            assert named == set(left)

    @rule(listener_id=st.sampled_from(_LISTENERS[1:]), limit=st.integers(1, 3))
    def discard(self, listener_id: str, limit: int) -> None:
        """Some of what a listener was and is to be told goes, the oldest first."""
        doomed = self._of(listener_id)[:limit]
        with self.database.write_beside() as transaction:
            assert transaction.deliveries.discard(listener_id, limit=limit) == len(doomed)
            left = transaction.deliveries.messages(self.messages.values())
        for each in doomed:
            del self.expected[each.id]
        named = {each.message for each in self.expected.values()}
        gone = {each.message for each in doomed} - named
        assert gone.isdisjoint(left)
        self.messages = {key: each for key, each in self.messages.items() if each not in gone}
        assert len(left) == len(self.messages)

    def _of(self, listener_id: str) -> list[Delivery]:
        return [each for each in self.expected.values() if each.listener_id == listener_id]

    def _kept(self) -> list[Delivery]:
        """Return all deliveries of the database, by number."""
        with self.database.read() as transaction:
            found = [
                each
                for listener_id in _LISTENERS
                for each in transaction.deliveries.page(
                    listener_id=listener_id, states=(), since=None, before=None, limit=_ALL
                )
            ]
        return sorted(found, key=lambda each: each.number)

    @invariant()
    def nothing_is_lost(self) -> None:
        """All are there and as they must be, under the ids and numbers that they got."""
        assert self._kept() == [*self.expected.values()]

    @invariant()
    def lanes_are_in_order(self) -> None:
        """What is pending in a lane comes in the order in which it was added."""
        with self.database.read() as transaction:
            for listener_id in _LISTENERS:
                pending = [
                    each for each in self._of(listener_id) if each.state is DeliveryState.PENDING
                ]
                for lane in {each.lane for each in pending}:
                    found = transaction.deliveries.pending(
                        listener_id, after=0, limit=_ALL, lane=lane
                    )
                    assert found == [each for each in pending if each.lane == lane]
                counts = transaction.deliveries.counts().get(listener_id, {})
                assert counts.get(DeliveryState.PENDING, 0) == len(pending)


def test_deliveries_are_what_was_made_of_them(make_database: MakeDatabase) -> None:
    """However it interleaves: each is made once, keeps its id and place, and is never lost."""
    machine = type("Machine", (Deliveries,), {"make": staticmethod(make_database)})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=10, stateful_step_count=30, deadline=None)
    )
