"""What begins while a server starts to ask whether it leads is not overlooked."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable

import structlog

from pulpit.app.leading import Leading
from pulpit.app.tenure import Term


class ScriptedTenure:
    """Leads as the test says; implements ``Tenure``.

    Args:
        overtaken: a term that begins after the first try has failed, and before that is known.
    """

    def __init__(self, *, overtaken: Term | None = None) -> None:
        self._overtaken = overtaken
        self.change: Callable[[Term | None], None]

    def start(self, changed: Callable[[Term | None], None]) -> Term | None:
        self.change = changed
        if self._overtaken:
            other = threading.Thread(target=changed, args=(self._overtaken,))
            other.start()
            other.join()
        return None

    def stop(self) -> None:
        pass


class Duties:
    """Notes for which terms they are done."""

    def __init__(self) -> None:
        self.present: Term | None = None
        self.changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def __call__(self, term: Term) -> AsyncIterator[None]:
        self._set(term)
        try:
            yield
        finally:
            self._set(None)

    def _set(self, term: Term | None) -> None:
        self.present = term
        self.changed.set()

    async def become(self, term: Term | None) -> None:
        """Return once they are done for this term."""
        async with asyncio.timeout(10):
            while self.present is not term:
                self.changed.clear()
                await self.changed.wait()


def test_a_term_that_begins_while_the_first_try_returns_is_served() -> None:
    """Else this server would hold the lease, and nobody would do what it stands for."""

    async def lead() -> None:
        term, duties = Term(), Duties()
        leading = Leading(ScriptedTenure(overtaken=term), duties, log=structlog.get_logger())
        async with leading.running():
            await duties.become(term)
            assert leading.leads
        assert duties.present is None

    asyncio.run(lead())
