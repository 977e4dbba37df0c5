"""How a task ended, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from pulpit.cli.words import amount, duration, moment, printable
from pulpit.client import TaskReport
from pulpit.domain.tasks import TaskState

__all__ = ["STATE_STYLE", "ended", "outcome", "subject"]

#: State to the colour it has everywhere.
STATE_STYLE: Mapping[str, str] = {
    TaskState.WAITING: "yellow",
    TaskState.RUNNING: "cyan",
    TaskState.FINISHED: "green",
    TaskState.ERROR: "bold red",
    TaskState.CANCELED: "magenta",
    TaskState.SKIPPED: "dim",
}
_MARKS = {TaskState.FINISHED: "✓", TaskState.ERROR: "✗", TaskState.CANCELED: "■"}
_COUNTS = (("added_count", "added"), ("updated_count", "updated"), ("removed_count", "removed"))


def subject(report: TaskReport) -> str:
    """Return what the task does, such as ``sync of zoo``."""
    action = printable(report.action, limit=40)
    return f"{action} of {printable(report.repository, limit=80)}" if report.repository else action


def outcome(report: TaskReport) -> str:
    """Return what came of a task that has ended."""
    if report.state is TaskState.ERROR:
        return _failure(report.error or {})
    if report.state is TaskState.FINISHED:
        return _success(report.result)
    return ""


def ended(report: TaskReport) -> Text:
    """Return the line that tells how a task ended."""
    line = Text(f"{_MARKS.get(report.state, '·')} ", style=STATE_STYLE.get(report.state, ""))
    line.append(f"{subject(report)} ", style="bold")
    line.append(report.state.value, style=STATE_STYLE.get(report.state, ""))
    start, finish = moment(report.start_time), moment(report.finish_time)
    if start and finish:
        line.append(f" in {duration((finish - start).total_seconds())}", style="dim")
    told = outcome(report)
    return line.append(f": {told}") if told else line


def _failure(error: Mapping[str, Any]) -> str:
    """Return why a task failed, with the code by which it can be looked up."""
    reason = printable(error.get("description") or "the server gave no reason")
    code = printable(error.get("code") or "", limit=20)
    return f"{reason} [{code}]" if code else reason


def _success(result: Any) -> str:
    """Return what a result says in one line."""
    if not isinstance(result, dict):
        return ""
    counts = [(result.get(key), word) for key, word in _COUNTS]
    if all(isinstance(count, int) for count, _word in counts):
        (added, _), *others = counts
        first = f"{amount(added or 0, 'unit')} added"
        return ", ".join([first, *(f"{count:,} {word}" for count, word in others)])
    summary = result.get("summary")
    return printable(summary, limit=200) if isinstance(summary, str) else ""
