"""Importers of repositories, and the sync that they do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pulpit.domain.clock import new_oid
from pulpit.domain.outcomes import Finished, Outcome
from pulpit.domain.repositories import Importer, merged
from pulpit.domain.schedules import Scheduled, ScheduleKind
from pulpit.domain.tasks import SYNC_TASK, Task, action_tag
from pulpit.errors import InvalidValue, MissingResource
from pulpit.ports import Clock, ContentTypes, Storage, TaskContext, Transaction
from pulpit.services import distributors
from pulpit.services.changes import Changes
from pulpit.services.documents import as_object, optional, refuse_unknown, required
from pulpit.services.downloads import download_task
from pulpit.services.tasks import Tasks, repository_task

__all__ = [
    "REMOVE",
    "SET",
    "SYNC",
    "UPDATE",
    "Importers",
    "complete_sync",
    "importer_of",
    "new_importer",
    "reconfigure",
    "remove_body",
    "set_body",
    "sync_body",
    "sync_task",
    "update_body",
]

SYNC = "sync"
SET = "importer.set"
UPDATE = "importer.update"
REMOVE = "importer.remove"

_TASK_TYPES = {
    SYNC: SYNC_TASK,
    SET: "pulp.server.controllers.importer.set_importer",
    UPDATE: "pulp.server.controllers.importer.update_importer_config",
    REMOVE: "pulp.server.controllers.importer.remove_importer",
}
_ACTIONS = {
    SYNC: "sync",
    SET: "add_importer",
    UPDATE: "update_importer",
    REMOVE: "delete_importer",
}


def new_importer(
    *,
    repo_id: str,
    type_id: str,
    config: Mapping[str, Any],
    types: ContentTypes,
    now: datetime,
) -> Importer:
    """Return an importer of that type.

    Raises:
        InvalidValue: the type is not known, or the configuration can't be used.
    """
    if type_id not in types.importers:
        raise InvalidValue("importer_type_id", why=f"choose one of {', '.join(types.importers)}")
    return Importer(
        repo_id=repo_id,
        oid=new_oid(now),
        importer_type_id=type_id,
        config=types.importers[type_id].normalize(config),
        last_updated=now,
    )


def importer_of(transaction: Transaction, repo_id: str, type_id: str | None = None) -> Importer:
    """Return the repository's importer (of that type), or raise MissingResource."""
    transaction.repositories.get(repo_id)
    for importer in transaction.repositories.importers([repo_id]):
        if type_id in (None, importer.importer_type_id):
            return importer
    raise MissingResource(repo_id=repo_id, importer_id=type_id or "")


def reconfigure(
    transaction: Transaction,
    *,
    repo_id: str,
    config: Mapping[str, Any],
    types: ContentTypes,
    now: datetime,
    type_id: str | None = None,
) -> Importer:
    """Change the importer's configuration: keys merge, and null takes one away."""
    importer = importer_of(transaction, repo_id, type_id)
    importer_type = types.importers[importer.importer_type_id]
    changed = dataclasses.replace(
        importer,
        config=importer_type.normalize(merged(importer.config, config)),
        last_updated=now,
    )
    transaction.repositories.set_importer(changed)
    return changed


def sync_task(*, repo_id: str, override: Mapping[str, Any], now: datetime) -> Task:
    """Return the task that syncs a repository."""
    return _task(SYNC, repo_id, {"override_config": override}, now=now)


def _task(
    operation: str,
    repo_id: str,
    arguments: Mapping[str, Any],
    *,
    now: datetime,
    type_id: str | None = None,
) -> Task:
    """Return a task on the repository's importer."""
    tags = [action_tag(_ACTIONS[operation])]
    if type_id:
        tags.append(f"pulp:repository_importer:{type_id}")
    return repository_task(
        repo_id,
        now=now,
        task_type=_TASK_TYPES[operation],
        operation=operation,
        tags=tags,
        arguments=arguments,
    )


