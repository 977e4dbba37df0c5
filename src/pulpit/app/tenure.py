"""Which of the servers leads: by a lease in the database, held for as long as it is renewed."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

from pulpit.ports import LeaseStore
from pulpit.storage.database import SqlStorage
from pulpit.storage.leases import LEASE_CHANNEL
from pulpit.storage.sqlite import SqliteStorage

__all__ = ["LEASE", "Alone", "Elected", "Pace", "Tenure", "Term", "make_tenure"]

#: Name of the lease.
LEASE = "leader"
#: Seconds that a standby waits beyond the end of another one's lease.
_LATE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long everything takes, in seconds."""

    #: For how long the lease holds.
    lease: float = 4.0
    #: Between two renewals.
    renewal: float = 1.0
    #: Until a renewal that failed is tried again.
    retry: float = 0.2
    #: A leader stops so long before others may take over: clocks differ in their pace, and what
    #: has begun takes a moment.
    margin: float = 0.5


_PACE = Pace()


def _now() -> float:
    """Return seconds since the machine was started, those that it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Term:
    """One time of leading, without a break; once it is over it stays so."""

    def __init__(self, holder: str = "", *, until: float = float("inf")) -> None:
        #: Names this term to the database; empty where that need not know.
        self.holder = holder
        self._until = until

    @property
    def holds(self) -> bool:
        """Whether nobody else can be leading; asked at each step that only a leader takes."""
        return _now() < self._until

    def extend(self, until: float) -> None:
        """Let it hold longer, if it is not over."""
        if self.holds:
            self._until = until

    def end(self) -> None:
        """Let it be over."""
        self._until = 0.0


class Tenure(Protocol):
    """Whether this process leads."""

    def start(self, changed: Callable[[Term | None], None]) -> Term | None:
        """Try to lead; return the term if that succeeds at once.

        Args:
            changed: called, in some thread, with a term that begins, and with None when one is
                over.
        """

    def stop(self) -> None:
        """Lead no longer, and let others know."""


class Alone:
    """The one server of a SQLite database leads; implements ``Tenure``."""

    def start(self, _changed: Callable[[Term | None], None]) -> Term:
        return Term()

    def stop(self) -> None:
        pass


def make_tenure(storage: SqlStorage, *, log: Any) -> Tenure:
    """Return what decides whether this server leads among those of the database."""
    if isinstance(storage, SqliteStorage):
        return Alone()
    # here, since its libraries take time that a start on SQLite lacks
    from pulpit.storage.postgresql import PostgresStorage  # noqa: PLC0415

    assert isinstance(storage, PostgresStorage)
    listen = storage.notifications.subscribe

    def subscribe(wake: Callable[[], None]) -> Callable[[], None]:
        return listen(LEASE_CHANNEL, lambda _name: wake(), missed=wake)

    return Elected(storage.leases, subscribe=subscribe, log=log)


class Elected:
    """Whichever server has the lease leads; implements ``Tenure``.

    Args:
        leases: of the database.
        subscribe: calls its argument whenever a lease may have been given back; returns what ends
            that.
        log: of the server.
        pace: the same for all servers.
    """

    def __init__(
        self,
        leases: LeaseStore,
        *,
        subscribe: Callable[[Callable[[], None]], Callable[[], None]],
        log: Any,
        pace: Pace = _PACE,
    ) -> None:
        self._leases, self._subscribe, self._log = leases, subscribe, log
        self._pace = pace
        self._changed: Callable[[Term | None], None]
        self._term: Term | None = None
        self._ending = threading.Event()
        self._has_failed = False
        self._nudged = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leader", daemon=True)

    def start(self, changed: Callable[[Term | None], None]) -> Term | None:
        self._changed = changed
        self._unsubscribe = self._subscribe(self._nudged.set)
        self._term = self._take()
        self._thread.start()
        return self._term

    def stop(self) -> None:
        self._unsubscribe()
        self._ending.set()
        self._nudged.set()
        self._thread.join()
        if self._term is not None:
            self._give_back(self._term)

    def _run(self) -> None:
        """Renew the term, or try to begin one, until told to stop."""
        pause = 0.0 if self._term is None else self._pace.renewal
        while not self._ending.is_set():
            self._nudged.wait(pause)
            self._nudged.clear()
            if self._ending.is_set():
                return
            try:
                pause = self._renew(self._term) if self._term else self._try()
            except Exception as error:  # noqa: BLE001 - the database may be back the next time
                self._note_failure(error)
                self._note_end()
                pause = self._pace.retry
            else:
                self._has_failed = False

    def _renew(self, term: Term) -> float:
        """Renew the term, if it is not over; return when to come again."""
        since = _now()
        if term.holds and self._leases.take(LEASE, term.holder, seconds=self._pace.lease):
            term.extend(since + self._pace.lease - self._pace.margin)
        else:
            term.end()
        if not self._note_end():
            return self._pace.renewal
        # if it is still ours to the database, nobody need wait for its end
        self._leases.release(LEASE, term.holder)
        return 0.0

    def _note_end(self) -> bool:
        """Return whether the term is over, and if so let that be known."""
        if self._term is None or self._term.holds:
            return False
        self._term = None
        self._log.warning("this server leads no longer: its lease was not renewed in time")
        self._changed(None)
        return True

    def _try(self) -> float:
        """Begin a term if nobody leads; return when to come again."""
        self._term = self._take()
        if self._term is None:
            return min(self._pace.renewal, self._leases.remaining(LEASE) + _LATE)
        self._changed(self._term)
        return self._pace.renewal

    def _take(self) -> Term | None:
        """Return a new term if nobody leads."""
        term = Term(_new_holder(), until=_now() + self._pace.lease - self._pace.margin)
        if not self._leases.take(LEASE, term.holder, seconds=self._pace.lease):
            return None
        self._log.info("this server leads now")
        return term

    def _give_back(self, term: Term) -> None:
        """Let somebody else lead at once."""
        term.end()
        try:
            self._leases.release(LEASE, term.holder)
        except Exception as error:  # noqa: BLE001 - it ends by itself
            self._note_failure(error)

    def _note_failure(self, error: Exception) -> None:
        """Tell the operator once that the database can't be asked."""
        if not self._has_failed:
            self._has_failed = True
            self._log.warning(
                "the lease of the leader can't be asked for; trying again", reason=str(error)
            )


def _new_holder() -> str:
    """Return what names a term, and to people the server that has it."""
    return f"server-{os.getpid()}@{socket.gethostname()}/{uuid4()}"
