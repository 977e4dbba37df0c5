"""A progress report, of a sync or of a publish, as one list of stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pulpit.cli.words import amount, printable, size
from pulpit.domain.file_progress import staged

__all__ = ["Stage", "StageState", "stages"]

_SYNC_NAMES = {
    "metadata": "metadata",
    "content": "packages",
    "distribution": "distribution files",
    "modules": "modules",
    "errata": "errata",
    "comps": "package groups",
    "purge_duplicates": "old versions",
    "manifest": "list of files",
    "isos": "files",
}
#: The steps of a publish that are about content; the others are told of only while they run.
_PUBLISH_NAMES = {
    "isos": "files",
    "rpms": "packages",
    "drpms": "delta packages",
    "distribution": "distribution files",
    "modules": "modules",
    "errata": "errata",
    "comps": "package groups",
    "metadata": "other metadata",
}


class StageState(StrEnum):
    """How far a stage is."""

    NOT_STARTED = "NOT_STARTED"
    IN_PROGRESS = "IN_PROGRESS"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a task."""

    #: The report's own name for it, unique in its report.
    key: str
    name: str
    state: StageState
    #: Items done and in all; 0 in all when the stage has no items.
    done: int = 0
    total: int = 0
    #: Bytes done and in all.
    bytes_done: int = 0
    bytes_total: int = 0
    #: How many items failed.
    failures: int = 0
    problem: str | None = None
    #: Whether it is told of when it has finished.
    lasting: bool = True

    @property
    def visible(self) -> bool:
        """Whether there is anything to tell of it."""
        if self.state is StageState.FINISHED:
            return self.lasting
        return self.state not in {StageState.NOT_STARTED, StageState.SKIPPED}

    @property
    def share(self) -> float | None:
        """How much is done, from 0 to 1; None when nobody knows."""
        if self.bytes_total:
            return min(self.bytes_done / self.bytes_total, 1.0)
        return min(self.done / self.total, 1.0) if self.total else None

    def counts(self) -> str:
        """Return the shortest of its numbers, such as ``12 of 38``; empty without any."""
        if self.total:
            return f"{self.done:,} of {self.total:,}"
        return size(self.bytes_done) if self.bytes_total else ""

    def figures(self) -> str:
        """Return its numbers, such as ``12 of 38, 1.2 of 3.4 MB``; empty without any."""
        parts = []
        if self.total:
            whole = self.done >= self.total
            parts.append(f"{self.total:,}" if whole else f"{self.done:,} of {self.total:,}")
        if self.bytes_total:
            whole = self.bytes_done >= self.bytes_total
            of_all = size(self.bytes_total)
            parts.append(of_all if whole else f"{size(self.bytes_done)} of {of_all}")
        if self.failures:
            parts.append(amount(self.failures, "failure"))
        return ", ".join(parts)


def stages(report: Mapping[str, Any]) -> list[Stage]:
    """Return the stages of a progress report, in order; what can't be understood is left out."""
    found: list[Stage] = []
    for part in staged(report).values():
        if isinstance(part, dict):
            found += _sync_stages(part)
        elif isinstance(part, list):
            found += _publish_steps(part)
    return found


def _sync_stages(part: Mapping[str, Any]) -> Iterator[Stage]:
    """Yield the stages of an importer's report."""
    for key, told in part.items():
        state = _state(told)
        if state is None:
            continue
        total, size_total = _count(told, "items_total"), _count(told, "size_total")
        yield Stage(
            key=key,
            name=_SYNC_NAMES.get(key) or printable(key.replace("_", " "), limit=40),
            state=state,
            done=max(total - _count(told, "items_left"), 0),
            total=total,
            bytes_done=max(size_total - _count(told, "size_left"), 0),
            bytes_total=size_total,
            failures=_failures(told),
            problem=_problem(told.get("error")),
        )


def _publish_steps(part: list[Any]) -> Iterator[Stage]:
    """Yield the steps of a distributor's report."""
    for number, told in enumerate(part):
        state = _state(told)
        if state is None:
            continue
        kind = str(told.get("step_type") or number)
        total = _count(told, "items_total")
        yield Stage(
            key=f"step:{number}:{kind}",
            name=_PUBLISH_NAMES.get(kind) or printable(kind.replace("_", " "), limit=40),
            state=state,
            lasting=kind in _PUBLISH_NAMES and total > 0,
            done=_count(told, "num_processed"),
            total=total,
            failures=_count(told, "num_failures"),
            problem=_problem(told.get("details")) if state is StageState.FAILED else None,
        )


def _state(told: Any) -> StageState | None:
    """Return the state of a stage, or None when this is no stage."""
    state = told.get("state") if isinstance(told, dict) else None
    return StageState.__members__.get(state) if isinstance(state, str) else None


def _count(told: Mapping[str, Any], key: str) -> int:
    """Return a number of the report, 0 when it is none."""
    value = told.get(key)
    return max(value, 0) if isinstance(value, int) else 0


def _failures(told: Mapping[str, Any]) -> int:
    """Return how many items failed, of which the report may list only the newest."""
    listed = told.get("error_details")
    known = len(listed) if isinstance(listed, list) else 0
    return max(_count(told, "error_details_total"), known)


def _problem(error: Any) -> str | None:
    """Return why a stage failed."""
    if isinstance(error, dict):
        error = error.get("description") or error.get("error") or error.get("reason")
    return printable(error) if error else None
