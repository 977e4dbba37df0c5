"""What the client whose calls wait asks of schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulpit.client import schedule_requests as requests
from pulpit.client.connection import Connection
from pulpit.domain.schedules import Scheduled

__all__ = ["ScheduleCalls"]


class ScheduleCalls:
    """The calls about schedules; every one raises NotFound for what is not there.

    ``Scheduled(kind=ScheduleKind.SYNC, repo_id=…, plugin_id=…)`` names the importer whose syncs, or
    with ``PUBLISH`` the distributor whose publishes, are meant.
    """

    _connection: Connection

    def schedules(self, of: Scheduled) -> Sequence[Mapping[str, Any]]:
        """Return the schedules of an importer or distributor."""
        return self._connection.ask(requests.schedules(of))

    def schedule(self, of: Scheduled, schedule_id: str) -> Mapping[str, Any]:
        """Return one of them."""
        return self._connection.ask(requests.schedule(of, schedule_id))

    def create_schedule(self, of: Scheduled, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create a schedule.

        Args:
            of: what it has done.
            document: ``{schedule, enabled, failure_threshold, override_config}``, of which only the
                first must be there: an interval of ISO 8601, such as ``PT1H``.
        """
        return self._connection.ask(requests.create(of, document))

    def update_schedule(
        self, of: Scheduled, schedule_id: str, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Change a schedule; *changes* has what is to change, with the keys that create takes."""
        return self._connection.ask(requests.update(of, schedule_id, changes))

    def delete_schedule(self, of: Scheduled, schedule_id: str) -> None:
        """Delete a schedule; a task that it has handed in goes on."""
        self._connection.ask(requests.delete(of, schedule_id))
