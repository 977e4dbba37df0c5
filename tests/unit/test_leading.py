"""What only the leader does is begun with its term, and laid down after it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from pulpit.app.leading import Leading
from pulpit.app.tenure import Term


class Tenure:
    """Lets a test decide who leads; implements ``pulpit.app.tenure.Tenure``."""

    def __init__(self, first: Term | None = None) -> None:
        self.first, self.stopped = first, False
        self.changed: Callable[[Term | None], None]

    def start(self, changed: Callable[[Term | None], None]) -> Term | None:
        self.changed = changed
        return self.first

    def stop(self) -> None:
        self.stopped = True


class Duties:
    """Notes when they are taken up and laid down."""

    def __init__(self, tenure: Tenure) -> None:
        self._tenure = tenure
        self.notes: list[str] = []
        self.failures = 0
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def __call__(self, term: Term) -> AsyncIterator[None]:
        """Be a leader's."""
        if self.failures:
            self.failures -= 1
            raise OSError("the database is away")
        await self._note(f"{term.holder} begins")
        try:
            yield
        finally:
            await self._note(f"{term.holder} ends")
            # others must not begin before
            assert not self._tenure.stopped

    async def _note(self, text: str) -> None:
        async with self._changed:
            self.notes.append(text)
            self._changed.notify_all()

    async def become(self, notes: list[str]) -> None:
        """Return once that is what was noted."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.notes == notes)


class Log:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def error(self, event: str, **_fields: object) -> None:
        self.told.append(event)


def leads(leading: Leading) -> bool:
    """Return whether it leads now."""
    return leading.leads


def test_duties_follow_the_terms() -> None:
    """They end with the server too, before others may lead."""

    async def lead() -> tuple[list[str], bool]:
        tenure = Tenure()
        duties = Duties(tenure)
        leading = Leading(tenure, duties, log=Log())
        async with leading.running():
            assert not leads(leading)
            term = Term("one")
            tenure.changed(term)
            await duties.become(["one begins"])
            assert leads(leading)
            term.end()
            assert not leads(leading)
            tenure.changed(None)
            await duties.become(["one begins", "one ends"])
            tenure.changed(Term("two"))
            await duties.become(["one begins", "one ends", "two begins"])
        return duties.notes, tenure.stopped

    notes, stopped = asyncio.run(lead())
    assert notes[-1] == "two ends"
    assert stopped


def test_duties_of_a_leader_from_the_start_are_there_before_anything_else() -> None:
    """What is written from then on is published."""

    async def lead() -> None:
        tenure = Tenure(Term("one"))
        duties = Duties(tenure)
        async with Leading(tenure, duties, log=Log()).running():
            assert duties.notes == ["one begins"]

    asyncio.run(lead())


def test_duties_that_can_not_be_done_at_the_start_end_it() -> None:
    """The operator is told at once, and nobody else has to wait for the lease."""

    async def lead() -> None:
        async with leading.running():
            pytest.fail("it has started")

    tenure = Tenure(Term("one"))
    duties = Duties(tenure)
    duties.failures = 1
    leading = Leading(tenure, duties, log=Log())
    with pytest.raises(OSError, match="away"):
        asyncio.run(lead())
    assert tenure.stopped


def test_duties_that_fail_are_tried_again_while_the_term_lasts() -> None:
    """The database may be away for a moment."""

    async def lead() -> list[str]:
        tenure = Tenure()
        duties = Duties(tenure)
        duties.failures = 1
        log = Log()
        async with Leading(tenure, duties, log=log).running():
            tenure.changed(Term("one"))
            await duties.become(["one begins"])
        return log.told

    assert len(asyncio.run(lead())) == 1
