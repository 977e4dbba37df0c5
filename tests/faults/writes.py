"""Which attempts of tasks wrote what to PostgreSQL, by triggers: none may when it is dead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from psycopg import sql

from tests.faults.verdict import Verdict

if TYPE_CHECKING:
    import psycopg

    from pulpit.domain.tasks import Task

__all__ = ["Release", "Write", "judge_writes", "read_writes", "watch_writes", "with_name_of"]

_PREFIX = "attempt:"
#: Written to by processes of tasks as bulk, beside the turn of those who change state.
_BULK = (
    "artifacts",
    "publications",
    "published_files",
    "repositories",
    "repository_units",
    "unit_chunks",
    "unit_sources",
    "units",
)
#: The commit of each row's transaction is read from the server itself afterwards.
_WATCH = """
CREATE SCHEMA faults;
CREATE TABLE faults.writes (who text NOT NULL, place text NOT NULL);
CREATE TABLE faults.releases (task text NOT NULL);
CREATE FUNCTION faults.note_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO faults.writes VALUES (current_setting('application_name'), TG_TABLE_NAME);
    RETURN NULL;
END $$;
CREATE FUNCTION faults.note_release() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO faults.releases SELECT id FROM tasks WHERE number = OLD.task_number;
    RETURN NULL;
END $$;
CREATE TRIGGER faults_release AFTER DELETE ON reservations
    FOR EACH ROW EXECUTE FUNCTION faults.note_release();
"""
_WATCH_TABLE = """
CREATE TRIGGER faults_write AFTER INSERT OR UPDATE OR DELETE ON {}
    FOR EACH STATEMENT WHEN (current_setting('application_name') LIKE 'attempt:%')
    EXECUTE FUNCTION faults.note_write()
"""
_WRITES = "SELECT DISTINCT who, place, pg_xact_commit_timestamp(xmin) FROM faults.writes"
_RELEASES = "SELECT task, min(pg_xact_commit_timestamp(xmin)) FROM faults.releases GROUP BY task"


@dataclass(frozen=True, kw_only=True)
class Write:
    """A transaction of a task's process that wrote to a table."""

    task: str
    attempt: int
    table: str
    committed: datetime


@dataclass(frozen=True, kw_only=True)
class Release:
    """The transaction that let others have what a task had reserved."""

    task: str
    committed: datetime


def with_name_of(task: Task, url: str) -> str:
    """Return the URL of a database by which an attempt of the task connects under its name."""
    name = quote(f"{_PREFIX}{task.id}:{task.attempt}")
    return f"{url}{'&' if '?' in url else '?'}application_name={name}"


def watch_writes(connection: psycopg.Connection) -> None:
    """Have the database note who writes, from now on.

    Its server has to run with ``track_commit_timestamp``.
    """
    connection.execute(_WATCH)
    for table in _BULK:
        connection.execute(sql.SQL(_WATCH_TABLE).format(sql.Identifier(table)))
    connection.commit()


def read_writes(connection: psycopg.Connection) -> tuple[list[Write], list[Release]]:
    """Return what was noted."""
    writes = []
    for who, table, committed in connection.execute(_WRITES):
        task, _, attempt = who.removeprefix(_PREFIX).partition(":")
        writes.append(Write(task=task, attempt=int(attempt), table=table, committed=committed))
    releases = [
        Release(task=task, committed=committed) for task, committed in connection.execute(_RELEASES)
    ]
    return writes, releases


def judge_writes(writes: Iterable[Write], releases: Sequence[Release], verdict: Verdict) -> None:
    """Judge what processes of tasks wrote.

    fenced_writes: what an attempt committed after the resources of its task were given back.
    """
    released = {release.task: release.committed for release in releases}
    for write in writes:
        when = released.get(write.task)
        if when is not None and write.committed > when:
            verdict.add(
                "fenced_writes",
                f"attempt {write.attempt} of task {write.task} wrote to {write.table} "
                f"{(write.committed - when).total_seconds():.3f} s after its resources were free",
            )
