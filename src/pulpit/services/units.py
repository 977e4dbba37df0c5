"""Content units as clients search and see them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

from pulpit.domain.associations import UnitCriteria
from pulpit.domain.criteria import Criteria, Selection
from pulpit.domain.unit_documents import (
    association_document,
    refuse_unsearched,
    unit_document,
    wanted_of,
)
from pulpit.domain.units import UNIT_KEYS, Unit
from pulpit.errors import InvalidValue, MissingResource
from pulpit.ports import ContentTypes, FileStore, Storage, Transaction
from pulpit.services.documents import as_object

__all__ = ["MOST_UNITS", "Units"]

#: Units of one answer; more are to be had page by page.
MOST_UNITS = 20_000
#: Units whose documents are made at once: of each there may be megabytes.
_BATCH = 200

_Selection = TypeVar("_Selection", bound=Selection)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What is to stand in the documents."""

    fields: Sequence[str] | None
    memberships: bool = False


class Units:
    """What users do with units.

    Args:
        storage: where they are.
        files: where their files are.
        types: who can read what they are made of.
    """

    def __init__(self, storage: Storage, files: FileStore, *, types: ContentTypes) -> None:
        self._storage = storage
        self._files = files
        self._types = types

    def search(
        self, type_id: str, criteria: Criteria, *, memberships: bool = False
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the documents of the units of a type that the criteria select.

        Args:
            type_id: the content type.
            criteria: what to select, and which fields.
            memberships: whether to tell in which repositories they are.

        Raises:
            MissingResource: there is no such type.
            UnsupportedValue: units can't be searched by a field.
            InvalidValue: there are more units than one answer has.
        """
        _check_type(type_id)
        refuse_unsearched(criteria)
        with self._storage.read() as transaction:
            found = transaction.content.search([type_id], _bounded(criteria))
            _refuse_many(found)
            wanted = _Wanted(fields=criteria.fields, memberships=memberships)
            yield from self._documents(transaction, found, wanted)

    def search_in(self, repo_id: str, criteria: UnitCriteria) -> Iterator[Mapping[str, Any]]:
        """Yield the associations of a repository that the criteria select; see ``search``.

        Raises:
            MissingResource: there is no such repository.
        """
        refuse_unsearched(criteria)
        with self._storage.read() as transaction:
            transaction.repositories.get(repo_id)
            found = transaction.content.search_associations(repo_id, _bounded(criteria))
            _refuse_many(found)
            units = [association.unit for association in found]
            wanted = _Wanted(fields=criteria.fields)
            documents = self._documents(transaction, units, wanted)
            for association, document in zip(found, documents, strict=True):
                yield association_document(
                    association, document, fields=criteria.association_fields
                )

    def get(self, type_id: str, uid: str) -> Mapping[str, Any]:
        """Return the document of a unit, with the repositories that it is in.

        Raises:
            MissingResource: there is no such unit.
        """
        with self._storage.read() as transaction:
            unit = transaction.content.by_uid(type_id, uid)
            wanted = _Wanted(fields=None, memberships=True)
            return next(iter(self._documents(transaction, [unit], wanted)))

    def user_metadata(self, type_id: str, uid: str) -> Mapping[str, Any]:
        """Return what users have noted of a unit, or raise MissingResource."""
        with self._storage.read() as transaction:
            return transaction.content.by_uid(type_id, uid).user_metadata

    def set_user_metadata(self, type_id: str, uid: str, document: Any) -> None:
        """Keep what users note of a unit, in place of what they had noted.

        Raises:
            MissingResource: there is no such unit.
            WrongJsonType: what they note is no JSON object.
        """
        metadata = as_object(document)
        with self._storage.write_beside() as transaction:
            unit = transaction.content.by_uid(type_id, uid)
            transaction.content.set_user_metadata(unit.id, metadata)

    def _documents(
        self, transaction: Transaction, units: Sequence[Unit], wanted: _Wanted
    ) -> Iterator[dict[str, Any]]:
        """Yield the documents, few of which are held at a time."""
        made = wanted_of(wanted.fields)
        remaining = iter(units)
        while batch := list(islice(remaining, _BATCH)):
            ids = [unit.id for unit in batch]
            chunks = transaction.content.chunks(ids) if made else {}
            memberships = transaction.content.memberships(ids) if wanted.memberships else {}
            for unit in batch:
                whole = replace(unit, chunks=chunks.get(unit.id, ()))
                document = unit_document(
                    unit,
                    made=self._types.made(whole, made),
                    storage_path=str(self._files.path(unit.artifact)) if unit.artifact else None,
                    fields=wanted.fields,
                )
                if wanted.memberships:
                    document["repository_memberships"] = memberships[unit.id]
                yield document


def _check_type(type_id: str) -> None:
    if type_id not in UNIT_KEYS:
        raise MissingResource(content_type_id=type_id)


def _bounded(criteria: _Selection) -> _Selection:
    """Return the criteria with a limit that shows whether there are too many units."""
    most = MOST_UNITS + 1
    return replace(criteria, limit=min(criteria.limit or most, most))


def _refuse_many(found: Collection[Any]) -> None:
    if len(found) > MOST_UNITS:
        raise InvalidValue(
            "limit", why=f"more than {MOST_UNITS} units match: page by limit and skip"
        )
