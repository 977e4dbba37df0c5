"""The web application in process, over a real database, with importers that need no feed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx
from argon2 import PasswordHasher
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from pulpit.api import associations as associations_api
from pulpit.api import content as content_api
from pulpit.api import deliveries as deliveries_api
from pulpit.api import distributors as distributors_api
from pulpit.api import downloads as downloads_api
from pulpit.api import events as events_api
from pulpit.api import health as health_api
from pulpit.api import importers as importers_api
from pulpit.api import listeners as listeners_api
from pulpit.api import metrics as metrics_api
from pulpit.api import openapi as openapi_api
from pulpit.api import orphans as orphans_api
from pulpit.api import permissions as permissions_api
from pulpit.api import plugins as plugins_api
from pulpit.api import repo_groups as repo_groups_api
from pulpit.api import repositories as repositories_api
from pulpit.api import roles as roles_api
from pulpit.api import schedules as schedules_api
from pulpit.api import schemas as schemas_api
from pulpit.api import snapshot as snapshot_api
from pulpit.api import status as status_api
from pulpit.api import task_groups as task_groups_api
from pulpit.api import tasks as tasks_api
from pulpit.api import tokens as tokens_api
from pulpit.api import units as units_api
from pulpit.api import uploads as uploads_api
from pulpit.api import users as users_api
from pulpit.api.server import web_application
from pulpit.api.web import Gate
from pulpit.app.routes import upload_limits
from pulpit.config import Settings
from pulpit.content.iso.importer import IsoImporter
from pulpit.content.registry import Registry
from pulpit.content.rpm.distributor import YumDistributor
from pulpit.content.rpm.importer import YumImporter
from pulpit.domain.findings import Finding, Outcome
from pulpit.domain.listeners import NotifierType, OpenListener
from pulpit.domain.outcomes import Failed, Finished, Progress, Update
from pulpit.domain.repositories import Distributor, Importer, Publication, Repository
from pulpit.domain.tasks import Task
from pulpit.errors import NoFeed, PulpitError
from pulpit.events.asyncapi import Servers
from pulpit.events.fanout import Fanout
from pulpit.ports import Clock, TaskContext, Transaction
from pulpit.services.associations import Associations
from pulpit.services.certificates import Certificates
from pulpit.services.content import Content
from pulpit.services.deliveries import Deliveries
from pulpit.services.distributors import Distributors
from pulpit.services.downloads import Downloads
from pulpit.services.importers import Importers
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.listeners import Listeners
from pulpit.services.logins import Logins
from pulpit.services.on_demand import OnDemand
from pulpit.services.operations import BODIES, COMPLETIONS
from pulpit.services.orphans import Orphans
from pulpit.services.permissions import Permissions
from pulpit.services.repo_groups import RepoGroups
from pulpit.services.repositories import Repositories
from pulpit.services.roles import Roles
from pulpit.services.schedules import Schedules
from pulpit.services.snapshot import Snapshots
from pulpit.services.task_groups import TaskGroups
from pulpit.services.tasks import Tasks
from pulpit.services.tokens import Tokens
from pulpit.services.trials import Trials
from pulpit.services.units import Units
from pulpit.services.uploads import Uploads
from pulpit.services.users import Users
from pulpit.storage.database import SqlStorage
from pulpit.storage.files import FolderFileStore
from pulpit.storage.sqlite import SqliteStorage
from pulpit.testing import (
    FrozenClock,
    MemoryAuthority,
    MemoryVault,
    RecordingEngine,
    RecordingNotifier,
)

__all__ = [
    "API",
    "AUTH",
    "EVENT_SOURCE_URI",
    "PUBLIC",
    "QUICK_HASHER",
    "Log",
    "QuietDistributor",
    "QuietImporter",
    "Site",
    "assert_error",
    "copy_of",
    "known",
    "spawned",
]

#: The one user.
AUTH = ("admin", "secret: of the site")
#: Hashes that take no time.
QUICK_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
API = "/pulp/api/v2"
#: Patterns of the routes that are open to everybody.
PUBLIC = {
    f"{API}/status/",
    "/pulp/repos/{path:path}",
    "/pulp/isos/{path:path}",
    "/pulpit/v1/schemas/",
    "/pulpit/v1/schemas/{name}.json",
    "/pulpit/v1/asyncapi.json",
    "/pulpit/v1/openapi.json",
    "/live",
    "/ready",
}
#: CloudEvents' ``source`` of the site.
EVENT_SOURCE_URI = "http://site/"


class QuietImporter(YumImporter):
    """A yum importer whose feed brings nothing."""

    def sync(
        self,
        context: TaskContext,
        *,
        repository: Repository,
        importer: Importer,
        override: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        if not {**importer.config, **override}.get("feed"):
            raise NoFeed
        context.progress({"yum_importer": {"metadata": {"state": "FINISHED"}}}, boundary=True)
        return {"_ns": "repo_sync_results", "repo_id": repository.id, "added_count": 0}


class QuietDistributor(YumDistributor):
    """A yum distributor that writes no files."""

    def publish(
        self,
        context: TaskContext,
        *,
        repository: Repository,
        distributor: Distributor,
        override: Mapping[str, Any],
    ) -> tuple[Mapping[str, Any], int | None]:
        with context.write() as transaction:
            publication = transaction.publications.add(
                Publication(
                    repo_id=repository.id,
                    distributor_id=distributor.id,
                    relative_url=str({**distributor.config, **override}["relative_url"]),
                    folder=str(uuid4()),
                    fingerprint="f",
                    created=context.clock(),
                ),
            )
        return {"_ns": "repo_publish_results", "repo_id": repository.id}, publication.id


class Log:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def exception(self, event: str, **fields: Any) -> None:
        """Keep an error of the server's own."""
        self.told.append((event, fields))

    warning = exception


