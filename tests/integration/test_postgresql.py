"""What PostgreSQL does otherwise: turns, locks of several machines, notifications, text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from queue import SimpleQueue
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from pulpit.domain.clock import utc_now
from pulpit.domain.outcomes import Finished, Update
from pulpit.domain.tasks import TaskState
from pulpit.domain.workers import Vacancy, new_worker
from pulpit.engine.distributed import DistributedEngine
from pulpit.errors import DatabaseUnavailable, Fenced
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.workers import Workers
from pulpit.storage.postgresql import PostgresStorage
from pulpit.storage.postgresql_connections import postgresql_engine
from pulpit.storage.postgresql_schema import upgrade_postgresql
from tests.contract.databases import (
    NOW,
    append,
    new_erratum,
    new_event,
    new_package,
    new_publication,
    new_repository,
    new_task,
    submit,
)
from tests.services import PATIENCE, until
from tests.services.postgresql import PostgresServer

Open = Callable[[], PostgresStorage]
Run = Callable[..., Future[Any]]


@pytest.fixture
def another(postgresql_url: str) -> Iterator[Open]:
    """Yield what opens the database as one more process would."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(PostgresStorage(postgresql_url))


@pytest.fixture
def storage(another: Open) -> PostgresStorage:
    """Return the database."""
    return another()


@pytest.fixture
def run() -> Iterator[Run]:
    """Yield what runs a function in a thread of its own."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


def _waiting(storage: PostgresStorage, count: int = 1) -> None:
    """Return once so many sessions wait for a lock."""
    statement = text("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")

    def are_waiting() -> bool:
        with storage.write_beside() as transaction:
            return bool(transaction.connection.execute(statement).scalar_one() >= count)

    until(are_waiting, f"{count} wait for a lock")


# ---------------------------------------------------------------------- schema and connections


def test_an_upgrade_of_what_is_current_changes_nothing(postgresql_url: str, another: Open) -> None:
    """The journal keeps its name; Procrastinate's tables are made once."""
    name = another().get_setting("journal.id")
    assert name
    upgrade_postgresql(postgresql_url)
    assert another().get_setting("journal.id") == name


def test_upgrades_at_once_take_turns(postgresql: PostgresServer, run: Run) -> None:
    """Several machines may start with a new database at the same time."""
    url = postgresql.url(postgresql.create_database())
    for done in [run(upgrade_postgresql, url) for _ in range(3)]:
        done.result(PATIENCE)
    with PostgresStorage(url) as storage:
        assert append(storage, new_event()) == [1]
    postgresql.drop_database(url)


def test_all_text_is_compared_by_code_point(
    postgresql: PostgresServer, postgresql_url: str
) -> None:
    """The order is SQLite's, whatever locale the database was made with."""
    found = postgresql.execute(
        """
        SELECT table_name, column_name, collation_name FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type IN ('text', 'character varying')
        AND table_name NOT LIKE 'procrastinate%%' AND table_name != 'alembic_version'
        """,
        database=postgresql_url.rpartition("/")[2],
    )
    assert len(found) > 50
    assert [row for row in found if row[2] != "C"] == []


def test_what_a_peer_that_is_gone_holds_is_freed(storage: PostgresStorage) -> None:
    """The server gives up silent clients and idle transactions, and waits for no lock for ever."""
    wanted = {
        "idle_in_transaction_session_timeout": "10s",
        "lock_timeout": "30s",
        "tcp_user_timeout": "10000",
        "tcp_keepalives_idle": "5",
        "client_connection_check_interval": "2s",
        "application_name": "pulpit",
    }
    with storage.write_beside() as transaction:
        shown = {
            name: transaction.connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in wanted
        }
    assert shown == wanted


def test_who_has_the_turn_and_does_nothing_is_ended_sooner(storage: PostgresStorage) -> None:
    """All others who change tasks wait for it; the next one has its full time again."""
    show = "SHOW idle_in_transaction_session_timeout"
    with storage.write() as transaction:
        assert transaction.connection.exec_driver_sql(show).scalar_one() == "5s"
    with storage.write_beside() as transaction:
        assert transaction.connection.exec_driver_sql(show).scalar_one() == "10s"


