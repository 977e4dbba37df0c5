"""What the queries of the event stream, its pages and the snapshot have in common."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import TypeVar

from starlette.datastructures import QueryParams
from starlette.requests import Request

from pulpit.domain.tasks import repository_tag
from pulpit.errors import InvalidValue

__all__ = ["accepted_types", "limit", "members", "number", "single", "tags"]

_LARGEST = 2**63 - 1

_Member = TypeVar("_Member", bound=StrEnum)


def single(query: QueryParams, name: str) -> str | None:
    """Return the one value of a name, or None.

    Raises:
        InvalidValue: there are several.
    """
    values = query.getlist(name)
    if len(values) > 1:
        raise InvalidValue(name, why="may be given once")
    return values[0] if values else None


def members(kind: type[_Member], query: QueryParams, name: str) -> frozenset[_Member]:
    """Return the members of an enumeration that the query names.

    Raises:
        InvalidValue: one is not known.
    """
    values = query.getlist(name)
    if not set(values) <= set(kind):
        raise InvalidValue(name, why=f"choose of {', '.join(kind)}")
    return frozenset(kind(value) for value in values)


def tags(query: QueryParams) -> frozenset[str]:
    """Return the tags that are asked for, that of the repository included."""
    found = set(query.getlist("tag"))
    if repository := single(query, "repository"):
        found.add(repository_tag(repository))
    return frozenset(found)


def number(text: str | None, name: str) -> int | None:
    """Return the number in the query or a header, or None.

    Raises:
        InvalidValue: it is something else.
    """
    if text is None:
        return None
    # longer texts are not even parsed
    if not text.isascii() or not text.isdigit() or len(text) > len(str(_LARGEST)):
        raise InvalidValue(name, why=f"must be a whole number from 0 to {_LARGEST}")
    return min(int(text), _LARGEST)


def limit(query: QueryParams, *, default: int, most: int) -> int:
    """Return how many a page is to hold.

    Raises:
        InvalidValue: none.
    """
    wanted = number(single(query, "limit"), "limit")
    if wanted == 0:
        raise InvalidValue("limit", why="must be a whole number of at least 1")
    return min(wanted or default, most)


def accepted_types(request: Request) -> Collection[str]:
    """Return the media types that the header Accept names, without their parameters."""
    accept = ",".join(request.headers.getlist("accept"))
    return {part.partition(";")[0].strip().lower() for part in accept.split(",")}
