"""`pulpit listener deliveries`, `delivery` and `resend`: what a listener was told, and is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from pulpit.cli.delivery_views import delivery_details, delivery_table
from pulpit.cli.listener_flags import Json, ListenerId
from pulpit.cli.session import session_of
from pulpit.cli.words import amount, moment, printable
from pulpit.domain.deliveries import DeliveryState

__all__ = ["add_commands"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(\d{1,6})\s*(min|[smhdw])")
#: Deliveries asked for at once.
_PAGE = 200

Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Created since then: 90s, 30m, 2h, 7d ago, or 2026-05-01T12:00:00Z."
    ),
]


def _since(text: str | None, now: datetime) -> datetime | None:
    """Return the time that a flag names.

    Raises:
        BadParameter: it can't be read.
    """
    if text is None:
        return None
    if span := _SPAN.fullmatch(text.strip()):
        return now - timedelta(**{_UNITS[span[2][0]]: int(span[1])})
    if (then := moment(text)) is not None:
        return then
    raise typer.BadParameter(
        f"{text!r} is no time: write 30m, 2h, 7d, or 2026-05-01T12:00:00Z", param_hint="--since"
    )


def list_deliveries(
    context: typer.Context,
    *,
    listener_id: ListenerId,
    state: Annotated[
        list[DeliveryState] | None,
        typer.Option(help="Only deliveries in this state; may be repeated."),
    ] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
    json: Json = False,
) -> None:
    """List what a listener was told, and is to be told, the newest first.

    Example: pulpit listener deliveries 65f0c0de4f1d2a0001a2b3c4 --state exhausted --since 2h
    """
    session = session_of(context)
    then = _since(since, session.now)
    states = [item.value for item in state or ()]
    found: list[Mapping[str, Any]] = []
    before: int | None = None
    with session.client() as client:
        while len(found) < limit:
            page = client.deliveries(
                listener_id,
                states=states,
                since=then,
                before=before,
                limit=min(limit - len(found), _PAGE),
            )
            found += [delivery.document for delivery in page.deliveries]
            before = page.next
            if before is None:
                break
    if json:
        session.print_json(found)
    elif found:
        session.out.print(delivery_table(found, now=session.now, width=session.out.width))
    else:
        session.err.print("No such deliveries." if states or then else "No deliveries.")


def show_delivery(
    context: typer.Context,
    listener_id: ListenerId,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Id of the delivery.")],
    json: Json = False,
) -> None:
    """Show one delivery: each attempt, what was answered, and when it is tried again.

    Example: pulpit listener delivery 65f0c0de4f1d2a0001a2b3c4 msg_0b8f5a6e6f0e4d8f9d541f2e3a4b5c6d
    """
    session = session_of(context)
    with session.client() as client:
        found = client.delivery(listener_id, delivery).document
    if json:
        session.print_json(found)
    else:
        session.out.print(delivery_details(found, now=session.now))


def resend(
    context: typer.Context,
    *,
    listener_id: ListenerId,
    delivery: Annotated[
        str | None, typer.Argument(metavar="DELIVERY", help="Id of the one delivery.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="All that were given up, in their order.")
    ] = False,
    since: Since = None,
    json: Json = False,
) -> None:
    """Send again what was given up, or one delivery, however it ended.

    It keeps its id, so that a receiver which has seen it can tell.

    Example: pulpit listener resend 65f0c0de4f1d2a0001a2b3c4 --failed --since 2h
    """
    session = session_of(context)
    if (delivery is None) is not failed:
        raise typer.BadParameter("name a delivery, or say --failed", param_hint="DELIVERY")
    if since is not None and not failed:
        raise typer.BadParameter("it goes with --failed alone", param_hint="--since")
    then = _since(since, session.now)
    with session.client() as client:
        count = client.resend(listener_id, delivery=delivery, since=then)
    if json:
        session.print_json({"resent": count})
    elif count:
        told = amount(count, "delivery is sent again", "deliveries are sent again")
        session.out.print(f"{told}.", soft_wrap=True)
        see = f"pulpit listener deliveries {printable(listener_id)}"
        session.err.print(f"See how that goes: {see}", soft_wrap=True)
    else:
        session.out.print("There is nothing to send again.")


def add_commands(app: typer.Typer) -> None:
    """Add the commands to those of listeners."""
    app.command("deliveries")(list_deliveries)
    app.command("delivery")(show_delivery)
    app.command("resend")(resend)
