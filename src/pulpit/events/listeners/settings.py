"""How much is delivered at a time, and how often the database is asked."""

from __future__ import annotations

from dataclasses import dataclass

from pulpit.events.listeners.schedule import Schedule

__all__ = ["DelivererSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DelivererSettings:
    """How much at a time, and how often."""

    schedule: Schedule
    #: Deliveries at a time, to all listeners and to one.
    concurrency: int
    per_listener: int
    #: Deliveries a second to one listener; 0 is no limit.
    rate: float
    #: Results that are written at once, and seconds for which they are gathered.
    batch: int = 500
    batch_seconds: float = 0.05
    #: Results that may wait for the database before nothing more is tried.
    most_results: int = 2_000
    #: Listeners whose deliveries are read at once.
    reads: int = 32
    #: Seconds between two looks for changes of listeners, and until a failed one is tried again.
    look_seconds: float = 1.0
    rest: float = 1.0
