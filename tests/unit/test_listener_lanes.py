"""The window of pending deliveries: order in each lane, nothing forgotten, bounds that hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pulpit.domain.deliveries import Attempt, Delivery, DeliveryState, Verdict
from pulpit.events.listeners.lanes import Lanes, Read

_START = datetime(2026, 1, 1, tzinfo=UTC)
_WINDOW, _OF_LANE, _PARKED = 4, 2, 2
_LANES = st.sampled_from("aaabbcd")
_OUTCOMES = st.sampled_from(["delivered", "delivered", "delivered", "retry", "exhausted"])
_RARELY = st.sampled_from([False, False, False, True])


def _delivery(number: int, lane: str, *, now: datetime = _START) -> Delivery:
    return Delivery(
        id=f"msg_{number}",
        number=number,
        listener_id="l",
        message=number,
        event_type="task.finished",
        sequence=number,
        lane=lane,
        created=now,
        due=now,
    )


class _Rows:
    """The table of deliveries."""

    def __init__(self) -> None:
        self.rows: dict[int, Delivery] = {}

    def add(self, lane: str, now: datetime) -> None:
        number = len(self.rows) + 1
        self.rows[number] = _delivery(number, lane, now=now)

    def pending(self, lane: str | None = None) -> list[Delivery]:
        return [
            row
            for row in self.rows.values()
            if row.state is DeliveryState.PENDING and lane in {None, row.lane}
        ]

    def read(self, read: Read) -> list[Delivery]:
        found = [row for row in self.pending(read.lane) if row.number > read.after]
        return found[: read.limit]

    def settle(self, tried: Delivery) -> None:
        known = self.rows[tried.number]
        if known.state is DeliveryState.PENDING and known.attempted == tried.attempted - 1:
            self.rows[tried.number] = replace(tried, attempted_before=known.attempted_before)


class Delivering(RuleBasedStateMachine):
    """Deliveries come, are tried with any outcome, resent; reads and writes take their time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = _START
        self.table = _Rows()
        self.lanes = Lanes(window=_WINDOW, of_lane=_OF_LANE, parked=_PARKED)
        self.under_way: dict[int, Delivery] = {}
        #: Tried, and not written yet; what is older is written first.
        self.results: list[Delivery] = []
        #: What was read, and not taken in yet.
        self.reading: tuple[Read, list[Delivery]] | None = None

    @rule(lanes=st.lists(_LANES, min_size=1, max_size=3))
    def add(self, lanes: list[str]) -> None:
        """New deliveries are written, and told."""
        for lane in lanes:
            self.table.add(lane, self.now)
        self.lanes.told()

    @precondition(lambda self: self.reading is None)
    @rule(fails=_RARELY)
    def read(self, fails: bool) -> None:
        """What is wanted is read, or can't be."""
        wanted = self.lanes.wanted(self.now)
        if wanted is None:
            return
        assert wanted.limit > 0
        if fails:
            self.lanes.not_read(wanted)
        else:
            self.reading = wanted, self.table.read(wanted)
            assert self.lanes.wanted(self.now) is None

    @precondition(lambda self: self.reading)
    @rule()
    def take_in(self) -> None:
        """What was read arrives, whatever has happened since."""
        assert self.reading
        self.lanes.take_in(*self.reading, self.now)
        self.reading = None

    @rule()
    def begin(self) -> None:
        """Something is tried: the first of its lane that was not delivered, and no other."""
        delivery = self.lanes.next()
        if delivery is None:
            return
        assert delivery.number not in self.under_way
        assert delivery.lane not in {other.lane for other in self.under_way.values()}
        unwritten = {result.number: result for result in self.results}
        assert delivery.number not in unwritten
        before = [row for row in self.table.pending(delivery.lane) if row.number < delivery.number]
        for row in before:
            # what went before and is still pending by the table was delivered
            assert unwritten[row.number].state is DeliveryState.DELIVERED, row
        self.under_way[delivery.number] = delivery

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), outcome=_OUTCOMES, delay=st.integers(0, 50))
    def end(self, data: st.DataObject, outcome: str, delay: int) -> None:
        """An attempt comes to its end."""
        number = data.draw(st.sampled_from(sorted(self.under_way)))
        delivery = self.under_way.pop(number)
        verdict = Verdict.DELIVERED if outcome == "delivered" else Verdict.FAILED
        attempt = Attempt(time=self.now, duration=0.0, verdict=verdict)
        due = self.now + timedelta(seconds=delay) if outcome == "retry" else None
        state = {
            "delivered": DeliveryState.DELIVERED,
            "retry": DeliveryState.PENDING,
            "exhausted": DeliveryState.EXHAUSTED,
        }[outcome]
        self.results.append(delivery.tried(attempt, state=state, due=due))
        if outcome == "delivered":
            self.lanes.delivered(delivery, self.now)
        else:
            self.lanes.failed(delivery, due)

    @precondition(lambda self: self.results)
    @rule(most=st.integers(1, 5))
    def write(self, most: int) -> None:
        """Results are written, and that is heeded."""
        written, self.results = self.results[:most], self.results[most:]
        for result in written:
            self.table.settle(result)
        self.lanes.settled([result.number for result in written])

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)

    @rule(data=st.data(), happens=_RARELY)
    def resend(self, data: st.DataObject, happens: bool) -> None:
        """Somebody resends some of what is over, or hurries what waits; that is told."""
        if not happens:
            return
        numbers = sorted(self.table.rows)
        for number in data.draw(st.lists(st.sampled_from(numbers), max_size=3)) if numbers else ():
            row = self.table.rows[number]
            self.table.rows[number] = replace(
                row,
                state=DeliveryState.PENDING,
                attempted_before=row.attempted,
                due=self.now,
                finished=None,
            )
        self.lanes.anew()

    @invariant()
    def holds_no_more_than_it_may(self) -> None:
        assert len(self.under_way) <= self.lanes.held <= _WINDOW
        assert self.lanes.parked <= _PARKED + _WINDOW

    def teardown(self) -> None:
        """Whatever has happened: in the end all is delivered."""
        for _ in range(3_000):
            if self.reading:
                self.take_in()
            self.read(fails=False)
            if self.reading:
                self.take_in()
            while (delivery := self.lanes.next()) is not None:
                self.under_way[delivery.number] = delivery
            for number in sorted(self.under_way):
                delivery = self.under_way.pop(number)
                attempt = Attempt(time=self.now, duration=0.0, verdict=Verdict.DELIVERED)
                self.results.append(
                    delivery.tried(attempt, state=DeliveryState.DELIVERED, due=None)
                )
                self.lanes.delivered(delivery, self.now)
            if self.results:
                self.write(len(self.results))
            elif not self.table.pending():
                break
            self.now += timedelta(seconds=5)
        assert not self.table.pending()
        assert self.lanes.is_quiet
        assert self.lanes.held == 0


