"""The progress report of a sync of isos, flat as Pulp 2 had it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

from pulpit.domain.clock import render_time
from pulpit.domain.file_progress import FileState
from pulpit.ports import Clock

__all__ = ["IsoProgress"]

_MAX_ERRORS = 1000
#: Bytes that arrive between two reports.
_STRIDE = 8 << 20


class _Tell(Protocol):
    """Takes a whole progress report; see ``pulpit.ports.TaskContext.progress``."""

    def __call__(self, report: dict[str, Any], *, boundary: bool = False) -> None: ...


class IsoProgress:
    """Keeps the report of one sync, and tells it at each change.

    Args:
        tell: receives each report.
        clock: the present time.
        importer_id: the key of the report.
    """

    def __init__(self, tell: _Tell, *, clock: Clock, importer_id: str) -> None:
        self._tell = tell
        self._clock = clock
        self._importer_id = importer_id
        self._untold = 0
        self.report: dict[str, Any] = {
            "state": FileState.NOT_STARTED.value,
            "state_times": {FileState.NOT_STARTED.value: _shown(clock())},
            "num_isos": None,
            "num_isos_finished": 0,
            "total_bytes": None,
            "finished_bytes": 0,
            "iso_error_messages": [],
            "error_message": None,
            "traceback": None,
        }

    @contextmanager
    def manifest(self) -> Iterator[None]:
        """Tell that the manifest is read, and that it failed if the block does."""
        with self._stage(FileState.MANIFEST_IN_PROGRESS, FileState.MANIFEST_FAILED):
            yield

    @contextmanager
    def isos(self) -> Iterator[None]:
        """Tell that files are brought in, and how that ends."""
        with self._stage(FileState.ISOS_IN_PROGRESS, FileState.ISOS_FAILED):
            yield
        self._enter(FileState.COMPLETE)

    def expect(self, *, count: int, size: int) -> None:
        """Tell how much is to be downloaded: files and bytes, beside what is done by now."""
        report = self.report
        report["num_isos"] = report["num_isos_finished"] + count
        report["total_bytes"] = report["finished_bytes"] + size
        self._told(boundary=True)

    def received(self, size: int) -> None:
        """Count bytes that have come; less than 0 for those that came in vain."""
        self.report["finished_bytes"] += size
        self._untold += abs(size)
        if self._untold >= _STRIDE:
            self._told(boundary=False)

    def finished(self) -> None:
        """Count one more file as done."""
        self.report["num_isos_finished"] += 1
        self._told(boundary=False)

    def failed(self, name: str, error: str) -> None:
        """Tell that a file can't be had."""
        errors = self.report["iso_error_messages"]
        if len(errors) < _MAX_ERRORS:
            errors.append({"name": name, "error": error})
        self._told(boundary=False)

    def summary(self) -> Mapping[str, Any]:
        """Return the report as it is now, for the result of the task."""
        return {**self.report, "state_times": dict(self.report["state_times"])}

    @contextmanager
    def _stage(self, begun: FileState, failed: FileState) -> Iterator[None]:
        self._enter(begun)
        try:
            yield
        except Exception as error:
            self.report["error_message"] = str(error)
            self._enter(failed)
            raise

    def _enter(self, state: FileState) -> None:
        self.report["state"] = state.value
        self.report["state_times"][state.value] = _shown(self._clock())
        self._told(boundary=True)

    def _told(self, *, boundary: bool) -> None:
        self._untold = 0
        self._tell({self._importer_id: self.report}, boundary=boundary)


def _shown(moment: datetime) -> str:
    return render_time(moment) or ""
