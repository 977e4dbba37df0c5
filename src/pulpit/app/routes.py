"""The web application: the services, and the routes that lead to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, cast

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from pulpit.api import associations as associations_api
from pulpit.api import content as content_api
from pulpit.api import deliveries as deliveries_api
from pulpit.api import distributors as distributors_api
from pulpit.api import downloads as downloads_api
from pulpit.api import events as events_api
from pulpit.api import importers as importers_api
from pulpit.api import listeners as listeners_api
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
from pulpit.api.forwarded import ForwardedHeaders
from pulpit.api.request_log import RequestLog
from pulpit.api.server import web_application
from pulpit.api.web import Gate
from pulpit.app.content import content_types
from pulpit.app.engines import Working
from pulpit.app.leading import Leading
from pulpit.app.listeners import ListenerDuties
from pulpit.app.notifications import Notifications
from pulpit.app.watching import Watching
from pulpit.config import Settings
from pulpit.domain.clock import utc_now
from pulpit.domain.listeners import NotifierType
from pulpit.events.asyncapi import Servers
from pulpit.events.fanout import Fanout
from pulpit.ports import CertificateAuthority, ContentTypes, FileStore, Notifier, Vault
from pulpit.services.associations import Associations
from pulpit.services.certificates import Certificates
from pulpit.services.content import Content
from pulpit.services.deliveries import Deliveries
from pulpit.services.distributors import Distributors
from pulpit.services.downloads import Downloads
from pulpit.services.importers import Importers
from pulpit.services.listeners import Listeners
from pulpit.services.logins import Logins
from pulpit.services.on_demand import OnDemand
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
from pulpit.services.trials import Diagnose, Trials
from pulpit.services.units import Units
from pulpit.services.uploads import UploadLimits, Uploads
from pulpit.services.users import Users
from pulpit.storage.database import SqlStorage

__all__ = ["Served", "application", "upload_limits"]

#: The API that is spoken here.
_PLATFORM_VERSION = "2.21.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The parts of the server that requests lead to."""

    settings: Settings
    storage: SqlStorage
    files: FileStore
    users: Users
    logins: Logins
    authority: CertificateAuthority
    working: Working
    leading: Leading
    content: Content
    on_demand: OnDemand
    fanout: Fanout
    notifications: Notifications
    listeners: ListenerDuties
    watching: Watching
    vault: Vault
    notifiers: Mapping[NotifierType, Notifier]
    log: Any
    #: Looks at what lies on the way to a listener; None where nobody can.
    diagnose: Diagnose | None = None


def application(parts: Served) -> ASGIApp:
    """Return the web application with all routes.

    It tells of each request if that is asked for, as trusted proxies tell of it.
    """
    server, app = parts.settings.server, cast("ASGIApp", _routed(parts))
    if server.access_log:
        app = RequestLog(app, log=parts.log)
    return ForwardedHeaders(
        app,
        trusted=server.trusted_proxies,
        certificate_header=parts.settings.security.client_certificate_header,
    )


