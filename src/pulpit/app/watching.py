"""The server as those see it who watch it: metrics and probes, wired."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence

from starlette.routing import BaseRoute

from pulpit.api import health as health_api
from pulpit.api import metrics as metrics_api
from pulpit.api.web import Gate
from pulpit.app.engines import Working
from pulpit.app.figures import Figures, Parts
from pulpit.app.health import Health, Phase
from pulpit.app.notifications import Notifications
from pulpit.app.task_counts import TaskCounts
from pulpit.config import MetricsReaders, Settings
from pulpit.events.listeners import Tally
from pulpit.storage.database import SqlStorage
from pulpit.storage.figures import schema_fits

__all__ = ["Watching"]


class Watching:
    """What is counted from the start on, and the routes that tell of it.

    Args:
        settings: of the server.
        storage: the database.
    """

    def __init__(self, settings: Settings, storage: SqlStorage) -> None:
        self._settings, self._storage = settings, storage
        #: Where the server stands.
        self.phase = Phase.STARTING
        self.tasks = TaskCounts()
        #: Name of a housekeeping operation to how often it has failed.
        self.housekeeping_failures: dict[str, int] = {}
        self._figures: Figures | None = None

    def count_journal(self) -> None:
        """Count the journal's rows; see ``Figures``."""
        if self._figures:
            self._figures.count_journal()

    def routes(
        self,
        gate: Gate,
        *,
        working: Working,
        leads: Callable[[], bool],
        notifications: Notifications,
        deliveries: Tally,
        streams: Callable[[], Mapping[str, int]],
    ) -> Sequence[BaseRoute]:
        """Return the routes of metrics and probes.

        Args:
            gate: lets users in.
            working: who runs tasks.
            leads: tells whether this server leads.
            notifications: the AMQP channels.
            deliveries: counts of attempts to deliver to listeners.
            streams: returns counts of the HTTP stream.
        """
        folder = self._settings.storage.data
        parts = Parts(
            storage=self._storage,
            folder=folder,
            engine=working.figures,
            leads=leads,
            notifications=notifications,
            deliveries=deliveries,
            streams=streams,
            housekeeping_failures=self.housekeeping_failures,
        )
        self._figures = Figures(parts, tasks=self.tasks)
        health = Health(
            phase=lambda: self.phase,
            engine_alive=lambda: working.alive,
            publisher=notifications.publisher_status,
            schema_fits=lambda: schema_fits(self._storage),
            has_workers=lambda: working.living() != [],
            room=lambda: shutil.disk_usage(folder).free,
            floor=self._settings.storage.disk_floor,
        )
        public = self._settings.server.metrics is MetricsReaders.EVERYBODY
        return [
            *health_api.routes(health.live, health.ready),
            *metrics_api.routes(gate, self._figures.page, public=public),
        ]
