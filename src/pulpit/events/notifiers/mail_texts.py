"""What mails say of an event: a subject, lines to read, and the same as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

import msgspec

from pulpit.domain.clock import parse_time, render_time
from pulpit.domain.deliveries import Parcel
from pulpit.domain.listeners import DISABLED, PING
from pulpit.events.notifiers.lines import one_line

__all__ = ["Texts", "mail_texts"]

#: Characters of a subject; of a value; lines of an error, and characters of each.
_SUBJECT, _VALUE, _ERROR_LINES, _ERROR_LINE = 250, 300, 20, 400
#: Steps of a publish that are named.
_STEPS = 12
_ACTION = "pulp:action:"
_MINUTE, _HOUR = 60, 3600
#: How the thing is, as words after it, and the colour of that: readable on light and dark.
_OUTCOMES = {
    "started": ("has started", "#2563a8"),
    "running": ("is running", "#2563a8"),
    "waiting": ("is waiting", "#6b6b6b"),
    "finished": ("is finished", "#237a3b"),
    "failed": ("has failed", "#b3261e"),
    "canceled": ("was canceled", "#9a5b00"),
    "skipped": ("was skipped", "#6b6b6b"),
    "disabled": ("was disabled", "#b3261e"),
    "test": ("", "#6b6b6b"),
}
_ENDS = {"success": "finished", "error": "failed", "canceled": "canceled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The texts of one mail."""

    #: One printable line.
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What is told, before it is laid out; all of it is printable."""

    headline: str
    #: In a word, such as ``failed``.
    outcome: str
    #: The repository, or where a listener that was disabled delivers to.
    about: str | None
    #: What to know, by name, in order.
    facts: Sequence[tuple[str, str]]
    #: What went wrong, in lines.
    error: Sequence[str]
    #: Where more of it can be seen: a command, and the address of the task.
    more: Sequence[str]
    #: Where it comes from.
    foot: str

    @property
    def colour(self) -> str:
        """The colour of the outcome."""
        return _OUTCOMES.get(self.outcome, _OUTCOMES["test"])[1]


def mail_texts(parcel: Parcel, *, subject: str, source: str, attached: bool) -> Texts:
    """Return what a mail says of an event.

    Args:
        parcel: the event; whatever its body holds, it is told what can be read of it.
        subject: the listener's own, with which that of the mail begins.
        source: URL of this server.
        attached: whether the event's JSON goes with the mail.
    """
    told = _told(parcel, source=source, attached=attached)
    about = f" of {one_line(told.about, 80)}" if told.about else ""
    line = f"{one_line(subject, 100)}: {parcel.event_type}{about}: {told.outcome}"
    return Texts(
        subject=one_line(line, _SUBJECT),
        text=_text(told),
        html=_html(told),
    )


def _told(parcel: Parcel, *, source: str, attached: bool) -> _Told:
    """Return what can be read of the event."""
    body = _mapping(_decoded(parcel.body))
    payload, report = _mapping(body.get("payload")), _mapping(body.get("call_report"))
    outcome = _outcome(parcel.event_type, payload)
    task = quote(parcel.task_id, safe="", errors="replace") if parcel.task_id else None
    json = (
        "The event's JSON is attached." if attached else "The event's JSON is too long to attach."
    )
    return _Told(
        headline=one_line(_headline(parcel, report, outcome), _VALUE),
        outcome=outcome,
        about=parcel.repo_id or dict(_listener(payload)).get("Target"),
        facts=[
            (name, one_line(value, _VALUE))
            for name, value in _facts(parcel, payload, report, outcome)
        ],
        error=list(_error(payload, report)),
        more=(f"pulpit task show {task}", f"{source.rstrip('/')}/pulp/api/v2/tasks/{task}/")
        if task
        else (),
        foot=one_line(f"Sent by Pulpit at {source}. {json}", _VALUE),
    )


def _decoded(body: bytes) -> Any:
    """Return the JSON of a body, or None for what is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _outcome(event_type: str, payload: Mapping[str, Any]) -> str:
    """Return how it is, in a word."""
    if event_type == DISABLED:
        return "disabled"
    if event_type == PING:
        return "test"
    last = event_type.rpartition(".")[2]
    if last == "start":
        return "started"
    if last == "finish":
        return _ENDS.get(str(payload.get("result")), "finished")
    return "failed" if last == "error" else one_line(last, 40)


def _headline(parcel: Parcel, report: Mapping[str, Any], outcome: str) -> str:
    """Return what has happened, in a sentence."""
    if parcel.event_type == PING:
        return "A test: mails of this listener arrive"
    words = _OUTCOMES.get(outcome, (f"is {outcome}", ""))[0]
    if parcel.event_type == DISABLED:
        return f"A listener {words}"
    kind = parcel.event_type.split(".")
    what = kind[1].capitalize() if kind[0] == "repo" and len(kind) > 1 else _action(report)
    repository = f" of {one_line(parcel.repo_id, 80)}" if parcel.repo_id else ""
    return f"{what}{repository} {words}"


def _action(report: Mapping[str, Any]) -> str:
    """Return what the task does, in a word."""
    tags = report.get("tags")
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, str) and tag.startswith(_ACTION):
            return tag.removeprefix(_ACTION).replace("_", " ").capitalize()
    return "Task"