def test_what_the_url_says_goes_first(postgresql_url: str) -> None:
    """An operator may choose other times."""
    url = f"{postgresql_url}?application_name=mine&options=-c%20lock_timeout%3D7s"
    with PostgresStorage(url) as storage, storage.read() as transaction:
        show = transaction.connection.exec_driver_sql
        assert show("SHOW lock_timeout").scalar_one() == "7s"
        assert show("SHOW application_name").scalar_one() == "mine"


def test_a_transaction_that_does_nothing_is_ended(postgresql_url: str) -> None:
    """The server frees what a frozen process holds."""
    engine = postgresql_engine(postgresql_url, connections=1, idle_seconds=0.05)
    with engine.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with PostgresStorage(postgresql_url) as storage:
            until(lambda: not _lives(storage, pid), "the session is ended")
        with pytest.raises(DBAPIError) as refused:
            connection.exec_driver_sql("SELECT 1")
        assert refused.value.connection_invalidated
    engine.dispose()


def test_a_connection_that_the_server_has_closed_is_not_used(
    storage: PostgresStorage, another: Open
) -> None:
    """Nobody is refused for a session that was ended while nobody needed it."""
    with storage.write_beside() as transaction:
        pid = transaction.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    with storage.read() as transaction:
        reading = transaction.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    with another().write_beside() as transaction:
        for session in (pid, reading):
            end = "SELECT pg_terminate_backend(%s, 5000)"
            transaction.connection.exec_driver_sql(end, (session,)).one()
    assert append(storage, new_event()) == [1]
    with storage.read() as transaction:
        assert transaction.journal.head() == 1


def test_who_hands_tasks_out_reads_those_alone(postgresql_url: str, another: Open) -> None:
    """However many tasks there are, the end of one looks at the next ones alone."""
    worker = new_worker("w@here", slots=1, timeout=30.0, now=utc_now())
    offer = DistributedEngine().offer
    with another().write() as transaction:
        tasks = [
            transaction.tasks.add(new_task(resources=[f"repository:{number % 50}"]))
            for number in range(1_000)
        ]
        offer(transaction)
        ready = "SELECT count(*) FROM tasks WHERE job_id = 0"
        assert transaction.connection.exec_driver_sql(ready).scalar_one() == 50
        # as autovacuum does, which tests do without
        transaction.connection.exec_driver_sql("ANALYZE tasks, reservations")
        # else what was read here would be counted below, or not, as time has it
        transaction.connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    looker = another()
    before = _read_of_tasks(looker)
    with PostgresStorage(postgresql_url) as storage:
        Workers(storage, clock=utc_now, offer=offer).register(worker)
        lifecycle = Lifecycle(storage, clock=utc_now, completions={}, offer=offer)
        (begun,) = lifecycle.begin(worker, [tasks[0].id])
        for task in tasks[1:41]:
            done = Update(task_id=begun.id, attempt=begun.attempt, news=Finished())
            (begun,) = lifecycle.record([done], Vacancy(worker=worker, slots=1))
            assert begun.id == task.id
    # its statistics are complete a moment after it is closed
    until(lambda: _read_of_tasks(looker).looks > before.looks + 40, "all is counted")
    # all of it at each end would be forty times as much
    assert _read_of_tasks(looker).rows - before.rows < 3 * len(tasks)


class _Read(NamedTuple):
    """What was read of a table: rows of scans, and looks into indexes."""

    rows: int
    looks: int


def _read_of_tasks(storage: PostgresStorage) -> _Read:
    """Return what was read of the tasks so far."""
    statement = "SELECT seq_tup_read, idx_scan FROM pg_stat_user_tables WHERE relname = 'tasks'"
    with storage.write_beside() as transaction:
        return _Read(*transaction.connection.exec_driver_sql(statement).one())


def _lives(storage: PostgresStorage, pid: int) -> bool:
    """Tell whether there is a session of that process."""
    with storage.write_beside() as transaction:
        found = transaction.connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (pid,)
        )
        return bool(found.scalar_one())


def test_readers_write_nothing(storage: PostgresStorage) -> None:
    """A transaction to read is one for the server too."""
    with pytest.raises(DatabaseUnavailable), storage.read() as transaction:
        transaction.repositories.add(new_repository("zoo"))