class Importers:
    """What users do with importers."""

    def __init__(
        self, storage: Storage, *, clock: Clock, tasks: Tasks, types: ContentTypes
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._tasks = tasks
        self._types = types

    def list(self, repo_id: str) -> Sequence[Importer]:
        """Return the repository's importers, of which there is one at most."""
        with self._storage.read() as transaction:
            transaction.repositories.get(repo_id)
            return transaction.repositories.importers([repo_id])

    def get(self, repo_id: str, type_id: str) -> Importer:
        """Return the repository's importer of that type, or raise MissingResource."""
        with self._storage.read() as transaction:
            return importer_of(transaction, repo_id, type_id)

    def set(self, repo_id: str, document: Any) -> Task:
        """Hand in the task that gives the repository another importer."""
        sent = as_object(document)
        refuse_unknown(sent, ("importer_type_id", "importer_config"))
        type_id = required(sent, "importer_type_id", str)
        config = optional(sent, "importer_config", dict) or {}
        importer = new_importer(
            repo_id=repo_id, type_id=type_id, config=config, types=self._types, now=self._clock()
        )
        return self._submit(
            SET, repo_id, {"importer_type_id": type_id, "importer_config": importer.config}
        )

    def update(self, repo_id: str, type_id: str, document: Any) -> Task:
        """Hand in the task that changes the importer's configuration."""
        sent = as_object(document)
        refuse_unknown(sent, ("importer_config",))
        config = required(sent, "importer_config", dict)
        importer = self.get(repo_id, type_id)
        self._types.importers[type_id].normalize(merged(importer.config, config))
        return self._submit(
            UPDATE, repo_id, {"importer_type_id": type_id, "importer_config": config}, type_id
        )

    def remove(self, repo_id: str, type_id: str) -> Task:
        """Hand in the task that takes the importer away."""
        self.get(repo_id, type_id)
        return self._submit(REMOVE, repo_id, {"importer_type_id": type_id}, type_id)

    def sync(self, repo_id: str, document: Any) -> Task:
        """Hand in the task that brings the feed's content into the repository.

        Args:
            repo_id: which.
            document: the JSON of ``actions/sync/``; null is an empty object.

        Raises:
            MissingResource: there is no such repository, or it has no importer.
            InvalidValue: the override configuration can't be used.
        """
        sent = as_object({} if document is None else document)
        refuse_unknown(sent, ("override_config",))
        override = optional(sent, "override_config", dict) or {}
        with self._storage.read() as transaction:
            importer = importer_of(transaction, repo_id)
        self._types.importers[importer.importer_type_id].normalize({**importer.config, **override})
        return self._submit(SYNC, repo_id, {"override_config": override})

    def _submit(
        self,
        operation: str,
        repo_id: str,
        arguments: Mapping[str, Any],
        type_id: str | None = None,
    ) -> Task:
        """Hand in a task on the repository's importer."""
        task = _task(operation, repo_id, arguments, now=self._clock(), type_id=type_id)
        return self._tasks.submit(task, repo_id=repo_id)


def set_body(context: TaskContext, types: ContentTypes) -> tuple[Any, Mapping[str, Any]]:
    """Give the repository its importer in the place of the one that it has."""
    arguments = context.task.arguments
    with context.write() as transaction:
        transaction.repositories.get(arguments["repo_id"])
        for former in transaction.repositories.importers([arguments["repo_id"]]):
            if former.importer_type_id != arguments["importer_type_id"]:
                transaction.schedules.remove_of(_syncs(former))
        transaction.repositories.set_importer(
            new_importer(
                repo_id=arguments["repo_id"],
                type_id=arguments["importer_type_id"],
                config=arguments["importer_config"],
                types=types,
                now=context.clock(),
            ),
        )
    return None, {}


def update_body(context: TaskContext, types: ContentTypes) -> tuple[Any, Mapping[str, Any]]:
    """Change the importer's configuration."""
    arguments = context.task.arguments
    with context.write() as transaction:
        reconfigure(
            transaction,
            repo_id=arguments["repo_id"],
            type_id=arguments["importer_type_id"],
            config=arguments["importer_config"],
            types=types,
            now=context.clock(),
        )
    return None, {}


def remove_body(context: TaskContext, _types: ContentTypes) -> tuple[Any, Mapping[str, Any]]:
    """Take the importer away."""
    arguments = context.task.arguments
    with context.write() as transaction:
        importer = importer_of(transaction, arguments["repo_id"], arguments["importer_type_id"])
        transaction.schedules.remove_of(_syncs(importer))
        transaction.repositories.remove_importer(arguments["repo_id"])
    return None, {}


def _syncs(importer: Importer) -> Scheduled:
    """Return what the schedules of an importer do."""
    return Scheduled(
        kind=ScheduleKind.SYNC, repo_id=importer.repo_id, plugin_id=importer.importer_type_id
    )


def sync_body(context: TaskContext, types: ContentTypes) -> tuple[Any, Mapping[str, Any]]:
    """Let the importer bring in what its feed has."""
    repo_id = context.task.arguments["repo_id"]
    with context.storage.read() as transaction:
        repository = transaction.repositories.get(repo_id)
        importer = importer_of(transaction, repo_id)
    result = types.importers[importer.importer_type_id].sync(
        context,
        repository=repository,
        importer=importer,
        override=context.task.arguments["override_config"],
    )
    return result, {}


def complete_sync(changes: Changes, task: Task, outcome: Outcome) -> Sequence[str]:
    """Keep when the sync was, and hand in what follows it.

    That is the publish of each distributor that wants it, and, if files are to come in the
    background, their download.
    """
    if not isinstance(outcome, Finished):
        return ()
    repo_id = task.arguments["repo_id"]
    store = changes.transaction.repositories
    policy = task.arguments["override_config"].get("download_policy")
    for importer in store.importers([repo_id]):
        store.set_importer(dataclasses.replace(importer, last_sync=changes.now))
        policy = policy or importer.config.get("download_policy")
    spawned = [
        changes.add(
            distributors.publish_task(
                repo_id=repo_id, distributor_id=distributor.id, override={}, now=changes.now
            ),
        ).id
        for distributor in store.distributors([repo_id])
        if distributor.auto_publish
    ]
    if policy == "background":
        task = download_task(repo_id=repo_id, verify=False, now=changes.now)
        spawned.append(changes.add(task).id)
    return spawned
