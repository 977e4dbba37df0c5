"""The distributed engine's jobs: rows of Procrastinate, whose functions are in PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from pulpit.domain.workers import CANCEL_CHANNEL, JOB_NAME, JOB_QUEUE
from pulpit.storage.tasks import SqlTaskStore

__all__ = ["SqlJobStore"]

#: What a waiting task must be to run: the first in each of its queues.
_IS_FIRST = """
    NOT EXISTS (
        SELECT 1 FROM reservations mine
        JOIN reservations earlier
            ON earlier.resource = mine.resource AND earlier.task_number < mine.task_number
        WHERE mine.task_number = tasks.number
    )
"""

#: Gives the tasks of the query ``free`` a job; that of Procrastinate returns ids in their order.
#: Numbers are sorted and differ, so the bucket of one is its place, found without a search of all.
_GIVE = f"""
    given AS (
        SELECT array_agg(number ORDER BY number) AS numbers,
            procrastinate_defer_jobs_v1(array_agg(
                ROW(
                    '{JOB_QUEUE}', '{JOB_NAME}', priority, NULL, NULL,
                    jsonb_build_object('task_id', id), NULL
                )::procrastinate_job_to_defer_v1
                ORDER BY number
            )) AS jobs
        FROM free HAVING count(*) > 0
    )
    UPDATE tasks SET job_id = given.jobs[width_bucket(tasks.number, given.numbers)]
    FROM given WHERE tasks.number = ANY(given.numbers)
"""  # noqa: S608 - names of our own

# looked up one by one (hence OFFSET 0): planned for any number of them, once for all calls, it
# would read all tasks
_OFFER = text(f"""
    WITH touched AS (
        SELECT unnest(CAST(:added AS bigint[])) AS number
        UNION
        SELECT first.task_number FROM unnest(CAST(:released AS text[])) AS freed (resource)
        CROSS JOIN LATERAL (
            SELECT task_number FROM reservations WHERE reservations.resource = freed.resource
            ORDER BY task_number LIMIT 1
        ) AS first
    ), free AS (
        SELECT tasks.number, id, priority FROM touched
        CROSS JOIN LATERAL (
            SELECT number, id, priority FROM tasks
            WHERE tasks.number = touched.number AND state = 'waiting' AND job_id IS NULL
            OFFSET 0
        ) AS tasks
        WHERE {_IS_FIRST}
    ), {_GIVE}
""")  # noqa: S608 - statements of our own

#: The jobs that nobody will do: who has taken them is gone, or was not heard of for long.
_LOST = f"""
    SELECT jobs.id FROM procrastinate_jobs jobs
    LEFT JOIN procrastinate_workers holder ON holder.id = jobs.worker_id
    WHERE jobs.queue_name = '{JOB_QUEUE}' AND jobs.status <> 'todo' AND (
        jobs.status <> 'doing' OR holder.id IS NULL
        OR holder.last_heartbeat < now() - make_interval(secs => :seconds)
    )
"""  # noqa: S608 - names of our own

#: The tasks that may run and have no job that somebody will do.
_ASTRAY = f"""
    SELECT number, id, priority FROM tasks
    WHERE state = 'waiting'
        AND NOT EXISTS (
            SELECT 1 FROM procrastinate_jobs jobs
            WHERE jobs.id = tasks.job_id AND jobs.id NOT IN ({_LOST})
        )
        AND {_IS_FIRST}
"""  # noqa: S608 - statements of our own

_ANY_LOST = text(f"SELECT EXISTS ({_LOST})")
_ANY_ASTRAY = text(f"SELECT EXISTS ({_ASTRAY})")
_RECOVER = text(f"WITH free AS ({_ASTRAY}), {_GIVE}")
_FORGET = text(f"DELETE FROM procrastinate_jobs WHERE id IN ({_LOST})")  # noqa: S608
_CANCEL = text("SELECT pg_notify(:channel, :task_id)")


class SqlJobStore:
    """Implements ``pulpit.ports.JobStore`` on PostgreSQL.

    Args:
        connection: of the transaction.
        tasks: of the same transaction.
    """

    def __init__(self, connection: Connection, tasks: SqlTaskStore) -> None:
        self._connection, self._tasks = connection, tasks

    def offer(self) -> int:
        added, released = self._tasks.added, self._tasks.released
        if not added and not released:
            return 0
        values: dict[str, Any] = {"added": sorted(added), "released": sorted(released)}
        return self._connection.execute(_OFFER, values).rowcount

    def cancel(self, task_id: str) -> None:
        self._connection.execute(_CANCEL, {"channel": CANCEL_CHANNEL, "task_id": task_id})

    def astray(self, *, seconds: float, all_tasks: bool) -> bool:
        values = {"seconds": seconds}
        lost = self._connection.execute(_ANY_LOST, values).scalar_one()
        return lost or (all_tasks and self._connection.execute(_ANY_ASTRAY, values).scalar_one())

    def recover(self, *, seconds: float) -> int:
        values = {"seconds": seconds}
        given = self._connection.execute(_RECOVER, values).rowcount
        self._connection.execute(_FORGET, values)
        return given