# ---------------------------------------------------------------------- turns


def test_writers_of_all_processes_take_turns(another: Open, run: Run) -> None:
    """What a transaction reads is what it writes on, whoever else writes."""
    storages = [another() for _ in range(3)]
    with storages[0].write() as transaction:
        transaction.repositories.add(new_repository("zoo", notes={"n": 0}))

    def count(storage: PostgresStorage) -> None:
        for _ in range(20):
            with storage.write() as transaction:
                zoo = transaction.repositories.get("zoo")
                transaction.repositories.update(replace(zoo, notes={"n": zoo.notes["n"] + 1}))

    for done in [run(count, storage) for storage in storages * 2]:
        done.result(PATIENCE)
    with storages[0].read() as reading:
        assert reading.repositories.get("zoo").notes == {"n": 120}


def test_who_writes_beside_has_nobody_wait(another: Open) -> None:
    """Content is written while another process has the turn, and the other way round."""
    one, other = another(), another()
    with one.write() as turn, other.write_beside() as beside:
        beside.content.add([new_package("bell")])
        turn.journal.append([new_event()])
    with one.write_beside() as earlier, other.write() as later:
        earlier.content.add([new_package("candle")])
        later.journal.append([new_event()])
    assert one.events.head() == 2


# ---------------------------------------------------------------------- notifications


def test_readers_of_other_processes_are_told_at_once(another: Open) -> None:
    """A commit wakes them well before they would look by themselves."""
    one, other = another(), another()
    assert other.events.head() == 0
    for number in range(1, 20):
        assert append(one, new_event(revision=number)) == [number]
        assert other.events.wait(number - 1, 4.0)
        assert [event.revision for event in other.events.read(number - 1, 10)] == [number]


def test_other_channels_are_heard(another: Open) -> None:
    """Who subscribes is told that listening begins, and then of each notification."""
    one, other = another(), another()
    heard: SimpleQueue[str] = SimpleQueue()
    end = other.notifications.subscribe(
        "pulpit_cancel", heard.put, missed=lambda: heard.put("begins")
    )
    assert heard.get(timeout=PATIENCE) == "begins"
    with one.write_beside() as transaction:
        transaction.notify("pulpit_lease", "not ours")
        transaction.notify("pulpit_cancel", "a")
    assert heard.get(timeout=PATIENCE) == "a"
    end()
    second: SimpleQueue[str] = SimpleQueue()
    other.notifications.subscribe("pulpit_cancel", second.put)
    until(lambda: _tell(one, "b") and not second.empty(), "the second hears")
    assert heard.empty()


def _tell(storage: PostgresStorage, payload: str) -> bool:
    with storage.write_beside() as transaction:
        transaction.notify("pulpit_cancel", payload)
    return True


