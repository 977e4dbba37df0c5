"""The progress report of a publish: one step after another, as Pulp 2 told them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from pulpit.errors import PulpitError

__all__ = ["Step", "Steps"]

#: Units of a step that are told of one by one; of more, every so many.
_TOLD = 500


class Step:
    """One step while it goes on.

    Args:
        document: the step in the report; changed in place.
        tell: told after each change; True for the first and last of the step.
    """

    def __init__(self, document: dict[str, Any], tell: Callable[[bool], None]) -> None:
        self._document = document
        self._tell = tell
        self._stride = max(1, document["items_total"] // _TOLD)

    def advance(self) -> None:
        """Count one more unit as done."""
        document = self._document
        document["num_processed"] += 1
        document["num_success"] += 1
        if document["num_processed"] % self._stride == 0:
            self._tell(False)  # noqa: FBT003 - says that it is not a boundary


class Steps:
    """All steps of one publish.

    Args:
        distributor_id: the key of the report.
        steps: type and description of each, in order.
        progress: takes the whole report, and whether it is the first or last of a step.
    """

    def __init__(
        self,
        distributor_id: str,
        steps: Iterable[tuple[str, str]],
        *,
        progress: Callable[[Mapping[str, Any], bool], None],
    ) -> None:
        self._progress = progress
        self.documents: list[dict[str, Any]] = [_document(*step) for step in steps]
        self._report = {distributor_id: self.documents}
        self._next = 0

    @contextmanager
    def step(self, step_type: str, total: int = 1, *, skipped: bool = False) -> Iterator[Step]:
        """Go through the next step; it fails with what is raised in the block.

        Args:
            step_type: which one it must be.
            total: how many units it has; a step that has no units does one thing.
            skipped: whether it is told as passed over if it does not fail.
        """
        document = self._take(step_type)
        document.update(state="SKIPPED" if skipped else "IN_PROGRESS", items_total=total)
        self._tell(boundary=True)
        try:
            yield Step(document, lambda boundary: self._tell(boundary=boundary))
        except Exception as error:
            document.update(state="FAILED", num_failures=1, error_details=[_detail(error)])
            self._tell(boundary=True)
            raise
        if not skipped:
            document["state"] = "FINISHED"
            self._tell(boundary=True)

    def act(self, step_type: str, act: Callable[[], None]) -> None:
        """Go through a step that does one thing."""
        with self.step(step_type) as step:
            act()
            step.advance()

    def skip(self, *step_types: str) -> None:
        """Pass over the next steps, which this server has no work for."""
        for step_type in step_types:
            self._take(step_type)["state"] = "SKIPPED"
        self._tell(boundary=True)

    def summary(self) -> dict[str, str]:
        """Return the state of each type of step."""
        return {document["step_type"]: document["state"] for document in self.documents}

    def _take(self, step_type: str) -> dict[str, Any]:
        """Return the document of the next step."""
        document = self.documents[self._next]
        if document["step_type"] != step_type:
            raise ValueError(f"the next step is {document['step_type']}, not {step_type}")
        self._next += 1
        return document

    def _tell(self, *, boundary: bool) -> None:
        """Hand the report on."""
        self._progress(self._report, boundary)


def _document(step_type: str, description: str) -> dict[str, Any]:
    """Return a step that has not begun."""
    return {
        "step_type": step_type,
        "step_id": str(uuid4()),
        "description": description,
        "details": "",
        "state": "NOT_STARTED",
        "items_total": 0,
        "num_processed": 0,
        "num_success": 0,
        "num_failures": 0,
        "error_details": [],
    }


def _detail(error: Exception) -> Mapping[str, Any]:
    """Return what the report says of an error."""
    if isinstance(error, PulpitError):
        return error.to_dict()
    return {"description": type(error).__name__}
