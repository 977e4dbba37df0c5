"""The end of a process that was told to stop and does not, since something hangs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

__all__ = ["HUNG", "STOP_SECONDS", "LastResort"]

#: The exit code of such a process.
HUNG = 11
#: Seconds that an end in good order may take; service managers kill after 30.
STOP_SECONDS = 25.0
#: Seconds that telling of it may take: what hangs may be whoever reads the log.
_TELLING = 1.0


class LastResort:
    """Ends this process, and with it those of its tasks, some time after it was told to stop.

    The thread that waits for that is a daemon: a process that ends before takes it along.

    Args:
        log: where to tell of it.
        seconds: from being told to stop.
        end: ends the process at once, with an exit code.
    """

    def __init__(
        self,
        log: Any,
        *,
        seconds: float = STOP_SECONDS,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._log, self._seconds, self._end = log, seconds, end
        # one that a signal's handler may put into, whatever it has interrupted
        self._asked: SimpleQueue[float] = SimpleQueue()
        threading.Thread(target=self._wait, name="last-resort", daemon=True).start()

    def stop_asked(self) -> None:
        """Note that the process was told to stop; the first time counts."""
        self._asked.put(time.monotonic())

    def _wait(self) -> None:
        """End the process when its time to stop is over."""
        asked = self._asked.get()
        time.sleep(max(asked + self._seconds - time.monotonic(), 0))
        telling = threading.Thread(target=self._tell, name="last-words", daemon=True)
        telling.start()
        telling.join(_TELLING)
        self._end(HUNG)

    def _tell(self) -> None:
        self._log.error(
            "told to stop, and something hangs: the process ends at once; look whether the "
            "database and the data folder answer. Tasks that ran here are canceled by the next "
            "start or by another process",
            seconds=self._seconds,
        )
