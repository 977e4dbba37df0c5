"""The server: everything in one process, with the embedded engine."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import gc
import shutil
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from pulpit.api import content as content_api
from pulpit.api import distributors as distributors_api
from pulpit.api import events as events_api
from pulpit.api import health as health_api
from pulpit.api import importers as importers_api
from pulpit.api import metrics as metrics_api
from pulpit.api import plugins as plugins_api
from pulpit.api import repositories as repositories_api
from pulpit.api import schemas as schemas_api
from pulpit.api import snapshot as snapshot_api
from pulpit.api import status as status_api
from pulpit.api import tasks as tasks_api
from pulpit.api.protocol import BoundedHttp
from pulpit.api.request_log import RequestLog
from pulpit.api.server import web_application
from pulpit.api.web import Gate
from pulpit.app import CHILD
from pulpit.app.content import content_types
from pulpit.app.entry import clean_up, run_task
from pulpit.app.figures import Figures, Parts
from pulpit.app.health import Health, Phase
from pulpit.app.logs import configure_logs, set_log_level
from pulpit.app.notifications import Notifications
from pulpit.app.reloading import HangUp, Reloading, with_live
from pulpit.app.task_counts import TaskCounts
from pulpit.config import MetricsReaders, Settings
from pulpit.content.limits import limits_of
from pulpit.content.sources import SourceDownloads
from pulpit.domain.clock import render_time, utc_now
from pulpit.engine.child import ChildLimits
from pulpit.engine.embedded import EmbeddedEngine
from pulpit.errors import PortTaken, StartError
from pulpit.events.amqp import CURSOR
from pulpit.events.asyncapi import Servers
from pulpit.events.fanout import Fanout
from pulpit.services.content import Content
from pulpit.services.distributors import Distributors
from pulpit.services.importers import Importers
from pulpit.services.on_demand import OnDemand
from pulpit.services.operations import COMPLETIONS
from pulpit.services.repositories import Repositories
from pulpit.services.retention import Keep, Retention
from pulpit.services.snapshot import Snapshots
from pulpit.services.tasks import Lifecycle, Tasks
from pulpit.services.users import Users
from pulpit.storage.database import SqlStorage
from pulpit.storage.figures import schema_of
from pulpit.storage.files import FolderFileStore
from pulpit.storage.schema import data_folder, upgrade

__all__ = ["Ready", "serve"]

#: The API that is spoken here.
_PLATFORM_VERSION = "2.21.0"
#: Seconds between two runs of the journal's retention.
_COMPACT_EVERY = 60.0
#: Seconds between two looks for publications that nobody reads any longer.
_CLEAN_EVERY = 300.0
#: Seconds that channels get at shutdown to tell what was written last.
_LAST_WORDS = 5.0
_SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What the operator is told once the server is up."""

    url: str
    #: Where the AMQP door listens, if it is open.
    door: tuple[str, int] | None
    #: The first user, if this start has created it with a password that it made up.
    login: str
    password: str | None


