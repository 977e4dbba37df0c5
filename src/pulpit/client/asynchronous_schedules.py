"""What the client for an event loop asks of schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulpit.client import schedule_requests as requests
from pulpit.client.connection import AsyncConnection
from pulpit.domain.schedules import Scheduled

__all__ = ["AsyncScheduleCalls"]


class AsyncScheduleCalls:
    """The calls about schedules; each means what that of ScheduleCalls means."""

    _connection: AsyncConnection

    async def schedules(self, of: Scheduled) -> Sequence[Mapping[str, Any]]:
        return await self._connection.ask(requests.schedules(of))

    async def schedule(self, of: Scheduled, schedule_id: str) -> Mapping[str, Any]:
        return await self._connection.ask(requests.schedule(of, schedule_id))

    async def create_schedule(
        self, of: Scheduled, document: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return await self._connection.ask(requests.create(of, document))

    async def update_schedule(
        self, of: Scheduled, schedule_id: str, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return await self._connection.ask(requests.update(of, schedule_id, changes))

    async def delete_schedule(self, of: Scheduled, schedule_id: str) -> None:
        await self._connection.ask(requests.delete(of, schedule_id))
