"""Orphans: looking at them, and removing them with their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from pulpit.domain.orphans import ORPHANS_RESOURCE, ORPHANS_TAG, Orphan
from pulpit.domain.tasks import Task
from pulpit.errors import InvalidValue, MissingResource
from pulpit.ports import Clock, ContentTypes, Storage, TaskContext
from pulpit.services.files import remove_files
from pulpit.services.tasks import Tasks, new_task

__all__ = ["REMOVE", "Orphans", "remove_body"]

#: The operation of a task that removes orphans.
REMOVE = "orphans.remove"

_TASK_TYPE = "pulp.server.managers.content.orphan."
#: Units that are removed in one transaction, which other writers wait for.
_AT_ONCE = 250
#: Orphans that are read at once for those who look at them.
_PAGE = 5_000


class Orphans:
    """What users do with orphans."""

    def __init__(
        self, storage: Storage, *, clock: Clock, tasks: Tasks, types: ContentTypes
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._tasks = tasks
        self._types = {str(one["id"]) for one in types.unit_types}

    def counts(self) -> Mapping[str, int]:
        """Return each content type with the number of its orphans."""
        with self._storage.read() as transaction:
            found = transaction.content.orphan_counts()
        return {type_id: found.get(type_id, 0) for type_id in sorted(self._types | found.keys())}

    def list(self, type_id: str) -> Sequence[Orphan]:
        """Return the orphans of a type, or raise MissingResource for one that is not known."""
        self._check(type_id)
        found: list[Orphan] = []
        with self._storage.read() as transaction:
            while page := transaction.content.orphans(
                type_id=type_id, after=found[-1].id if found else 0, limit=_PAGE
            ):
                found += page
        return found

    def get(self, type_id: str, uid: str) -> Orphan:
        """Return the orphan, or raise MissingResource."""
        self._check(type_id)
        with self._storage.read() as transaction:
            found = transaction.content.orphans(type_id=type_id, uids=[uid], limit=1)
        if not found:
            raise MissingResource(content_type=type_id, content_unit=uid)
        return found[0]

    def remove_all(self) -> Task:
        """Hand in the task that removes all orphans."""
        return self._submit("delete_all_orphans", {})

    def remove_type(self, type_id: str) -> Task:
        """Hand in the task that removes those of a type, or raise MissingResource."""
        self._check(type_id)
        return self._submit("delete_orphans_by_type", {"type_id": type_id})

    def remove(self, type_id: str, uid: str) -> Task:
        """Hand in the task that removes one, or raise MissingResource."""
        self.get(type_id, uid)
        return self._submit("delete_orphans_by_id", {"units": [[type_id, uid]]})

    def remove_listed(self, document: Any) -> Task:
        """Hand in the task that removes those that a client lists; of others it takes no notice.

        Args:
            document: a list of ``{"content_type_id", "unit_id"}``.

        Raises:
            InvalidValue: it is something else.
        """
        units = [_pair(one) for one in document] if isinstance(document, list) else None
        if units is None or None in units:
            reason = 'send a list of {"content_type_id": …, "unit_id": …}'
            raise InvalidValue("content_type_id", "unit_id", why=reason)
        return self._submit("delete_orphans_by_id", {"units": units})

    def _check(self, type_id: str) -> None:
        if type_id not in self._types:
            raise MissingResource(content_type_id=type_id)

    def _submit(self, name: str, arguments: Mapping[str, Any]) -> Task:
        task = new_task(
            now=self._clock(),
            task_type=_TASK_TYPE + name,
            operation=REMOVE,
            arguments=arguments,
            tags=[ORPHANS_TAG],
            resources=[ORPHANS_RESOURCE],
        )
        return self._tasks.submit(task)


def _pair(document: Any) -> list[str] | None:
    """Return type and id of a unit that a client names; None for something else."""
    if not isinstance(document, Mapping):
        return None
    pair = [document.get("content_type_id"), document.get("unit_id")]
    return [str(one) for one in pair] if all(isinstance(one, str) for one in pair) else None


def remove_body(context: TaskContext, _types: ContentTypes) -> tuple[Any, Mapping[str, Any]]:
    """Remove orphans and their files; content type to number is the result.

    Rows go first, then the files that no row names any longer: a crash leaves nothing but files
    that the cleaning of strays finds. What syncs, copies and publishes come to use meanwhile stays,
    as each batch is looked at again in the transaction that removes it.
    """
    arguments = context.task.arguments
    removed: Counter[str] = Counter()
    for type_id, uids in _selections(arguments):
        for page in _pages(context.storage, type_id, uids):
            removed.update(_remove(context, page))
    if not arguments:
        _remove_nameless(context)
    return dict(removed), {}


def _selections(
    arguments: Mapping[str, Any],
) -> Iterator[tuple[str | None, Collection[str] | None]]:
    """Yield a type (None: any) and the ids of units (None: all) of those that are to go."""
    if "units" not in arguments:
        yield arguments.get("type_id"), None
        return
    for type_id, pairs in groupby(sorted(arguments["units"]), key=lambda pair: pair[0]):
        uids = [uid for _, uid in pairs]
        for start in range(0, len(uids), _AT_ONCE):
            yield type_id, uids[start : start + _AT_ONCE]


def _pages(
    storage: Storage, type_id: str | None, uids: Collection[str] | None
) -> Iterator[Sequence[Orphan]]:
    """Yield the orphans, some at a time, each time as they are by then."""
    after = 0
    while True:
        with storage.read() as transaction:
            page = transaction.content.orphans(
                type_id=type_id, uids=uids, after=after, limit=_AT_ONCE
            )
        if not page:
            return
        yield page
        after = page[-1].id


def _remove(context: TaskContext, orphans: Sequence[Orphan]) -> Mapping[str, int]:
    """Remove those that still are orphans; return how many of each type."""
    by_type: dict[str, list[int]] = {}
    for orphan in orphans:
        by_type.setdefault(orphan.type_id, []).append(orphan.id)
    removed: dict[str, int] = {}
    files: set[str] = set()
    with context.write() as transaction:
        for type_id, ids in by_type.items():
            removed[type_id], digests = transaction.content.remove_orphans(ids)
            files.update(digests)
    remove_files(context.write, context.files, files)
    return {type_id: count for type_id, count in removed.items() if count}


def _remove_nameless(context: TaskContext) -> None:
    """Remove files that are known and that no unit names, as what failed half-way leaves some."""
    after = ""
    while True:
        with context.storage.read() as transaction:
            digests = transaction.content.nameless_artifacts(after=after, limit=_PAGE)
        if not digests:
            return
        remove_files(context.write, context.files, digests)
        after = digests[-1]
