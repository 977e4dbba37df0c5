"""One server leads at a time, whatever becomes of it and of the database."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pulpit.app.tenure import Alone, Elected, Pace, Term
from pulpit.ports import LeaseStore
from pulpit.testing import MemoryStorage
from tests.services import until

#: As on a real server, and all of it faster.
_PACE = Pace(lease=0.4, renewal=0.05, retry=0.02, margin=0.1)
#: A lease that ends in no test by itself.
_SLOW = Pace(lease=3600, renewal=3600)


class Log:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.levels: list[str] = []

    def info(self, _event: str, **_fields: object) -> None:
        self.levels.append("info")

    def warning(self, _event: str, **_fields: object) -> None:
        self.levels.append("warning")


class Troubled:
    """Leases of a database that can be away, or answer nothing; implements ``LeaseStore``."""

    def __init__(self, leases: LeaseStore) -> None:
        self._leases = leases
        self.away = False
        self.takes = 0
        self.answers = threading.Event()
        self.answers.set()

    def take(self, name: str, holder: str, *, seconds: float) -> bool:
        self._look()
        self.takes += 1
        return self._leases.take(name, holder, seconds=seconds)

    def release(self, name: str, holder: str) -> None:
        self._look()
        self._leases.release(name, holder)

    def remaining(self, name: str) -> float:
        self._look()
        return self._leases.remaining(name)

    def _look(self) -> None:
        self.answers.wait()
        if self.away:
            raise OSError("the database is away")


class Server:
    """Whether one server leads, as it is told.

    Args:
        leases: of the database.
        pace: how fast.
        wakes: those to call when a lease is given back; adds its own.
    """

    def __init__(
        self, leases: LeaseStore, pace: Pace = _PACE, wakes: list[Callable[[], None]] | None = None
    ) -> None:
        self.log = Log()
        self.terms: list[Term | None] = []
        self._wakes = [] if wakes is None else wakes
        self._tenure = Elected(leases, subscribe=self._subscribe, log=self.log, pace=pace)

    def _subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        self._wakes.append(wake)
        return lambda: self._wakes.remove(wake)

    def start(self) -> Term | None:
        """Try to lead."""
        term = self._tenure.start(self.terms.append)
        self.terms.append(term)
        return term

    def stop(self) -> None:
        """Lead no longer."""
        self._tenure.stop()

    @property
    def term(self) -> Term | None:
        """The term that it was told of last."""
        return self.terms[-1]


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Let it try to lead while the block runs."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


def test_a_server_alone_always_leads() -> None:
    """Its term has no end, and needs no name in the database."""
    term = Alone().start(lambda _: None)
    assert term.holds
    assert term.holder == ""


def test_a_term_that_is_over_stays_so() -> None:
    """A renewal that comes too late does not bring it back."""
    term = Term("one", until=0.0)
    term.extend(float("inf"))
    assert not term.holds


def test_one_server_leads_for_as_long_as_it_renews() -> None:
    """Many renewals later it is the same term, and the other one still waits."""
    leases = MemoryStorage().leases
    watched = Troubled(leases)
    with running(Server(watched)) as first, running(Server(leases)) as second:
        # three times as long as a lease lasts
        until(lambda: watched.takes > 24)
        assert first.term
        assert first.term.holds
        assert first.terms == [first.term]
        assert second.terms == [None]


def test_a_server_that_stops_lets_the_other_one_lead_at_once() -> None:
    """It gives the lease back, and whoever waits is woken."""
    storage = MemoryStorage()
    wakes: list[Callable[[], None]] = []
    first = Server(storage.leases, _SLOW, wakes)
    with running(Server(storage.leases, _SLOW, wakes)) as waiting:
        assert waiting.term
    first.start()
    with running(Server(storage.leases, _SLOW, wakes)) as second:
        first.stop()
        # the database tells those who listen
        for wake in wakes:
            wake()
        until(lambda: second.term)
    assert first.terms[-1] is not None
    assert not first.terms[-1].holds


def test_a_leader_without_its_database_stops_before_another_one_begins() -> None:
    """It needs nobody to tell it, and is told of once."""
    leases = MemoryStorage().leases
    troubled = Troubled(leases)
    with running(Server(troubled)) as first, running(Server(leases)) as second:
        term = first.term
        assert term
        troubled.away = True
        until(lambda: second.term)
        assert not term.holds
        until(lambda: first.term is None)
        # that the lease can't be asked for, and that it is over
        assert first.log.levels == ["info", "warning", "warning"]
        # the database is back, and the lease is another one's
        troubled.away = False
        assert second.term
        assert second.term.holds


def test_a_leader_whose_database_answers_nothing_stops_by_itself() -> None:
    """A renewal that hangs does not have to end for that."""
    leases = MemoryStorage().leases
    troubled = Troubled(leases)
    with running(Server(troubled)) as first, running(Server(leases)) as second:
        term = first.term
        assert term
        troubled.answers.clear()
        until(lambda: second.term)
        assert not term.holds
        troubled.answers.set()
        until(lambda: first.term is None)


def test_a_server_leads_again_once_its_database_is_back() -> None:
    """In another term, with another name in the database."""
    troubled = Troubled(MemoryStorage().leases)
    with running(Server(troubled)) as server:
        before = server.term
        assert before
        troubled.away = True
        until(lambda: server.term is None)
        troubled.away = False
        after = until(lambda: server.term)
        assert after.holder != before.holder
        # people ask who leads
        assert after.holder.startswith(f"server-{os.getpid()}@")


def test_a_server_whose_database_is_away_in_the_end_stops_all_the_same() -> None:
    """The lease ends by itself."""
    troubled = Troubled(MemoryStorage().leases)
    with running(Server(troubled)) as server:
        troubled.away = True
    assert server.terms[0] is not None
    assert not server.terms[0].holds
