"""What the shell offers when Tab is pressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import typer

from pulpit.cli.session import Flags, Outside, Session
from pulpit.client import Client, ClientError
from pulpit.domain.listeners import EVENT_TYPES
from pulpit.errors import PulpitError

__all__ = ["complete_event_type", "complete_listener", "complete_repository"]

#: Longer than this, nobody waits for a suggestion.
_SECONDS = 2.0


def complete_repository(context: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of repositories that begin so; none when the server can't be asked."""
    return _complete(
        context, incomplete, lambda client: (str(item.get("id")) for item in client.repositories())
    )


def complete_listener(context: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of listeners that begin so; none when the server can't be asked."""
    return _complete(context, incomplete, lambda client: (item.id for item in client.listeners()))


def complete_event_type(incomplete: str) -> list[str]:
    """Return the event types that begin so."""
    return [name for name in EVENT_TYPES if name.startswith(incomplete)]


def _complete(
    context: typer.Context, incomplete: str, ids: Callable[[Client], Iterable[str]]
) -> list[str]:
    """Return the ids that begin so."""
    told = context.find_root().params
    session = context.find_object(Session) or Session(
        Outside(), Flags(url=told.get("url"), user=told.get("user"), password=told.get("password"))
    )
    try:
        with session.client(timeout=_SECONDS) as client:
            return [item for item in ids(client) if item.startswith(incomplete)]
    except (ClientError, PulpitError, typer.BadParameter):
        return []
