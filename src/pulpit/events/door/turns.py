"""Takes connections with much to say in turn, so that none of them starves the others."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["Turns"]

#: How long the event loop may be held at a time.
_SECONDS: Final = 0.002

Turn = Callable[[], bool]


class Turns:
    """Round robin over those who have more to do; each turn returns whether it wants another."""

    def __init__(self) -> None:
        self._waiting: deque[Turn] = deque()
        self._scheduled = False

    def add(self, turn: Turn) -> None:
        """Call *turn* soon, and again after the others for as long as it returns True."""
        self._waiting.append(turn)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        until = time.perf_counter() + _SECONDS
        waiting = self._waiting
        while waiting:
            turn = waiting.popleft()
            if turn():
                waiting.append(turn)
            if time.perf_counter() > until:
                break
        self._scheduled = bool(waiting)
        if waiting:
            asyncio.get_running_loop().call_soon(self._run)
