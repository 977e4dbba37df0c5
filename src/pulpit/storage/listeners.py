"""Event listeners."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, update

from pulpit.domain.listeners import Filters, Health, Listener, NotifierType
from pulpit.errors import MissingResource
from pulpit.storage.rows import storable
from pulpit.storage.tables import listeners

__all__ = ["SqlListenerStore"]

#: Building a statement takes longer than running it; this one runs every second.
_LIST = select(listeners).order_by(listeners.c.created, listeners.c.id)
_SET_HEALTH = (
    update(listeners)
    .where(listeners.c.id == bindparam("of_id"))
    .values({field.name: bindparam(field.name) for field in dataclasses.fields(Health)})
)


class SqlListenerStore:
    """Implements ``pulpit.ports.ListenerStore``.

    Who writes listeners and deliveries in one transaction writes listeners first, as all do: so no
    two wait for each other.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, listener: Listener) -> None:
        row = {"id": listener.id, **_columns(listener), **_health_columns(listener.health)}
        self._connection.execute(insert(listeners), row)

    def get(self, listener_id: str) -> Listener:
        statement = select(listeners).where(listeners.c.id == listener_id)
        row = self._connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise MissingResource(event_listener_id=listener_id)
        return _listener(row)

    def list(self) -> Sequence[Listener]:
        return [_listener(row) for row in self._connection.execute(_LIST).mappings()]

    def update(self, listener: Listener) -> None:
        statement = update(listeners).where(listeners.c.id == listener.id)
        self._connection.execute(statement.values(_columns(listener)))

    def set_health(self, healths: Mapping[str, Health]) -> None:
        # by id: two that write the same ones don't wait for each other
        for listener_id, health in sorted(healths.items()):
            self._connection.execute(_SET_HEALTH, {"of_id": listener_id, **_health_columns(health)})

    def remove(self, listener_id: str) -> None:
        self._connection.execute(delete(listeners).where(listeners.c.id == listener_id))


def _columns(listener: Listener) -> dict[str, Any]:
    """Return what ``update`` writes."""
    return {
        "notifier_type": listener.notifier_type.value,
        "config": dict(listener.config),
        "event_types": listener.event_types,
        "repositories": listener.filters.repositories,
        "tags": listener.filters.tags,
        "sealed": listener.sealed,
        "created": listener.created,
        "last_updated": listener.last_updated,
        "revision": listener.revision,
        "disabled_reason": listener.disabled_reason,
        "disabled_at": listener.disabled_at,
    }


def _health_columns(health: Health) -> dict[str, Any]:
    reason = health.last_reason
    return dataclasses.asdict(health) | {
        "last_reason": None if reason is None else storable(reason)
    }


def _listener(row: RowMapping) -> Listener:
    """Return what a row says."""
    return Listener(
        id=row["id"],
        notifier_type=NotifierType(row["notifier_type"]),
        config=row["config"],
        event_types=tuple(row["event_types"]),
        filters=Filters(repositories=tuple(row["repositories"]), tags=tuple(row["tags"])),
        sealed=row["sealed"],
        created=row["created"],
        last_updated=row["last_updated"],
        revision=row["revision"],
        disabled_reason=row["disabled_reason"],
        disabled_at=row["disabled_at"],
        health=Health(**{field.name: row[field.name] for field in dataclasses.fields(Health)}),
    )
