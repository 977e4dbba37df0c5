"""Showing tasks while they run: live on a terminal, in plain lines for a file or a log."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pulpit.cli.outcome import STATE_STYLE, ended, subject
from pulpit.cli.stages import Stage, StageState, stages
from pulpit.client import Retry, TaskReport

__all__ = ["LiveView", "PlainView", "SilentView", "View", "stage_rows"]

_MARKS = {
    StageState.FINISHED: Text("✓", style="green"),
    StageState.FAILED: Text("✗", style="bold red"),
    StageState.CANCELLED: Text("■", style="magenta"),
}
#: Width of a bar, in columns.
_BAR = 28
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

    def retry(self, notice: Retry) -> None:
        """Say that the connection was lost and is tried again."""


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
    """Shows nothing: the caller prints what programs read."""

    def show(self, report: TaskReport) -> None:
        """Show nothing."""

    def retry(self, notice: Retry) -> None:
        """Say nothing."""


class PlainView(_Quiet):
    """One line for each step, for files, logs and screen readers.

    Args:
        console: for what was asked.
        errors: for lost connections.
        states: whether to tell that a task waits and runs.
    """

    def __init__(self, console: Console, errors: Console, *, states: bool = True) -> None:
        self._console, self._errors, self._states = console, errors, states
        self._told: dict[str, str] = {}
        self._steps: dict[tuple[str, str], tuple[int, str]] = {}

    def show(self, report: TaskReport) -> None:
        """Print what is new since the last time."""
        changed = self._told.get(report.task_id) != report.state
        self._told[report.task_id] = report.state
        if changed and self._states and not report.state.is_complete:
            self._print(Text(f"{subject(report)}: {report.state.value}, task {report.task_id}"))
        for stage in stages(report.progress):
            if stage.visible and self._news(report.task_id, stage):
                self._print(Text(f"{subject(report)}: {stage.name}: {_stage_words(stage)}"))
        if changed and report.state.is_complete:
            self._print(ended(report))

    def retry(self, notice: Retry) -> None:
        """Say that the connection was lost."""
        self._errors.print(Text(_lost(notice)), soft_wrap=True)

    def _news(self, task_id: str, stage: Stage) -> bool:
        """Return whether the stage is over, or a quarter further than what was told last."""
        quarter, words = int((stage.share or 0) * _STEPS), _stage_words(stage)
        told, last = self._steps.get((task_id, stage.key), (0, ""))
        over = stage.state is not StageState.IN_PROGRESS
        if words == last or not (over or quarter > told):
            return False
        self._steps[task_id, stage.key] = quarter, words
        return True

    def _print(self, line: Text) -> None:
        """Print a line at once and whole, so that who follows a log sees it."""
        self._console.print(line, soft_wrap=True)
        self._console.file.flush()


class LiveView:
    """Bars that move; when a task has ended, its stages stay and a line says how."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._reports: dict[str, TaskReport] = {}
        self._notice: Text | None = None
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=console, get_renderable=self._render, refresh_per_second=10, transient=True
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, report: TaskReport) -> None:
        """Show the task as it is now."""
        self._notice = None
        if report.state.is_complete:
            self._reports.pop(report.task_id, None)
            # first without the task's bars, which would stand below its end until the next frame
            self._live.refresh()
            self._console.print(_finished(report))
        else:
            self._reports[report.task_id] = report

    def retry(self, notice: Retry) -> None:
        """Say that the connection was lost, until it is back."""
        self._notice = Text(_lost(notice), style="yellow")

    def _render(self) -> RenderableType:
        """Return what is going on now."""
        parts: list[RenderableType] = []
        for report in list(self._reports.values()):
            parts.append(_headline(report))
            rows = stage_rows(report, width=self._console.width, spinner=self._spinner)
            if rows is not None:
                parts.append(rows)
        if self._notice:
            parts.append(self._notice)
        return Group(*parts)


def stage_rows(report: TaskReport, *, width: int, spinner: RenderableType) -> Table | None:
    """Return the stages of a task as rows with bars; None when there is nothing to show yet."""
    visible = [stage for stage in stages(report.progress) if stage.visible]
    if not visible:
        return None
    table = Table.grid(padding=(0, 1))
    table.add_column(width=3, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(width - _BAR - 32, 12))
    table.add_column(overflow="fold")
    for stage in visible:
        table.add_row(_MARKS.get(stage.state, spinner), stage.name, _stage_cell(stage))
    return table


def _stage_cell(stage: Stage) -> RenderableType:
    """Return the bar of a stage in progress, or the figures of one that is over."""
    figures = Text(_stage_words(stage), style="red" if stage.failures or stage.problem else "dim")
    if stage.state is not StageState.IN_PROGRESS:
        return figures
    share = stage.share
    bar = ProgressBar(
        total=1.0 if share is not None else None,
        completed=share or 0.0,
        width=_BAR,
        pulse=share is None,
    )
    row = Table.grid(padding=(0, 1))
    row.add_row(bar, figures)
    return row


def _stage_words(stage: Stage) -> str:
    """Return a stage's figures, and its state when that is not what one expects."""
    state = {
        StageState.FAILED: "failed",
        StageState.CANCELLED: "canceled",
        StageState.IN_PROGRESS: "" if stage.total else "in progress",
        StageState.FINISHED: "" if stage.total else "done",
    }.get(stage.state, "")
    return ", ".join(part for part in (stage.figures(), state, stage.problem) if part)


def _headline(report: TaskReport) -> Text:
    """Return the line above a task's stages."""
    line = Text(subject(report), style="bold", no_wrap=True, overflow="ellipsis")
    line.append(f" {report.state.value}", style=STATE_STYLE.get(report.state, ""))
    return line.append(f"  {report.task_id}", style="dim")


def _finished(report: TaskReport) -> RenderableType:
    """Return what stays on the screen of a task that has ended."""
    visible = [stage for stage in stages(report.progress) if stage.visible]
    table = Table.grid(padding=(0, 1))
    table.add_column(width=3, justify="right")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for stage in visible:
        table.add_row(_MARKS.get(stage.state, "·"), stage.name, _stage_cell(stage))
    return Group(table, ended(report)) if visible else ended(report)


def _lost(notice: Retry) -> str:
    """Return the words for a lost connection."""
    return f"Connection lost ({notice.reason}); trying again in {notice.delay:g} s"
