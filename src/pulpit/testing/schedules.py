"""Schedules in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pulpit.domain.schedules import Schedule, Scheduled
from pulpit.errors import MissingResource
from pulpit.testing.state import State

__all__ = ["MemoryScheduleStore"]


class MemoryScheduleStore:
    """Implements ``pulpit.ports.ScheduleStore``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, schedule: Schedule) -> None:
        self._state.schedules[schedule.id] = schedule

    def get(self, schedule_id: str) -> Schedule:
        found = self.find(schedule_id)
        if found is None:
            raise MissingResource(schedule_id=schedule_id)
        return found

    def find(self, schedule_id: str) -> Schedule | None:
        return self._state.schedules.get(schedule_id)

    def list(self, of: Scheduled) -> Sequence[Schedule]:
        found = (each for each in self._state.schedules.values() if each.of == of)
        return sorted(found, key=lambda each: each.id)

    def due(self, now: datetime) -> Sequence[Schedule]:
        found = [
            (each.next_run, each.id, each)
            for each in self._state.schedules.values()
            if each.enabled and each.next_run is not None and each.next_run <= now
        ]
        return [each for _, _, each in sorted(found, key=lambda item: item[:2])]

    def ran_after(self, now: datetime) -> Sequence[Schedule]:
        return [
            each
            for _, each in sorted(self._state.schedules.items())
            if each.enabled and each.last_run_at is not None and each.last_run_at > now
        ]

    def update(self, schedule: Schedule) -> None:
        if schedule.id in self._state.schedules:
            self.add(schedule)

    def remove(self, schedule_id: str) -> None:
        self._state.schedules.pop(schedule_id, None)

    def remove_of(self, of: Scheduled) -> None:
        for schedule in self.list(of):
            self.remove(schedule.id)
