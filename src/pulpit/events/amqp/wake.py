"""Something that other threads ring and a poll of file descriptors hears."""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Lock

__all__ = ["Wake"]


class Wake:
    """A bell with a file descriptor; rung any number of times, it is heard once."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = Lock()
        self._open = True
        self._rung = False

    def fileno(self) -> int:
        """Return the descriptor that is readable while the bell has been rung."""
        return self._fd

    def ring(self) -> None:
        """Wake whoever polls; does nothing once closed."""
        # most rings of a busy server find the bell rung already, and cost no system call
        if self._rung:
            return
        with self._lock:
            if self._open:
                self._rung = True
                os.eventfd_write(self._fd, 1)

    def hear(self) -> bool:
        """Return whether the bell was rung since the last call."""
        if not self._rung:
            return False
        with self._lock:
            self._rung = False
            with suppress(BlockingIOError):
                os.eventfd_read(self._fd)
        return True

    def close(self) -> None:
        """Give the descriptor back."""
        with self._lock:
            if self._open:
                self._open = False
                os.close(self._fd)
