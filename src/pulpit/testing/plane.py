"""An event plane without a server behind it, for the tests of programs that consume events.

::

    with EventPlane() as plane, Client(plane.url, auth=plane.auth) as client:
        task = plane.task(repository="zoo")
        task.run()
        task.progress(3, 10)
        task.finish()

What it tells is what the real server tells, over the same HTTP and AMQP: the routes, the journal's
rules and the door are the server's own; storage is in memory, and the test takes the place of the
tasks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from argon2 import PasswordHasher
from starlette.applications import Starlette

from pulpit.api import events as events_api
from pulpit.api import schemas as schemas_api
from pulpit.api import snapshot as snapshot_api
from pulpit.api import status as status_api
from pulpit.api import tasks as tasks_api
from pulpit.api.server import web_application
from pulpit.api.web import Gate
from pulpit.domain.clock import utc_now
from pulpit.domain.tasks import PUBLISH_TASK, SYNC_TASK, action_tag, repository_tag
from pulpit.errors import AuthenticationFailed
from pulpit.events.asyncapi import Servers
from pulpit.events.fanout import Fanout
from pulpit.ports import Clock
from pulpit.services.changes import changes_in
from pulpit.services.logins import Logins
from pulpit.services.permissions import Permissions
from pulpit.services.snapshot import Snapshots
from pulpit.services.tasks import Tasks, new_task
from pulpit.services.users import Users
from pulpit.testing.engine import RecordingEngine
from pulpit.testing.plane_tasks import PlaneTask
from pulpit.testing.serving import HOST, NO_DOOR, Opened, Problems, Serving, free_socket
from pulpit.testing.storage import MemoryStorage

__all__ = ["EventPlane", "PlaneTask"]

#: Hashes that take no time: nothing here is worth a slow one.
_QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_TASK_TYPES = {"sync": SYNC_TASK, "publish": PUBLISH_TASK}


class EventPlane:
    """Serves events of tasks over HTTP, and over AMQP if asked to; a context manager.

    ``/pulpit/v1/events/``, ``/pulpit/v1/snapshot/``, schemas, ``/pulp/api/v2/tasks/`` and
    ``status/`` are those of the server; there is nothing else.

    Args:
        door: whether the AMQP door is open, where guest is let in, too.
        clock: the present time, in events.
        heartbeat: seconds of silence after which a stream gets a sign of life.

    Raises:
        AssertionError: at the end, if there was a defect inside.
    """

    #: Login and password of the one user.
    auth = ("admin", "secret")

    def __init__(
        self, *, door: bool = False, clock: Clock = utc_now, heartbeat: float = 15.0
    ) -> None:
        self.clock = clock
        #: What the server would have in its database.
        self.storage = MemoryStorage()
        #: Where tests may read what was told, as with ``expect_events``.
        self.journal = self.storage.events
        self._heartbeat = heartbeat
        self._logins = Logins(self.storage, clock=clock, hasher=_QUICK)
        Users(self.storage, clock=clock, hasher=_QUICK).ensure_first(*self.auth)
        self._problems, self._opened = Problems(), Opened()
        self._port, self._door_port = 0, 0 if door else None
        self._serving: Serving | None = None

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._close()
        self.storage.close()
        if error is None and self._problems.told:
            raise AssertionError(f"the event plane itself went wrong: {self._problems.told}")

    @property
    def url(self) -> str:
        """The address for HTTP; the same after ``away``."""
        return f"http://{HOST}:{self._port}"

    @property
    def door_url(self) -> str:
        """The address for AMQP 0-9-1; the same after ``away``.

        Raises:
            RuntimeError: the plane has no door.
        """
        if self._door_port is None:
            raise RuntimeError(NO_DOOR)
        return f"amqp://guest:guest@{HOST}:{self._door_port}//"

    def task(
        self,
        *,
        repository: str | None = None,
        action: str = "sync",
        tags: Sequence[str] = (),
        group: str | None = None,
    ) -> PlaneTask:
        """Hand in a task, which waits.

        Args:
            repository: that it works on; becomes a tag.
            action: what it does; becomes a tag.
            tags: more of them.
            group: its ``group_id``.
        """
        named = [repository_tag(repository)] if repository else []
        task = new_task(
            now=self.clock(),
            task_type=_TASK_TYPES.get(action, f"pulpit.testing.{action}"),
            operation=action,
            arguments={},
            tags=[*named, action_tag(action), *tags],
            resources=[],
        )
        with (
            self.storage.write() as transaction,
            changes_in(transaction, now=self.clock()) as changes,
        ):
            changes.add(replace(task, group_id=group))
        return PlaneTask(self.storage, task.id, clock=self.clock)

    # what goes wrong

    def cut(self) -> None:
        """Cut all HTTP connections; who comes again is let in at once."""
        self._running.cut()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Let nobody connect while the block runs, in which tasks may go on."""
        self._close()
        try:
            yield
        finally:
            self._open()

    def forget(self) -> None:
        """Let retention take every event so far: who resumes before now has missed them."""
        with self.storage.write() as transaction:
            state = transaction.state
            state.journal.clear()
            state.floor = state.last_event

    def repeat(self, count: int = 1) -> None:
        """Send the last events to those at the door once more, byte for byte, as after a failure.

        Args:
            count: how many, of those that are not forgotten.

        Raises:
            RuntimeError: the plane has no door.
        """
        after = self.journal.oldest()
        self._running.repeat(self.journal.read(after, self.journal.head())[-count:])

    # what consumers do

    def wait_for_streams(self, count: int = 1, *, timeout: float = 10.0) -> None:
        """Block until *count* streams have been opened over HTTP since the start, in all.

        Raises:
            AssertionError: there were fewer in that many seconds.
        """
        self._opened.wait_for(count, timeout)

    # how

    @property
    def _running(self) -> Serving:
        if self._serving is None:
            raise RuntimeError("the plane is not open: use it in a with statement")
        return self._serving

    def _open(self) -> None:
        listener = free_socket(self._port)
        self._port = listener.getsockname()[1]
        self._serving = Serving(
            listener,
            self._application,
            source=self.journal,
            opened=self._opened,
            problems=self._problems,
            event_source_uri=self.url,
            door_port=self._door_port,
            authenticate=self._is_user,
        )
        self._serving.start()
        self._door_port = self._serving.door_port

    def _close(self) -> None:
        self._running.stop()
        self._serving = None

    def _application(self, fanout: Fanout) -> Starlette:
        gate = Gate(self._logins, Permissions(self.storage), log=self._problems)
        tasks = Tasks(self.storage, clock=self.clock, engine=RecordingEngine())
        return web_application(
            [
                *status_api.routes(gate, self._status),
                *tasks_api.routes(gate, tasks),
                *events_api.routes(
                    gate,
                    self.journal,
                    fanout,
                    event_source_uri=self.url,
                    heartbeat=self._heartbeat,
                ),
                *snapshot_api.routes(gate, Snapshots(self.storage)),
                *schemas_api.routes(gate, self._servers),
            ]
        )

    def _status(self) -> Mapping[str, Any]:
        return {"api_version": "2", "versions": {"platform_version": "2.21.0"}}

    def _servers(self) -> Servers:
        door = None if self._door_port is None else (HOST, self._door_port)
        return Servers(source=self.url, door=door)

    def _is_user(self, login: str, password: str) -> bool:
        try:
            self._logins.authenticate(login, password)
        except AuthenticationFailed:
            return False
        return True
