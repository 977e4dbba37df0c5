"""A PostgreSQL database, and the servers and workers that share it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from pulpit.app.doctor.findings import Check, Note, Problem, Skip
from pulpit.app.doctor.lag import told_lag
from pulpit.config import EngineKind, Settings, masked_url
from pulpit.domain.clock import utc_now
from pulpit.errors import ConfigurationError, DatabaseUnusable
from pulpit.events.amqp import CURSOR
from pulpit.storage.locks import AdvisoryLock
from pulpit.storage.migrations import HEAD
from pulpit.storage.shared_folder import FOLDER_SETTING, MARKER, folder_name

__all__ = ["SharedDatabase"]

_MICROSECONDS = 1_000_000
#: What part of the server's connections may be in use before it is worth a word.
_MANY = 0.8
#: Name of the lease of who publishes events.
_LEADER = "leader"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedDatabase:
    """Looks at the database without changing it.

    Args:
        settings: of the server.
        publishes: whether events go to a broker.
    """

    settings: Settings
    publishes: bool
    #: Seconds that a transaction may last before it is worth a word.
    long_seconds: int = 60
    #: Seconds that one may wait for another.
    stuck_seconds: int = 10

    def checks(self) -> Sequence[Check]:
        """Return what there is to look at."""
        return (
            Check(name="database", title="Database", answer=self.check_reach),
            self._check("postgresql", "PostgreSQL", _check_server, "database"),
            self._check("schema", "Schema", _check_schema, "postgresql"),
            self._check("shared_folder", "Shared folder", self.check_folder, "schema"),
            self._check("database_use", "Use of the database", self.check_use, "database"),
            self._check("workers", "Workers", self.check_workers, "schema"),
            self._check("leader", "Leader", _check_leader, "schema"),
            self._check("journal", "Journal", _check_journal, "schema"),
            self._check("publisher_lag", "Events to the broker", self.check_lag, "journal"),
        )

    def check_reach(self) -> str:
        """Look whether the database lets us in."""
        # here, so that none of it is loaded for a database in the data folder
        from pulpit.storage.postgresql_troubles import advice  # noqa: PLC0415

        try:
            with self._open() as connection:
                size = connection.execute(
                    text("SELECT pg_size_pretty(pg_database_size(current_database()))")
                ).scalar_one()
        except DatabaseUnusable as error:
            raise Problem(error.reason, advice(error.reason)) from error
        return f"{masked_url(self._url)}, {size}"

    def check_folder(self, connection: Connection) -> str:
        """Look whether the data folder is the one that all others use."""
        folder = self.settings.storage.data
        query = text("SELECT value FROM settings WHERE name = :name")
        known = connection.execute(query, {"name": FOLDER_SETTING}).scalar()
        if known is None:
            raise Skip("no server has used the database yet")
        if known == folder_name(folder):
            return "the one that all servers and workers of the database use"
        raise Problem(
            f"{folder} is not the one that the servers and workers of the database use",
            f"mount the shared one there, or name its place in [storage]; if it is lost and this "
            f"one is to take its place, write {known} into {folder / MARKER}",
        )

    def check_use(self, connection: Connection) -> str:
        """Look at connections, and at who holds up others."""
        query = """
            SELECT waiting.pid, holding.pid,
                coalesce(nullif(holding.application_name, ''), 'unknown'),
                extract(epoch FROM clock_timestamp() - waiting.state_change)::int
            FROM pg_stat_activity AS waiting, unnest(pg_blocking_pids(waiting.pid)) AS blocker(pid),
                pg_stat_activity AS holding
            WHERE waiting.datname = current_database() AND holding.pid = blocker.pid
                AND waiting.state_change < clock_timestamp() - make_interval(secs => :seconds)
            LIMIT 1
        """
        if stuck := connection.execute(text(query), {"seconds": self.stuck_seconds}).first():
            waiting, holding, name, seconds = stuck
            raise Problem(
                f"process {waiting} waits for process {holding} ({name}), for {seconds:,} s now",
                f"see pg_stat_activity; to end it: SELECT pg_terminate_backend({holding})",
            )
        query = """
            SELECT count(*), current_setting('max_connections')::int,
                count(*) FILTER (WHERE datname = current_database())
            FROM pg_stat_activity WHERE backend_type = 'client backend'
        """
        used, most, ours = connection.execute(text(query)).one()
        words = f"{used:,} of {most:,} connections in use, {ours:,} of them here"
        if used > _MANY * most:
            raise Note(words, "raise max_connections of the server, or stop what uses them")
        query = """
            SELECT pid, coalesce(nullif(application_name, ''), 'unknown'),
                extract(epoch FROM clock_timestamp() - xact_start)::int
            FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend'
                AND xact_start < clock_timestamp() - make_interval(secs => :seconds)
            ORDER BY xact_start LIMIT 1
        """
        if old := connection.execute(text(query), {"seconds": self.long_seconds}).first():
            raise Note(
                f"{words}; process {old[0]} ({old[1]}) has had a transaction open for {old[2]:,} s",
                "while it is, room of deleted rows is not used again",
            )
        return words

    def check_workers(self, connection: Connection) -> str:
        """Look who runs tasks."""
        held = _engine_held(connection)
        if self.settings.tasks.engine is EngineKind.EMBEDDED:
            query = "SELECT string_agg(name, ', ' ORDER BY name) FROM workers"
            names = connection.execute(text(query)).scalar()
            if names or held is EngineKind.DISTRIBUTED:
                raise Problem(
                    "engine in [tasks] is embedded, but the distributed one is in use"
                    + (f"; workers: {names}" if names else ""),
                    "stop its servers and workers, or set `engine: distributed`",
                )
            raise Skip("tasks run in the server (engine in [tasks])")
        if held is EngineKind.EMBEDDED:
            raise Problem(
                "engine in [tasks] is distributed, but a server with the embedded one runs",
                "stop it, or set `engine: distributed` for it, too",
            )
        query = """
            SELECT count(*), coalesce(sum(slots), 0), string_agg(name, ', ' ORDER BY name)
                FILTER (WHERE heartbeat < extract(epoch FROM clock_timestamp()) * 1000000
                              - timeout * 1000000 / 2)
            FROM workers
        """
        count, slots, silent = connection.execute(text(query)).one()
        if not count:
            raise Problem("there are none: tasks wait", "start one with `pulpit worker`")
        words = f"{count:,} with {slots:,} slots"
        if silent:
            raise Note(f"{words}; not heard of for long: {silent}", "look at their logs")
        return words

    def check_lag(self, connection: Connection) -> str:
        """Look how far the confirmed events are behind the journal."""
        if not self.publishes:
            raise Skip("none are published to a broker")
        query = "SELECT sequence FROM cursors WHERE name = :name"
        cursor = connection.execute(text(query), {"name": CURSOR}).scalar()
        if cursor is None:
            raise Skip("the publisher has not run yet: it begins at the journal's head")
        query = """
            SELECT (SELECT max(sequence) FROM journal),
                (SELECT time FROM journal WHERE sequence > :cursor ORDER BY sequence LIMIT 1)
        """
        newest, time = connection.execute(text(query), {"cursor": cursor}).one()
        if time is None:
            return told_lag(0, 0.0, running=True)
        seconds = max(utc_now().timestamp() - time / _MICROSECONDS, 0.0)
        return told_lag(newest - cursor, seconds, running=True)

    @property
    def _url(self) -> str:
        url = self.settings.database.url
        assert url is not None
        return url

    def _check(
        self, name: str, title: str, look: Callable[[Connection], str], *needs: str
    ) -> Check:
        """Return a check that asks the database."""

        def answer() -> str:
            with self._open() as connection:
                return look(connection)

        return Check(name=name, title=title, answer=answer, needs=needs)

    @contextlib.contextmanager
    def _open(self) -> Iterator[Connection]:
        """Yield a connection that only reads.

        Raises:
            DatabaseUnusable: the database can't be reached.
        """
        # here, so that none of it is loaded for a database in the data folder
        from pulpit.storage.postgresql_connections import postgresql_engine  # noqa: PLC0415
        from pulpit.storage.postgresql_troubles import explained  # noqa: PLC0415

        with explained(self._url):
            engine = postgresql_engine(self._url, connections=1, idle_seconds=10, read_only=True)
            try:
                with engine.begin() as connection:
                    yield connection
            finally:
                engine.dispose()


def _engine_held(connection: Connection) -> EngineKind | None:
    """Return the engine of the processes that run; None if there are none."""
    query = """
        SELECT bool_or(mode = 'ExclusiveLock') FROM pg_locks
        WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND locktype = 'advisory' AND granted AND objsubid = 1
            AND (classid::bigint << 32) + objid::bigint = :key
    """
    is_alone = connection.execute(text(query), {"key": int(AdvisoryLock.ENGINE)}).scalar()
    if is_alone is None:
        return None
    return EngineKind.EMBEDDED if is_alone else EngineKind.DISTRIBUTED


def _check_server(connection: Connection) -> str:
    """Look whether the server is one that can be used."""
    # here, so that none of it is loaded for a database in the data folder
    from pulpit.storage.postgresql_schema import refuse_unfit  # noqa: PLC0415

    try:
        refuse_unfit(connection)
    except ConfigurationError as error:
        raise Problem(error.message, "use another database") from error
    query = """
        SELECT current_setting('server_version'), pg_is_in_recovery(),
            current_setting('default_transaction_read_only') = 'on'
    """
    version, is_standby, is_read_only = connection.execute(text(query)).one()
    if is_standby:
        raise Problem(f"{version}, a standby, which takes no writes", "name the primary in the URL")
    if is_read_only:
        raise Problem(
            f"{version}, but it takes no writes (default_transaction_read_only)",
            "ALTER DATABASE … RESET default_transaction_read_only, or see why it was set",
        )
    return str(version)


def _check_schema(connection: Connection) -> str:
    """Look whether this version can use the schema."""
    # here, so that none of it is loaded for a database in the data folder
    from pulpit.storage.postgresql_schema import read_state  # noqa: PLC0415

    state = read_state(connection)
    version = state.version
    if version.is_too_new:
        raise Problem(
            f"schema {version.step} was made by a newer version of Pulpit, which this one "
            f"(schema {HEAD}) can't share",
            "install that version",
        )
    if state.due:
        raise Problem(
            f"at {version.step or 'none'}; due: {', '.join(state.due)}", "run `pulpit db upgrade`"
        )
    return f"{version.step}, for code of schema {version.oldest_code or HEAD} or newer"


def _check_leader(connection: Connection) -> str:
    """Look who publishes events and looks after what is old."""
    query = """
        SELECT holder, until > extract(epoch FROM clock_timestamp()) * 1000000
        FROM leases WHERE name = :name
    """
    row = connection.execute(text(query), {"name": _LEADER}).first()
    if row is None or not row[1]:
        raise Note("no server leads", "start one with `pulpit serve`: one publishes for all")
    # behind the server's name is that of its term
    return str(row[0]).partition("/")[0]


def _check_journal(connection: Connection) -> str:
    """Look how much the journal holds."""
    query = "SELECT min(sequence), max(sequence) FROM journal"
    oldest, newest = connection.execute(text(query)).one()
    return "empty" if newest is None else f"events {oldest:,} to {newest:,}"
