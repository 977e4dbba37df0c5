"""`pulpit repo copy` and `remove-units`: units from one repository to another, and out of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import typer

from pulpit.cli.completion import complete_repository
from pulpit.cli.follow import perform
from pulpit.cli.repositories import Json, NoWait, RepoId
from pulpit.cli.session import session_of

__all__ = ["copy", "remove_units"]

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="Repository to copy from.", autocompletion=complete_repository
    ),
]
Destination = Annotated[
    str,
    typer.Argument(
        metavar="DEST", help="Repository to copy to.", autocompletion=complete_repository
    ),
]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="TYPE", help="Content type, such as rpm; may be repeated."),
]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter", metavar="JSON", help="""Which units, as in '{"name": "bear"}'; default: all."""
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="At most N units.")]
Also = Annotated[
    list[str] | None,
    typer.Option(
        "--also",
        metavar="SOURCE=DEST",
        help="Look for what is needed there too, and copy it there; may be repeated.",
    ),
]


def copy(
    context: typer.Context,
    *,
    source: Source,
    destination: Destination,
    type_id: Types = None,
    unit_filter: Filter = None,
    limit: Limit = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Copy what the units need, too.")
    ] = False,
    conservative: Annotated[
        bool,
        typer.Option("--conservative", help="The same, but for needs that DEST meets already."),
    ] = False,
    also: Also = None,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Copy units from one repository to another, and follow the task to its end.

    Example: pulpit repo copy zoo den --type rpm --filter '{"name": "bear"}' --recursive
    """
    if also and not (recursive or conservative):
        raise typer.BadParameter("say --recursive or --conservative, too", param_hint="--also")
    override = {
        "recursive": recursive,
        "recursive_conservative": conservative,
        "additional_repos": _routes(also or ()),
    }
    chosen = {key: value for key, value in override.items() if value}
    criteria = _criteria(type_id, unit_filter, limit)
    session = session_of(context)
    with session.client() as client:
        perform(
            session,
            client,
            lambda: client.copy_units(destination, source, criteria=criteria, override=chosen),
            wait=not no_wait,
            json=json,
        )


def remove_units(
    context: typer.Context,
    *,
    repo_id: RepoId,
    type_id: Types = None,
    unit_filter: Filter = None,
    limit: Limit = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Remove units from a repository, and follow the task to its end.

    Example: pulpit repo remove-units den --type rpm --filter '{"name": "bear"}'
    """
    criteria = _criteria(type_id, unit_filter, limit)
    session = session_of(context)
    if not yes:
        if not session.outside.stdin.isatty():
            raise typer.BadParameter("nobody is there to ask: say --yes", param_hint="--yes")
        which = "those units" if criteria else "all units"
        typer.confirm(f"Remove {which} from repository {repo_id}?", abort=True, err=True)
    with session.client() as client:
        perform(
            session,
            client,
            lambda: client.remove_units(repo_id, criteria=criteria),
            wait=not no_wait,
            json=json,
        )


def _criteria(
    type_ids: Sequence[str] | None, unit_filter: str | None, limit: int | None
) -> dict[str, Any]:
    """Return the criteria that options describe."""
    criteria: dict[str, Any] = {}
    if type_ids:
        criteria["type_ids"] = [*type_ids]
    if unit_filter is not None:
        criteria["filters"] = {"unit": _object(unit_filter)}
    if limit is not None:
        criteria["limit"] = limit
    return criteria


def _object(text: str) -> Mapping[str, Any]:
    """Return the JSON object of a filter.

    Raises:
        BadParameter: it is something else.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise typer.BadParameter(f"{text!r} is not a JSON object", param_hint="--filter") from error


def _routes(pairs: Sequence[str]) -> dict[str, str]:
    """Return ``SOURCE=DEST`` texts as an object.

    Raises:
        BadParameter: one names no source or no destination.
    """
    routes = {}
    for pair in pairs:
        source, _, destination = pair.partition("=")
        if not source or not destination:
            raise typer.BadParameter(f"{pair!r} is not SOURCE=DEST", param_hint="--also")
        routes[source] = destination
    return routes