def _routed(parts: Served) -> Starlette:
    """Return what leads requests to the services."""
    storage, types = parts.storage, content_types()
    permissions = Permissions(storage)
    gate = Gate(parts.logins, permissions, log=parts.log)
    tasks = Tasks(
        storage,
        clock=utc_now,
        engine=parts.working,
        observe=parts.watching.tasks.observe,
    )
    repositories = Repositories(storage, clock=utc_now, tasks=tasks, types=types)
    importers = Importers(storage, clock=utc_now, tasks=tasks, types=types)
    distributors = Distributors(storage, clock=utc_now, tasks=tasks, types=types)
    schedules = Schedules(storage, clock=utc_now, tasks=tasks, types=types)
    return web_application(
        [
            *status_api.routes(gate, lambda: _status(parts)),
            *plugins_api.routes(gate, types),
            *tasks_api.routes(gate, tasks),
            *repo_groups_api.routes(gate, RepoGroups(storage, clock=utc_now)),
            *task_groups_api.routes(gate, TaskGroups(storage, tasks)),
            *repositories_api.routes(gate, repositories, importers, distributors),
            *importers_api.routes(gate, importers),
            *distributors_api.routes(gate, distributors),
            *downloads_api.routes(gate, Downloads(storage, clock=utc_now, tasks=tasks)),
            *orphans_api.routes(gate, Orphans(storage, clock=utc_now, tasks=tasks, types=types)),
            *associations_api.routes(
                gate, Associations(storage, clock=utc_now, tasks=tasks, types=types)
            ),
            *units_api.routes(gate, Units(storage, parts.files, types=types)),
            *uploads_api.routes(gate, _uploads(parts, tasks, types)),
            *schedules_api.routes(gate, schedules),
            *events_api.routes(
                gate,
                storage.events,
                parts.fanout,
                event_source_uri=parts.settings.event_source,
            ),
            *_listener_routes(gate, parts),
            *_user_routes(gate, parts, permissions),
            *snapshot_api.routes(gate, Snapshots(storage)),
            *schemas_api.routes(gate, lambda: _servers(parts)),
            *openapi_api.routes(gate),
            *parts.watching.routes(
                gate,
                working=parts.working,
                leads=lambda: parts.leading.leads,
                notifications=parts.notifications,
                deliveries=parts.listeners.tally,
                streams=parts.fanout.figures,
            ),
            *content_api.routes(parts.content, parts.on_demand, log=parts.log),
        ],
    )


def upload_limits(settings: Settings) -> UploadLimits:
    """Return what there may be of uploads."""
    return UploadLimits(
        size=settings.uploads.max_size,
        chunk=settings.uploads.max_chunk,
        number=settings.uploads.max_open,
        disk_floor=settings.storage.disk_floor,
    )


def _uploads(parts: Served, tasks: Tasks, types: ContentTypes) -> Uploads:
    """Return what users do with uploads."""
    return Uploads(
        parts.storage,
        parts.files,
        clock=utc_now,
        tasks=tasks,
        types=types,
        limits=upload_limits(parts.settings),
    )


def _listener_routes(gate: Gate, parts: Served) -> Sequence[Route]:
    """Return what leads requests to event listeners and their deliveries."""
    storage, changed = parts.storage, parts.listeners.changed
    listeners = Listeners(
        storage, clock=utc_now, vault=parts.vault, notifiers=parts.notifiers, changed=changed
    )
    trials = Trials(
        storage,
        clock=utc_now,
        vault=parts.vault,
        notifiers=parts.notifiers,
        diagnose=parts.diagnose,
    )
    return [
        *listeners_api.routes(gate, listeners, trials),
        *deliveries_api.routes(gate, Deliveries(storage, clock=utc_now, changed=changed)),
    ]


def _user_routes(gate: Gate, parts: Served, permissions: Permissions) -> Sequence[Route]:
    """Return what leads requests to users, and to what they may do."""
    storage, days = parts.storage, parts.settings.security.user_cert_expiration
    certificates = Certificates(parts.authority, clock=utc_now, days=days)
    return [
        *users_api.routes(gate, parts.users, certificates),
        *tokens_api.routes(gate, Tokens(storage, clock=utc_now)),
        *roles_api.routes(gate, Roles(storage, clock=utc_now)),
        *permissions_api.routes(gate, permissions),
    ]


def _status(parts: Served) -> Mapping[str, Any]:
    """Return the document of ``GET /pulp/api/v2/status/``, also while the database is away."""
    connected = parts.storage.answers()
    return {
        "versions": {
            "platform_version": _PLATFORM_VERSION,
            "pulpit_version": version("pulpit"),
        },
        "api_version": "2",
        "database_connection": {"connected": connected},
        "messaging_connection": {"connected": parts.notifications.connected},
        "known_workers": parts.working.known() if connected else [],
        "events": parts.notifications.status(),
        "listeners": parts.listeners.status() if connected else {},
    }


def _servers(parts: Served) -> Servers:
    """Return where events can be had now."""
    return Servers(
        source=parts.settings.event_source,
        brokers=parts.notifications.where().get("broker", ()),
        door=parts.notifications.door_address,
        door_tls=parts.notifications.door_tls,
        listener_brokers=parts.settings.messaging.broker_urls,
        listener_exchange=parts.settings.messaging.topic_exchange,
    )
