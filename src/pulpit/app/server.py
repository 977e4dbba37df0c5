"""The server: API, published content and events, and with the embedded engine the tasks."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp

from pulpit.app.authority import UserAuthority
from pulpit.app.content import content_types
from pulpit.app.doctor.listener import ListenerDoctor
from pulpit.app.engines import make_working
from pulpit.app.files import raise_file_limit
from pulpit.app.health import Phase
from pulpit.app.housekeeping import Housekeeping
from pulpit.app.last_resort import LastResort
from pulpit.app.leading import Leading
from pulpit.app.listeners import ListenerDuties
from pulpit.app.logs import configure_logs, set_log_level
from pulpit.app.notifications import Notifications
from pulpit.app.notifiers import in_use, make_notifiers
from pulpit.app.opening import open_storage, with_event_source
from pulpit.app.reloading import HangUp, Reloading, with_live
from pulpit.app.routes import Served, application
from pulpit.app.tenure import Term, make_tenure
from pulpit.app.tls import Tls
from pulpit.app.watching import Watching
from pulpit.app.web import answering, listening_socket, local_socket
from pulpit.config import EngineKind, Settings
from pulpit.content.limits import limits_of
from pulpit.content.sources import SourceDownloads
from pulpit.domain.clock import utc_now
from pulpit.errors import StartError
from pulpit.events.fanout import Fanout
from pulpit.services.content import Content
from pulpit.services.logins import Logins
from pulpit.services.on_demand import OnDemand
from pulpit.services.schedules import Schedules
from pulpit.services.tasks import Tasks
from pulpit.services.uploads import UploadRetention
from pulpit.services.users import Users
from pulpit.storage.database import SqlStorage
from pulpit.storage.files import FolderFileStore
from pulpit.storage.vault import FolderVault

__all__ = ["Ready", "serve"]

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

    SIGHUP has it read its configuration again. Where something hangs, the process ends by itself
    some time after it was told to stop.

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
        open_storage(settings, log=log) as storage,
        _opened(settings, log) as (authority, tls),
        contextlib.closing(listening_socket(settings)) as listener,
        local_socket(settings.server.socket) as local,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        bound = with_event_source(_with_port(settings, listener), storage, log=log)
        server = _Server(bound, storage, log, reloading, tls=tls, authority=authority)
        runner.run(server.run((listener, *local), ready))


@contextlib.contextmanager
def _opened(settings: Settings, log: Any) -> Iterator[tuple[UserAuthority, Tls]]:
    """Yield who makes users' certificates, and TLS, which asks clients for them."""
    authority = UserAuthority(settings, log=log)
    tls = Tls(settings, authority=authority.for_handshakes(), log=log)
    with contextlib.closing(tls):
        yield authority, tls


