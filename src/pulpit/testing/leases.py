"""Leases in memory."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol

from pulpit.ports import Clock
from pulpit.testing.state import State

__all__ = ["MemoryLeaseStore", "is_held"]


class _Transaction(Protocol):
    """What the leases need of a transaction."""

    @property
    def state(self) -> State: ...


class _Storage(Protocol):
    """What the leases need of the storage."""

    def write(self) -> AbstractContextManager[_Transaction]: ...
    def read(self) -> AbstractContextManager[_Transaction]: ...


class MemoryLeaseStore:
    """Implements ``pulpit.ports.LeaseStore``.

    Args:
        storage: where they are.
        clock: of the database.
    """

    def __init__(self, storage: _Storage, clock: Clock) -> None:
        self._storage, self._clock = storage, clock

    def take(self, name: str, holder: str, *, seconds: float) -> bool:
        with self._storage.write() as transaction:
            leases, now = transaction.state.leases, self._clock()
            if name in leases and leases[name][0] != holder and leases[name][1] > now:
                return False
            leases[name] = holder, now + timedelta(seconds=seconds)
            return True

    def release(self, name: str, holder: str) -> None:
        with self._storage.write() as transaction:
            leases = transaction.state.leases
            if name in leases and leases[name][0] == holder:
                del leases[name]

    def remaining(self, name: str) -> float:
        with self._storage.read() as transaction:
            found = transaction.state.leases.get(name)
        return max((found[1] - self._clock()).total_seconds(), 0.0) if found else 0.0


def is_held(state: State, name: str, holder: str, clock: Clock) -> bool:
    """Return whether the holder has the lease now."""
    found = state.leases.get(name)
    return found is not None and found[0] == holder and found[1] > clock()
