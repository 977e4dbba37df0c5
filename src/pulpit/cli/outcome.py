"""How a task ended, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from pulpit.cli.tables import indented
from pulpit.cli.words import amount, duration, moment, printable
from pulpit.client import TaskReport
from pulpit.domain.file_progress import staged
from pulpit.domain.tasks import TaskState

__all__ = ["STATE_STYLE", "end_of", "ended", "outcome", "subject"]

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
#: Failed items of a task that are named at its end; `task show --json` has the others.
_NAMED = 5
#: Characters of one reason; nothing that a server says in good faith is longer.
_LONGEST = 20_000
#: Keys of units that people know them by, of whatever type.
_NAMING = ("name", "id", "data_type", "stream", "version", "release", "arch")
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
    line, told = _end(report), outcome(report)
    return line.append(f": {told}") if told else line


def end_of(report: TaskReport, *, width: int) -> RenderableType:
    """Return how a task ended, for a terminal: in one line, or with the details below, in full."""
    line = ended(report)
    is_error = report.state is TaskState.ERROR
    reasons = list(_reasons(report.error or {})) if is_error else [outcome(report)]
    items = list(_failed_items(report.progress)) if is_error else []
    if len(reasons) == 1 and not items and line.cell_len <= width:
        return line
    named = [f"- {item}" for item in items[:_NAMED]]
    if len(items) > _NAMED:
        see = f"pulpit task show {printable(report.task_id, limit=60)} --json"
        named.append(f"- and {len(items) - _NAMED:,} more: see `{see}`")
    below = [indented(Text(text)) for text in [*reasons, *named]]
    return Group(_end(report), *below)


def _end(report: TaskReport) -> Text:
    """Return the line that tells how a task ended, without the reason."""
    line = Text(f"{_MARKS.get(report.state, '·')} ", style=STATE_STYLE.get(report.state, ""))
    line.append(f"{subject(report)} ", style="bold")
    line.append(report.state.value, style=STATE_STYLE.get(report.state, ""))
    start, finish = moment(report.start_time), moment(report.finish_time)
    if start and finish:
        line.append(f" in {duration((finish - start).total_seconds())}", style="dim")
    return line


def _failure(error: Mapping[str, Any]) -> str:
    """Return why a task failed, with the code by which it can be looked up."""
    reason = printable(error.get("description") or "the server gave no reason", limit=_LONGEST)
    code = printable(error.get("code") or "", limit=20)
    return f"{reason} [{code}]" if code else reason


def _reasons(error: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a task failed, and what lies below that, one reason a line."""
    yield _failure(error)
    for below in _dicts(error.get("sub_errors")):
        yield from (f"  {reason}" for reason in _reasons(below))


def _failed_items(progress: Mapping[str, Any]) -> Iterator[str]:
    """Yield the items that failed in a stage, each with its reason."""
    for part in staged(progress).values():
        told = part.values() if isinstance(part, dict) else part
        for stage in _dicts(list(told) if isinstance(part, dict | list) else None):
            for detail in _dicts(stage.get("error_details")):
                yield printable(_item_words(detail), limit=_LONGEST)


def _item_words(detail: Mapping[str, Any]) -> str:
    """Return a failed item in words, whatever the plugin calls its parts."""
    for key in ("description", "error_message", "error"):
        if isinstance(detail.get(key), str):
            name = detail.get("url") or detail.get("name")
            return f"{name}: {detail[key]}" if name else str(detail[key])
    return ", ".join(f"{key}: {value}" for key, value in detail.items())


def _dicts(listed: Any) -> list[dict[str, Any]]:
    """Return the JSON objects in what may be a list."""
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _imported(details: Any) -> str | None:
    """Return what an upload became, from the details of its result; None of other results."""
    if not isinstance(details, dict):
        return None
    if isinstance(units := details.get("units"), list):
        return amount(len(units), "unit")
    if not isinstance(unit := details.get("unit"), dict):
        return None
    key: Any = unit.get("unit_key")
    parts = [key.get(name) for name in _NAMING] if isinstance(key, dict) else []
    named = "-".join(str(part) for part in parts if part is not None)
    return printable(f"{unit.get('type_id')} {named}".rstrip(), limit=200)


def _success(result: Any) -> str:
    """Return what a result says in one line."""
    if not isinstance(result, dict):
        return ""
    counts = [(result.get(key), word) for key, word in _COUNTS]
    if all(isinstance(count, int) for count, _word in counts):
        (added, _), *others = counts
        first = f"{amount(added or 0, 'unit')} added"
        return ", ".join([first, *(f"{count:,} {word}" for count, word in others)])
    if result and all(isinstance(count, int) for count in result.values()):
        # of orphans, by type
        return ", ".join(f"{count:,} {printable(kind, limit=40)}" for kind, count in result.items())
    if isinstance(moved := result.get("units_successful"), list):
        left_out = result.get("units_failed_signature_filter") or ()
        lacking = f", {len(left_out):,} left out for want of a signature" if left_out else ""
        return f"{amount(len(moved), 'unit')}{lacking}"
    if (imported := _imported(result.get("details"))) is not None:
        return imported
    summary = result.get("summary")
    return printable(summary, limit=200) if isinstance(summary, str) else ""