def _with_port(settings: Settings, listener: socket.socket) -> Settings:
    """Return the settings with the port that 0 has become, which stands in events."""
    port = listener.getsockname()[1]
    return dataclasses.replace(settings, server=dataclasses.replace(settings.server, port=port))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the fastest event loop that is installed."""
    import uvloop  # noqa: PLC0415 - starts no thread, but takes time that `pulpit` commands lack

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class _Server:
    """All parts of the server, wired."""

    def __init__(
        self,
        settings: Settings,
        storage: SqlStorage,
        log: Any,
        reloading: Reloading,
        *,
        tls: Tls,
        authority: UserAuthority,
    ) -> None:
        self._settings, self._storage, self._tls = settings, storage, tls
        self._log, self._reloading = log, reloading
        self._authority = authority
        #: Names this process to others, in leases and in the names of files.
        process = str(uuid4())
        self._files = files = FolderFileStore(settings.storage.data, owner=process)
        if settings.database.url is None:
            # nobody else is at the data folder: these are of a former server
            files.remove_temporary()
        self._users = Users(storage, clock=utc_now)
        self._logins = Logins(storage, clock=utc_now, authority=authority)
        self._watching = Watching(settings, storage)
        self._working = make_working(
            settings,
            storage,
            files,
            observe=self._watching.tasks.observe,
            failed=self._fail,
            log=log,
        )
        self._content = Content(
            storage, files, clock=utc_now, grace_hours=settings.storage.publication_grace
        )
        self._downloads = SourceDownloads(limits_of(settings.feeds))
        self._on_demand = OnDemand(
            self._content,
            storage,
            files,
            self._downloads,
            clock=utc_now,
            owner=process,
            concurrency=settings.feeds.concurrency,
        )
        self._fanout = Fanout(storage.events)
        self._notifications = Notifications(
            settings, storage=storage, logins=self._logins, tls=tls, log=log
        )
        self._vault = FolderVault(settings.storage.data, log=log)
        self._notifiers = make_notifiers(settings, log=log)
        self._listeners = ListenerDuties(
            settings, storage=storage, notifiers=self._notifiers, vault=self._vault, log=log
        )
        self._housekeeping = Housekeeping(
            settings,
            storage=storage,
            content=self._content,
            uploads=UploadRetention(
                storage, files, clock=utc_now, idle_hours=settings.uploads.idle_hours
            ),
            reaper=self._working.reaper,
            schedules=self._schedules(),
            count_journal=self._watching.count_journal,
            failures=self._watching.housekeeping_failures,
            log=log,
        )
        self._leading = Leading(make_tenure(storage, log=log), self._duties, log=log)
        self._stop, self._last_resort = asyncio.Event(), LastResort(log)
        self._failure: str | None = None
        self._loop: asyncio.AbstractEventLoop

    async def run(self, listeners: Sequence[socket.socket], ready: Callable[[Ready], None]) -> None:
        """Start everything, run until told to stop, end everything in order."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end)
        hang_up = HangUp(stop=self._end, reload=self._reloading.ask)
        self._loop.add_signal_handler(signal.SIGHUP, hang_up)
        # what is opened last is closed first, so that every channel tells what the end writes
        async with (
            self._admitted(),
            self._told(),
            in_use(self._notifiers),
            self._leading.running(),
            self._downloading(),
            answering(self._application(), listeners, tls=self._tls, last_words=_LAST_WORDS),
            self._housekeeping.counting(),
            self._reloading.heeding(self._reload),
            self._at_work(),
        ):
            # what is there now stays: a full collection need not stop all threads for it
            gc.collect()
            gc.freeze()
            self._watching.phase = Phase.RUNNING
            ready(await self._ready())
            await self._stop.wait()
            self._watching.phase = Phase.STOPPING
            if self._settings.tasks.engine is EngineKind.EMBEDDED:
                self._log.info("stopping: tasks that run are canceled")
            else:
                self._log.info("stopping: tasks go on at the workers")
        if self._failure:
            raise StartError(self._failure)

    def _schedules(self) -> Schedules:
        """Return the schedules, whose tasks are handed in as those of requests are."""
        observe = self._watching.tasks.observe
        tasks = Tasks(self._storage, clock=utc_now, engine=self._working, observe=observe)
        return Schedules(self._storage, clock=utc_now, tasks=tasks, types=content_types())

    def _application(self) -> ASGIApp:
        """Return the web application."""
        return application(
            Served(
                settings=self._settings,
                storage=self._storage,
                files=self._files,
                users=self._users,
                logins=self._logins,
                authority=self._authority,
                working=self._working,
                leading=self._leading,
                content=self._content,
                on_demand=self._on_demand,
                fanout=self._fanout,
                notifications=self._notifications,
                listeners=self._listeners,
                watching=self._watching,
                vault=self._vault,
                notifiers=self._notifiers,
                log=self._log,
                diagnose=ListenerDoctor(
                    settings=self._settings,
                    storage=self._storage,
                    notifiers=self._notifiers,
                ),
            )
        )

    async def _reload(self, new: Settings) -> None:
        """Let those of the new settings take effect that can."""
        live = with_live(self._settings, new)
        certificate = await asyncio.to_thread(self._tls.read, live)
        await self._notifications.reload(live)
        self._tls.use(certificate)
        set_log_level(new)

    async def _ready(self) -> Ready:
        """Return what the operator is told; the first user is made when it surely is told."""
        server = self._settings.server
        password = await asyncio.to_thread(
            self._users.ensure_first, server.default_login, server.default_password
        )
        host = f"[{server.host}]" if ":" in server.host else server.host
        return Ready(
            url=f"{server.scheme}://{host}:{server.port}",
            door=self._notifications.door_address,
            door_tls=self._notifications.door_tls,
            login=server.default_login,
            password=password,
        )

    @contextlib.asynccontextmanager
    async def _duties(self, term: Term) -> AsyncIterator[None]:
        """Do while the block runs what only the leader does."""
        async with (
            self._notifications.publishing(term),
            self._housekeeping.leading(term),
            self._listeners.leading(term),
        ):
            yield

    @contextlib.asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        """Make sure, before anything else is done, that no other engine runs the tasks."""
        with contextlib.ExitStack() as stack:
            await asyncio.to_thread(stack.enter_context, self._working.admitted())
            try:
                yield
            finally:
                await asyncio.to_thread(stack.close)

    @contextlib.asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """Keep the door open while the block runs."""
        await self._notifications.start()
        try:
            yield
        finally:
            await self._notifications.stop(_LAST_WORDS)

    @contextlib.asynccontextmanager
    async def _downloading(self) -> AsyncIterator[None]:
        """Let on-demand downloads have their sessions while the block runs."""
        try:
            yield
        finally:
            await self._downloads.close()

    @contextlib.asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        """Run tasks while the block runs; then cancel those here, and let readers go."""
        with contextlib.ExitStack() as stack:
            await asyncio.to_thread(stack.enter_context, self._working.running())
            try:
                yield
            finally:
                await asyncio.to_thread(stack.close)
                self._fanout.close()
                # answers that wait for a download would hold up the web server's end
                await self._on_demand.close()

    def _fail(self) -> None:
        """Stop the server, since its engine can't go on; called in some thread."""
        self._failure = "The engine failed, so the server has stopped: its log says why."
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        """Begin to stop; called in the event loop."""
        self._last_resort.stop_asked()
        self._stop.set()
