"""The progress of files that a manifest lists, as Pulp 2 told it and as stages tell it.

Pulp 2 gave isos a flat report in the place of stages. Clients of the API are given it as it was;
events, whose schemas promise stages, and the command line are given the same in stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

__all__ = ["FileState", "staged"]


class FileState(StrEnum):
    """How far a sync of files is."""

    NOT_STARTED = "not_started"
    MANIFEST_IN_PROGRESS = "manifest_in_progress"
    MANIFEST_FAILED = "manifest_failed"
    ISOS_IN_PROGRESS = "isos_in_progress"
    ISOS_FAILED = "isos_failed"
    COMPLETE = "complete"
    #: Set when the task is canceled, whatever it did.
    CANCELLED = "cancelled"


_STATES = tuple(FileState)
#: State to those of the stages "manifest" and "isos".
_STAGES: Mapping[str, tuple[str, str]] = {
    FileState.NOT_STARTED: ("NOT_STARTED", "NOT_STARTED"),
    FileState.MANIFEST_IN_PROGRESS: ("IN_PROGRESS", "NOT_STARTED"),
    FileState.MANIFEST_FAILED: ("FAILED", "NOT_STARTED"),
    FileState.ISOS_IN_PROGRESS: ("FINISHED", "IN_PROGRESS"),
    FileState.ISOS_FAILED: ("FINISHED", "FAILED"),
    FileState.COMPLETE: ("FINISHED", "FINISHED"),
}


def staged(progress: Mapping[str, Any]) -> dict[str, Any]:
    """Return a progress report in which flat parts are stages, and others are as they were."""
    return {key: _stages(part) if _is_flat(part) else part for key, part in progress.items()}


def _is_flat(part: Any) -> bool:
    """Tell whether a part of a report has a state of its own, as no part with stages has."""
    state = part.get("state") if isinstance(part, Mapping) else None
    return isinstance(state, str) and state in set(FileState)


def _stages(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flat report as the stages ``manifest`` and ``isos``."""
    state = FileState(part["state"])
    manifest, isos = _STAGES.get(state) or _canceled_in(part)
    items, size = _number(part, "num_isos"), _number(part, "total_bytes")
    errors = part.get("iso_error_messages")
    files: dict[str, Any] = {
        "state": isos,
        "items_total": items,
        "items_left": items - _number(part, "num_isos_finished"),
        "size_total": size,
        "size_left": size - _number(part, "finished_bytes"),
        "error_details": list(errors) if isinstance(errors, list | tuple) else [],
    }
    stages: dict[str, Any] = {"manifest": {"state": manifest}, "isos": files}
    failed = {FileState.MANIFEST_FAILED: "manifest", FileState.ISOS_FAILED: "isos"}
    if state in failed:
        stages[failed[state]]["error"] = str(part.get("error_message"))
    return stages


def _number(part: Mapping[str, Any], key: str) -> int:
    """Return a number of the report, 0 where there is none yet."""
    value = part.get(key)
    return value if isinstance(value, int) else 0


def _canceled_in(part: Mapping[str, Any]) -> tuple[str, str]:
    """Return the states of the stages of what was canceled."""
    times = part.get("state_times")
    if isinstance(times, Mapping) and FileState.ISOS_IN_PROGRESS in times:
        return "FINISHED", "CANCELLED"
    return "CANCELLED", "NOT_STARTED"
