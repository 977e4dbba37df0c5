"""An engine that runs nothing."""

from __future__ import annotations

import threading

__all__ = ["RecordingEngine"]


class RecordingEngine:
    """Implements ``pulpit.ports.Engine`` by keeping what it was asked to do."""

    def __init__(self) -> None:
        #: How often it was told to look for tasks.
        self.wakes = 0
        #: The tasks whose processes it was told to end, in order.
        self.canceled: list[str] = []
        self._lock = threading.Lock()

    def wake(self) -> None:
        with self._lock:
            self.wakes += 1

    def cancel(self, task_id: str) -> None:
        with self._lock:
            self.canceled.append(task_id)