def test_lanes_keep_order_and_bounds_and_forget_nothing_whatever_happens() -> None:
    run_state_machine_as_test(
        Delivering, settings=settings(max_examples=150, stateful_step_count=60, deadline=None)
    )


def _read(lanes: Lanes, table: _Rows, now: datetime = _START) -> None:
    while (wanted := lanes.wanted(now)) is not None:
        lanes.take_in(wanted, table.read(wanted), now)


def _begun(lanes: Lanes) -> list[int]:
    begun = []
    while (delivery := lanes.next()) is not None:
        begun.append(delivery.number)
    return begun


def test_a_lane_whose_head_waits_holds_up_no_other_lane() -> None:
    table, lanes = _Rows(), Lanes(window=_WINDOW)
    for lane in ["bad"] * 20 + ["good"]:
        table.add(lane, _START)
    _read(lanes, table)
    head = lanes.next()
    assert head is not None
    assert head.number == 1
    due = _START + timedelta(seconds=5)
    attempt = Attempt(time=_START, duration=0.0, verdict=Verdict.FAILED)
    lanes.failed(head, due)
    table.settle(head.tried(attempt, state=DeliveryState.PENDING, due=due))
    lanes.settled([1])
    _read(lanes, table)
    assert _begun(lanes) == [21]
    assert lanes.due_at == due
    _read(lanes, table, due)
    assert _begun(lanes) == [1]


def test_after_one_that_failed_for_good_the_next_waits_until_that_is_written() -> None:
    table, lanes = _Rows(), Lanes()
    for _ in range(2):
        table.add("a", _START)
    _read(lanes, table)
    head = lanes.next()
    assert head is not None
    lanes.failed(head, None)
    _read(lanes, table)
    assert _begun(lanes) == []
    attempt = Attempt(time=_START, duration=0.0, verdict=Verdict.FAILED)
    table.settle(head.tried(attempt, state=DeliveryState.EXHAUSTED, due=None))
    lanes.settled([1])
    _read(lanes, table)
    assert _begun(lanes) == [2]


