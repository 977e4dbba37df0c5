"""Which slots of a worker are taken, and by what; for use by several threads."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

from pulpit.domain.workers import Vacancy, Worker

__all__ = ["Places"]


class Places:
    """Counts each slot once: for a job on its way, a task that was handed on, or one that runs.

    A slot that counted twice would be filled twice, and one of the tasks would wait here while
    slots of other workers are free.

    Args:
        slots: how many tasks run at once.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._turn = threading.Lock()
        #: Tasks that were handed on and are not begun; those that are, and have not ended.
        self._handed: dict[str, None] = {}
        self._begun: set[str] = set()
        self._is_open = False
        #: How many jobs are on their way here.
        self._coming = 0
        #: True while tasks are being begun.
        self._is_beginning = False
        #: Whether more tasks may have begun, of which the answer was lost.
        self._is_unsure = False
        #: Whether a job was left where it was for want of room.
        self._was_full = False

    def open(self) -> None:
        """Let jobs be fetched and tasks be begun; nothing runs here."""
        with self._turn:
            self._is_open, self._is_unsure = True, False

    def close(self) -> None:
        """Let none be fetched or begun."""
        with self._turn:
            self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether tasks may be begun."""
        return self._is_open

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs here, nor begins to."""
        with self._turn:
            return not self._begun and not self._is_beginning

    # ------------------------------------------------------------------ Room, for the job feed

    def reserve(self) -> bool:
        with self._turn:
            has_room = self._has_room()
            self._was_full = not has_room
            self._coming += has_room
            return has_room

    def give_back(self, *, all_of_them: bool = False) -> None:
        with self._turn:
            self._coming = 0 if all_of_them else max(self._coming - 1, 0)

    def hand(self, task_id: str) -> None:
        with self._turn:
            self._coming = max(self._coming - 1, 0)
            # one that has begun has its slot
            if task_id not in self._begun:
                self._handed[task_id] = None

    def look_again(self) -> bool:
        """Tell, once, whether there is room where there was none for a job."""
        with self._turn:
            is_due = self._was_full and self._has_room()
            self._was_full = self._was_full and not is_due
            return is_due

    def _has_room(self) -> bool:
        taken = len(self._handed) + len(self._begun) + self._coming
        return self._is_open and not self._is_beginning and taken < self._slots

    # ------------------------------------------------------------------ for who begins tasks

    @property
    def is_more(self) -> bool:
        """Whether tasks were handed on that may begin."""
        with self._turn:
            return bool(self._handed) and self._is_open

    def begin_handed(self, free: int) -> Sequence[str]:
        """Return the tasks that are to begin, as they were handed on; ``settle`` comes next."""
        with self._turn:
            # what else may have begun is asked for by the next write
            may_begin = self._is_open and not self._is_unsure
            wanted = list(self._handed)[:free] if may_begin else []
            self._is_beginning = bool(wanted)
            return wanted

    def begin_others(self, worker: Worker, free: int, *, ending: Collection[str]) -> Vacancy | None:
        """Return what may begin as these end, if anything; ``settle`` comes next."""
        with self._turn:
            slots = max(free - len(self._handed) - self._coming, 0) if ending else 0
            if not self._is_open or not (slots or self._is_unsure):
                return None
            begun = set(self._begun) if self._is_unsure else None
            self._is_beginning = self._is_unsure = True
            return Vacancy(worker=worker, slots=slots, begun=begun)

    def fail(self) -> None:
        """Take note that it is not known what has begun."""
        with self._turn:
            self._is_beginning = False

    def settle(
        self,
        *,
        begun: Collection[str] = (),
        dropped: Collection[str] = (),
        ended: Collection[str] = (),
        is_sure: bool = False,
    ) -> None:
        """Take note of what became of tasks.

        At once, as what counts twice meanwhile takes the room of a job that nobody announces again.

        Args:
            begun: those that run here now.
            dropped: those that were handed on, and need not begin.
            ended: those whose ends are written.
            is_sure: no other has begun.
        """
        with self._turn:
            self._is_beginning = False
            self._is_unsure = self._is_unsure and not is_sure
            self._begun.update(begun)
            self._begun.difference_update(ended)
            for task_id in (*begun, *dropped):
                self._handed.pop(task_id, None)
