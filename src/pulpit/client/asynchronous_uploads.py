"""What the client for an event loop asks of uploads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulpit.client import upload_requests as requests
from pulpit.client.connection import AsyncConnection
from pulpit.client.reports import CallReport
from pulpit.client.upload_requests import UploadState

__all__ = ["AsyncUploadCalls"]


class AsyncUploadCalls:
    """The calls about uploads; each means what that of UploadCalls means."""

    _connection: AsyncConnection

    async def begin_upload(self) -> str:
        return await self._connection.ask(requests.begin())

    async def upload_state(self, upload_id: str) -> UploadState:
        return await self._connection.ask(requests.state(upload_id))

    async def send_bytes(self, upload_id: str, offset: int, data: bytes) -> None:
        await self._connection.ask(requests.send(upload_id, offset, data))

    async def delete_upload(self, upload_id: str) -> None:
        await self._connection.ask(requests.delete(upload_id))

    async def import_upload(self, repo_id: str, document: Mapping[str, Any]) -> CallReport:
        return await self._connection.ask(requests.import_upload(repo_id, document))
