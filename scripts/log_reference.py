"""The page of what the log tells, read from the calls that tell it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LOG_INTRO", "LogCall", "log_calls", "log_lines"]

_SOURCE = Path(__file__).resolve().parent.parent / "src" / "pulpit"
_LEVELS = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
    "critical": "critical",
}
#: Folder of the source to the title of its table, in the order of the page.
_GROUPS = {
    "app": "The server",
    "engine": "Tasks",
    "api": "Requests",
    "events/amqp": "The broker",
    "events/door": "The AMQP door",
    "events/listeners": "Deliveries to listeners",
    "events": "Channels",
    "services": "Dispatch to listeners",
    "storage": "The database",
}

LOG_INTRO = """\
What the log tells, as `event` has it, with the fields beside `timestamp`, `level` and `event`; see
[how to read the log](../howto/monitor.md#logs). `…` stands for what differs from time to time:
where there is a `reason`, group lines by that. Libraries speak as well, from level `warning` on;
their lines have the field `logger`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCall:
    """One place that writes to the log."""

    file: str
    event: str
    level: str
    fields: tuple[str, ...]


def log_calls() -> Iterator[LogCall]:
    """Yield every call that writes to the server's log, in the order of files and lines."""
    for path in sorted(_SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = _constants(tree)
        chosen = _chosen_levels(tree)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
        for call in sorted(calls, key=lambda node: node.lineno):
            level = _level(call.func) or chosen.get(_name(call.func))
            if level:
                yield LogCall(
                    file=path.relative_to(_SOURCE).as_posix(),
                    event=_text(call.args[0], names),
                    level=level,
                    fields=_fields(call),
                )


def log_lines() -> Iterator[str]:
    """Yield a table for each part of the server."""
    calls = list(log_calls())
    told: set[LogCall] = set()
    for folder, title in _GROUPS.items():
        group = [call for call in calls if call.file.startswith(f"{folder}/") and call not in told]
        told.update(group)
        yield from ("", f"## {title}", "", "| event | level | fields |", "| --- | --- | --- |")
        for call in dict.fromkeys((call.event, call.level, call.fields) for call in group):
            event, level, fields = call
            yield f"| {event} | {level} | {', '.join(f'`{name}`' for name in fields)} |"
    if lost := [call for call in calls if call not in told]:
        raise ValueError(f"name a group for {lost[0].file}")


def _level(function: ast.expr) -> str | None:
    """Return the level that a method of a log writes at; None for another function."""
    if isinstance(function, ast.Attribute) and _name(function.value).lstrip("_") == "log":
        return _LEVELS.get(function.attr)
    return None


def _name(node: ast.expr) -> str:
    """Return the last name of an expression such as ``self._shared.log``."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _chosen_levels(tree: ast.Module) -> dict[str, str]:
    """Return names that stand for one of several methods of a log, with the levels."""
    chosen = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp):
            levels = [_level(node.value.body), _level(node.value.orelse)]
            if all(levels):
                chosen[_name(node.targets[0])] = " or ".join(filter(None, levels))
    return chosen


def _constants(tree: ast.Module) -> dict[str, str]:
    """Return the texts that have a name in a module."""
    return {
        _name(node.targets[0]): node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


def _text(node: ast.expr, names: dict[str, str]) -> str:
    """Return an event with … for what differs."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, names) for part in node.values)
    return names.get(_name(node), "…")


def _fields(call: ast.Call) -> tuple[str, ...]:
    """Return the names of the fields that a call has."""
    names = [keyword.arg or "…" for keyword in call.keywords]
    if isinstance(call.func, ast.Attribute) and call.func.attr == "exception":
        names.append("exception")
    return tuple("exception" if name == "exc_info" else name for name in names)