def test_a_listener_that_is_cut_off_listens_again(
    another: Open, postgresql: PostgresServer, postgresql_url: str
) -> None:
    """What was committed meanwhile is seen, and later commits are told at once."""
    one, other = another(), another()
    begun: SimpleQueue[bool] = SimpleQueue()
    assert other.events.head() == 0
    other.notifications.subscribe("pulpit_lease", lambda _: None, missed=lambda: begun.put(True))
    assert begun.get(timeout=PATIENCE)
    cut = postgresql.execute(
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE query LIKE 'SELECT max(sequence)%%' OR query LIKE 'LISTEN%%'
        """,
        database=postgresql_url.rpartition("/")[2],
    )
    assert cut == [(True,)]
    append(one, new_event())
    assert begun.get(timeout=PATIENCE)
    assert other.events.wait(0, PATIENCE)
    append(one, new_event(revision=2))
    assert other.events.wait(1, 4.0)


def test_a_payload_of_a_stranger_moves_nothing(another: Open) -> None:
    """Whoever may log in may notify; only a number is one."""
    one, other = another(), another()
    assert other.events.head() == 0
    for payload in ("", "x", "-1", "\u00b2", "1 "):
        with one.write_beside() as transaction:
            transaction.notify("pulpit_journal", payload)
    append(one, new_event())
    assert other.events.wait(0, PATIENCE)
    assert other.events.head() == 1


def test_closing_wakes_who_waits(another: Open, run: Run) -> None:
    """Nobody waits for a storage that is closed, which may be closed twice."""
    storage = another()
    events = storage.events
    waiting = run(events.wait, 0, None)
    storage.close()
    storage.close()
    assert waiting.result(PATIENCE) is False


# ---------------------------------------------------------------------- content and its locks


def test_the_same_units_in_another_order_are_no_deadlock(another: Open, run: Run) -> None:
    """Workers that bring in the same packages, whatever order their feeds have, both succeed."""
    packages = [new_package(f"bell-{number}", artifact=f"{number:064}") for number in range(150)]
    start = threading.Barrier(4)

    def bring_in(storage: PostgresStorage, found: Sequence[Any]) -> set[int]:
        start.wait(PATIENCE)
        with storage.write_beside() as transaction:
            content = transaction.content
            content.add_artifacts({unit.artifact: 1 for unit in found})
            return set(content.add(found).values())

    orders = [packages, packages[::-1], packages[75:] + packages[:75], packages[::-1]]
    runs = [run(bring_in, another(), order) for order in orders]
    ids = [done.result(PATIENCE) for done in runs]
    assert len(ids[0]) == 150
    assert all(each == ids[0] for each in ids)


def test_replacing_in_another_order_is_no_deadlock(another: Open, run: Run) -> None:
    """Repositories that share errata are synced at once, and each gets a new revision."""
    errata = [new_erratum(f"E-{number}") for number in range(40)]
    first = another()
    with first.write_beside() as transaction:
        ids = transaction.content.add(errata)
        for name in ("bear", "zoo"):
            transaction.repositories.add(new_repository(name))
            transaction.content.associate(name, ids.values(), now=NOW)
    start = threading.Barrier(2)

    def sync(storage: PostgresStorage, name: str, halves: Sequence[Any]) -> None:
        for turn in range(5):
            start.wait(PATIENCE)
            with storage.write_beside() as transaction:
                for half in halves:
                    changed = [replace(unit, chunks=(f"{name}{turn}".encode(),)) for unit in half]
                    transaction.content.replace(changed)
                transaction.content.unassociate(name, [*ids.values()][:5], now=NOW)
                transaction.content.associate(name, [*ids.values()][:5], now=NOW)

    runs = [
        run(sync, first, "bear", [errata[:20], errata[20:]]),
        run(sync, another(), "zoo", [errata[20:][::-1], errata[:20][::-1]]),
    ]
    for done in runs:
        done.result(PATIENCE)


def test_orphans_are_removed_alone(another: Open, run: Run) -> None:
    """Who removes orphans waits for those who write content, and takes nothing that they use."""
    one, other = another(), another()
    bell, candle, organ = (new_package(name) for name in ("bell", "candle", "organ"))
    with one.write_beside() as transaction:
        ids = [transaction.content.add([unit]) for unit in (bell, candle, organ)]
        transaction.repositories.add(new_repository("zoo"))
        publication = transaction.publications.add(new_publication("zoo", "zoo"))
    first, second, third = (next(iter(found.values())) for found in ids)

    def remove() -> tuple[int, Sequence[str]]:
        with other.write_beside() as transaction:
            return transaction.content.remove_orphans()

    with one.write_beside() as publishing, another().write_beside() as syncing:
        publishing.publications.add_files(publication.id, {"bell.rpm": first}, ())
        assert syncing.content.unit(second).id == second
        removing = run(remove)
        _waiting(another())
        syncing.content.associate("zoo", [second], now=NOW)
    assert removing.result(PATIENCE) == (1, [])
    with one.read() as reading:
        assert set(reading.content.members("zoo")) == {second}
        assert reading.content.unit(first).id == first
        with pytest.raises(Exception, match="unit_id"):
            reading.content.unit(third)


def test_two_may_remove_orphans_at_once(another: Open, run: Run) -> None:
    """One waits for the other, and neither for both."""
    one, other = another(), another()
    with one.write_beside() as transaction:
        ids = [*transaction.content.add([new_package("a"), new_package("b")]).values()]

    def remove() -> int:
        with other.write_beside() as transaction:
            return transaction.content.remove_orphans(ids)[0]

    with one.write_beside() as transaction:
        assert transaction.content.remove_orphans(ids)[0] == 2
        removing = run(remove)
        _waiting(another())
    assert removing.result(PATIENCE) == 0


# ---------------------------------------------------------------------- fences


def test_a_release_waits_for_the_batch_in_flight(another: Open, run: Run) -> None:
    """No other task gets a repository while a batch of the one before is not committed."""
    one, other = another(), another()
    task = submit(one, id="a", state=TaskState.RUNNING, attempt=1, resources=("r", "s"))
    waiting = submit(one, id="b", resources=("s",))

    def release() -> None:
        with other.write() as transaction:
            transaction.tasks.update([replace(task, state=TaskState.CANCELED)])
        with other.write() as transaction:
            transaction.tasks.release(["a"])

    def granted() -> list[str]:
        with another().read() as transaction:
            return [each.id for each in transaction.tasks.grantable(5)]

    with one.write_beside() as batch:
        batch.tasks.fence("a", 1)
        releasing = run(release)
        _waiting(another())
        assert granted() == []
        batch.content.add([new_package("bell")])
    releasing.result(PATIENCE)
    assert granted() == [waiting.id]
    with pytest.raises(Fenced), one.write_beside() as batch:
        batch.tasks.fence("a", 1)


def test_a_worker_that_is_heard_of_at_the_last_moment_is_kept(another: Open, run: Run) -> None:
    """Its lease runs on from a heartbeat that was under way when it was to be given up."""
    one, other = another(), another()
    worker = new_worker("w1", slots=1, timeout=30.0, now=NOW)
    with one.write() as transaction:
        transaction.workers.add(worker)
        an_hour = text("UPDATE workers SET heartbeat = heartbeat - 3600 * 1000000::bigint")
        transaction.connection.execute(an_hour)
    with one.write_beside() as heartbeat:
        assert heartbeat.workers.beat(worker.name, worker.incarnation)
        reaping = run(Workers(other, clock=utc_now, offer=DistributedEngine().offer).give_up)
        _waiting(one)
    assert reaping.result(PATIENCE) == ([], [])
    with one.write_beside() as heartbeat:
        assert heartbeat.workers.beat(worker.name, worker.incarnation)


def test_a_fence_that_waits_sees_the_end(another: Open, run: Run) -> None:
    """A batch that comes while its task is canceled and released changes nothing."""
    one, other = another(), another()
    task = submit(one, id="a", state=TaskState.RUNNING, attempt=1, resources=("r",))

    def write() -> None:
        with other.write_beside() as batch:
            batch.tasks.fence("a", 1)
            pytest.fail("let in")

    with one.write() as transaction:
        transaction.tasks.release(["a"])
        writing = run(write)
        _waiting(another())
        transaction.tasks.update([replace(task, state=TaskState.CANCELED)])
    with pytest.raises(Fenced):
        writing.result(PATIENCE)


# ---------------------------------------------------------------------- text


def test_json_keeps_what_text_can_not_hold(storage: PostgresStorage) -> None:
    """A NUL comes out of JSON as it went in; in plain text a replacement stands for it."""
    notes = {"nul": "a\0b", "escape": "\\u0000", "astral": "\U0001f514", "\0": 1}
    with storage.write() as transaction:
        transaction.repositories.add(
            new_repository("zoo", notes=notes, display_name="a\0b", description="\ud800 \0")
        )
        found = transaction.repositories.get("zoo")
    assert found.notes == notes
    assert found.display_name == "a\ufffdb"
    assert found.description == "\ufffd \ufffd"


def test_a_nul_is_looked_for_and_not_found(storage: PostgresStorage) -> None:
    """Whatever stands in a path or a query, the answer is no error."""
    with storage.read() as transaction:
        assert transaction.tasks.with_tags(["\0"]) == []
        assert transaction.tasks.find(["\0"]) == {}
        assert transaction.users.get("\0") is None
        assert transaction.publications.resolve("a/\0") is None
        assert transaction.publications.listing("a/\0/") is None
