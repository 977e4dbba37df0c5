"""Repositories: create, read, search, update and delete."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pulpit.domain.clock import new_oid
from pulpit.domain.criteria import Criteria
from pulpit.domain.repositories import (
    REPOSITORY_ID,
    Distributor,
    Importer,
    Repository,
    priority_of,
    repository_document,
)
from pulpit.domain.tasks import Task, action_tag, call_report
from pulpit.errors import InvalidValue, MissingValue
from pulpit.ports import Clock, ContentTypes, Storage, TaskContext, Transaction
from pulpit.services import distributors, importers
from pulpit.services.documents import (
    SEARCH,
    as_object,
    checked_id,
    optional,
    refuse_unknown,
    required,
)
from pulpit.services.tasks import Tasks, repository_task

__all__ = ["DELETE", "Repositories", "RepositoryView", "Updated", "delete_body"]

#: The operation of a task that deletes a repository.
DELETE = "repository.delete"

_CREATE_KEYS = (
    "id",
    "display_name",
    "description",
    "notes",
    "importer_type_id",
    "importer_config",
    "distributors",
)
_UPDATE_KEYS = ("delta", "importer_config", "distributor_configs")
_DELTA_KEYS = ("display_name", "description", "notes")


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryView:
    """A repository with what belongs to it."""

    repository: Repository
    importers: Sequence[Importer]
    distributors: Sequence[Distributor]
    #: How many of its units have their file in the store, or need none; None if not asked for.
    locally_stored_units: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """What an update has done, and which tasks will do the rest."""

    report: Mapping[str, Any]
    #: True when tasks were handed in: the answer is 202 then.
    postponed: bool


class Repositories:
    """What users do with repositories."""

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Clock,
        tasks: Tasks,
        types: ContentTypes,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._tasks = tasks
        self._types = types

    def create(self, document: Any) -> RepositoryView:
        """Create a repository with its importer and distributors, all or nothing.

        Args:
            document: the JSON of ``POST repositories/``.

        Raises:
            RequestError: a value is missing, invalid or unknown, or the id is taken.
        """
        sent = as_object(document)
        refuse_unknown(sent, _CREATE_KEYS)
        now = self._clock()
        repository = _new_repository(sent, oid=new_oid(now), now=now)
        importer = self._new_importer(sent, repository.id)
        wanted = distributors.parse_many(
            sent.get("distributors"), repo_id=repository.id, types=self._types, now=now
        )
        with self._storage.write() as transaction:
            transaction.repositories.add(repository)
            if importer:
                transaction.repositories.set_importer(importer)
            for distributor in wanted:
                transaction.repositories.set_distributor(distributor)
        return RepositoryView(
            repository=repository,
            importers=[importer] if importer else [],
            distributors=wanted,
        )

    def _new_importer(self, sent: Mapping[str, Any], repo_id: str) -> Importer | None:
        """Return the importer that a new repository is to have."""
        type_id = optional(sent, "importer_type_id", str)
        config = optional(sent, "importer_config", dict)
        if type_id is None:
            if config:
                raise MissingValue("importer_type_id")
            return None
        return importers.new_importer(
            repo_id=repo_id,
            type_id=type_id,
            config=config or {},
            types=self._types,
            now=self._clock(),
        )

    def get(self, repo_id: str, *, details: bool = False) -> RepositoryView:
        """Return the repository, or raise MissingResource."""
        with self._storage.read() as transaction:
            view = _views(transaction, [transaction.repositories.get(repo_id)])[0]
            return _detailed(transaction, view) if details else view

    def list(self, *, details: bool = False) -> Sequence[RepositoryView]:
        """Return all repositories, sorted by id."""
        with self._storage.read() as transaction:
            views = _views(transaction, transaction.repositories.list())
            return [_detailed(transaction, view) for view in views] if details else views

    def search(self, criteria: Criteria) -> Sequence[RepositoryView]:
        """Return the repositories that the criteria select."""
        with self._storage.read() as transaction:
            return _views(transaction, transaction.repositories.search(criteria))

    def update(self, repo_id: str, document: Any) -> Updated:
        """Change a repository now; its distributors in tasks.

        Args:
            repo_id: which.
            document: the JSON of ``PUT repositories/<id>/``.

        Raises:
            RequestError: a value is invalid or unknown, or something named does not exist.
        """
        sent = as_object(document)
        refuse_unknown(sent, _UPDATE_KEYS)
        delta = optional(sent, "delta", dict) or {}
        refuse_unknown(delta, (*_DELTA_KEYS, "id"))
        now = self._clock()
        with self._storage.write() as transaction:
            repository = _updated(transaction.repositories.get(repo_id), delta)
            transaction.repositories.update(repository)
            if (config := optional(sent, "importer_config", dict)) is not None:
                importers.reconfigure(
                    transaction, repo_id=repo_id, config=config, types=self._types, now=now
                )
            configs = optional(sent, "distributor_configs", dict) or {}
            updates = [
                distributors.update_task(
                    transaction,
                    repo_id=repo_id,
                    distributor_id=distributor_id,
                    delta={"distributor_config": config},
                    types=self._types,
                    now=now,
                )
                for distributor_id, config in configs.items()
            ]
            tasks = self._tasks.submit_in(transaction, updates)
        report = call_report(*(task.id for task in tasks), result=repository_document(repository))
        return Updated(report=report, postponed=bool(tasks))

    def delete(self, repo_id: str) -> Task:
        """Hand in the task that deletes the repository, or raise MissingResource."""
        task = repository_task(
            repo_id,
            now=self._clock(),
            task_type="pulp.server.tasks.repository.delete",
            operation=DELETE,
            tags=[action_tag("delete")],
        )
        return self._tasks.submit(task, repo_id=repo_id)


def delete_body(context: TaskContext, _types: ContentTypes) -> tuple[Any, Mapping[str, Any]]:
    """Delete the repository; what is in no other one becomes an orphan."""
    repo_id = context.task.arguments["repo_id"]
    with context.write() as transaction:
        transaction.repositories.get(repo_id)
        transaction.repositories.remove(repo_id)
        # whoever makes one of this id later shares it with nobody
        transaction.permissions.remove_below(f"/v2/repositories/{repo_id}/")
    return None, {}


def _new_repository(sent: Mapping[str, Any], *, oid: str, now: datetime) -> Repository:
    """Return the repository that a client asks for."""
    repo_id = checked_id(
        required(sent, "id", str),
        "id",
        REPOSITORY_ID,
        holds="letters, digits, dots, hyphens and underscores",
        reserved=SEARCH,
    )
    return Repository(
        id=repo_id,
        oid=oid,
        display_name=optional(sent, "display_name", str) or repo_id,
        description=optional(sent, "description", str),
        notes=_checked(optional(sent, "notes", dict) or {}),
        created=now,
    )


def _checked(notes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the notes if those that mean something here can be used."""
    try:
        priority_of(notes)
    except ValueError as error:
        raise InvalidValue("notes", why=str(error)) from error
    return notes


