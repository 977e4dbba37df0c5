"""What a running task tells of itself to the one who watches over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Failed", "Finished", "Lost", "Outcome", "Progress", "Update", "ends"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The task got on; *report* is its whole progress report."""

    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The body returned."""

    result: Any = None
    #: The last progress report; None when the body told none.
    report: Mapping[str, Any] | None = None
    #: JSON object for the completion of the operation: what becomes true with the state finished.
    effects: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The body raised."""

    #: ``{code, description, data, sub_errors}``.
    error: Mapping[str, Any]
    traceback: str | None = None
    report: Mapping[str, Any] | None = None
    effects: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The process ended before the body did."""

    #: As a person would say it, such as ``killed by signal 9``.
    reason: str


Outcome = Finished | Failed | Lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Something that one attempt of one task tells."""

    task_id: str
    attempt: int
    #: A progress report to keep, or the end.
    news: Progress | Outcome


def ends(updates: Sequence[Update]) -> set[str]:
    """Return the tasks that end by one of the updates."""
    return {update.task_id for update in updates if not isinstance(update.news, Progress)}
