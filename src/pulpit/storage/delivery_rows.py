"""Rows of deliveries, as they are written and read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

import msgspec
from sqlalchemy import Row

from pulpit.domain.deliveries import Attempt, Delivery, DeliveryState
from pulpit.domain.messages import Message
from pulpit.storage.rows import storable
from pulpit.storage.tables import microseconds, time_of

__all__ = [
    "NewDelivery",
    "delivery_of",
    "encoded_attempts",
    "moment",
    "new_ids",
    "pending_of",
]

_STATES = {state.value: state for state in DeliveryState}
_NO_ATTEMPTS = "[]"
_ID_BYTES = 16
#: As the statements for pending ones have it.
_PendingRow = tuple[int, str, int, str, int, str, str, int, int, int, int | None]


class NewDelivery(NamedTuple):
    """The columns of a delivery that differ from one new one to another."""

    id: str
    listener_id: str
    message: int
    event_type: str
    sequence: int
    lane: str

    @classmethod
    def of(cls, message: Message, number: int, listener_id: str, id_: str) -> Self:
        """Return a delivery of a message to a listener, under an id of its own."""
        return cls(
            id_,
            listener_id,
            number,
            message.event_type,
            message.sequence,
            message.lane,
        )


def encoded_attempts(delivery: Delivery) -> str:
    """Return a delivery's attempts as JSON text."""
    try:
        return msgspec.json.encode(delivery.attempts).decode()
    except UnicodeEncodeError:
        attempts = [
            replace(each, reason=storable(each.reason), response=storable(each.response))
            for each in delivery.attempts
        ]
        return msgspec.json.encode(attempts).decode()


def moment(time: datetime | None) -> int | None:
    """Return a time as the database keeps it."""
    return None if time is None else microseconds(time)


def new_ids(count: int) -> Iterator[str]:
    """Yield ids of deliveries; what they are made of is asked of the system once for all."""
    drawn = os.urandom(_ID_BYTES * count)
    for start in range(0, len(drawn), _ID_BYTES):
        yield f"msg_{UUID(bytes=drawn[start : start + _ID_BYTES], version=4).hex}"


def pending_of(found: str, listener_id: str) -> Sequence[Delivery]:
    """Return pending deliveries of a listener, in their order.

    Args:
        found: an array of their columns in JSON.
        listener_id: of the listener.
    """
    rows = msgspec.json.decode(found, type=list[_PendingRow])
    # SQLite keeps the order of what it groups, and does not promise to
    rows.sort()
    return [_pending(row, listener_id) for row in rows]


def _pending(row: _PendingRow, listener_id: str) -> Delivery:
    """Return what the columns say."""
    number, id_, message, event_type, sequence, lane, attempts, *counts, created, due = row
    attempted, attempted_before = counts
    return Delivery(
        id=id_,
        number=number,
        listener_id=listener_id,
        message=message,
        event_type=event_type,
        sequence=sequence,
        lane=lane,
        attempts=()
        if attempts == _NO_ATTEMPTS
        else msgspec.json.decode(attempts, type=tuple[Attempt, ...]),
        attempted=attempted,
        attempted_before=attempted_before,
        created=time_of(created),
        due=None if due is None else time_of(due),
    )


def delivery_of(row: Row[Any]) -> Delivery:
    """Return what a row says."""
    return Delivery(
        id=row.id,
        number=row.number,
        listener_id=row.listener_id,
        message=row.message,
        event_type=row.event_type,
        sequence=row.sequence,
        lane=row.lane,
        state=_STATES[row.state],
        attempts=msgspec.convert(row.attempts, tuple[Attempt, ...]) if row.attempts else (),
        attempted=row.attempted,
        attempted_before=row.attempted_before,
        created=row.created,
        due=row.due,
        finished=row.finished,
    )
