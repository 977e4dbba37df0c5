"""The criteria of searches: filters, sort, skip, limit and fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Criteria"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What a search selects, in which order, and how much of it."""

    #: The filter as sent: field names and operators to values.
    filters: Mapping[str, Any] = field(default_factory=dict)
    #: (field, True for ascending).
    sort: Sequence[tuple[str, bool]] = ()
    limit: int | None = None
    skip: int = 0
    #: The fields to return; None for all.
    fields: Sequence[str] | None = None
