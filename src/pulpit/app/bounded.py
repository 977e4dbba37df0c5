"""Asking what may hang, without ever waiting long."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, NoReturn, TypeVar

__all__ = ["Bounded"]

T = TypeVar("T")


class Bounded(Generic[T]):
    """Asks one question in a thread of its own; who asks meanwhile shares the answer.

    A question that hangs costs one thread, however often it is asked, and does not hold up the
    end of the process.

    Args:
        question: may block for long.
        seconds: that anybody waits for it.
        name: of the thread.
    """

    def __init__(self, question: Callable[[], T], *, seconds: float, name: str) -> None:
        self._question, self._seconds, self._name = question, seconds, name
        self._asked: asyncio.Future[Callable[[], T]] | None = None
        self._until = 0.0

    async def answer(self) -> T:
        """Return the answer; for use in one event loop.

        Raises:
            TimeoutError: there is none yet.
            Exception: what the question raises.
        """
        loop = asyncio.get_running_loop()
        asked = self._asked
        if asked is None:
            asked, self._until = loop.create_future(), loop.time() + self._seconds
            arguments = (loop, asked)
            threading.Thread(target=self._ask, args=arguments, name=self._name, daemon=True).start()
            # only now: where the system gives no thread, the next one to ask tries again
            self._asked = asked
        async with asyncio.timeout_at(self._until):
            outcome = await asyncio.shield(asked)
        return outcome()

    def _ask(self, loop: asyncio.AbstractEventLoop, asked: asyncio.Future[Callable[[], T]]) -> None:
        """Get the answer; in the thread."""
        outcome: Callable[[], T]
        try:
            answer = self._question()
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
            outcome = partial(_fail, error)
        else:
            outcome = partial(_identity, answer)
        # the loop may be gone by now
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._told, asked, outcome)

    def _told(self, asked: asyncio.Future[Callable[[], T]], outcome: Callable[[], T]) -> None:
        """Pass the answer on, and be ready for the next question."""
        self._asked = None
        if not asked.done():
            asked.set_result(outcome)


def _identity(answer: T) -> T:
    return answer


def _fail(error: Exception) -> NoReturn:
    raise error
