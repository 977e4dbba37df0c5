"""The stages of a task as rows with bars, and a whole task as one row."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pulpit.cli.outcome import STATE_STYLE, subject
from pulpit.cli.stages import Stage, StageState, stages
from pulpit.cli.words import clock_time, moment
from pulpit.client import TaskReport

__all__ = ["headline", "ran_for", "stage_rows", "stage_words", "task_rows"]

_MARKS = {
    StageState.FINISHED: Text("✓", style="green"),
    StageState.FAILED: Text("✗", style="bold red"),
    StageState.CANCELLED: Text("■", style="magenta"),
}
#: Width of a bar, in columns, which gives way to figures on a narrow terminal.
_BAR, _NARROW_BAR = 28, 16
#: Columns of a task's row that are neither its subject nor its bar; and of the longest subject.
_ROW_REST, _SUBJECT = 45, 44
_SHORTEST_BAR, _SHORTEST_SUBJECT = 14, 12


def stage_rows(report: TaskReport, *, width: int, spinner: RenderableType) -> Table | None:
    """Return the stages of a task as rows with bars; None when there is nothing to show yet."""
    visible = [stage for stage in stages(report.progress) if stage.visible]
    if not visible:
        return None
    bar = min(_BAR, max(width // 5, _NARROW_BAR))
    table = Table.grid(padding=(0, 1))
    table.add_column(width=3, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(width - bar - 44, 12))
    table.add_column(overflow="fold")
    for stage in visible:
        table.add_row(_MARKS.get(stage.state, spinner), stage.name, _stage_cell(stage, bar))
    return table


def task_rows(
    reports: Iterable[TaskReport], *, now: datetime, width: int, spinner: RenderableType
) -> Table:
    """Return tasks in a row each: what it does, its stage with a bar, for how long."""
    room = width - _ROW_REST
    first = min(max(room - _SHORTEST_BAR, _SHORTEST_SUBJECT), _SUBJECT)
    second = min(max(room - first, _SHORTEST_BAR), _BAR)
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(no_wrap=True, overflow="ellipsis", width=first)
    table.add_column(no_wrap=True, overflow="ellipsis", width=16)
    table.add_column(width=second)
    table.add_column(no_wrap=True, overflow="ellipsis", width=15)
    table.add_column(no_wrap=True, justify="right", width=7)
    for report in reports:
        mark = spinner if report.start_time else Text("·", style="yellow")
        middle = _middle_of_row(report, second)
        table.add_row(mark, Text(subject(report)), *middle, ran_for(report, now))
    return table


def _middle_of_row(report: TaskReport, width: int) -> tuple[RenderableType, ...]:
    """Return the name, bar and figures of the stage that a task is in; else its state."""
    current = [stage for stage in stages(report.progress) if stage.state is StageState.IN_PROGRESS]
    if not current:
        return Text(report.state.value, style=STATE_STYLE.get(report.state, "")), "", ""
    stage = current[-1]
    return stage.name, _bar(stage, width), Text(stage.counts(), style="dim")


def headline(report: TaskReport, *, now: datetime) -> Text:
    """Return the line above a task's stages."""
    line = Text(subject(report), style="bold", no_wrap=True, overflow="ellipsis")
    line.append(f" {report.state.value}", style=STATE_STYLE.get(report.state, ""))
    if report.start_time:
        line.append(f" {ran_for(report, now)}", style="not bold")
    return line.append(f"  {report.task_id}", style="dim")


def ran_for(report: TaskReport, now: datetime) -> str:
    """Return how long the task ran by now, such as ``0:07``; empty for one that waits."""
    start = moment(report.start_time)
    return "" if start is None else clock_time((now - start).total_seconds())


def stage_words(stage: Stage) -> str:
    """Return a stage's figures, and its state when that is not what one expects."""
    state = {
        StageState.FAILED: "failed",
        StageState.CANCELLED: "canceled",
        StageState.IN_PROGRESS: "" if stage.total else "in progress",
        StageState.FINISHED: "" if stage.total else "done",
    }.get(stage.state, "")
    return ", ".join(part for part in (stage.figures(), state, stage.problem) if part)


def _stage_cell(stage: Stage, width: int) -> RenderableType:
    """Return the bar of a stage in progress, or the figures of one that is over."""
    figures = Text(stage_words(stage), style="red" if stage.failures or stage.problem else "dim")
    if stage.state is not StageState.IN_PROGRESS:
        return figures
    row = Table.grid(padding=(0, 1))
    row.add_row(_bar(stage, width), figures)
    return row


def _bar(stage: Stage, width: int) -> ProgressBar:
    """Return how far the stage is; a pulse where nobody knows."""
    share = stage.share
    return ProgressBar(
        total=1.0 if share is not None else None,
        completed=share or 0.0,
        width=width,
        pulse=share is None,
    )