def test_what_is_resent_before_a_failure_is_heeded_does_not_wait_for_its_retry() -> None:
    table, lanes = _Rows(), Lanes()
    table.add("a", _START)
    _read(lanes, table)
    head = lanes.next()
    assert head is not None
    due = _START + timedelta(hours=10)
    attempt = Attempt(time=_START, duration=0.0, verdict=Verdict.FAILED)
    failed = head.tried(attempt, state=DeliveryState.PENDING, due=due)
    lanes.failed(head, due)
    table.settle(failed)
    # it is written, and resent, before who delivers hears of either
    table.rows[1] = replace(table.rows[1], due=_START)
    lanes.anew()
    _read(lanes, table)
    lanes.settled([1])
    _read(lanes, table)
    assert _begun(lanes) == [1]


def test_when_too_many_lanes_wait_a_success_has_all_of_them_tried_at_once() -> None:
    table, lanes = _Rows(), Lanes(window=2, parked=2)
    later = _START + timedelta(hours=1)
    for lane in "abc":
        table.add(lane, _START)
    attempt = Attempt(time=_START, duration=0.0, verdict=Verdict.FAILED)
    for number in (1, 2):
        table.rows[number] = table.rows[number].tried(
            attempt, state=DeliveryState.PENDING, due=later
        )
    _read(lanes, table)
    # the table of those that wait is full, so the third is not read
    assert lanes.parked == 2
    assert _begun(lanes) == []
    _read(lanes, table, later)
    head = lanes.next()
    assert head is not None
    table.rows[head.number] = replace(head, state=DeliveryState.DELIVERED, due=None, finished=later)
    lanes.delivered(head, later)
    lanes.settled([head.number])
    _read(lanes, table, later)
    assert sorted([head.number, *_begun(lanes)]) == [1, 2, 3]


def _read_ahead() -> tuple[_Rows, Lanes]:
    """Return a lane of two, the second of which was read with the lane, before its turn."""
    table, lanes = _Rows(), Lanes()
    table.add("a", _START)
    _read(lanes, table)
    head = lanes.next()
    assert head is not None
    attempt = Attempt(time=_START, duration=0.0, verdict=Verdict.FAILED)
    lanes.failed(head, _START)
    table.settle(head.tried(attempt, state=DeliveryState.PENDING, due=_START))
    lanes.settled([1])
    table.add("a", _START)
    _read(lanes, table)
    assert lanes.held == 2
    lanes.told()
    return table, lanes


def _deliver(lanes: Lanes, table: _Rows) -> int:
    """Deliver the next one, and write that; return its number."""
    delivery = lanes.next()
    assert delivery is not None
    lanes.delivered(delivery, _START)
    attempt = Attempt(time=_START, duration=0.0, verdict=Verdict.DELIVERED)
    table.settle(delivery.tried(attempt, state=DeliveryState.DELIVERED, due=None))
    lanes.settled([delivery.number])
    return delivery.number


def test_what_is_held_already_is_not_held_twice() -> None:
    table, lanes = _read_ahead()
    _read(lanes, table)
    assert lanes.held == 2


def test_what_was_written_while_it_was_read_is_not_tried_again() -> None:
    table, lanes = _read_ahead()
    wanted = lanes.wanted(_START)
    assert wanted is not None
    found = table.read(wanted)
    assert [_deliver(lanes, table) for _ in range(2)] == [1, 2]
    lanes.take_in(wanted, found, _START)
    assert lanes.next() is None
    assert lanes.held == 0


def test_a_receiver_that_takes_few_does_not_have_the_others_tried_all_the_time() -> None:
    table, lanes = _Rows(), Lanes(parked=2)
    for lane in "abccc":
        table.add(lane, _START)
    later = _START + timedelta(hours=10)
    _read(lanes, table)
    tried: list[int] = []
    while begun := [lanes.next() for _ in range(lanes.held)]:
        if not any(begun):
            break
        for delivery in sorted(filter(None, begun), key=lambda each: each.number):
            tried.append(delivery.number)
            attempt = Attempt(time=_START, duration=0.0, verdict=Verdict.FAILED)
            if delivery.lane == "c":
                done = delivery.tried(attempt, state=DeliveryState.DELIVERED, due=None)
                lanes.delivered(delivery, _START)
            else:
                done = delivery.tried(attempt, state=DeliveryState.PENDING, due=later)
                lanes.failed(delivery, later)
            table.settle(done)
            lanes.settled([delivery.number])
        _read(lanes, table)
    assert sorted(tried) == [1, 1, 2, 2, 3, 4, 5]
