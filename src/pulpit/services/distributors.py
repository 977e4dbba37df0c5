"""Distributors of repositories, and the publish that they do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from pulpit.domain.clock import new_oid
from pulpit.domain.criteria import Criteria
from pulpit.domain.outcomes import Finished, Outcome
from pulpit.domain.repositories import (
    DISTRIBUTOR_ID,
    Distributor,
    distributor_document,
    merged,
)
from pulpit.domain.schedules import Scheduled, ScheduleKind
from pulpit.domain.tasks import PUBLISH_TASK, Task, action_tag
from pulpit.errors import DuplicateResource, InvalidValue, MissingResource, MissingValue
from pulpit.ports import Clock, ContentTypes, Storage, TaskContext, Transaction
from pulpit.services.changes import Changes
from pulpit.services.documents import as_object, checked_id, optional, refuse_unknown, required
from pulpit.services.tasks import Tasks, repository_task

__all__ = [
    "PUBLISH",
    "REMOVE",
    "UPDATE",
    "Distributors",
    "complete_publish",
    "parse_many",
    "publish_body",
    "publish_task",
    "remove_body",
    "update_body",
    "update_task",
]

PUBLISH = "publish"
UPDATE = "distributor.update"
REMOVE = "distributor.remove"

_KEYS = ("distributor_id", "distributor_type_id", "auto_publish", "distributor_config")
#: What clients send back of a distributor that they have read: of no meaning in a new one.
_ECHOED = ("repo_id", "last_publish")
_DELTA_KEYS = ("distributor_config", "delta")


def parse_many(
    documents: Any, *, repo_id: str, types: ContentTypes, now: datetime
) -> Sequence[Distributor]:
    """Return the distributors that a new repository is to have.

    Raises:
        RequestError: one of them can't be used, or two have the same id.
    """
    if documents is None:
        return []
    if not isinstance(documents, list):
        raise InvalidValue("distributors", why="must be a list of objects")
    parsed = [_parse(item, repo_id=repo_id, types=types, now=now) for item in documents]
    ids = [distributor.id for distributor in parsed]
    if len(set(ids)) < len(ids):
        raise InvalidValue("distributors", why="two have the same distributor_id")
    return parsed


def _parse(document: Any, *, repo_id: str, types: ContentTypes, now: datetime) -> Distributor:
    """Return the distributor that a client describes."""
    sent = as_object(document)
    refuse_unknown(sent, (*_KEYS, *_ECHOED))
    distributor_id = optional(sent, "distributor_id", str)
    if distributor_id is None:
        distributor_id = str(uuid4())
    checked_id(
        distributor_id,
        "distributor_id",
        DISTRIBUTOR_ID,
        holds="letters, digits, hyphens and underscores",
    )
    type_id = required(sent, "distributor_type_id", str)
    if type_id not in types.distributors:
        known = ", ".join(types.distributors)
        raise InvalidValue("distributor_type_id", why=f"choose one of {known}")
    config = optional(sent, "distributor_config", dict) or {}
    types.distributors[type_id].validate(config)
    return Distributor(
        repo_id=repo_id,
        oid=new_oid(now),
        id=distributor_id,
        distributor_type_id=type_id,
        config=config,
        auto_publish=optional(sent, "auto_publish", bool) or False,
        last_updated=now,
    )


def distributor_of(transaction: Transaction, repo_id: str, distributor_id: str) -> Distributor:
    """Return the repository's distributor of that id, or raise MissingResource."""
    transaction.repositories.get(repo_id)
    for distributor in transaction.repositories.distributors([repo_id]):
        if distributor.id == distributor_id:
            return distributor
    raise MissingResource(repo_id=repo_id, distributor_id=distributor_id)


def _changed(
    distributor: Distributor, delta: Mapping[str, Any], *, types: ContentTypes, now: datetime
) -> Distributor:
    """Return the distributor with the delta: keys merge, and null takes one away."""
    config = optional(delta, "distributor_config", dict) or {}
    present = merged(distributor.config, config)
    types.distributors[distributor.distributor_type_id].validate(present)
    rest = optional(delta, "delta", dict) or {}
    refuse_unknown(rest, ("auto_publish",))
    auto_publish = optional(rest, "auto_publish", bool)
    return dataclasses.replace(
        distributor,
        config=present,
        auto_publish=distributor.auto_publish if auto_publish is None else auto_publish,
        last_updated=now,
    )


def update_task(
    transaction: Transaction,
    *,
    repo_id: str,
    distributor_id: str,
    delta: Mapping[str, Any],
    types: ContentTypes,
    now: datetime,
) -> Task:
    """Return the task that changes a distributor; raises what the change would raise."""
    distributor = distributor_of(transaction, repo_id, distributor_id)
    _changed(distributor, delta, types=types, now=now)
    return repository_task(
        repo_id,
        now=now,
        task_type="pulp.server.controllers.distributor.update",
        operation=UPDATE,
        tags=[f"pulp:repository_distributor:{distributor_id}", action_tag("update_distributor")],
        arguments={"distributor_id": distributor_id, "delta": delta},
    )


def publish_task(
    *, repo_id: str, distributor_id: str, override: Mapping[str, Any], now: datetime
) -> Task:
    """Return the task that publishes a repository."""
    return repository_task(
        repo_id,
        now=now,
        task_type=PUBLISH_TASK,
        operation=PUBLISH,
        tags=[action_tag("publish")],
        arguments={"distributor_id": distributor_id, "override_config": override},
    )