def _facts(
    parcel: Parcel, payload: Mapping[str, Any], report: Mapping[str, Any], outcome: str
) -> Iterator[tuple[str, str]]:
    """Yield what to know, by name; what is not there is left out."""
    yield "State", outcome
    if parcel.repo_id:
        yield "Repository", parcel.repo_id
    if isinstance(distributor := payload.get("distributor_id"), str):
        yield "Distributor", distributor
    yield from _results(payload, outcome)
    yield from _listener(payload)
    started, ended = report.get("start_time"), report.get("finish_time")
    if took := _duration(started, ended):
        yield "Duration", took
    for name, time in (("Started", started), ("Ended", ended)):
        if isinstance(time, str):
            yield name, time
    if isinstance(worker := report.get("worker_name"), str):
        yield "Worker", worker
    yield "Event", f"{parcel.event_type} at {render_time(parcel.time)}"
    if parcel.task_id:
        yield "Task", parcel.task_id


def _results(payload: Mapping[str, Any], outcome: str) -> Iterator[tuple[str, str]]:
    """Yield what a sync has brought, or the steps of a publish."""
    counts = [(payload.get(f"{name}_count"), name) for name in ("added", "updated", "removed")]
    if outcome == "finished" and any(isinstance(count, int) for count, _ in counts):
        yield "Units", ", ".join(f"{count or 0} {name}" for count, name in counts)
    summary = payload.get("summary")
    if isinstance(summary, str) and summary:
        yield "Summary", summary
    elif "distributor_id" in payload and isinstance(summary, Mapping):
        steps = [(name, state) for name, state in summary.items() if isinstance(state, str)]
        named = [f"{name} {state.lower()}" for name, state in steps[:_STEPS]]
        left = [f"{len(steps) - _STEPS} more"] if len(steps) > _STEPS else []
        if named:
            yield "Steps", ", ".join([*named, *left])


def _listener(payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield which listener was disabled, and why."""
    listener = _mapping(payload.get("listener"))
    for name, key in (("Listener", "id"), ("Type", "notifier_type_id"), ("Target", "target")):
        if isinstance(value := listener.get(key), str):
            yield name, value


def _error(payload: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[str]:
    """Yield why it failed, in lines."""
    error = _mapping(report.get("error"))
    words = error.get("description") or payload.get("error_message") or payload.get("reason")
    if not isinstance(words, str) or not words:
        return
    code = error.get("code")
    lines = (f"{code}: {words}" if isinstance(code, str) else words).splitlines()
    yield from (one_line(line, _ERROR_LINE) for line in lines[:_ERROR_LINES])
    if len(lines) > _ERROR_LINES:
        yield "…"


def _duration(started: Any, ended: Any) -> str | None:
    """Return how long it took, in words, or None if that is not known."""
    try:
        seconds = int((parse_time(ended) - parse_time(started)).total_seconds())
    except (TypeError, ValueError):
        return None
    if seconds < _MINUTE:
        return f"{max(seconds, 0)} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min {seconds % _MINUTE} s"
    return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"


def _text(told: _Told) -> str:
    """Return the mail as plain text."""
    width = max(len(name) for name, _ in told.facts)
    parts = [[told.headline], [f"  {name:<{width}}  {value}" for name, value in told.facts]]
    if told.error:
        parts.append(["What went wrong:", *(f"  {line}" for line in told.error)])
    if told.more:
        parts.append(["See more:", *(f"  {line}" for line in told.more)])
    parts.append(["-- ", told.foot])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _html(told: _Told) -> str:
    """Return the mail as HTML: styles inline, and colours that suit a light and a dark page."""
    # no table cell may become wider than the page for one long word
    word = "overflow-wrap:anywhere;word-break:break-word"
    grey = "color:#7a7a7a"
    rows = "".join(
        f'<tr><td style="padding:3px 16px 3px 0;{grey};vertical-align:top;white-space:nowrap">'
        f'{escape(name)}</td><td style="padding:3px 0;{word}">{_value(name, value, told)}</td></tr>'
        for name, value in told.facts
    )
    mono = f"font-family:ui-monospace,Menlo,Consolas,monospace;font-size:13px;{word}"
    error = more = ""
    if told.error:
        lines = "<br>".join(map(escape, told.error))
        error = (
            f'<div style="margin:16px 0 0;padding:10px 12px;border-left:3px solid {told.colour};'
            f'background:rgba(127,127,127,.12);{mono}">{lines}</div>'
        )
    if told.more:
        command, link = map(escape, told.more)
        more = (
            f'<p style="margin:16px 0 0">See more:<br><code style="{mono}">{command}</code>'
            f'<br><a href="{link}" style="color:#3b82d0;{word}">{link}</a></p>'
        )
    return f"""\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{escape(told.headline)}</title>
<style>:root{{color-scheme:light dark}}</style></head>
<body style="margin:0;padding:24px 16px">
<div style="max-width:640px;margin:0 auto;font:15px/1.5 system-ui,'Segoe UI',Helvetica,sans-serif">
<div style="border:1px solid rgba(127,127,127,.4);border-top:4px solid {told.colour};\
border-radius:6px;padding:20px 24px">
<h1 style="margin:0 0 12px;font-size:20px;line-height:1.3;{word}">{escape(told.headline)}</h1>
<table role="presentation" style="border-collapse:collapse;font-size:14px">{rows}</table>
{error}{more}
</div>
<p style="margin:12px 0 0;font-size:12px;{grey};{word}">{escape(told.foot)}</p>
</div></body></html>
"""


def _value(name: str, value: str, told: _Told) -> str:
    """Return a value as HTML, the state in its colour."""
    if name != "State":
        return escape(value)
    return (
        f'<span style="display:inline-block;padding:0 8px;border-radius:10px;color:#fff;'
        f'background:{told.colour}">{escape(value)}</span>'
    )
