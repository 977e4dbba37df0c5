"""The distributed engine's jobs: rows of Procrastinate, whose functions are in PostgreSQL.

A task that waits and was seen to be the first of all its queues has a ``job_id`` and keeps it: 0
while there is no job for it, which is so as long as no worker has a free slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, column, text

from pulpit.domain.tasks import Task
from pulpit.domain.workers import CANCEL_CHANNEL, JOB_NAME, JOB_QUEUE, Vacancy
from pulpit.storage.tables import tasks as tasks_table
from pulpit.storage.tasks import SqlTaskStore, task_of

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

#: The tasks that this transaction lets run. They are looked up one by one (hence OFFSET 0): planned
#: for any number of them, once for all calls, it would read all tasks.
_FREE = f"""
    touched AS (
        SELECT unnest(CAST(:added AS bigint[])) AS number
        UNION
        SELECT first.task_number FROM unnest(CAST(:released AS text[])) AS freed (resource)
        CROSS JOIN LATERAL (
            SELECT task_number FROM reservations WHERE reservations.resource = freed.resource
            ORDER BY task_number LIMIT 1
        ) AS first
    ), free AS (
        SELECT tasks.number, priority FROM touched
        CROSS JOIN LATERAL (
            SELECT number, priority FROM tasks
            WHERE tasks.number = touched.number AND state = 'waiting' AND job_id IS NULL
            OFFSET 0
        ) AS tasks
        WHERE {_IS_FIRST}
    )
"""  # noqa: S608 - statements of our own

#: The jobs of tasks that wait, each looked up by itself.
_WANTED = f"""
    FROM procrastinate_jobs jobs
    CROSS JOIN LATERAL (
        SELECT number FROM tasks
        WHERE id = jobs.args->>'task_id' AND state = 'waiting' AND job_id = jobs.id
        OFFSET 0
    ) AS wanting
    WHERE jobs.queue_name = '{JOB_QUEUE}'
"""  # noqa: S608 - names of our own

#: How many free slots have no job.
_SPARE = f"""
    (SELECT coalesce(sum(slots), 0) FROM workers)
    - (SELECT count(*) FROM tasks WHERE state = 'running')
    - (SELECT count(*) {_WANTED})
"""  # noqa: S608 - statements of our own

#: Notes which tasks may run, and returns how many more jobs there may be.
_NOTE = text(f"""
    WITH {_FREE}, noted AS (
        UPDATE tasks SET job_id = 0 FROM free WHERE tasks.number = free.number
    )
    SELECT {_SPARE} AS spare
""")  # noqa: S608 - statements of our own

#: Gives some of those that may run a job; that of Procrastinate returns ids in their order.
#: Numbers are sorted and differ, so the bucket of one is its place, found without a search of all.
_GIVE = text(f"""
    WITH next AS (
        SELECT number, id, priority FROM tasks
        WHERE state = 'waiting' AND job_id IS NOT NULL AND job_id = 0
        ORDER BY priority DESC, number LIMIT :most
    ), given AS (
        SELECT array_agg(number ORDER BY number) AS numbers,
            procrastinate_defer_jobs_v1(array_agg(
                ROW(
                    '{JOB_QUEUE}', '{JOB_NAME}', priority, NULL, NULL,
                    jsonb_build_object('task_id', id), NULL
                )::procrastinate_job_to_defer_v1
                ORDER BY number
            )) AS jobs
        FROM next HAVING count(*) > 0
    )
    UPDATE tasks SET job_id = given.jobs[width_bucket(tasks.number, given.numbers)]
    FROM given WHERE tasks.number = ANY(given.numbers)
""")  # noqa: S608 - names of our own

#: Returns the next tasks for a worker, and how many more jobs there may be once they run; always a
#: row. Those that this transaction lets run and that are not among them are noted.
_TAKE = text(f"""
    WITH {_FREE}, ready AS (
        SELECT number, priority, job_id FROM tasks
        WHERE state = 'waiting' AND job_id IS NOT NULL AND {_IS_FIRST}
        ORDER BY priority DESC, number LIMIT :most
    ), chosen AS (
        SELECT number, job_id FROM (
            SELECT number, priority, 0 AS job_id FROM free
            UNION ALL SELECT number, priority, job_id FROM ready
        ) AS all_of_them
        WHERE EXISTS (SELECT FROM workers WHERE name = :name AND incarnation = :incarnation)
        ORDER BY priority DESC, number LIMIT :most
    ), noted AS (
        UPDATE tasks SET job_id = 0 FROM free
        WHERE tasks.number = free.number AND free.number NOT IN (SELECT number FROM chosen)
    ), needless AS (
        DELETE FROM procrastinate_jobs jobs USING chosen
        WHERE jobs.id = chosen.job_id AND jobs.status = 'todo'
    ), figures AS (
        SELECT {_SPARE} + :ending
            - (SELECT count(*) FROM chosen) + (SELECT count(*) FROM chosen WHERE job_id > 0)
            AS spare
    )
    SELECT {", ".join(f"tasks.{each.name}" for each in tasks_table.c)}, figures.spare
    FROM figures LEFT JOIN (chosen JOIN tasks ON tasks.number = chosen.number) ON true
    ORDER BY tasks.priority DESC, tasks.number