class _Context:
    """Implements ``pulpit.ports.TaskContext`` in this process."""

    def __init__(self, site: Site, task: Task) -> None:
        self.task = task
        self.settings = site.settings
        self.storage = site.storage
        self.files = site.files
        self.clock: Clock = site.clock
        self._site = site

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        with self.storage.write() as transaction:
            transaction.tasks.fence(self.task.id, self.task.attempt)
            yield transaction

    def progress(self, report: Mapping[str, Any], *, boundary: bool = False) -> None:
        self._site.record(self.task, Progress(report=report))


class _NoSources:
    """A downloader that nobody asks."""

    def stream(
        self, importer: Importer, url: str, *, below: str = ""
    ) -> AsyncGenerator[bytes, None]:
        raise AssertionError(url)

    async def close(self) -> None:
        """Nobody is connected."""


async def _ready() -> tuple[bool, Mapping[str, Any]]:
    """Return that requests may come."""
    return True, {}


async def _diagnose(opened: OpenListener) -> Sequence[Finding]:
    """Return what a doctor finds who looks at nothing but the listener."""
    told = f"it is told of {', '.join(opened.listener.event_types)}"
    return [Finding(group="Listener", check="told", title="Told", outcome=Outcome.OK, detail=told)]


async def _no_figures(_openmetrics: bool) -> bytes:
    """Return a page of metrics without any."""
    return b""


def copy_of(template: Path, folder: Path) -> Path:
    """Return a new database like an empty one, which takes less time than its migrations."""
    path = folder / f"{uuid4().hex}.db"
    shutil.copyfile(template, path)
    return path


