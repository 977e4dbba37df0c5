"""The server: everything in one process, with the embedded engine."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, cast
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from pulpit.api import content as content_api
from pulpit.api import distributors as distributors_api
from pulpit.api import events as events_api
from pulpit.api import importers as importers_api
from pulpit.api import plugins as plugins_api
from pulpit.api import repositories as repositories_api
from pulpit.api import schemas as schemas_api
from pulpit.api import snapshot as snapshot_api
from pulpit.api import status as status_api
from pulpit.api import tasks as tasks_api
from pulpit.api.forwarded import ForwardedHeaders
from pulpit.api.protocol import BoundedHttp
from pulpit.api.request_log import RequestLog
from pulpit.api.server import web_application
from pulpit.api.web import Gate
from pulpit.app.content import content_types
from pulpit.app.entry import bodies
from pulpit.app.files import raise_file_limit
from pulpit.app.health import Phase
from pulpit.app.housekeeping import Housekeeping
from pulpit.app.logs import configure_logs, set_log_level
from pulpit.app.notifications import Notifications
from pulpit.app.reloading import HangUp, Reloading, with_live
from pulpit.app.tls import Tls
from pulpit.app.watching import Watching
from pulpit.config import Settings
from pulpit.content.limits import limits_of
from pulpit.content.sources import SourceDownloads
from pulpit.domain.clock import render_time, utc_now
from pulpit.engine.embedded import EmbeddedEngine
from pulpit.errors import PortTaken, StartError
from pulpit.events.asyncapi import Servers
from pulpit.events.fanout import Fanout
from pulpit.ports import Transaction
from pulpit.services.content import Content
from pulpit.services.distributors import Distributors
from pulpit.services.importers import Importers
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.on_demand import OnDemand
from pulpit.services.operations import COMPLETIONS
from pulpit.services.repositories import Repositories
from pulpit.services.snapshot import Snapshots
from pulpit.services.tasks import Tasks
from pulpit.services.users import Users
from pulpit.storage.files import FolderFileStore
from pulpit.storage.schema import data_folder, upgrade
from pulpit.storage.sqlite import SqliteStorage

__all__ = ["Ready", "serve"]

#: The API that is spoken here.
_PLATFORM_VERSION = "2.21.0"
#: Seconds that channels get at shutdown to tell what was written last.
_LAST_WORDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What the operator is told once the server is up."""

    url: str
    #: Where the AMQP door listens, if it is open, and whether it speaks TLS.
    door: tuple[str, int] | None
    door_tls: bool
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
    raise_file_limit()
    log = configure_logs(settings)
    reloading = Reloading(settings, read=read, log=log)
    signal.signal(signal.SIGHUP, lambda *_: reloading.ask())
    with (
        data_folder(settings.storage.data) as folder,
        SqliteStorage(upgrade(folder)) as storage,
        contextlib.closing(Tls(settings, log=log)) as tls,
        contextlib.closing(_listening_socket(settings)) as listener,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        server = _Server(_with_port(settings, listener), storage, log, reloading, tls)
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
        self,
        settings: Settings,
        storage: SqliteStorage,
        log: Any,
        reloading: Reloading,
        tls: Tls,
    ) -> None:
        self._settings = settings
        self._reloading = reloading
        self._tls = tls
        self._storage = storage
        self._log = log
        self._files = FolderFileStore(settings.storage.data)
        self._types = content_types()
        self._worker = f"embedded@{settings.server.server_name}"
        self._users = Users(storage, clock=utc_now)
        self._watching = Watching(settings, storage)
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
            offer=self._offer,
            observe=self._watching.tasks.observe,
        )
        return EmbeddedEngine(
            lifecycle,
            worker_name=self._worker,
            slots=settings.tasks.workers,
            bodies=bodies(settings, self._files),
            failed=self._fail,
            log=self._log,
        )

    def _offer(self, transaction: Transaction) -> None:
        """Let the engine look for tasks that may run after the transaction."""
        self._engine.offer(transaction)

    async def run(self, listener: socket.socket, ready: Callable[[Ready], None]) -> None:
        """Start everything, run until told to stop, end everything in order."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)
        hang_up = HangUp(stop=self._stop.set, reload=self._reloading.ask)
        self._loop.add_signal_handler(signal.SIGHUP, hang_up)
        notifications = Notifications(
            self._settings,
            storage=self._storage,
            users=self._users,
            tls=self._tls,
            log=self._log,
        )
        housekeeping = Housekeeping(
            self._settings,
            storage=self._storage,
            content=self._content,
            count_journal=self._watching.count_journal,
            failures=self._watching.housekeeping_failures,
            log=self._log,
        )
        # what is opened last is closed first, so that every channel tells what the end writes
        async with (
            self._told(notifications),
            self._downloading(),
            self._web(listener, notifications),
            housekeeping.running(),
            self._reloading.heeding(lambda new: self._reload(new, notifications)),
            self._working(),
        ):
            # what is there now stays: a full collection need not stop all threads for it
            gc.collect()
            gc.freeze()
            self._watching.phase = Phase.RUNNING
            ready(await self._ready(notifications))
            await self._stop.wait()
            self._watching.phase = Phase.STOPPING
            self._log.info("stopping: tasks that run are canceled")
        if self._failure:
            raise StartError(self._failure)

    async def _reload(self, new: Settings, notifications: Notifications) -> None:
        """Let those of the new settings take effect that can."""
        live = with_live(self._settings, new)
        certificate = await asyncio.to_thread(self._tls.read, live)
        await notifications.reload(live)
        self._tls.use(certificate)
        set_log_level(new)

    async def _ready(self, notifications: Notifications) -> Ready:
        """Return what the operator is told; the first user is made when it surely is told."""
        server = self._settings.server
        password = await asyncio.to_thread(
            self._users.ensure_first, server.default_login, server.default_password
        )
        host = f"[{server.host}]" if ":" in server.host else server.host
        return Ready(
            url=f"{server.scheme}://{host}:{server.port}",
            door=notifications.door_address,
            door_tls=notifications.door_tls,
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
        self, listener: socket.socket, notifications: Notifications
    ) -> AsyncIterator[None]:
        """Answer requests while the block runs."""
        server = _Uvicorn(
            uvicorn.Config(
                self._logged(self._application(notifications)),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                # a callable that makes a protocol is all that it needs
                http=self._tls.before_http(BoundedHttp),  # type: ignore[arg-type]
                # it believes everybody on this machine
                proxy_headers=False,
                headers=[("x-content-type-options", "nosniff")],
                server_header=False,
                date_header=True,
                timeout_graceful_shutdown=int(_LAST_WORDS),
            ),
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield
        finally:
            self._tls.close()
            server.should_exit = True
            await serving

    def _logged(self, application: Starlette) -> ASGIApp:
        """Return what tells of each request, if it is asked for, as the proxies tell of it."""
        server, app = self._settings.server, cast("ASGIApp", application)
        if server.access_log:
            app = RequestLog(app, log=self._log)
        return ForwardedHeaders(app, trusted=server.trusted_proxies)

    def _application(self, notifications: Notifications) -> Starlette:
        """Return the web application with all routes."""
        storage, engine, types = self._storage, self._engine, self._types
        gate = Gate(self._users, log=self._log)
        tasks = Tasks(storage, clock=utc_now, engine=engine, observe=self._watching.tasks.observe)
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
                *self._watching.routes(
                    gate,
                    engine=engine,
                    notifications=notifications,
                    streams=self._fanout.figures,
                ),
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
            door_tls=notifications.door_tls,
        )
