"""Deliveries where several processes write them at once.

Whoever changes deliveries of a listener holds the listener's row first, of several in the order of
their ids; who deletes a listener needs that row for itself. So no two wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select, text

from pulpit.domain.deliveries import Delivery
from pulpit.domain.messages import Message
from pulpit.storage.deliveries import SqlDeliveryStore
from pulpit.storage.delivery_rows import NewDelivery, encoded_attempts, moment
from pulpit.storage.locks import AdvisoryLock, lock
from pulpit.storage.messages import add_messages_at_once
from pulpit.storage.tables import listeners

__all__ = ["PostgresDeliveryStore"]

_ADD = text("""
    INSERT INTO deliveries (
        id, listener_id, message, event_type, sequence, lane, created, due,
        state, attempts, attempted, attempted_before
    )
    SELECT id, listener_id, message, event_type, sequence, lane, :now, :now, 'pending', '[]', 0, 0
    FROM unnest(
        CAST(:id AS text[]), CAST(:listener_id AS text[]), CAST(:message AS bigint[]),
        CAST(:event_type AS text[]), CAST(:sequence AS bigint[]), CAST(:lane AS text[])
    ) WITH ORDINALITY AS new (id, listener_id, message, event_type, sequence, lane, place)
    ORDER BY place
""")
_SETTLE = text("""
    UPDATE deliveries SET
        state = new.state, attempts = CAST(new.attempts AS json), attempted = new.attempted,
        due = new.due, finished = new.finished
    FROM unnest(
        CAST(:number AS bigint[]), CAST(:state AS text[]), CAST(:attempts AS text[]),
        CAST(:attempted AS integer[]), CAST(:due AS bigint[]), CAST(:finished AS bigint[])
    ) AS new (number, state, attempts, attempted, due, finished)
    WHERE deliveries.number = new.number
        AND deliveries.state = 'pending' AND deliveries.attempted = new.attempted - 1
    RETURNING id
""")


class PostgresDeliveryStore(SqlDeliveryStore):
    """Implements ``pulpit.ports.DeliveryStore``."""

    def _present(self, listener_ids: Collection[str]) -> Collection[str]:
        # so numbers are committed in their order, and who reads on from one misses none
        lock(self._connection, AdvisoryLock.DELIVERIES)
        statement = select(listeners.c.id).where(listeners.c.id.in_(listener_ids))
        held = statement.order_by(listeners.c.id).with_for_update(read=True, key_share=True)
        return set(self._connection.execute(held).scalars())

    def _add_messages(self, added: Sequence[Message]) -> dict[tuple[int, str], int]:
        return add_messages_at_once(self._connection, added)

    def _add(self, new: Sequence[NewDelivery], now: int) -> None:
        columns = zip(NewDelivery._fields, map(list, zip(*new, strict=True)), strict=True)
        self._connection.execute(_ADD, {**dict(columns), "now": now})

    def settle(self, tried: Sequence[Delivery]) -> Collection[str]:
        if not tried:
            return set()
        self._take({each.listener_id for each in tried})
        columns = {
            "number": [each.number for each in tried],
            "state": [each.state.value for each in tried],
            "attempts": [encoded_attempts(each) for each in tried],
            "attempted": [each.attempted for each in tried],
            "due": [moment(each.due) for each in tried],
            "finished": [moment(each.finished) for each in tried],
        }
        return set(self._connection.execute(_SETTLE, columns).scalars())

    def _take(self, listener_ids: Collection[str]) -> None:
        statement = select(listeners.c.id).where(listeners.c.id.in_(listener_ids))
        # shared with who adds deliveries, who has the row for reading its key
        held = statement.order_by(listeners.c.id).with_for_update(key_share=True)
        self._connection.execute(held).all()