def _updated(repository: Repository, delta: Mapping[str, Any]) -> Repository:
    """Return the repository with the delta: notes merge, and null takes a note away."""
    if delta.get("id", repository.id) != repository.id:
        raise InvalidValue("id", why="the id of a repository can't change")
    changed: dict[str, Any] = {}
    if "display_name" in delta:
        changed["display_name"] = optional(delta, "display_name", str) or repository.id
    if "description" in delta:
        changed["description"] = optional(delta, "description", str)
    if notes := optional(delta, "notes", dict):
        merged = {**repository.notes, **notes}
        kept = {key: value for key, value in merged.items() if value is not None}
        changed["notes"] = _checked(kept)
    return dataclasses.replace(repository, **changed)


def _views(
    transaction: Transaction, repositories: Sequence[Repository]
) -> Sequence[RepositoryView]:
    """Return the repositories with what belongs to each."""
    ids = [repository.id for repository in repositories]
    of_importers = transaction.repositories.importers(ids)
    of_distributors = transaction.repositories.distributors(ids)
    by_importer = _grouped(of_importers)
    by_distributor = _grouped(of_distributors)
    return [
        RepositoryView(
            repository=repository,
            importers=by_importer.get(repository.id, []),
            distributors=by_distributor.get(repository.id, []),
        )
        for repository in repositories
    ]


def _grouped(plugins: Collection[Any]) -> dict[str, list[Any]]:
    """Return importers or distributors by their repository."""
    groups: dict[str, list[Any]] = {}
    for plugin in plugins:
        groups.setdefault(plugin.repo_id, []).append(plugin)
    return groups


def _detailed(transaction: Transaction, view: RepositoryView) -> RepositoryView:
    """Return the view with the number of units that are stored here."""
    stored = transaction.content.locally_stored(view.repository.id)
    return dataclasses.replace(view, locally_stored_units=stored)
