"""Copying units from one repository to another, and taking them out of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulpit.domain.associations import UnitCriteria, parse_unit_criteria
from pulpit.domain.copies import CopyOrder, Route, copy_result
from pulpit.domain.tasks import Task, action_tag, repository_resource, repository_tag
from pulpit.domain.unit_documents import refuse_unsearched
from pulpit.errors import InvalidValue, MissingResource
from pulpit.ports import Clock, ContentTypes, Storage, TaskContext, Transaction
from pulpit.services.documents import as_object, optional, refuse_unknown, required
from pulpit.services.importers import importer_of
from pulpit.services.tasks import Tasks, new_task, repository_task

__all__ = ["ASSOCIATE", "UNASSOCIATE", "Associations", "associate_body", "unassociate_body"]

ASSOCIATE = "associations.associate"
UNASSOCIATE = "associations.unassociate"

_MANAGER = "pulp.server.managers.repo.unit_association"
#: The key of the configuration that names further routes: source to destination.
_FURTHER = "additional_repos"
_MOST_ROUTES = 100


class Associations:
    """What users do with the units of repositories."""

    def __init__(
        self, storage: Storage, *, clock: Clock, tasks: Tasks, types: ContentTypes
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._tasks = tasks
        self._types = types

    def routes(self, repo_id: str, document: Any) -> Sequence[Route]:
        """Return from where to where ``associate`` would copy, whether these are there or not.

        Raises:
            MissingValue, InvalidValue, UnsupportedValue: a repository is not named as it must be.
        """
        sent = as_object(document)
        refuse_unknown(sent, ("source_repo_id", "criteria", "override_config"))
        first = Route(source=required(sent, "source_repo_id", str), destination=repo_id)
        return [first, *_further(optional(sent, "override_config", dict) or {})]

    def associate(self, repo_id: str, document: Any) -> Task:
        """Hand in the task that copies units into a repository.

        It reserves all repositories that it reads or changes.

        Args:
            repo_id: the destination.
            document: the JSON of ``actions/associate/``.

        Raises:
            MissingResource: there is no such repository.
            MissingValue, InvalidValue, UnsupportedValue: the source or another repository is not
                named or not there, or the criteria or the override configuration can't be used.
        """
        routes, sent = self.routes(repo_id, document), as_object(document)
        override = optional(sent, "override_config", dict) or {}
        _parsed(sent.get("criteria"))
        with self._storage.read() as transaction:
            transaction.repositories.get(repo_id)
            _check_routes(transaction, routes)
            for importer in transaction.repositories.importers([repo_id]):
                importer_type = self._types.importers[importer.importer_type_id]
                importer_type.normalize({**importer.config, **override})
        return self._tasks.submit(self._associate_task(routes, sent, override), repo_id=repo_id)

    def _associate_task(
        self, routes: Sequence[Route], sent: Mapping[str, Any], override: Mapping[str, Any]
    ) -> Task:
        """Return the task of a copy."""
        # the destination first: who shows the task calls it by that
        named = [*(route.destination for route in routes), *(route.source for route in routes)]
        repo_ids = [*dict.fromkeys(named)]
        return new_task(
            now=self._clock(),
            task_type=f"{_MANAGER}.associate_from_repo",
            operation=ASSOCIATE,
            arguments={
                "repo_id": routes[0].destination,
                "source_repo_id": routes[0].source,
                "criteria": sent.get("criteria"),
                "override_config": override,
            },
            tags=[*map(repository_tag, repo_ids), action_tag("associate")],
            resources=[repository_resource(each) for each in repo_ids],
        )

    def unassociate(self, repo_id: str, document: Any) -> Task:
        """Hand in the task that takes units out of a repository.

        Args:
            repo_id: which.
            document: the JSON of ``actions/unassociate/``, which must be an object: a request whose
                body got lost is not to empty the repository.

        Raises:
            MissingResource: there is no such repository.
            InvalidValue, UnsupportedValue: the criteria can't be used.
        """
        sent = as_object(document)
        refuse_unknown(sent, ("criteria",))
        _parsed(sent.get("criteria"))
        task = repository_task(
            repo_id,
            now=self._clock(),
            task_type=f"{_MANAGER}.unassociate_by_criteria",
            operation=UNASSOCIATE,
            tags=[action_tag("unassociate")],
            arguments={"criteria": sent.get("criteria")},
        )
        return self._tasks.submit(task, repo_id=repo_id)


def _parsed(document: Any) -> UnitCriteria:
    """Return the criteria that a client sent."""
    criteria = parse_unit_criteria(document)
    refuse_unsearched(criteria)
    return criteria


def _further(override: Mapping[str, Any]) -> list[Route]:
    """Return the routes of what is needed beside the first one's."""
    further = optional(override, _FURTHER, dict) or {}
    if len(further) > _MOST_ROUTES:
        raise InvalidValue(_FURTHER, why=f"name at most {_MOST_ROUTES} repositories")
    if further and not any(override.get(key) for key in ("recursive", "recursive_conservative")):
        raise InvalidValue(_FURTHER, why="it has a meaning only together with recursive")
    if not all(isinstance(each, str) for each in further.values()):
        raise InvalidValue(_FURTHER, why="must be an object of ids: source to destination")
    return [Route(source=source, destination=there) for source, there in further.items()]


def _check_routes(transaction: Transaction, routes: Sequence[Route]) -> None:
    """Raise InvalidValue for a repository that is not there: as in Pulp 2, it is no 404."""
    first = routes[0]
    for route in routes:
        for repo_id in (route.source, route.destination):
            try:
                transaction.repositories.get(repo_id)
            except MissingResource as error:
                name = "source_repo_id" if route is first else _FURTHER
                raise InvalidValue(name, why=f"there is no repository {repo_id}") from error


def associate_body(context: TaskContext, types: ContentTypes) -> tuple[Any, Mapping[str, Any]]:
    """Let the importer of the destination copy units."""
    arguments = context.task.arguments
    first = Route(source=arguments["source_repo_id"], destination=arguments["repo_id"])
    override = arguments["override_config"]
    further = _further(override)
    with context.storage.read() as transaction:
        importer = importer_of(transaction, first.destination)
        for route in (first, *further):
            # as in Pulp 2, what has no importer has no content to copy
            importer_of(transaction, route.source)
    order = CopyOrder(
        route=first,
        further=further,
        criteria=parse_unit_criteria(arguments["criteria"]),
        override=override,
    )
    copy = types.importers[importer.importer_type_id].copy
    return copy(context, importer=importer, order=order), {}


def unassociate_body(context: TaskContext, types: ContentTypes) -> tuple[Any, Mapping[str, Any]]:
    """Take units out of a repository, with those that its importer says go with them."""
    arguments = context.task.arguments
    repo_id, criteria = arguments["repo_id"], parse_unit_criteria(arguments["criteria"])
    # a search may take long: others write meanwhile, as the task has reserved the repository
    with context.storage.read() as transaction:
        content = transaction.content
        transaction.repositories.get(repo_id)
        found = content.select_members(repo_id, criteria)
        gone = {*found}
        for importer in transaction.repositories.importers([repo_id]):
            importer_type = types.importers[importer.importer_type_id]
            gone |= {*importer_type.companions(transaction, repo_id, found)}
        keys = content.unit_keys(found)
    with context.write() as transaction:
        transaction.content.unassociate(repo_id, gone, now=context.clock())
    return copy_result(keys[unit_id] for unit_id in found), {}
