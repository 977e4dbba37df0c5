"""What the shell offers when Tab is pressed."""

from __future__ import annotations

import typer

from pulpit.cli.session import Flags, Outside, Session
from pulpit.client import ClientError
from pulpit.errors import PulpitError

__all__ = ["complete_repository"]

#: Longer than this, nobody waits for a suggestion.
_SECONDS = 2.0


def complete_repository(context: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of repositories that begin so; none when the server can't be asked."""
    told = context.find_root().params
    session = context.find_object(Session) or Session(
        Outside(), Flags(url=told.get("url"), user=told.get("user"), password=told.get("password"))
    )
    try:
        with session.client(timeout=_SECONDS) as client:
            ids = [str(repository.get("id")) for repository in client.repositories()]
    except (ClientError, PulpitError, typer.BadParameter):
        return []
    return [repo_id for repo_id in ids if repo_id.startswith(incomplete)]
