"""Listeners as a table and as details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pulpit.cli.tables import facts, indented, listing
from pulpit.cli.words import age, amount, printable

__all__ = ["listener_details", "listener_table", "target"]

#: From this width on, the table has room for more.
_WIDE = 110
#: Characters of a target in a table, and of the event types; `show` has all of them.
_TARGET, _EVENTS = 80, 60
#: Keys of the configuration that have a line of their own, or are a part of one.
_TOLD = {"url", "addresses", "exchange", "username", "password", "subject", "secret"}
_LABELS = {
    "ca_path": "Authorities",
    "client_cert": "Certificate",
    "client_key": "Its key",
    "cloudevents": "CloudEvents",
}


def part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the JSON object of that name; an empty one for none."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def names(document: Mapping[str, Any], key: str) -> list[str]:
    """Return the texts in the list of that name, fit for a terminal."""
    listed = document.get(key)
    return [printable(item) for item in listed] if isinstance(listed, list) else []


def target(listener: Mapping[str, Any]) -> str:
    """Return who or what is told."""
    config = part(listener, "notifier_config")
    match listener.get("notifier_type_id"):
        case "email":
            return ", ".join(names(config, "addresses"))
        case "amqp":
            exchange = config.get("exchange")
            return f"exchange {printable(exchange)}" if exchange else "the default exchange"
        case _:
            return printable(config.get("url") or "")


def listener_table(listeners: Sequence[Mapping[str, Any]], *, now: datetime, width: int) -> Table:
    """Return listeners as a table."""
    more = ("DELIVERED", "EVENTS") if width >= _WIDE else ()
    table = listing("LISTENER", "TYPE", "STATE", "WAITING", *more, "TO", shrink="TO")
    table.columns[3].justify = "right"
    for listener in listeners:
        counts = part(listener, "counts")
        waiting = counts.get("pending")
        row: list[RenderableType] = [
            Text(printable(listener.get("id"), limit=40)),
            printable(listener.get("notifier_type_id"), limit=10),
            _state(listener),
            f"{waiting:,}" if isinstance(waiting, int) else "",
        ]
        if more:
            types = ", ".join(names(listener, "event_types"))
            row += [
                age(part(listener, "health").get("last_delivered"), now=now),
                printable(types, limit=_EVENTS),
            ]
        table.add_row(*row, printable(target(listener), limit=_TARGET))
    return table


def _state(listener: Mapping[str, Any]) -> Text:
    """Return how a listener stands."""
    if listener.get("enabled") is False:
        return Text("disabled", style="magenta")
    if part(listener, "health").get("failing_since"):
        return Text("failing", style="bold red")
    return Text("enabled", style="green")


def listener_details(listener: Mapping[str, Any], *, now: datetime) -> RenderableType:
    """Return all that a person wants to know of a listener."""
    config, filters = part(listener, "notifier_config"), part(listener, "filters")
    health, counts = part(listener, "health"), part(listener, "counts")
    repositories, tags = names(filters, "repositories"), names(filters, "tags")
    known = facts(
        ("Id", listener.get("id")),
        ("To", target(listener)),
        ("State", _state_words(listener, now)),
        ("Events", ", ".join(names(listener, "event_types"))),
        ("Repositories", ", ".join(repositories) or "all"),
        ("Tags", ", ".join(tags)),
        ("Login", config.get("username")),
        ("Subject", config.get("subject")),
        *((_label(key), _value(value)) for key, value in config.items() if key not in _TOLD),
        ("Signed", _signed(listener)),
        ("Delivered", _when(health.get("last_delivered"), now)),
        ("Failed", _when(health.get("last_failed"), now)),
        ("Why", _reason(health)),
        ("Waiting", _amount(counts.get("pending"))),
        ("Given up", _amount(counts.get("exhausted"))),
        ("Created", listener.get("created")),
        ("Changed", listener.get("last_updated")),
    )
    kind = printable(listener.get("notifier_type_id"), limit=10)
    return Group(Text(f"{kind} listener", style="bold"), indented(known))


def _state_words(listener: Mapping[str, Any], now: datetime) -> Text:
    """Return how a listener stands, since when and why."""
    state, disabled = _state(listener), part(listener, "disabled")
    if disabled:
        state.append(
            f" {age(disabled.get('time'), now=now)}: {printable(disabled.get('reason'))}",
            style="default",
        )
    elif since := part(listener, "health").get("failing_since"):
        state.append(f", since {printable(since)} ({age(since, now=now)})", style="default")
    return state


def _reason(health: Mapping[str, Any]) -> Text | None:
    """Return what went wrong last; red while it goes wrong."""
    reason = health.get("last_reason")
    style = "red" if health.get("failing_since") else ""
    return Text(printable(reason), style=style) if reason else None


def _signed(listener: Mapping[str, Any]) -> str | None:
    """Return with how many secrets deliveries are signed."""
    if "signing" in listener and listener["signing"] is None:
        return "no: its secrets can't be read; `pulpit listener doctor` says why"
    signing = part(listener, "signing")
    count, until = signing.get("secrets"), signing.get("until")
    if not isinstance(count, int) or not count:
        return None
    return f"with {amount(count, 'secret')}" + (f", the old one until {until}" if until else "")


def _when(text: Any, now: datetime) -> str | None:
    """Return a time and how long ago it was; None for none."""
    return f"{text} ({age(text, now=now)})" if text else None


def _amount(number: Any) -> str | None:
    """Return a number of deliveries; None for none at all."""
    return amount(number, "delivery", "deliveries") if isinstance(number, int) and number else None


def _label(key: str) -> str:
    """Return what a key of the configuration is called."""
    return _LABELS.get(key) or printable(key, limit=30).replace("_", " ").capitalize()


def _value(value: Any) -> str | None:
    """Return a value of the configuration in words; None for what is not set."""
    if isinstance(value, bool):
        return "yes" if value else None
    return None if value is None else printable(value)
