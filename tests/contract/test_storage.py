"""Storage: all or nothing, one writer at a time, snapshots for readers."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pulpit.domain.users import User
from pulpit.errors import MissingResource
from pulpit.ports import Transaction
from tests.contract.databases import (
    NOW,
    OID,
    Database,
    append,
    new_event,
    new_repository,
    new_task,
    submit,
)
from tests.services import PATIENCE


def _refuse(database: Database) -> None:
    """Change something of everything, and fail."""
    with database.write() as transaction:
        transaction.tasks.add(new_task(id="b", resources=("r",), tags=("t",)))
        transaction.repositories.add(new_repository("bear"))
        transaction.users.set(User(login="b", oid=OID, name="b", password_hash="", created=NOW))
        transaction.journal.append([new_event()])
        raise RuntimeError("rolled back")


def test_an_exception_leaves_nothing_behind(database: Database) -> None:
    """A transaction that fails changes nothing, and its exception comes through."""
    submit(database, id="a")
    with pytest.raises(RuntimeError, match="rolled back"):
        _refuse(database)
    with database.read() as transaction:
        assert [task.id for task in transaction.tasks.with_tags([])] == ["a"]
        assert transaction.repositories.list() == []
        assert transaction.users.count() == 0
    assert database.events.head() == 0
    assert append(database, new_event()) == [database.events.head()]


def _fail(transaction: Transaction) -> None:
    """Change something, want something, and fail."""
    with transaction.savepoint():
        transaction.repositories.add(new_repository("undone"))
        transaction.tasks.add(new_task(id="undone", resources=("r",), tags=("t",)))
        transaction.after_commit(lambda: pytest.fail("undone"))
        raise RuntimeError("undone")


def test_a_savepoint_undoes_its_block_alone(database: Database) -> None:
    """What came before a block that failed is kept, nothing of the block is, and it goes on."""
    told: list[str] = []
    with database.write() as transaction:
        transaction.repositories.add(new_repository("before"))
        transaction.after_commit(lambda: told.append("before"))
        with pytest.raises(RuntimeError, match="undone"):
            _fail(transaction)
        with transaction.savepoint():
            transaction.repositories.add(new_repository("kept"))
            transaction.after_commit(lambda: told.append("kept"))
        added = transaction.tasks.add(new_task(id="after", resources=("r",)))
        assert transaction.tasks.grantable(5) == [added]
    assert told == ["before", "kept"]
    with database.read() as transaction:
        assert [repository.id for repository in transaction.repositories.list()] == [
            "before",
            "kept",
        ]
        assert [task.id for task in transaction.tasks.with_tags([])] == ["after"]


def test_after_commit_sees_what_was_written(database: Database) -> None:
    """An act after the commit comes after it, in order; after a rollback it never comes."""
    told: list[str] = []

    def look() -> None:
        with database.read() as transaction:
            told.append(transaction.repositories.get("zoo").id)

    with database.write() as transaction:
        transaction.after_commit(look)
        transaction.after_commit(lambda: told.append("second"))
        transaction.repositories.add(new_repository("zoo"))
        assert told == []
    assert told == ["zoo", "second"]
    with contextlib.suppress(RuntimeError), database.write() as transaction:
        transaction.after_commit(lambda: told.append("never"))
        raise RuntimeError
    assert told == ["zoo", "second"]


def test_writers_take_turns(database: Database) -> None:
    """What a transaction reads is what it writes on: no update of another is lost."""
    with database.write() as transaction:
        transaction.repositories.add(new_repository("zoo", notes={"n": 0}))

    def count() -> None:
        for _ in range(10):
            with database.write() as transaction:
                zoo = transaction.repositories.get("zoo")
                transaction.repositories.update(replace(zoo, notes={"n": zoo.notes["n"] + 1}))

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(count) for _ in range(4)]:
            done.result()
    with database.read() as transaction:
        assert transaction.repositories.get("zoo").notes == {"n": 40}


def test_readers_see_one_snapshot(database: Database) -> None:
    """A reader sees nothing of what is committed after its first look, or not committed yet."""
    with database.read() as before:
        assert before.repositories.list() == []
        with database.write() as transaction:
            transaction.repositories.add(new_repository("zoo"))
            with database.read() as during:
                assert during.repositories.list() == []
        assert before.repositories.list() == []
    with database.read() as after:
        assert [repository.id for repository in after.repositories.list()] == ["zoo"]


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    """Reading goes on while another thread has a transaction open."""
    opened, closing = threading.Event(), threading.Event()

    def write() -> None:
        with database.write() as transaction:
            transaction.repositories.add(new_repository("zoo"))
            opened.set()
            assert closing.wait(PATIENCE)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        assert opened.wait(PATIENCE)
        with database.read() as transaction, pytest.raises(MissingResource):
            transaction.repositories.get("zoo")
        closing.set()
        writing.result()


def test_the_first_to_settle_a_setting_wins(database: Database) -> None:
    """A setting keeps its first value, and whoever comes later is told that one."""
    assert database.get_setting("a") is None
    assert database.settle("a", "1") == "1"
    assert database.settle("a", "zwei") == "1"
    assert database.get_setting("a") == "1"


def test_of_many_that_settle_a_setting_at_once_one_wins(database: Database) -> None:
    """Everybody is told the same value."""
    with ThreadPoolExecutor(4) as pool:
        told = set(pool.map(lambda value: database.settle("a", str(value)), range(8)))
    assert told == {database.get_setting("a")}


def test_users_are_kept(database: Database) -> None:
    """A user is found by login, and kept anew under the same one."""
    user = User(login="admin", oid=OID, name="Admin", password_hash="x", created=NOW)
    with database.write() as transaction:
        assert transaction.users.get("admin") is None
        assert transaction.users.count() == 0
        transaction.users.set(user)
    with database.write() as transaction:
        assert transaction.users.get("admin") == user
        transaction.users.set(replace(user, name="Other"))
    with database.read() as transaction:
        assert transaction.users.get("admin") == replace(user, name="Other")
        assert transaction.users.count() == 1
