"""A lease has one holder at a time, and ends by itself."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import BigInteger, type_coerce, update

from pulpit.errors import Fenced
from pulpit.storage.database import SqlStorage
from pulpit.storage.tables import leases
from pulpit.testing import FrozenClock, MemoryStorage
from tests.contract.databases import Database, MakeDatabase
from tests.services import PATIENCE

#: Far longer than any test takes, so that time passes only where a test lets it.
LONG = 10_000.0


class Site:
    """A database whose time can be moved on."""

    def __init__(self, database: Database) -> None:
        self._clock = FrozenClock()
        self.database = MemoryStorage(self._clock) if _is_fake(database) else database

    def advance(self, seconds: float) -> None:
        """Let time pass for the leases."""
        self._clock.advance(seconds=seconds)
        if isinstance(self.database, SqlStorage):
            earlier = type_coerce(leases.c.until, BigInteger) - round(seconds * 1_000_000)
            with self.database.at_once() as connection:
                connection.execute(update(leases).values(until=earlier))

    def take(self, holder: str, seconds: float = LONG) -> bool:
        """Take the lease that the tests are about."""
        return self.database.leases.take("leader", holder, seconds=seconds)


def _is_fake(database: Database) -> bool:
    return isinstance(database, MemoryStorage)


@pytest.fixture
def site(database: Database) -> Site:
    """Return an empty database."""
    return Site(database)


def test_a_lease_has_one_holder(site: Site) -> None:
    """Who has it keeps it and may renew it, and another one is told that it is taken."""
    assert site.take("one")
    assert not site.take("two")
    assert site.take("one")
    assert not site.take("two")


def test_of_many_that_take_it_at_once_one_has_it(site: Site) -> None:
    """There is never a second one, however they meet."""
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(site.take, "abcdefgh"))
    assert taken.count(True) == 1


def test_leases_of_other_names_are_others(site: Site) -> None:
    """Each name has a holder of its own."""
    assert site.take("one")
    assert site.database.leases.take("other", "two", seconds=LONG)


def test_a_lease_ends_by_itself(site: Site) -> None:
    """Who was not heard of in time has it no longer, and gets it back only once it is free."""
    assert site.take("one", 60)
    site.advance(59)
    assert not site.take("two", 60)
    site.advance(1)
    assert site.take("two", 60)
    assert not site.take("one", 60)
    site.advance(60)
    assert site.take("one", 60)


def test_a_renewed_lease_counts_from_the_renewal(site: Site) -> None:
    """Renewal gives the whole time again."""
    assert site.take("one", 60)
    site.advance(50)
    assert site.take("one", 60)
    site.advance(50)
    assert not site.take("two", 60)


def test_a_lease_ends_by_the_databases_clock(database: Database) -> None:
    """A lease of a moment is over after that moment."""
    assert database.leases.take("leader", "one", seconds=0.02)
    deadline = time.monotonic() + PATIENCE
    while not database.leases.take("leader", "two", seconds=LONG):
        assert time.monotonic() < deadline


def test_a_lease_can_be_given_back(site: Site) -> None:
    """Only its holder can do so; the next one may take it at once."""
    assert site.take("one")
    site.database.leases.release("leader", "two")
    assert not site.take("two")
    site.database.leases.release("leader", "one")
    assert site.take("two")
    site.database.leases.release("leader", "one")
    assert not site.take("one")


def test_who_waits_is_told_for_how_long(site: Site) -> None:
    """The rest of a lease is told; a lease that nobody has, or that ended, has none."""
    remaining = site.database.leases.remaining
    assert remaining("leader") == 0.0
    assert site.take("one", 600)
    assert 590 < remaining("leader") <= 600
    site.advance(100)
    assert 490 < remaining("leader") <= 500
    site.advance(600)
    assert remaining("leader") == 0.0


def test_cursors_are_fenced_by_the_holder(site: Site) -> None:
    """Who has the lease no longer changes no cursor, and is told so."""
    cursors = site.database.cursors
    one, two = (cursors.fenced("leader", holder) for holder in ("one", "two"))
    with pytest.raises(Fenced):
        one.save("amqp", 1)
    assert one.load("amqp") is None
    assert site.take("one", 60)
    one.save("amqp", 2)
    one.save("amqp", 3)
    with pytest.raises(Fenced):
        two.save("amqp", 4)
    assert two.load("amqp") == 3
    site.advance(60)
    # nobody has it yet, and nobody may write
    with pytest.raises(Fenced):
        one.save("amqp", 5)
    with pytest.raises(Fenced):
        one.drop("amqp")
    assert site.take("two", 60)
    with pytest.raises(Fenced):
        one.save("amqp", 6)
    assert cursors.load("amqp") == 3
    two.drop("amqp")
    assert cursors.load("amqp") is None
    two.drop("amqp")


class _Lease(RuleBasedStateMachine):
    """Several take, renew, lose and give back one lease, and each writes a cursor if it may."""

    holders = st.sampled_from(["one", "two", "three"])

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site
        #: Who has the lease, for how many seconds more; and the cursor.
        self.holder: str | None = None
        self.left = 0.0
        self.cursor: int | None = None
        self.saved = 0

    @rule(holder=holders, seconds=st.integers(1, 100))
    def take(self, holder: str, seconds: int) -> None:
        """It is taken when it is free or one's own."""
        free = self.holder in {None, holder}
        assert self.site.take(holder, seconds * LONG) is free
        if free:
            self.holder, self.left = holder, seconds * LONG

    @rule(holder=holders)
    def release(self, holder: str) -> None:
        """Only the holder gives it back."""
        self.site.database.leases.release("leader", holder)
        if self.holder == holder:
            self.holder = None

    @precondition(lambda self: self.holder is not None)
    @rule(seconds=st.integers(1, 100))
    def pass_time(self, seconds: int) -> None:
        """It ends by itself."""
        # half a unit off, so that no end is met to the second
        passed = (seconds - 0.5) * LONG
        self.site.advance(passed)
        self.left -= passed
        if self.left <= 0:
            self.holder = None

    @rule(holder=holders)
    def save(self, holder: str) -> None:
        """A cursor is written by the holder alone."""
        self.saved += 1
        fenced = self.site.database.cursors.fenced("leader", holder)
        if holder == self.holder:
            fenced.save("amqp", self.saved)
            self.cursor = self.saved
        else:
            with pytest.raises(Fenced):
                fenced.save("amqp", self.saved)

    @invariant()
    def the_rest_is_told(self) -> None:
        """Who waits knows how long; the cursor is the one that was written last."""
        remaining = self.site.database.leases.remaining("leader")
        assert abs(remaining - (self.left if self.holder else 0.0)) < LONG / 4
        assert self.site.database.cursors.load("amqp") == self.cursor


def test_a_lease_behaves_as_its_model(make_database: MakeDatabase, tmp_path: Path) -> None:
    """Whatever several do with a lease, it has one holder, who alone writes what it fences."""
    database = make_database(tmp_path)
    site = Site(database)

    class Machine(_Lease):
        """The lease, free at first."""

        def __init__(self) -> None:
            super().__init__(site)
            for holder in ("one", "two", "three"):
                site.database.leases.release("leader", holder)
            site.database.cursors.drop("amqp")

    run_state_machine_as_test(
        Machine, settings=settings(max_examples=25, stateful_step_count=20, deadline=None)
    )
    database.close()