class Distributors:
    """What users do with distributors."""

    def __init__(
        self, storage: Storage, *, clock: Clock, tasks: Tasks, types: ContentTypes
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._tasks = tasks
        self._types = types

    def list(self, repo_id: str) -> Sequence[Distributor]:
        """Return the repository's distributors, sorted by id."""
        with self._storage.read() as transaction:
            transaction.repositories.get(repo_id)
            return transaction.repositories.distributors([repo_id])

    def get(self, repo_id: str, distributor_id: str) -> Distributor:
        """Return the distributor, or raise MissingResource."""
        with self._storage.read() as transaction:
            return distributor_of(transaction, repo_id, distributor_id)

    def search(self, criteria: Criteria) -> Sequence[Mapping[str, Any]]:
        """Return the documents of the distributors that the criteria select, of any repository."""
        with self._storage.read() as transaction:
            found = transaction.repositories.search_distributors(criteria)
        return [distributor_document(one) for one in found]

    def add(self, repo_id: str, document: Any) -> Distributor:
        """Give the repository one more distributor.

        Raises:
            RequestError: it can't be used, or one of that id is there.
        """
        distributor = _parse(document, repo_id=repo_id, types=self._types, now=self._clock())
        with self._storage.write() as transaction:
            transaction.repositories.get(repo_id)
            there = transaction.repositories.distributors([repo_id])
            if any(one.id == distributor.id for one in there):
                raise DuplicateResource(distributor.id)
            transaction.repositories.set_distributor(distributor)
        return distributor

    def update(self, repo_id: str, distributor_id: str, document: Any) -> Task:
        """Hand in the task that changes the distributor."""
        sent = as_object(document)
        refuse_unknown(sent, _DELTA_KEYS)
        if all(sent.get(key) is None for key in _DELTA_KEYS):
            raise MissingValue("distributor_config")
        now = self._clock()
        with self._storage.read() as transaction:
            task = update_task(
                transaction,
                repo_id=repo_id,
                distributor_id=distributor_id,
                delta=sent,
                types=self._types,
                now=now,
            )
        return self._tasks.submit(task, repo_id=repo_id)

    def remove(self, repo_id: str, distributor_id: str) -> Task:
        """Hand in the task that takes the distributor and what it published away."""
        self.get(repo_id, distributor_id)
        task = repository_task(
            repo_id,
            now=self._clock(),
            task_type="pulp.server.controllers.distributor.delete",
            operation=REMOVE,
            tags=[
                f"pulp:repository_distributor:{distributor_id}",
                action_tag("remove_distributor"),
            ],
            arguments={"distributor_id": distributor_id},
        )
        return self._tasks.submit(task, repo_id=repo_id)

    def publish(self, repo_id: str, document: Any) -> Task:
        """Hand in the task that publishes the repository.

        Args:
            repo_id: which.
            document: the JSON of ``actions/publish/``, with the distributor's ``id``.

        Raises:
            MissingResource: there is no such repository or distributor.
            MissingValue: no distributor is named.
            InvalidValue: the override configuration can't be used.
        """
        sent = as_object(document)
        refuse_unknown(sent, ("id", "override_config"))
        distributor = self.get(repo_id, required(sent, "id", str))
        override = optional(sent, "override_config", dict) or {}
        self._types.distributors[distributor.distributor_type_id].validate(
            {**distributor.config, **override},
        )
        task = publish_task(
            repo_id=repo_id, distributor_id=distributor.id, override=override, now=self._clock()
        )
        return self._tasks.submit(task, repo_id=repo_id)


def update_body(context: TaskContext, types: ContentTypes) -> tuple[Any, Mapping[str, Any]]:
    """Change the distributor; its document is the result."""
    arguments = context.task.arguments
    with context.write() as transaction:
        changed = _changed(
            distributor_of(transaction, arguments["repo_id"], arguments["distributor_id"]),
            arguments["delta"],
            types=types,
            now=context.clock(),
        )
        transaction.repositories.set_distributor(changed)
    return distributor_document(changed), {}


def remove_body(context: TaskContext, _types: ContentTypes) -> tuple[Any, Mapping[str, Any]]:
    """Take the distributor and what it published away."""
    repo_id = context.task.arguments["repo_id"]
    distributor_id = context.task.arguments["distributor_id"]
    with context.write() as transaction:
        distributor_of(transaction, repo_id, distributor_id)
        transaction.schedules.remove_of(
            Scheduled(kind=ScheduleKind.PUBLISH, repo_id=repo_id, plugin_id=distributor_id)
        )
        # whoever adds one of this id later shares it with nobody
        transaction.permissions.remove_below(
            f"/v2/repositories/{repo_id}/distributors/{distributor_id}/"
        )
        transaction.repositories.remove_distributor(repo_id, distributor_id)
    return None, {}


def publish_body(context: TaskContext, types: ContentTypes) -> tuple[Any, Mapping[str, Any]]:
    """Let the distributor write a publication; it goes live with the end of the task."""
    arguments = context.task.arguments
    with context.storage.read() as transaction:
        repository = transaction.repositories.get(arguments["repo_id"])
        distributor = distributor_of(transaction, arguments["repo_id"], arguments["distributor_id"])
    result, publication_id = types.distributors[distributor.distributor_type_id].publish(
        context,
        repository=repository,
        distributor=distributor,
        override=arguments["override_config"],
    )
    return result, {"publication_id": publication_id}


def complete_publish(changes: Changes, task: Task, outcome: Outcome) -> Sequence[str]:
    """Let the new publication be the live one, and keep when that was."""
    if not isinstance(outcome, Finished):
        return ()
    publication_id = outcome.effects.get("publication_id")
    if publication_id is None:
        return ()
    store = changes.transaction.repositories
    distributor = distributor_of(
        changes.transaction, task.arguments["repo_id"], task.arguments["distributor_id"]
    )
    changes.transaction.publications.switch(publication_id, now=changes.now)
    store.set_distributor(dataclasses.replace(distributor, last_publish=changes.now))
    return ()