class Site:
    """The application with one user; a context manager.

    Args:
        database: of the current schema; the file of one, or an open one, which it closes.
        folder: for files.
    """

    def __init__(self, database: Path | SqlStorage, folder: Path) -> None:
        self.storage = SqliteStorage(database) if isinstance(database, Path) else database
        self.files = FolderFileStore(folder)
        #: May be replaced, and ``serve`` called, for other limits.
        self.settings = Settings()
        self.clock = FrozenClock()
        self.engine = RecordingEngine()
        self.log = Log()
        self.types = Registry(
            importers=[QuietImporter(), IsoImporter()], distributors=[QuietDistributor()]
        )
        self.users = Users(self.storage, clock=self.clock, hasher=QUICK_HASHER)
        self.users.ensure_first(*AUTH)
        self.authority = MemoryAuthority()
        self.logins = Logins(
            self.storage, clock=self.clock, hasher=QUICK_HASHER, authority=self.authority
        )
        self.permissions = Permissions(self.storage)
        self.fanout = Fanout(self.storage.events)
        self.gate = Gate(self.logins, self.permissions, log=self.log)
        self.status: dict[str, Any] = {"api_version": "2"}
        self.notifiers = {kind: RecordingNotifier() for kind in NotifierType}
        self.vault = MemoryVault()
        self.servers = Servers(source=EVENT_SOURCE_URI, door=("site", 5672))
        self.lifecycle = Lifecycle(
            self.storage, clock=self.clock, completions=COMPLETIONS, offer=self.engine.offer
        )
        self.tasks = Tasks(self.storage, clock=self.clock, engine=self.engine)
        self.schedules = Schedules(
            self.storage, clock=self.clock, tasks=self.tasks, types=self.types
        )
        self._runner = asyncio.Runner()
        self.serve(web_application(self.routes()))

    def serve(self, app: Starlette) -> None:
        """Let requests go to the application."""
        self.app = app
        transport = httpx.ASGITransport(known(app))
        self._client = httpx.AsyncClient(
            transport=transport, base_url="http://site", trust_env=False
        )

    def routes(self) -> list[BaseRoute]:
        """Return all routes, wired as in the server."""
        parts: dict[str, Any] = {
            "clock": self.clock,
            "tasks": Tasks(self.storage, clock=self.clock, engine=self.engine),
            "types": self.types,
        }
        repositories = Repositories(self.storage, **parts)
        importers = Importers(self.storage, **parts)
        distributors = Distributors(self.storage, **parts)
        content = Content(self.storage, self.files, clock=self.clock, grace_hours=1)
        on_demand = OnDemand(
            content,
            self.storage,
            self.files,
            _NoSources(),
            clock=self.clock,
            owner="site",
            concurrency=1,
        )
        return [
            *status_api.routes(self.gate, lambda: self.status),
            *plugins_api.routes(self.gate, self.types),
            *tasks_api.routes(self.gate, self.tasks),
            *repo_groups_api.routes(self.gate, RepoGroups(self.storage, clock=self.clock)),
            *task_groups_api.routes(self.gate, TaskGroups(self.storage, self.tasks)),
            *repositories_api.routes(self.gate, repositories, importers, distributors),
            *importers_api.routes(self.gate, importers),
            *distributors_api.routes(self.gate, distributors),
            *downloads_api.routes(
                self.gate, Downloads(self.storage, clock=self.clock, tasks=self.tasks)
            ),
            *orphans_api.routes(self.gate, Orphans(self.storage, **parts)),
            *associations_api.routes(self.gate, Associations(self.storage, **parts)),
            *units_api.routes(self.gate, Units(self.storage, self.files, types=self.types)),
            *uploads_api.routes(
                self.gate,
                Uploads(self.storage, self.files, limits=upload_limits(self.settings), **parts),
            ),
            *schedules_api.routes(self.gate, self.schedules),
            *events_api.routes(
                self.gate, self.storage.events, self.fanout, event_source_uri=EVENT_SOURCE_URI
            ),
            *self._listener_routes(),
            *self._user_routes(),
            *snapshot_api.routes(self.gate, Snapshots(self.storage)),
            *schemas_api.routes(self.gate, lambda: self.servers),
            *openapi_api.routes(self.gate),
            *content_api.routes(content, on_demand, log=self.log),
            *health_api.routes(lambda: (True, {}), _ready),
            *metrics_api.routes(self.gate, _no_figures, public=False),
        ]

    def _listener_routes(self) -> list[BaseRoute]:
        sealed: dict[str, Any] = {"vault": self.vault, "notifiers": self.notifiers}
        listeners = Listeners(self.storage, clock=self.clock, **sealed)
        trials = Trials(self.storage, clock=self.clock, diagnose=_diagnose, **sealed)
        return [
            *listeners_api.routes(self.gate, listeners, trials),
            *deliveries_api.routes(self.gate, Deliveries(self.storage, clock=self.clock)),
        ]

    def _user_routes(self) -> list[BaseRoute]:
        certificates = Certificates(self.authority, clock=self.clock, days=7)
        return [
            *users_api.routes(self.gate, self.users, certificates),
            *tokens_api.routes(self.gate, Tokens(self.storage, clock=self.clock)),
            *roles_api.routes(self.gate, Roles(self.storage, clock=self.clock)),
            *permissions_api.routes(self.gate, self.permissions),
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()
        self.storage.close()

    def ask(
        self, method: str, path: str, *, auth: tuple[str, str] | None = AUTH, **options: Any
    ) -> httpx.Response:
        """Send a request and return the answer.

        Args:
            method: of HTTP.
            path: below the API, or from the root when it begins with a slash.
            auth: login and password; None for none.
            options: as of ``httpx.AsyncClient.request``.
        """
        return self._runner.run(self._client.request(method, _url(path), auth=auth, **options))

    def ask_at_once(
        self, count: int, method: str, path: str, **options: Any
    ) -> list[httpx.Response]:
        """Send the same request many times at once and return the answers."""

        async def together() -> list[httpx.Response]:
            requests = (
                self._client.request(method, _url(path), auth=AUTH, **options) for _ in range(count)
            )
            return await asyncio.gather(*requests)

        return self._runner.run(together())

    def work(self) -> None:
        """Run the tasks that wait, and those that they hand in, in this process."""
        while tasks := self.lifecycle.claim("here", 10):
            for task in tasks:
                self._run(task)

    def _run(self, task: Task) -> None:
        try:
            result, effects = BODIES[task.operation](_Context(self, task), self.types)
        except PulpitError as error:
            self.record(task, Failed(error=error.to_dict()))
        else:
            self.record(task, Finished(result=result, effects=effects))

    def record(self, task: Task, news: Any) -> None:
        """Record what the task's attempt tells."""
        self.lifecycle.record([Update(task_id=task.id, attempt=task.attempt, news=news)])


def _url(path: str) -> str:
    """Return a path from the root."""
    return path if path.startswith("/") else f"{API}/{path}"


def known(app: Starlette) -> Any:
    """Return the application as httpx wants its type."""
    return app


def assert_error(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    """Check that the answer is the one error body, and return it."""
    body = answer.json()
    assert answer.status_code == status, body
    assert answer.headers["content-type"] == "application/json"
    assert body["http_status"] == status
    assert body["http_request_method"] == answer.request.method
    assert body["error"]["code"] == code
    assert body["error"]["sub_errors"] == []
    assert body["error_message"] == body["error"]["description"] != ""
    assert body["exception"] is None
    assert body["traceback"] is None
    return dict(body)


def spawned(site: Site, answer: httpx.Response) -> list[dict[str, Any]]:
    """Check that the answer is a 202 whose tasks GET finds, and return their reports."""
    body = answer.json()
    assert answer.status_code == 202, body
    assert set(body) == {"result", "error", "spawned_tasks"}
    assert body["error"] is None
    reports = []
    for reference in body["spawned_tasks"]:
        assert reference == {
            "_href": f"{API}/tasks/{reference['task_id']}/",
            "task_id": reference["task_id"],
        }
        found = site.ask("GET", reference["_href"])
        assert found.status_code == 200
        assert found.json()["task_id"] == reference["task_id"]
        reports.append(found.json())
    assert reports
    return reports
