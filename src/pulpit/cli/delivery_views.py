"""Deliveries as a table, as details, and what went over the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pulpit.cli.listener_views import part
from pulpit.cli.tables import facts, indented, listing
from pulpit.cli.words import age, amount, moment, printable

__all__ = ["delivery_details", "delivery_table", "exchange_lines", "receipt_line"]

#: From this width on, the table has room for where an event happened and what went wrong.
_WIDE = 130
_REASON = 200
_IN_LINE = "it waits for those before it, or for the listener to be enabled"
_STATE_STYLE = {"pending": "yellow", "delivered": "green", "exhausted": "bold red"}
_VERDICTS = {"delivered": ("✓", "green"), "failed": ("✗", "bold red"), "gone": ("■", "magenta")}


def delivery_table(deliveries: Sequence[Mapping[str, Any]], *, now: datetime, width: int) -> Table:
    """Return deliveries as a table."""
    wide = width >= _WIDE
    more = ("OF", "TRIES", "LAST") if wide else ()
    table = listing(
        "DELIVERY", "CREATED", "EVENT", "STATE", *more, shrink="LAST" if wide else "EVENT"
    )
    for delivery in deliveries:
        state = printable(delivery.get("state"), limit=20)
        tries = delivery.get("attempted")
        row: list[RenderableType] = [
            Text(printable(delivery.get("id"), limit=50)),
            age(delivery.get("created"), now=now),
            printable(delivery.get("event_type"), limit=40),
            Text(state, style=_STATE_STYLE.get(state, "")),
        ]
        if wide:
            told = f"{tries:,}" if isinstance(tries, int) else ""
            row += [_lane(delivery)[1], told, _last(delivery)]
        table.add_row(*row)
    return table


def delivery_details(delivery: Mapping[str, Any], *, now: datetime) -> RenderableType:
    """Return all that a person wants to know of a delivery: each attempt, and what comes next."""
    state = printable(delivery.get("state"), limit=20)
    title = Text(printable(delivery.get("event_type"), limit=80), style="bold")
    title.append(f" {state}", style=_STATE_STYLE.get(state, ""))
    kind, name = _lane(delivery)
    known = facts(
        ("Id", delivery.get("id")),
        (kind.capitalize(), name),
        ("Event", delivery.get("sequence")),
        ("Created", _when(delivery.get("created"), now)),
        ("Next attempt", _next(delivery.get("due"), now)),
        ("Ended", _when(delivery.get("finished"), now)),
    )
    attempts = _attempts(delivery)
    parts: list[RenderableType] = [title, indented(known)]
    missing = _count(delivery) - len(attempts)
    if missing > 0:
        words = f"{amount(missing, 'older attempt')} no longer known"
        parts.append(indented(Text(words, style="dim")))
    parts += [indented(_attempt(attempt)) for attempt in attempts]
    return Group(*parts)


def receipt_line(receipt: Mapping[str, Any], *, to: str) -> Text:
    """Return how an attempt went, in a line.

    Args:
        receipt: ``{verdict, status, reason, …}``.
        to: whom it was sent.
    """
    verdict = printable(receipt.get("verdict"), limit=20)
    mark, style = _VERDICTS.get(verdict, ("·", ""))
    line = Text().append(f"{mark} ", style=style)
    line.append(f"ping to {to} ", style="bold")
    line.append(verdict, style=style)
    told = _outcome(receipt)
    return line.append(f": {told}") if told else line


def exchange_lines(exchange: Mapping[str, Any], *, taken: bool) -> Iterator[Text]:
    """Yield what went over the wire: what was sent, then what was answered.

    Args:
        exchange: ``{peer, sent, received}``.
        taken: whether the answer is a good one.
    """
    answer = "green" if taken else "red"
    if peer := exchange.get("peer"):
        how = "connected to" if exchange.get("sent") else "no connection to"
        yield Text(f"* {how} {printable(peer, limit=300)}", style="dim")
    for key, mark, style in (("sent", ">", "cyan"), ("received", "<", answer)):
        lines = exchange.get(key)
        for line in lines if isinstance(lines, list) else []:
            yield Text(f"{mark} ", style="dim").append(_wire(line), style=style)


def _wire(line: Any) -> str:
    """Return a line that went over the wire, its spaces at the beginning kept."""
    text = str(line)
    indent = len(text) - len(text.lstrip(" "))
    return " " * min(indent, 40) + printable(text)


def _attempts(delivery: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the attempts that are known, the oldest first."""
    listed = delivery.get("attempts")
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _count(delivery: Mapping[str, Any]) -> int:
    """Return how many attempts there were."""
    count = delivery.get("attempted")
    return count if isinstance(count, int) else 0


def _attempt(attempt: Mapping[str, Any]) -> RenderableType:
    """Return an attempt: when, how long, what came of it, and what was answered."""
    verdict = printable(attempt.get("verdict"), limit=20)
    mark, style = _VERDICTS.get(verdict, ("·", ""))
    line = Text().append(f"{mark} ", style=style)
    line.append(printable(attempt.get("time"), limit=40))
    took = attempt.get("duration")
    if isinstance(took, int | float):
        line.append(f" in {took:.2f} s", style="dim")
    if told := _outcome(attempt):
        line.append(f": {told}")
    response = printable(attempt.get("response") or "")
    below = [indented(Text(response, style="dim"))] if response else []
    return Group(line, *below)


def _last(delivery: Mapping[str, Any]) -> Text:
    """Return what came of the last attempt."""
    attempts = _attempts(delivery)
    last = attempts[-1] if attempts else part(delivery, "last_attempt")
    failed = last.get("verdict") not in {None, "delivered"}
    return Text(printable(_outcome(last), limit=_REASON), style="red" if failed else "")


def _outcome(attempt: Mapping[str, Any]) -> str:
    """Return status and reason of an attempt."""
    status = attempt.get("status")
    reason = printable(attempt.get("reason") or "")
    told = [str(status)] if isinstance(status, int) and str(status) not in reason else []
    return ": ".join([*told, *([reason] if reason else [])])


def _lane(delivery: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a delivery is about: ``repository`` or ``task``, and which."""
    kind, _, name = printable(delivery.get("lane") or "", limit=300).partition(":")
    return kind, name


def _when(text: Any, now: datetime) -> str | None:
    """Return a time and how long ago it was; None for none."""
    return f"{text} ({age(text, now=now)})" if text else None


def _next(text: Any, now: datetime) -> str | None:
    """Return when a delivery is tried next; None if it is not."""
    due = moment(text)
    if due is None:
        return None
    return f"{text}" if due > now else _IN_LINE