""").columns(*tasks_table.c, column("spare", BigInteger))  # noqa: S608 - statements of our own

#: The jobs that nobody will do: who has taken them is gone, or was not heard of for long.
_LOST = f"""
    SELECT jobs.id FROM procrastinate_jobs jobs
    LEFT JOIN procrastinate_workers holder ON holder.id = jobs.worker_id
    WHERE jobs.queue_name = '{JOB_QUEUE}' AND jobs.status <> 'todo' AND (
        jobs.status <> 'doing' OR holder.id IS NULL
        OR holder.last_heartbeat < now() - make_interval(secs => :seconds)
    )
"""  # noqa: S608 - names of our own

#: The tasks that may run and are not known to, or have a job that nobody will do.
_ASTRAY = f"""
    SELECT number FROM tasks
    WHERE state = 'waiting' AND job_id IS DISTINCT FROM 0
        AND NOT EXISTS (
            SELECT 1 FROM procrastinate_jobs jobs
            WHERE jobs.id = tasks.job_id AND jobs.id NOT IN ({_LOST})
        )
        AND {_IS_FIRST}
"""  # noqa: S608 - statements of our own

_ANY_LOST = text(f"""
    SELECT EXISTS ({_LOST}) OR (
        EXISTS (
            SELECT FROM tasks WHERE state = 'waiting' AND job_id IS NOT NULL AND job_id = 0
        )
        AND {_SPARE} > 0
    )
""")  # noqa: S608 - statements of our own
_ANY_ASTRAY = text(f"SELECT EXISTS ({_ASTRAY})")
_NOTE_ASTRAY = text(f"UPDATE tasks SET job_id = 0 WHERE number IN ({_ASTRAY})")  # noqa: S608
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
        #: How many more jobs there may be by the last ``take``, and what it has noted.
        self._spare = 0
        self._noted = (-1, -1)

    def offer(self) -> int:
        spare = self._spare
        if self._noted != self._size():
            spare = self._connection.execute(_NOTE, self._touched()).scalar_one()
        self._noted = (-1, -1)
        return self._connection.execute(_GIVE, {"most": spare}).rowcount if spare > 0 else 0

    def take(self, vacancy: Vacancy, *, ending: int) -> Sequence[Task]:
        values = {
            "name": vacancy.worker.name,
            "incarnation": vacancy.worker.incarnation,
            "most": vacancy.slots,
            "ending": ending,
        }
        rows = self._connection.execute(_TAKE, {**values, **self._touched()}).all()
        taken = [task_of(row) for row in rows if row.number is not None]
        # there are no more if there is one too few
        self._spare = 0 if 0 < len(taken) < vacancy.slots else rows[0].spare
        self._noted = self._size()
        return taken

    def _touched(self) -> dict[str, Any]:
        """Return what this transaction has changed of the queues."""
        return {"added": sorted(self._tasks.added), "released": sorted(self._tasks.released)}

    def _size(self) -> tuple[int, int]:
        """Return how much that is, as it only grows."""
        return len(self._tasks.added), len(self._tasks.released)

    def cancel(self, task_id: str) -> None:
        self._connection.execute(_CANCEL, {"channel": CANCEL_CHANNEL, "task_id": task_id})

    def astray(self, *, seconds: float, all_tasks: bool) -> bool:
        values = {"seconds": seconds}
        lost = self._connection.execute(_ANY_LOST, values).scalar_one()
        return lost or (all_tasks and self._connection.execute(_ANY_ASTRAY, values).scalar_one())

    def recover(self, *, seconds: float) -> int:
        values = {"seconds": seconds}
        self._connection.execute(_NOTE_ASTRAY, values)
        self._connection.execute(_FORGET, values)
        return self.offer()
