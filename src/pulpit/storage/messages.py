"""What listeners are told, once for all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    func,
    select,
    text,
)

from pulpit.domain.messages import Message
from pulpit.storage.rows import batched
from pulpit.storage.tables import deliveries, messages, microseconds

__all__ = [
    "add_messages",
    "add_messages_at_once",
    "read_messages",
    "remove_nameless",
]

#: Sequence and event type.
Key = tuple[int, str]

_ADD = """
    INSERT INTO messages (sequence, event_id, event_type, repo_id, task_id, tags, time, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sequence, event_type) DO NOTHING
"""
#: The same on PostgreSQL, in one round trip.
_ADD_AT_ONCE = text("""
    INSERT INTO messages (sequence, event_id, event_type, repo_id, task_id, tags, time, body)
    SELECT sequence, event_id, event_type, repo_id, task_id, CAST(tags AS json), time, body
    FROM unnest(
        CAST(:sequence AS bigint[]), CAST(:event_id AS text[]), CAST(:event_type AS text[]),
        CAST(:repo_id AS text[]), CAST(:task_id AS text[]), CAST(:tags AS text[]),
        CAST(:time AS bigint[]), CAST(:body AS bytea[])
    ) WITH ORDINALITY
        AS new (sequence, event_id, event_type, repo_id, task_id, tags, time, body, place)
    ORDER BY place
    ON CONFLICT (sequence, event_type) DO NOTHING
    RETURNING number, sequence, event_type
""")
_COLUMNS = ("sequence", "event_id", "event_type", "repo_id", "task_id", "tags", "time", "body")
#: Building a statement takes longer than running it; these run all the time.
_LAST = select(func.coalesce(func.max(messages.c.number), 0))
_ADDED_AFTER = select(messages.c.number, messages.c.sequence, messages.c.event_type).where(
    messages.c.number > bindparam("after")
)
_NAMELESS = select(messages.c.number).where(
    ~exists().where(deliveries.c.message == messages.c.number)
)


def add_messages(connection: Connection, added: Sequence[Message]) -> dict[Key, int]:
    """Write the messages that are not there; return the numbers of these.

    Nobody else may write meanwhile.
    """
    last = connection.execute(_LAST).scalar_one()
    connection.exec_driver_sql(_ADD, [_values(each) for each in added])
    return _numbers(connection.execute(_ADDED_AFTER, {"after": last}))


def add_messages_at_once(connection: Connection, added: Sequence[Message]) -> dict[Key, int]:
    """Do the same on PostgreSQL, where others may write."""
    columns = map(list, zip(*map(_values, added), strict=True))
    return _numbers(connection.execute(_ADD_AT_ONCE, dict(zip(_COLUMNS, columns, strict=True))))


def _values(message: Message) -> tuple[Any, ...]:
    return (
        message.sequence,
        message.event_id,
        message.event_type,
        message.repo_id,
        message.task_id,
        msgspec.json.encode(message.tags).decode(),
        microseconds(message.time),
        message.body,
    )


def _numbers(found: Any) -> dict[Key, int]:
    return {(sequence, event_type): number for number, sequence, event_type in found}


def read_messages(connection: Connection, numbers: Collection[int]) -> Iterator[Message]:
    """Yield those of the messages that exist."""
    for batch in batched(numbers):
        statement = select(messages).where(messages.c.number.in_(batch))
        yield from map(_message, connection.execute(statement))


def _message(row: Row[Any]) -> Message:
    """Return what a row says."""
    return Message(
        number=row.number,
        sequence=row.sequence,
        event_id=row.event_id,
        event_type=row.event_type,
        repo_id=row.repo_id,
        task_id=row.task_id,
        tags=tuple(row.tags),
        time=row.time,
        body=row.body,
    )


def remove_nameless(
    connection: Connection, *, among: Collection[int] | None = None, limit: int | None = None
) -> int:
    """Delete messages that no delivery names; return how many.

    Args:
        connection: of the transaction.
        among: of those with these numbers; None: of all, which takes a look at all.
        limit: how many of all at the most; None: any number.
    """
    if among is None:
        return _remove(connection, _NAMELESS.limit(limit))
    parts = [_NAMELESS.where(messages.c.number.in_(batch)) for batch in batched(among)]
    return sum(_remove(connection, part) for part in parts)


def _remove(connection: Connection, nameless: Select[tuple[int]]) -> int:
    # whoever has one locked deletes it as well
    locked = nameless.with_for_update(skip_locked=True, of=messages)
    numbers = list(connection.execute(locked).scalars())
    for batch in batched(numbers):
        connection.execute(delete(messages).where(messages.c.number.in_(batch)))
    return len(numbers)
