"""The progress report of a sync, as Pulp 2's clients read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Protocol

__all__ = ["STAGES", "Stage", "State", "SyncProgress"]


class Stage(StrEnum):
    """The stages of a sync, in order."""

    METADATA = "metadata"
    CONTENT = "content"
    DISTRIBUTION = "distribution"
    MODULES = "modules"
    ERRATA = "errata"
    COMPS = "comps"
    PURGE_DUPLICATES = "purge_duplicates"


class State(StrEnum):
    """How far a stage is."""

    NOT_STARTED = "NOT_STARTED"
    IN_PROGRESS = "IN_PROGRESS"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


STAGES = tuple(Stage)
_MAX_DETAILS = 1000


class _Tell(Protocol):
    """Takes a whole progress report; see ``pulpit.ports.TaskContext.progress``."""

    def __call__(self, report: dict[str, Any], *, boundary: bool = False) -> None: ...


class SyncProgress:
    """Keeps the report of one sync, and tells it at each change."""

    def __init__(self, tell: _Tell, *, importer_type_id: str) -> None:
        """Begin with nothing done; *tell* receives each report."""
        self._tell = tell
        self._importer = importer_type_id
        self.stages: dict[str, dict[str, Any]] = {
            stage.value: {"state": State.NOT_STARTED.value} for stage in STAGES
        }
        self.stages[Stage.CONTENT].update(
            items_total=0,
            items_left=0,
            size_total=0,
            size_left=0,
            details={"rpm_total": 0, "rpm_done": 0, "drpm_total": 0, "drpm_done": 0},
            error_details=[],
        )
        self.stages[Stage.DISTRIBUTION].update(
            items_total=0, items_left=0, size_total=0, size_left=0, error_details=[]
        )
        #: Package files that are expected and have come, by what they are counted as.
        self._counts = self.stages[Stage.CONTENT]["details"]

    @contextmanager
    def stage(self, stage: Stage, *, skipped: bool = False) -> Iterator[None]:
        """Tell that a stage begins, and how it ends."""
        if skipped:
            self.set_state(stage, State.SKIPPED)
            yield
            return
        self.set_state(stage, State.IN_PROGRESS)
        try:
            yield
        except Exception as error:
            self.stages[stage]["error"] = str(error)
            self.set_state(stage, State.FAILED)
            raise
        self.set_state(stage, State.FINISHED)

    def set_state(self, stage: Stage, state: State) -> None:
        """Change the state of a stage."""
        self.stages[stage]["state"] = state.value
        self._tell({self._importer: self.stages}, boundary=True)

    def expect(self, files: Iterable[tuple[str, int]]) -> None:
        """Tell how much is to be downloaded: content type and bytes of each package file."""
        content = self.stages[Stage.CONTENT]
        for type_id, size in files:
            self._counts[f"{_counted(type_id)}_total"] += 1
            content["items_total"] += 1
            content["size_total"] += size
        content.update(items_left=content["items_total"], size_left=content["size_total"])
        self._tell({self._importer: self.stages}, boundary=True)

    def downloaded(self, type_id: str, size: int) -> None:
        """Tell that one more package file is there."""
        content = self.stages[Stage.CONTENT]
        content["items_left"] -= 1
        content["size_left"] -= size
        self._counts[f"{_counted(type_id)}_done"] += 1
        self._tell({self._importer: self.stages})

    def left_out(self, count: int) -> None:
        """Tell how many packages do not come in for what they are signed with, or are not."""
        details = self.stages[Stage.CONTENT]["error_details"]
        details.append({"error_code": "invalid_package_signature", "count": count})
        self._tell({self._importer: self.stages}, boundary=True)

    def expect_tree(self, items: int) -> None:
        """Tell how many files of a tree are to be downloaded; nobody says how large they are."""
        self.stages[Stage.DISTRIBUTION].update(items_total=items, items_left=items)
        self._tell({self._importer: self.stages}, boundary=True)

    def downloaded_tree(self, size: int) -> None:
        """Tell that one more file of a tree is there."""
        tree = self.stages[Stage.DISTRIBUTION]
        tree["items_left"] -= 1
        tree["size_total"] += size
        self._tell({self._importer: self.stages})

    def failed(self, details: dict[str, Any], stage: Stage = Stage.CONTENT) -> None:
        """Tell that a file can't be had."""
        errors = self.stages[stage]["error_details"]
        if len(errors) < _MAX_DETAILS:
            errors.append(details)
        self._tell({self._importer: self.stages})

    def summary(self) -> dict[str, Any]:
        """Return each stage with its state alone."""
        return {name: {"state": stage["state"]} for name, stage in self.stages.items()}


def _counted(type_id: str) -> str:
    """Return what a package file is counted as."""
    return "drpm" if type_id == "drpm" else "rpm"
