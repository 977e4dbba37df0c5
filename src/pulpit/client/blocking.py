"""The client whose calls wait for their answers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from pulpit.client import requests
from pulpit.client.blocking_listeners import ListenerCalls
from pulpit.client.blocking_schedules import ScheduleCalls
from pulpit.client.blocking_uploads import UploadCalls
from pulpit.client.blocking_users import UserCalls
from pulpit.client.connection import Auth, Connection
from pulpit.client.errors import Forbidden
from pulpit.client.events import Event, EventFilter, Stale
from pulpit.client.options import EventOptions, FollowOptions, following
from pulpit.client.reports import CallReport, TaskReport
from pulpit.client.snapshots import Snapshot, SnapshotPages
from pulpit.client.stream import EventStream
from pulpit.config import DEFAULT_URL

__all__ = ["Client"]


class Client(ListenerCalls, ScheduleCalls, UploadCalls, UserCalls):
    """Speaks to one server; every method raises ClientError for what has no good end.

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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection(
            url, auth=auth, timeout=timeout, cafile=cafile, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The server's address, without a slash at its end."""
        return self._connection.url

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    # server

    def status(self) -> Mapping[str, Any]:
        """Return the server's status; needs no credentials."""
        return self._connection.ask(requests.status())

    def check_credentials(self) -> None:
        """Return if the server knows the login and password, or the token.

        Raises:
            Unauthenticated: it does not.
        """
        # who has no right to it is known all the same
        with suppress(Forbidden):
            self._connection.ask(requests.check_credentials())

    # repositories

    def repositories(self) -> Sequence[Mapping[str, Any]]:
        """Return all repositories, with importers and distributors."""
        return self._connection.ask(requests.repositories())

    def repository(self, repo_id: str) -> Mapping[str, Any]:
        """Return the repository, with importers and distributors.

        Raises:
            NotFound: there is none of that id.
        """
        return self._connection.ask(requests.repository(repo_id))

    def create_repository(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create a repository, with importer and distributors if *document* has them.

        Raises:
            Conflict: there is one of that id.
        """
        return self._connection.ask(requests.create_repository(document))

    def delete_repository(self, repo_id: str) -> CallReport:
        """Have the repository deleted."""
        return self._connection.ask(requests.delete_repository(repo_id))

    def sync(self, repo_id: str, *, override: Mapping[str, Any] | None = None) -> CallReport:
        """Have the repository synced; *override* is its importer's configuration for this once."""
        return self._connection.ask(requests.sync(repo_id, override))

    def publish(
        self, repo_id: str, distributor_id: str, *, override: Mapping[str, Any] | None = None
    ) -> CallReport:
        """Have the repository published by one of its distributors."""
        return self._connection.ask(requests.publish(repo_id, distributor_id, override))

    def copy_units(
        self,
        repo_id: str,
        source: str,
        *,
        criteria: Mapping[str, Any] | None = None,
        override: Mapping[str, Any] | None = None,
    ) -> CallReport:
        """Have units copied into the repository from another one.

        Args:
            repo_id: the repository to copy to.
            source: the one to copy from.
            criteria: which units, as in ``{"type_ids": ["rpm"], "filters": {"unit": {…}}}``; all
                without.
            override: what is taken along, as in ``{"recursive": True}``.
        """
        return self._connection.ask(requests.copy_units(repo_id, source, criteria, override))

    def remove_units(
        self, repo_id: str, *, criteria: Mapping[str, Any] | None = None
    ) -> CallReport:
        """Have units removed from the repository: those of the criteria, or all without."""
        return self._connection.ask(requests.remove_units(repo_id, criteria))

    def units(
        self,
        repo_id: str,
        *,
        types: Sequence[str] = (),
        filters: Mapping[str, Any] | None = None,
        limit: int | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        """Return the repository's units, as they were added to the server.

        Args:
            repo_id: the repository.
            types: content types; none for all.
            filters: what their fields must be, in the operators of searches; None for all.
            limit: how many at most; None for all, if the server lets so many go at once.
        """
        asked = requests.units(repo_id, types=types, filters=filters or {}, limit=limit)
        return self._connection.ask(asked)

    # orphans

    def orphans(self) -> Mapping[str, Any]:
        """Return content type to ``{"count", "_href"}`` of the units that nothing holds."""
        return self._connection.ask(requests.orphans())

    def orphans_of(self, type_id: str) -> Sequence[Mapping[str, Any]]:
        """Return the orphans of a type, each with its id and unit key.

        Raises:
            NotFound: there is no such type.
        """
        return self._connection.ask(requests.orphans_of(type_id))

    def remove_orphans(self, type_id: str | None = None) -> CallReport:
        """Have the orphans of a type, or all of them, removed with their files."""
        return self._connection.ask(requests.remove_orphans(type_id))

    # tasks

    def tasks(
        self,
        *,
        tags: Sequence[str] = (),
        states: Sequence[str] = (),
        group: str | None = None,
        limit: int | None = None,
    ) -> Sequence[TaskReport]:
        """Return the tasks that have all of the tags and one of the states, newest first.

        Args:
            tags: which they have, all of them.
            states: in one of which they are; none means any.
            group: the ``group_id`` that they share; None means any or none.
            limit: how many at the most.
        """
        asked = requests.tasks(tags=tags, states=states, group=group, limit=limit)
        return self._connection.ask(asked)

    def task(self, task_id: str) -> TaskReport:
        """Return the task.

        Raises:
            NotFound: there is none of that id.
        """
        return self._connection.ask(requests.task(task_id))

    def cancel(self, task_id: str) -> None:
        """Have the task canceled; one that is complete stays as it is."""
        self._connection.ask(requests.cancel(task_id))

    # events

    def head(self) -> int:
        """Return the number of the newest event, to follow what comes after."""
        return self._connection.ask(requests.head())

    def events(self, **options: Unpack[EventOptions]) -> EventStream[Event | Stale]:
        """Return the events after *since* (None: from now on), in order, without end.

        A lost connection is made anew, and events go on after the last one. Stale comes where
        events were lost to retention.

        Args:
            options: which events (``task=``, ``tag=``, ``repository=``, ``kind=``, ``state=``,
                ``type=``), where to start (``since=``), and ``patience=``, ``on_retry=`` and
                ``on_resume=`` for lost connections; see EventOptions.
        """
        return EventStream(self._connection, following(self.url, options, snapshots=False))

    def snapshot(
        self,
        *,
        task: str | Sequence[str] = (),
        tag: str | Sequence[str] = (),
        repository: str | None = None,
        state: Sequence[str] = (),
    ) -> Snapshot:
        """Return the tasks that wait or run, and the number of the events that come after.

        Args:
            task: only these, by id.
            tag: only those that have all of these tags.
            repository: only those that work on it.
            state: the states to tell, in place of waiting and running.
        """
        wanted = EventFilter(task=task, tag=tag, repository=repository)
        pages = SnapshotPages(wanted, states=state)
        while request := pages.request():
            self._connection.ask(request)
        return pages.snapshot

    def follow(self, **options: Unpack[FollowOptions]) -> EventStream[Snapshot | Event | Stale]:
        """Return a snapshot and then the events that tell more, without a gap, without end.

        After a gap, Stale comes and then a new Snapshot, which takes the place of all that is
        known. With *since*, events begin there and a snapshot comes only after a gap.

        Args:
            options: as of ``events()``, and ``complete=True`` for snapshots that hold the tasks
                that are complete, too; see FollowOptions.
        """
        return EventStream(self._connection, following(self.url, options, snapshots=True))
