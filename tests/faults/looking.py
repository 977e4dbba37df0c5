"""What a round asks PostgreSQL while it is played: who leads, and what runs where."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg

from tests.faults.delays import Look

__all__ = ["EVIDENCE", "Lookout", "watch_leader"]

_WATCH_LEADER = """
CREATE TABLE faults.holders (holder text PRIMARY KEY, process text NOT NULL);
CREATE FUNCTION faults.note_holder() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO faults.holders VALUES (NEW.holder, current_setting('application_name'))
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER faults_holder AFTER INSERT OR UPDATE ON leases
    FOR EACH ROW EXECUTE FUNCTION faults.note_holder();
"""
_LEADER_NOW = """
SELECT holder, process FROM leases JOIN faults.holders USING (holder)
WHERE name = 'leader' AND until > extract(epoch FROM clock_timestamp()) * 1000000
"""
#: What is kept of the database of a round that failed.
EVIDENCE: Mapping[str, LiteralString] = {
    "tasks": "SELECT number, id, operation, state, worker_name, attempt, revision, start_time, "
    "finish_time, job_id FROM tasks ORDER BY number",
    "journal": "SELECT sequence, time, kind, task_id, revision, state FROM journal ORDER BY 1",
    "reservations": "SELECT * FROM reservations",
    "workers": "SELECT * FROM workers",
    "leases": "SELECT * FROM leases",
    "cursors": "SELECT * FROM cursors",
    "jobs": "SELECT id, status, args, attempts, worker_id FROM procrastinate_jobs ORDER BY id",
    "writes": "SELECT who, place, pg_xact_commit_timestamp(xmin) FROM faults.writes ORDER BY 3",
    "releases": "SELECT task, pg_xact_commit_timestamp(xmin) FROM faults.releases ORDER BY 2",
}
#: Also whether it takes long and a later task waits for one of its resources.
_RUNNING_NOW = """
SELECT id, worker_name, EXISTS (
    SELECT FROM reservations mine JOIN reservations later USING (resource)
    WHERE mine.task_number = tasks.number AND later.task_number > tasks.number
    AND mine.resource LIKE 'repository:slow-%'
) FROM tasks WHERE state = 'running'
"""


def watch_leader(connection: psycopg.Connection[Any]) -> None:
    """Have the database note which process takes a lease, after ``watch_writes``."""
    connection.execute(_WATCH_LEADER)
    connection.commit()


class Lookout:
    """Looks at a database by a connection of its own.

    Args:
        url: of the database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        """Let the connection go."""
        if self._connection:
            self._connection.close()

    def look(self) -> Look | None:
        """Return who does what; None while the database is away."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url, autocommit=True)
            held = self._connection.execute(_LEADER_NOW).fetchone()
            rows = self._connection.execute(_RUNNING_NOW).fetchall()
        except psycopg.OperationalError:
            self._connection = None
            return None
        leader, where = held or (None, None)
        return Look(
            at=time.monotonic(),
            leader=leader,
            where=where,
            running={task: worker for task, worker, _ in rows},
            awaited=frozenset(task for task, _, is_awaited in rows if is_awaited),
        )
