"""Copies between repositories, as importers of all types do them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pulpit.domain.copies import CopyOrder, UnitKey, copy_result
from pulpit.errors import TypesNotTaken
from pulpit.ports import TaskContext, Transaction

__all__ = ["copy_as_they_are", "selected"]


def selected(
    transaction: Transaction, order: CopyOrder, *, types: Collection[str]
) -> Mapping[int, UnitKey]:
    """Return what the order selects, unit id to type and unit key, in its order.

    Raises:
        TypesNotTaken: there are units of other types than these.
    """
    ids = transaction.content.select_members(order.route.source, order.criteria)
    keys = transaction.content.unit_keys(ids)
    if refused := {type_id for type_id, _ in keys.values()} - {*types}:
        raise TypesNotTaken(order.route.destination, sorted(refused))
    return {unit_id: keys[unit_id] for unit_id in ids}


def copy_as_they_are(
    context: TaskContext, order: CopyOrder, *, types: Collection[str]
) -> Mapping[str, Any]:
    """Copy what the order selects and nothing else; return the result of the task.

    For importers whose units are the same in all repositories.

    Args:
        context: of the task.
        order: whose override has no meaning here.
        types: content types that the importer of the destination takes.

    Raises:
        TypesNotTaken: units of other types are selected.
    """
    with context.storage.read() as transaction:
        found = selected(transaction, order, types=types)
    with context.write() as transaction:
        transaction.content.associate(order.route.destination, found, now=context.clock())
    return copy_result(found.values())
