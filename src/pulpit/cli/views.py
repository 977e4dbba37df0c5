"""Showing tasks as they change: in plain lines for a file or a log; `live` does on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.text import Text

from pulpit.cli.bars import stage_words
from pulpit.cli.outcome import ended, subject
from pulpit.cli.stages import Stage, StageState, stages
from pulpit.cli.words import amount, duration, printable
from pulpit.client import Event, Resumed, Retry, Stale, TaskReport
from pulpit.domain.events import EventKind

__all__ = ["PlainView", "SilentView", "View", "back", "gap", "lost", "other_event"]

#: A plain view tells of every quarter of a stage.
_STEPS = 4


class View(Protocol):
    """Shows tasks; used as a context manager around all that is shown."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, report: TaskReport) -> None:
        """Show the task as it is now."""

    def forget(self, task_id: str | None = None) -> None:
        """Show the task, or all tasks, no longer."""

    def tell(self, event: Event) -> None:
        """Tell of an event that is about no task."""

    def retry(self, notice: Retry) -> None:
        """Say that the connection was lost and is tried again."""

    def resumed(self, notice: Resumed) -> None:
        """Say that the connection is back."""

    def gap(self, notice: Stale) -> None:
        """Say that events were missed."""


class _Quiet:
    """Context management for views that hold nothing open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return


class SilentView(_Quiet):
    """Shows nothing of tasks: the caller prints what programs read.

    Args:
        errors: for lost connections and gaps.
    """

    def __init__(self, errors: Console) -> None:
        self._errors = errors
        self._lost = False

    def show(self, report: TaskReport) -> None:
        """Show nothing."""

    def forget(self, task_id: str | None = None) -> None:
        """Forget nothing."""

    def tell(self, event: Event) -> None:
        """Tell nothing."""

    def retry(self, notice: Retry) -> None:
        """Say once that the connection was lost."""
        if not self._lost:
            self._errors.print(lost(notice), soft_wrap=True)
        self._lost = True

    def resumed(self, notice: Resumed) -> None:
        """Say that the connection is back."""
        self._lost = False
        self._errors.print(back(notice), soft_wrap=True)

    def gap(self, notice: Stale) -> None:
        """Say that events were missed."""
        self._errors.print(gap(notice), soft_wrap=True)


class PlainView(SilentView):
    """One line for each step, for files, logs and screen readers.

    Args:
        console: for what was asked.
        errors: for lost connections.
        states: whether to tell that a task waits and runs.
    """

    def __init__(self, console: Console, errors: Console, *, states: bool = True) -> None:
        super().__init__(errors)
        self._console, self._states = console, states
        self._told: dict[str, str] = {}
        self._steps: dict[str, dict[str, tuple[int, str]]] = {}

    def show(self, report: TaskReport) -> None:
        """Print what is new since the last time."""
        changed = self._told.get(report.task_id) != report.state
        self._told[report.task_id] = report.state
        if changed and self._states and not report.state.is_complete:
            self._print(Text(f"{subject(report)}: {report.state.value}, task {report.task_id}"))
        for stage in stages(report.progress):
            if stage.visible and self._news(report.task_id, stage):
                self._print(Text(f"{subject(report)}: {stage.name}: {stage_words(stage)}"))
        if report.state.is_complete:
            self.forget(report.task_id)
            self._print(ended(report))

    def forget(self, task_id: str | None = None) -> None:
        """Keep nothing of a task that has ended; of all tasks, keep what was told already."""
        if task_id is not None:
            self._told.pop(task_id, None)
            self._steps.pop(task_id, None)

    def tell(self, event: Event) -> None:
        """Print the event."""
        self._print(other_event(event))

    def _news(self, task_id: str, stage: Stage) -> bool:
        """Return whether the stage is over, or a quarter further than what was told last."""
        quarter, words = int((stage.share or 0) * _STEPS), stage_words(stage)
        steps = self._steps.setdefault(task_id, {})
        told, last = steps.get(stage.key, (0, ""))
        over = stage.state is not StageState.IN_PROGRESS
        if words == last or not (over or quarter > told):
            return False
        steps[stage.key] = quarter, words
        return True

    def _print(self, line: Text) -> None:
        """Print a line at once and whole, so that who follows a log sees it."""
        self._console.print(line, soft_wrap=True)
        self._console.file.flush()


def lost(notice: Retry) -> Text:
    """Return the words for a lost connection."""
    return Text(f"Connection lost ({printable(notice.reason)}); trying again…", style="yellow")


def back(notice: Resumed) -> Text:
    """Return the words for a connection that is back."""
    return Text(f"Connected again after {duration(notice.away)}.", style="green")


def gap(notice: Stale) -> Text:
    """Return the notice that events are missing."""
    missed = "Events" if notice.missed is None else amount(notice.missed, "event")
    kept = f"{notice.oldest} to {notice.head}" if notice.oldest <= notice.head else "none by now"
    if notice.since > notice.head:
        why = f"Number {notice.since} is ahead of the newest event, as after a restored backup"
    else:
        why = f"{missed} after number {notice.since} can't be read any more"
    return Text(
        f"{why}: the server keeps {kept}. `pulpit task list` shows what became of older tasks.",
        style="yellow",
    )


def other_event(event: Event) -> Text:
    """Return the line for an event that is about no task."""
    listener = event.body.get("listener")
    if event.kind is EventKind.LISTENER and isinstance(listener, dict):
        name, target = (printable(listener.get(key) or "", limit=80) for key in ("id", "target"))
        reason = printable(event.body.get("reason") or "no reason is known")
        return Text(f"listener {name}{target and f' ({target})'} is disabled: {reason}")
    return Text(f"{printable(event.type, limit=80)}  event {event.sequence}")
