"""What listeners are still to be told, and were told."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    delete,
    func,
    select,
    text,
    update,
)

from pulpit.domain.deliveries import Delivery, DeliveryState
from pulpit.domain.messages import Message
from pulpit.errors import MissingResource
from pulpit.storage.delivery_rows import (
    NewDelivery,
    delivery_of,
    encoded_attempts,
    moment,
    new_ids,
    pending_of,
)
from pulpit.storage.messages import add_messages, read_messages, remove_nameless
from pulpit.storage.rows import batched
from pulpit.storage.tables import (
    IS_EXHAUSTED,
    IS_PENDING,
    deliveries,
    listeners,
    microseconds,
)

__all__ = ["SqlDeliveryStore"]

_ADD = """
    INSERT INTO deliveries (
        id, listener_id, message, event_type, sequence, lane, created, due,
        state, attempts, attempted, attempted_before
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', '[]', 0, 0)
"""
#: A row is a step, between which other threads may have the interpreter for long; so what is read
#: and written all the time is one row of JSON on SQLite, which then works beside them.
_TRIED_BEFORE = text("""
    SELECT json_group_array(json_array(number, attempted)) FROM deliveries
    WHERE state = 'pending' AND number IN (SELECT value FROM json_each(:numbers))
""")
_SETTLE = text("""
    UPDATE deliveries SET
        state = json_extract(new.value, '$[0]'), attempts = json_extract(new.value, '$[1]'),
        attempted = json_extract(new.value, '$[2]'), due = json_extract(new.value, '$[3]'),
        finished = json_extract(new.value, '$[4]')
    FROM json_each(:rows) AS new
    WHERE deliveries.number = json_extract(new.value, '$[5]')
""")
#: Building a statement takes longer than running it; these run all the time on PostgreSQL.
_PENDING = (
    select(deliveries)
    .where(
        deliveries.c.listener_id == bindparam("of_listener"),
        IS_PENDING,
        deliveries.c.number > bindparam("after"),
    )
    .order_by(deliveries.c.number)
    .limit(bindparam("most"))
)
_PENDING_OF_LANE = _PENDING.where(deliveries.c.lane == bindparam("of_lane"))
#: The columns of a pending delivery, in this order.
_IN_ONE_ROW = """
    SELECT json_group_array(json_array(
        number, id, message, event_type, sequence, lane, attempts, attempted, attempted_before,
        created, due
    )) FROM (
        SELECT * FROM deliveries
        WHERE listener_id = :of_listener AND state = 'pending' AND number > :after {more}
        ORDER BY number LIMIT :most
    )
"""
_PENDING_AS_JSON = text(_IN_ONE_ROW.format(more=""))
_PENDING_OF_LANE_AS_JSON = text(_IN_ONE_ROW.format(more="AND lane = :of_lane"))
#: The created time of each listener's first pending delivery.
_OLDEST = select(
    listeners.c.id,
    select(deliveries.c.created)
    .where(deliveries.c.listener_id == listeners.c.id, IS_PENDING)
    .order_by(deliveries.c.number)
    .limit(1)
    .scalar_subquery(),
)
_IS_IN: Mapping[DeliveryState, ColumnElement[bool]] = {
    DeliveryState.PENDING: IS_PENDING,
    DeliveryState.DELIVERED: deliveries.c.state == DeliveryState.DELIVERED.value,
    DeliveryState.EXHAUSTED: IS_EXHAUSTED,
}


class SqlDeliveryStore:
    """Implements ``pulpit.ports.DeliveryStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, wanted: Sequence[tuple[Message, Collection[str]]], *, now: datetime) -> int:
        there = self._present({each for _, listener_ids in wanted for each in listener_ids})
        heard = [
            (message, [each for each in dict.fromkeys(listener_ids) if each in there])
            for message, listener_ids in wanted
        ]
        heard = [(message, listener_ids) for message, listener_ids in heard if listener_ids]
        if not heard:
            return 0
        numbers = self._add_messages([message for message, _ in heard])
        ids = new_ids(sum(len(listener_ids) for _, listener_ids in heard))
        new = [
            NewDelivery.of(message, number, listener_id, next(ids))
            for message, listener_ids in heard
            # taken out: the same one once more, later in the list, is left as it is too
            if (number := numbers.pop((message.sequence, message.event_type), None))
            for listener_id in listener_ids
        ]
        if new:
            self._add(new, microseconds(now))
        return len(new)

    def _present(self, listener_ids: Collection[str]) -> Collection[str]:
        """Return the listeners that exist, which stay to the end of the transaction."""
        if not listener_ids:
            return ()
        statement = select(listeners.c.id).where(listeners.c.id.in_(listener_ids))
        return set(self._connection.execute(statement).scalars())

    def _add_messages(self, added: Sequence[Message]) -> dict[tuple[int, str], int]:
        """Write those that are not there; return (sequence, event type) to number of these."""
        return add_messages(self._connection, added)

    def _add(self, new: Sequence[NewDelivery], now: int) -> None:
        """Write new deliveries, in this order; *now* is in microseconds."""
        self._connection.exec_driver_sql(_ADD, [(*each, now, now) for each in new])

    def pending(
        self, listener_id: str, *, after: int, limit: int, lane: str | None = None
    ) -> Sequence[Delivery]:
        values: dict[str, Any] = {"of_listener": listener_id, "after": after, "most": limit}
        if lane is not None:
            values["of_lane"] = lane
        if self._connection.dialect.name != "sqlite":
            return self._all(_PENDING if lane is None else _PENDING_OF_LANE, values)
        statement = _PENDING_AS_JSON if lane is None else _PENDING_OF_LANE_AS_JSON
        return pending_of(self._connection.execute(statement, values).scalar_one(), listener_id)

    def messages(self, numbers: Collection[int]) -> Mapping[int, Message]:
        return {each.number: each for each in read_messages(self._connection, numbers)}

    def settle(self, tried: Sequence[Delivery]) -> Collection[str]:
        if not tried:
            return set()
        numbers = msgspec.json.encode([each.number for each in tried]).decode()
        found = self._connection.execute(_TRIED_BEFORE, {"numbers": numbers}).scalar_one()
        before = dict(msgspec.json.decode(found, type=list[tuple[int, int]]))
        # of two attempts at the same one, the first
        written = [each for each in tried if before.pop(each.number, None) == each.attempted - 1]
        rows = [
            (
                each.state.value,
                encoded_attempts(each),
                each.attempted,
                moment(each.due),
                moment(each.finished),
                each.number,
            )
            for each in written
        ]
        if rows:
            self._connection.execute(_SETTLE, {"rows": msgspec.json.encode(rows).decode()})
        return {each.id for each in written}

    def get(self, delivery_id: str) -> Delivery:
        found = self._all(select(deliveries).where(deliveries.c.id == delivery_id))
        if not found:
            raise MissingResource(delivery_id=delivery_id)
        return found[0]

    def page(
        self,
        *,
        listener_id: str,
        states: Collection[DeliveryState],
        since: datetime | None,
        before: int | None,
        limit: int,
    ) -> Sequence[Delivery]:
        statement = select(deliveries).where(deliveries.c.listener_id == listener_id)
        if since is not None:
            statement = statement.where(deliveries.c.created >= since)
        if before is not None:
            statement = statement.where(deliveries.c.number < before)
        statement = statement.order_by(deliveries.c.number.desc()).limit(limit)
        if not states:
            return self._all(statement)
        # one by one: so each is found by the index of its state
        found = [
            each for state in set(states) for each in self._all(statement.where(_IS_IN[state]))
        ]
        return sorted(found, key=lambda each: -each.number)[:limit]

    def resend(
        self,
        listener_id: str,
        *,
        now: datetime,
        delivery_id: str | None = None,
        since: datetime | None = None,
        limit: int,
    ) -> int:
        self._take([listener_id])
        mine = select(deliveries.c.number).where(deliveries.c.listener_id == listener_id)
        if delivery_id is not None:
            this = mine.where(deliveries.c.id == delivery_id)
            hurried = update(deliveries).where(deliveries.c.number.in_(this), IS_PENDING)
            if self._connection.execute(hurried.values(due=now)).rowcount:
                return 1
            return self._begin_anew(this.where(deliveries.c.finished.is_not(None)), now)
        exhausted = mine.where(IS_EXHAUSTED)
        if since is not None:
            exhausted = exhausted.where(deliveries.c.created >= since)
        return self._begin_anew(exhausted.order_by(deliveries.c.number).limit(limit), now)

    def _begin_anew(self, numbers: Select[tuple[int]], now: datetime) -> int:
        """Make deliveries that are over pending; return how many."""
        statement = update(deliveries).where(deliveries.c.number.in_(numbers))
        values = {
            "state": DeliveryState.PENDING.value,
            "attempted_before": deliveries.c.attempted,
            "due": now,
            "finished": None,
        }
        return self._connection.execute(statement.values(values)).rowcount

    def hurry(self, listener_id: str, *, now: datetime) -> int:
        self._take([listener_id])
        mine = (deliveries.c.listener_id == listener_id, IS_PENDING, deliveries.c.due > now)
        return self._connection.execute(update(deliveries).where(*mine).values(due=now)).rowcount

    def _take(self, listener_ids: Collection[str]) -> None:
        """Keep others from changing deliveries of these listeners to the end of the transaction."""

    def counts(self) -> Mapping[str, Mapping[DeliveryState, int]]:
        counts: dict[str, dict[DeliveryState, int]] = {}
        for state in (DeliveryState.PENDING, DeliveryState.EXHAUSTED):
            statement = select(deliveries.c.listener_id, func.count()).where(_IS_IN[state])
            for listener_id, count in self._connection.execute(
                statement.group_by(deliveries.c.listener_id)
            ):
                counts.setdefault(listener_id, {})[state] = count
        return counts

    def oldest_pending(self) -> Mapping[str, datetime]:
        found = self._connection.execute(_OLDEST)
        return {listener_id: created for listener_id, created in found if created is not None}

    def discard(self, listener_id: str, *, limit: int) -> int:
        self._take([listener_id])
        mine = select(deliveries.c.number, deliveries.c.message).where(
            deliveries.c.listener_id == listener_id
        )
        found, _ = self._remove(mine.order_by(deliveries.c.number).limit(limit))
        return found

    def purge(self, *, before: datetime, limit: int) -> int:
        old = select(deliveries.c.number, deliveries.c.message).where(
            deliveries.c.finished < before
        )
        found, messages = self._remove(old.order_by(deliveries.c.finished).limit(limit))
        if found < limit:
            # listeners that are gone leave some as well
            messages += remove_nameless(self._connection, limit=limit)
        return found + messages

    def _remove(self, doomed: Select[tuple[int, int]]) -> tuple[int, int]:
        """Delete deliveries and their messages that no other names; return how many of each."""
        # whoever has one locked resends it, or deletes it as well
        found = self._connection.execute(doomed.with_for_update(skip_locked=True)).all()
        for batch in batched([row.number for row in found]):
            self._connection.execute(delete(deliveries).where(deliveries.c.number.in_(batch)))
        among = {row.message for row in found}
        return len(found), remove_nameless(self._connection, among=among)

    def _all(
        self, statement: Select[Any], values: Mapping[str, Any] | None = None
    ) -> list[Delivery]:
        return [delivery_of(row) for row in self._connection.execute(statement, values or {})]
