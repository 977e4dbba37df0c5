"""Locks of PostgreSQL that are known by a number; one table for all."""

from __future__ import annotations

from enum import IntEnum

from sqlalchemy import Connection, text

__all__ = ["AdvisoryLock", "lock", "lock_shared"]

_EXCLUSIVE = text("SELECT pg_advisory_xact_lock(:key)")
_SHARED = text("SELECT pg_advisory_xact_lock_shared(:key)")


class AdvisoryLock(IntEnum):
    """What is locked; the numbers are the same in all versions that run side by side."""

    #: The turn of those who change tasks and journal.
    STATE = 0x70756C70_00000001
    #: Shared by those who write content, alone for who removes orphans.
    CONTENT = 0x70756C70_00000002
    #: The turn of those who replace units that several repositories hold.
    REPLACING = 0x70756C70_00000003
    #: The turn of those who change the schema.
    SCHEMA = 0x70756C70_00000004
    #: Held by the session of the one server that has the embedded engine.
    ENGINE = 0x70756C70_00000005
    #: The turn of those who make deliveries.
    DELIVERIES = 0x70756C70_00000006


def lock(connection: Connection, key: AdvisoryLock) -> None:
    """Wait until nobody else holds the lock, and hold it to the end of the transaction."""
    connection.execute(_EXCLUSIVE, {"key": int(key)})


def lock_shared(connection: Connection, key: AdvisoryLock) -> None:
    """Wait until nobody holds the lock alone, and share it to the end of the transaction."""
    connection.execute(_SHARED, {"key": int(key)})
