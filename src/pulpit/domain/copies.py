"""Copies of units from repositories to others, and what came of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pulpit.domain.associations import UnitCriteria

__all__ = ["CopyOrder", "Route", "UnitKey", "copy_result"]

#: Content type and unit key of a unit.
UnitKey = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """From where to where units are copied: the ids of two repositories."""

    source: str
    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOrder:
    """What is to be copied, and how."""

    #: Whose units the criteria select; the further routes are for what these need.
    route: Route
    further: Sequence[Route] = ()
    criteria: UnitCriteria = field(default_factory=UnitCriteria)
    #: Takes the place of what the importer of the destination is configured to.
    override: Mapping[str, Any] = field(default_factory=dict)

    @property
    def routes(self) -> Sequence[Route]:
        """All of them."""
        return [self.route, *self.further]


def copy_result(
    copied: Iterable[UnitKey], unsigned: Iterable[UnitKey] | None = None
) -> dict[str, Any]:
    """Return the result of the task of a copy or a removal, as Pulp 2 has it.

    Args:
        copied: that were copied, or removed.
        unsigned: that were left out for want of a signature; None where nobody asks for any.
    """
    result: dict[str, Any] = {"units_successful": _listed(copied)}
    if unsigned is not None:
        result["units_failed_signature_filter"] = _listed(unsigned)
    return result


def _listed(keys: Iterable[UnitKey]) -> list[dict[str, Any]]:
    return [{"type_id": type_id, "unit_key": key} for type_id, key in keys]
