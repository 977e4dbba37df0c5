"""Groups of repositories: create, read, search, update, delete, and who is in them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pulpit.domain.clock import new_oid
from pulpit.domain.criteria import Criteria, parse_criteria, select
from pulpit.domain.repo_groups import RepoGroup, repo_group_document
from pulpit.domain.repositories import REPOSITORY_ID
from pulpit.errors import InvalidValue, MissingResource
from pulpit.ports import Clock, Storage, Transaction
from pulpit.services.documents import (
    SEARCH,
    as_object,
    checked_id,
    optional,
    refuse_unknown,
    required,
)

__all__ = ["RepoGroups", "Visible"]

#: Tells whether whoever asks may read the repository of that id.
Visible = Callable[[str], bool]

_NO_DISTRIBUTORS = "no type of distributor publishes groups: publish each repository"
_DELTA_KEYS = ("display_name", "description", "notes")
_CREATE_KEYS = ("id", *_DELTA_KEYS, "repo_ids", "distributors")


class RepoGroups:
    """What users do with groups of repositories."""

    def __init__(self, storage: Storage, *, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def create(self, document: Any, *, visible: Visible) -> RepoGroup:
        """Create a group.

        Args:
            document: the JSON of ``POST repo_groups/``.
            visible: which repositories may be named.

        Raises:
            RequestError: a value is missing, invalid or unknown, the id is taken, or a repository
                is not there.
        """
        sent = as_object(document)
        refuse_unknown(sent, _CREATE_KEYS)
        group_id = checked_id(
            required(sent, "id", str),
            "id",
            REPOSITORY_ID,
            holds="letters, digits, dots, hyphens and underscores",
            reserved=SEARCH,
        )
        if optional(sent, "distributors", list):
            raise InvalidValue("distributors", why=_NO_DISTRIBUTORS)
        group = RepoGroup(
            id=group_id,
            oid=new_oid(self._clock()),
            display_name=optional(sent, "display_name", str) or group_id,
            description=optional(sent, "description", str),
            notes=optional(sent, "notes", dict) or {},
        )
        repo_ids = _ids(optional(sent, "repo_ids", list) or ())
        with self._storage.write() as transaction:
            for repo_id in repo_ids:
                if not visible(repo_id):
                    raise MissingResource(repo_id=repo_id)
                transaction.repositories.get(repo_id)
            transaction.repo_groups.add(replace(group, repo_ids=tuple(repo_ids)))
            return transaction.repo_groups.get(group_id)

    def list(self) -> Sequence[RepoGroup]:
        """Return all groups, sorted by id."""
        with self._storage.read() as transaction:
            return transaction.repo_groups.list()

    def search(self, criteria: Criteria) -> Sequence[Mapping[str, Any]]:
        """Return the documents of the groups that the criteria select."""
        return select([repo_group_document(one) for one in self.list()], criteria, _searched)

    def get(self, group_id: str) -> RepoGroup:
        """Return the group, or raise MissingResource."""
        with self._storage.read() as transaction:
            return transaction.repo_groups.get(group_id)

    def update(self, group_id: str, document: Any) -> RepoGroup:
        """Change a group: notes merge, and one without a value is taken away.

        Args:
            group_id: which.
            document: the JSON of ``PUT repo_groups/<id>/``; what is to change, as it is or, as of
                repositories, in a ``delta``.

        Raises:
            RequestError: a value is invalid or unknown, or there is no such group.
        """
        sent = as_object({} if document is None else document)
        if sent.keys() == {"delta"}:
            sent = optional(sent, "delta", dict) or {}
        refuse_unknown(sent, _DELTA_KEYS)
        with self._storage.write() as transaction:
            group = _updated(transaction.repo_groups.get(group_id), sent)
            transaction.repo_groups.update(group)
        return group

    def delete(self, group_id: str) -> None:
        """Delete a group, and none of its repositories; or raise MissingResource."""
        with self._storage.write() as transaction:
            transaction.repo_groups.get(group_id)
            transaction.repo_groups.remove(group_id)

    def associate(self, group_id: str, document: Any, *, visible: Visible) -> Sequence[str]:
        """Put the repositories that criteria select into the group; return all that are in it."""

        def add(transaction: Transaction, repo_ids: Collection[str]) -> None:
            wanted = [repo_id for repo_id in repo_ids if visible(repo_id)]
            transaction.repo_groups.add_members(group_id, wanted)

        return self._change(group_id, document, add)

    def unassociate(self, group_id: str, document: Any) -> Sequence[str]:
        """Take the repositories that criteria select out of it; return those that are left."""

        def remove(transaction: Transaction, repo_ids: Collection[str]) -> None:
            transaction.repo_groups.remove_members(group_id, repo_ids)

        return self._change(group_id, document, remove)

    def _change(
        self,
        group_id: str,
        document: Any,
        act: Callable[[Transaction, Collection[str]], None],
    ) -> Sequence[str]:
        """Do something with the selected repositories; return those of the group after that."""
        # a request whose body got lost is not to empty the group
        sent = as_object(document)
        refuse_unknown(sent, ("criteria",))
        criteria = parse_criteria(sent.get("criteria") or {})
        with self._storage.write() as transaction:
            transaction.repo_groups.get(group_id)
            found = transaction.repositories.search(criteria)
            act(transaction, [repository.id for repository in found])
            return transaction.repo_groups.get(group_id).repo_ids

    def add_distributor(self, group_id: str, document: Any) -> None:
        """Raise what is wrong: the group is unknown, or the type of the distributor as they all."""
        self.get(group_id)
        required(as_object(document), "distributor_type_id", str)
        raise InvalidValue("distributor_type_id", why=_NO_DISTRIBUTORS)

    def distributor(self, group_id: str, distributor_id: str) -> None:
        """Raise MissingResource: groups have no distributors."""
        self.get(group_id)
        raise MissingResource(repo_group=group_id, distributor=distributor_id)

    def publish(self, group_id: str, document: Any) -> None:
        """Raise what is missing: the group, the name of a distributor, or the distributor."""
        self.get(group_id)
        sent = as_object(document)
        refuse_unknown(sent, ("id", "override_config"))
        self.distributor(group_id, required(sent, "id", str))


def _ids(values: Collection[Any]) -> Sequence[str]:
    """Return ids of repositories, each once, or raise InvalidValue."""
    if not all(isinstance(value, str) for value in values):
        raise InvalidValue("repo_ids", why="must be a list of repositories' ids")
    return sorted(set(values))


def _updated(group: RepoGroup, delta: Mapping[str, Any]) -> RepoGroup:
    """Return the group with what a client has changed."""
    changed: dict[str, Any] = {}
    if "display_name" in delta:
        changed["display_name"] = optional(delta, "display_name", str) or group.id
    if "description" in delta:
        changed["description"] = optional(delta, "description", str)
    if notes := optional(delta, "notes", dict):
        merged = {**group.notes, **notes}
        # as Pulp 2 had it: of groups, not only null takes a note away
        changed["notes"] = {key: value for key, value in merged.items() if value}
    return replace(group, **changed)


def _searched(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what searches see of a group."""
    return {**document, "_id": document["_id"]["$oid"]}