def serve(
    settings: Settings, *, read: Callable[[], Settings], ready: Callable[[Ready], None]
) -> None:
    """Run the server until it is told to stop by SIGTERM or SIGINT.

    SIGHUP has it read its configuration again.

    Args:
        settings: of the server.
        read: reads them again, from all their sources, or raises ConfigurationError.
        ready: called once, when requests are answered.

    Raises:
        StartError: the server can't start; the message says what to do.
    """
    log = configure_logs(settings)
    reloading = Reloading(settings, read=read, log=log)
    signal.signal(signal.SIGHUP, lambda *_: reloading.ask())
    with (
        data_folder(settings.storage.data) as folder,
        SqlStorage(upgrade(folder)) as storage,
        contextlib.closing(_listening_socket(settings)) as listener,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        server = _Server(_with_port(settings, listener), storage, log, reloading)
        runner.run(server.run(listener, ready))


def _with_port(settings: Settings, listener: socket.socket) -> Settings:
    """Return the settings with the port that 0 has become, which stands in events."""
    port = listener.getsockname()[1]
    return dataclasses.replace(settings, server=dataclasses.replace(settings.server, port=port))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the fastest event loop that is installed."""
    import uvloop  # noqa: PLC0415 - starts no thread, but takes time that `pulpit` commands lack

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _listening_socket(settings: Settings) -> socket.socket:
    """Return the socket of the API, so that a port that is taken is told before anything runs."""
    host, port = settings.server.host, settings.server.port
    try:
        return socket.create_server(
            (host, port), family=_family(host, port), backlog=2048, reuse_port=False
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"Another process listens on {host}:{port}: stop it, or choose another port "
                "with --port.",
            ) from error
        raise StartError(f"The server can't listen on {host}:{port}: {error.strerror}") from error


def _family(host: str, port: int) -> socket.AddressFamily:
    """Return the address family of a host."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]


class _Uvicorn(uvicorn.Server):
    """Uvicorn without its signal handlers: the order of the shutdown is ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Server:
    """All parts of the server, wired."""

    def __init__(
        self, settings: Settings, storage: SqlStorage, log: Any, reloading: Reloading
    ) -> None:
        self._settings = settings
        self._reloading = reloading
        self._storage = storage
        self._log = log
        self._files = FolderFileStore(settings.storage.data)
        self._types = content_types()
        self._worker = f"embedded@{settings.server.server_name}"
        self._users = Users(storage, clock=utc_now)
        self._phase = Phase.STARTING
        self._task_counts = TaskCounts()
        self._housekeeping_failures: Counter[str] = Counter()
        self._engine = self._make_engine()
        self._content = Content(
            storage,
            self._files,
            clock=utc_now,
            grace_hours=settings.storage.publication_grace,
        )
        self._downloads = SourceDownloads(limits_of(settings.feeds))
        self._on_demand = OnDemand(
            self._content,
            storage,
            self._files,
            self._downloads,
            clock=utc_now,
            owner=str(uuid4()),
            concurrency=settings.feeds.concurrency,
        )
        self._fanout = Fanout(storage.events)
        self._stop = asyncio.Event()
        self._failure: str | None = None
        self._loop: asyncio.AbstractEventLoop

    def _make_engine(self) -> EmbeddedEngine:
        settings = self._settings
        lifecycle = Lifecycle(
            self._storage,
            clock=utc_now,
            completions=COMPLETIONS,
            wake=self._wake,
            observe=self._task_counts.observe,
        )
        return EmbeddedEngine(
            lifecycle,
            worker_name=self._worker,
            slots=settings.tasks.workers,
            entry=run_task,
            # where each value comes from is of no use there, and can't be pickled
            surroundings=dataclasses.replace(settings, origins={}),
            limits=ChildLimits(
                memory=settings.tasks.max_memory,
                cpu_seconds=settings.tasks.max_cpu,
                progress_burst=settings.events.progress_burst,
                progress_per_second=settings.events.progress_rate,
            ),
            preload=[CHILD],
            clean_up=lambda task: clean_up(task, settings, self._files),
            failed=self._fail,
            log=self._log,
        )

    def _wake(self) -> None:
        """Let the engine look for tasks that may run now."""
        self._engine.wake()

    async def run(self, listener: socket.socket, ready: Callable[[Ready], None]) -> None:
        """Start everything, run until told to stop, end everything in order."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)
        hang_up = HangUp(stop=self._stop.set, reload=self._reloading.ask)
        self._loop.add_signal_handler(signal.SIGHUP, hang_up)
        notifications = Notifications(
            self._settings, storage=self._storage, users=self._users, log=self._log
        )
        # what is opened last is closed first, so that every channel tells what the end writes
        figures = self._make_figures(notifications)
        async with (
            self._told(notifications),
            self._downloading(),
            self._web(listener, notifications, figures),
            self._housekeeping(figures),
            self._reloading.heeding(lambda new: self._reload(new, notifications)),
            self._working(),
        ):
            # what is there now stays: a full collection need not stop all threads for it
            gc.collect()
            gc.freeze()
            self._phase = Phase.RUNNING
            ready(await self._ready(notifications))
            await self._stop.wait()
            self._phase = Phase.STOPPING
            self._log.info("stopping: tasks that run are canceled")
        if self._failure:
            raise StartError(self._failure)

    async def _reload(self, new: Settings, notifications: Notifications) -> None:
        """Let those of the new settings take effect that can."""
        await notifications.reload(with_live(self._settings, new))
        set_log_level(new)

    async def _ready(self, notifications: Notifications) -> Ready:
        """Return what the operator is told; the first user is made when it surely is told."""
        server = self._settings.server
        password = await asyncio.to_thread(
            self._users.ensure_first, server.default_login, server.default_password
        )
        host = f"[{server.host}]" if ":" in server.host else server.host
        return Ready(
            url=f"http://{host}:{server.port}",
            door=notifications.door_address,
            login=server.default_login,
            password=password,
        )

    @contextlib.asynccontextmanager
    async def _told(self, notifications: Notifications) -> AsyncIterator[None]:
        """Keep the AMQP channels open while the block runs."""
        await notifications.start()
        try:
            yield
        finally:
            await notifications.stop(_LAST_WORDS)

    @contextlib.asynccontextmanager
    async def _downloading(self) -> AsyncIterator[None]:
        """Let on-demand downloads have their sessions while the block runs."""
        try:
            yield
        finally:
            await self._downloads.close()

    @contextlib.asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """Run tasks while the block runs; then cancel those that run, and let readers go."""
        self._files.remove_temporary()
        await asyncio.to_thread(self._engine.start)
        try:
            yield
        finally:
            await asyncio.to_thread(self._engine.stop)
            self._fanout.close()
            # answers that wait for a download would hold up the web server's end
            await self._on_demand.close()

    def _fail(self) -> None:
        """Stop the server, since its engine can't go on; called from the engine's thread."""
        self._failure = "The engine failed, so the server has stopped: its log says why."
        self._loop.call_soon_threadsafe(self._stop.set)

    @contextlib.asynccontextmanager
    async def _web(
        self, listener: socket.socket, notifications: Notifications, figures: Figures
    ) -> AsyncIterator[None]:
        """Answer requests while the block runs."""
        server = _Uvicorn(
            uvicorn.Config(
                self._logged(self._application(notifications, figures)),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                http=BoundedHttp,
                server_header=False,
                date_header=True,
                timeout_graceful_shutdown=int(_LAST_WORDS),
            ),
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving

    def _logged(self, application: Starlette) -> Starlette | RequestLog:
        """Return what tells of each request, if it is asked for."""
        if not self._settings.server.access_log:
            return application
        return RequestLog(application, log=self._log)

    def _make_figures(self, notifications: Notifications) -> Figures:
        """Return what the metrics tell."""
        parts = Parts(
            storage=self._storage,
            folder=self._settings.storage.data,
            engine=self._engine.figures,
            notifications=lambda: notifications,
            streams=self._fanout.figures,
            housekeeping_failures=self._housekeeping_failures,
        )
        return Figures(parts, tasks=self._task_counts)

    def _watched(
        self, gate: Gate, notifications: Notifications, figures: Figures
    ) -> Sequence[BaseRoute]:
        """Return the routes for those who watch the server."""
        health = Health(
            phase=lambda: self._phase,
            engine_alive=lambda: self._engine.alive,
            publisher=notifications.publisher_status,
            schema=lambda: schema_of(self._storage),
            room=lambda: shutil.disk_usage(self._settings.storage.data).free,
            floor=self._settings.storage.disk_floor,
        )
        public = self._settings.server.metrics is MetricsReaders.EVERYBODY
        return [
            *health_api.routes(health.live, health.ready),
            *metrics_api.routes(gate, figures.page, public=public),
        ]

    def _application(self, notifications: Notifications, figures: Figures) -> Starlette:
        """Return the web application with all routes."""
        storage, engine, types = self._storage, self._engine, self._types
        gate = Gate(self._users, log=self._log)
        tasks = Tasks(storage, clock=utc_now, engine=engine, observe=self._task_counts.observe)
        repositories = Repositories(storage, clock=utc_now, tasks=tasks, types=types)
        importers = Importers(storage, clock=utc_now, tasks=tasks, types=types)
        distributors = Distributors(storage, clock=utc_now, tasks=tasks, types=types)
        return web_application(
            [
                *status_api.routes(gate, lambda: self._status(notifications)),
                *plugins_api.routes(gate, types),
                *tasks_api.routes(gate, tasks),
                *repositories_api.routes(gate, repositories, importers, distributors),
                *importers_api.routes(gate, importers),
                *distributors_api.routes(gate, distributors),
                *events_api.routes(
                    gate,
                    storage.events,
                    self._fanout,
                    event_source_uri=self._settings.event_source,
                ),
                *snapshot_api.routes(gate, Snapshots(storage)),
                *schemas_api.routes(gate, lambda: self._servers(notifications)),
                *self._watched(gate, notifications, figures),
                *content_api.routes(self._content, self._on_demand, log=self._log),
            ],
        )

    def _status(self, notifications: Notifications) -> Mapping[str, Any]:
        """Return the document of ``GET /pulp/api/v2/status/``."""
        # there is one worker, this process itself: while its engine lives, its heart beats now
        worker = {"_id": self._worker, "_ns": "workers", "last_heartbeat": render_time(utc_now())}
        return {
            "versions": {
                "platform_version": _PLATFORM_VERSION,
                "pulpit_version": version("pulpit"),
            },
            "api_version": "2",
            "database_connection": {"connected": self._storage.answers()},
            "messaging_connection": {"connected": notifications.connected},
            "known_workers": [worker] if self._engine.alive else [],
            "events": notifications.status(),
        }

    def _servers(self, notifications: Notifications) -> Servers:
        """Return where events can be had now."""
        ways = notifications.status()
        return Servers(
            source=self._settings.event_source,
            brokers=ways.get("broker", ()),
            door=notifications.door_address,
        )

    @contextlib.asynccontextmanager
    async def _housekeeping(self, figures: Figures) -> AsyncIterator[None]:
        """Delete what is past retention, from time to time, while the block runs."""
        keep = self._settings.events
        retention = Retention(
            self._storage,
            self._storage.cursors,
            clock=utc_now,
            keep=Keep(
                status_days=keep.status_days,
                status_rows=keep.status_rows,
                progress_hours=keep.progress_hours,
                progress_rows=keep.progress_rows,
                task_days=self._settings.data_reaping.task_status_history,
                unconfirmed_bytes=keep.unconfirmed_size,
            ),
            publisher_cursor=CURSOR,
        )
        reaping = self._settings.data_reaping.reaper_interval * _SECONDS_A_DAY

        def compact() -> None:
            retention.compact_journal()
            figures.count_journal()

        work = [
            self._every(_COMPACT_EVERY, compact, name="compact_journal"),
            self._every(_CLEAN_EVERY, self._content.clean_up, name="clean_up_publications"),
            # it reads the names of all files, which a start has better things to do than
            self._every(reaping, self._content.remove_strays, name="remove_strays", at_once=False),
            self._every(reaping, retention.purge_tasks, name="purge_tasks"),
        ]
        jobs = [asyncio.create_task(each) for each in work]
        try:
            yield
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.wait(jobs)

    async def _every(
        self, seconds: float, job: Callable[[], Any], *, name: str, at_once: bool = True
    ) -> None:
        """Run a job now and then; one that fails is told, counted, and tried again."""
        self._housekeeping_failures[name] = 0
        if not at_once:
            await asyncio.sleep(seconds)
        while True:
            try:
                await asyncio.to_thread(job)
            except Exception as error:  # noqa: BLE001 - the next run may be better
                self._housekeeping_failures[name] += 1
                self._log.error("housekeeping failed", job=name, reason=str(error))
            await asyncio.sleep(seconds)
