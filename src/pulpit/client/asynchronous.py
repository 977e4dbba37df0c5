"""The client for an event loop: the same requests, values and errors as the blocking one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from pulpit.client import requests
from pulpit.client.asynchronous_listeners import AsyncListenerCalls
from pulpit.client.asynchronous_schedules import AsyncScheduleCalls
from pulpit.client.asynchronous_uploads import AsyncUploadCalls
from pulpit.client.asynchronous_users import AsyncUserCalls
from pulpit.client.connection import AsyncConnection, Auth
from pulpit.client.errors import Forbidden
from pulpit.client.events import Event, EventFilter, Stale
from pulpit.client.options import EventOptions, FollowOptions, following
from pulpit.client.reports import CallReport, TaskReport
from pulpit.client.snapshots import Snapshot, SnapshotPages
from pulpit.client.stream import AsyncEventStream
from pulpit.config import DEFAULT_URL

__all__ = ["AsyncClient"]


class AsyncClient(AsyncListenerCalls, AsyncScheduleCalls, AsyncUploadCalls, AsyncUserCalls):
    """Client for an event loop; its calls mean what those of Client mean, which tells of each.

    Args:
        url: the server's address.
        auth: login and password, or a token, or None to go without.
        timeout: seconds to connect, and to wait for an answer.
        cafile: PEM file of the authorities that vouch for an https server; None for the system's.
        transport: what carries the requests; None for the network.

    Raises:
        ValueError: the URL is no server's, or the file holds no authorities.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        auth: Auth = None,
        timeout: float = 30.0,
        cafile: str | os.PathLike[str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._connection = AsyncConnection(
            url, auth=auth, timeout=timeout, cafile=cafile, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def url(self) -> str:
        """The server's address, without a slash at its end."""
        return self._connection.url

    async def close(self) -> None:
        await self._connection.close()

    # server

    async def status(self) -> Mapping[str, Any]:
        return await self._connection.ask(requests.status())

    async def check_credentials(self) -> None:
        with suppress(Forbidden):
            await self._connection.ask(requests.check_credentials())

    # repositories

    async def repositories(self) -> Sequence[Mapping[str, Any]]:
        return await self._connection.ask(requests.repositories())

    async def repository(self, repo_id: str) -> Mapping[str, Any]:
        return await self._connection.ask(requests.repository(repo_id))

    async def create_repository(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._connection.ask(requests.create_repository(document))

    async def delete_repository(self, repo_id: str) -> CallReport:
        return await self._connection.ask(requests.delete_repository(repo_id))

    async def sync(self, repo_id: str, *, override: Mapping[str, Any] | None = None) -> CallReport:
        return await self._connection.ask(requests.sync(repo_id, override))

    async def publish(
        self, repo_id: str, distributor_id: str, *, override: Mapping[str, Any] | None = None
    ) -> CallReport:
        return await self._connection.ask(requests.publish(repo_id, distributor_id, override))

    async def copy_units(
        self,
        repo_id: str,
        source: str,
        *,
        criteria: Mapping[str, Any] | None = None,
        override: Mapping[str, Any] | None = None,
    ) -> CallReport:
        return await self._connection.ask(requests.copy_units(repo_id, source, criteria, override))

    async def remove_units(
        self, repo_id: str, *, criteria: Mapping[str, Any] | None = None
    ) -> CallReport:
        return await self._connection.ask(requests.remove_units(repo_id, criteria))

    async def units(
        self,
        repo_id: str,
        *,
        types: Sequence[str] = (),
        filters: Mapping[str, Any] | None = None,
        limit: int | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        asked = requests.units(repo_id, types=types, filters=filters or {}, limit=limit)
        return await self._connection.ask(asked)

    # tasks

    async def orphans(self) -> Mapping[str, Any]:
        return await self._connection.ask(requests.orphans())

    async def orphans_of(self, type_id: str) -> Sequence[Mapping[str, Any]]:
        return await self._connection.ask(requests.orphans_of(type_id))

    async def remove_orphans(self, type_id: str | None = None) -> CallReport:
        return await self._connection.ask(requests.remove_orphans(type_id))

    async def tasks(
        self,
        *,
        tags: Sequence[str] = (),
        states: Sequence[str] = (),
        group: str | None = None,
        limit: int | None = None,
    ) -> Sequence[TaskReport]:
        asked = requests.tasks(tags=tags, states=states, group=group, limit=limit)
        return await self._connection.ask(asked)

    async def task(self, task_id: str) -> TaskReport:
        return await self._connection.ask(requests.task(task_id))

    async def cancel(self, task_id: str) -> None:
        await self._connection.ask(requests.cancel(task_id))

    # events

    async def head(self) -> int:
        return await self._connection.ask(requests.head())

    def events(self, **options: Unpack[EventOptions]) -> AsyncEventStream[Event | Stale]:
        """Return the events for ``async for``."""
        return AsyncEventStream(self._connection, following(self.url, options, snapshots=False))

    async def snapshot(
        self,
        *,
        task: str | Sequence[str] = (),
        tag: str | Sequence[str] = (),
        repository: str | None = None,
        state: Sequence[str] = (),
    ) -> Snapshot:
        wanted = EventFilter(task=task, tag=tag, repository=repository)
        pages = SnapshotPages(wanted, states=state)
        while request := pages.request():
            await self._connection.ask(request)
        return pages.snapshot

    def follow(
        self, **options: Unpack[FollowOptions]
    ) -> AsyncEventStream[Snapshot | Event | Stale]:
        """Return a snapshot and then events for ``async for``."""
        return AsyncEventStream(self._connection, following(self.url, options, snapshots=True))
