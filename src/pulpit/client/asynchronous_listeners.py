"""What the client for an event loop asks of event listeners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pulpit.client import listener_requests as requests
from pulpit.client.connection import AsyncConnection
from pulpit.client.listeners import Delivery, DeliveryPage, Listener, ListenerTest, RotatedSecret
from pulpit.domain.findings import Finding

__all__ = ["AsyncListenerCalls"]


class AsyncListenerCalls:
    """The calls about listeners; each means what that of ListenerCalls means."""

    _connection: AsyncConnection

    async def listeners(self) -> Sequence[Listener]:
        return await self._connection.ask(requests.listeners())

    async def listener(self, listener_id: str) -> Listener:
        return await self._connection.ask(requests.listener(listener_id))

    async def create_listener(self, document: Mapping[str, Any]) -> Listener:
        return await self._connection.ask(requests.create(document))

    async def update_listener(self, listener_id: str, changes: Mapping[str, Any]) -> Listener:
        return await self._connection.ask(requests.update(listener_id, changes))

    async def delete_listener(self, listener_id: str) -> None:
        await self._connection.ask(requests.delete(listener_id))

    async def enable_listener(self, listener_id: str) -> Listener:
        return await self._connection.ask(requests.enable(listener_id))

    async def disable_listener(self, listener_id: str, *, reason: str | None = None) -> Listener:
        return await self._connection.ask(requests.disable(listener_id, reason))

    async def rotate_listener_secret(
        self, listener_id: str, *, overlap: float | None = None
    ) -> RotatedSecret:
        return await self._connection.ask(requests.rotate_secret(listener_id, overlap))

    async def test_listener(self, listener_id: str) -> ListenerTest:
        return await self._connection.ask(requests.test(listener_id))

    async def diagnose_listener(self, listener_id: str) -> Sequence[Finding]:
        return await self._connection.ask(requests.diagnose(listener_id))

    async def deliveries(
        self,
        listener_id: str,
        *,
        states: Sequence[str] = (),
        since: datetime | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> DeliveryPage:
        asked = requests.deliveries(
            listener_id, states=states, since=since, before=before, limit=limit
        )
        return await self._connection.ask(asked)

    async def delivery(self, listener_id: str, delivery_id: str) -> Delivery:
        return await self._connection.ask(requests.delivery(listener_id, delivery_id))

    async def resend(
        self,
        listener_id: str,
        *,
        delivery: str | None = None,
        since: datetime | None = None,
    ) -> int:
        return await self._connection.ask(
            requests.resend(listener_id, delivery=delivery, since=since)
        )
