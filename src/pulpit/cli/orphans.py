"""`pulpit orphans`: units that are in no repository any longer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pulpit.cli.follow import perform
from pulpit.cli.repositories import Json, NoWait
from pulpit.cli.session import session_of
from pulpit.cli.tables import listing
from pulpit.cli.words import printable

app = typer.Typer(
    no_args_is_help=True, help="List and remove units that are in no repository any longer."
)

_BESIDE_KEY = frozenset({"_id", "_content_type_id", "_href"})


@app.command("list")
def list_orphans(
    context: typer.Context,
    type_id: Annotated[
        str | None, typer.Argument(metavar="[TYPE]", help="List those of this content type.")
    ] = None,
    json: Json = False,
) -> None:
    """Count the orphans of each type, or list those of one type.

    Example: pulpit orphans list rpm
    """
    session = session_of(context)
    with session.client() as client:
        found: Any = client.orphans() if type_id is None else client.orphans_of(type_id)
    if json:
        session.print_json(found)
        return
    table = (
        listing("ORPHANS", "TYPE", shrink="TYPE")
        if type_id is None
        else listing("UUID", "UNIT", shrink="UNIT")
    )
    if type_id is None:
        for kind, told in found.items():
            if count := told.get("count"):
                table.add_row(printable(count), printable(kind))
    for orphan in found if type_id is not None else ():
        key = [f"{name}={value}" for name, value in orphan.items() if name not in _BESIDE_KEY]
        table.add_row(printable(orphan.get("_id")), printable(" ".join(key)))
    if table.row_count:
        session.out.print(table)
    else:
        session.err.print("No orphans.")


@app.command("remove")
def remove(
    context: typer.Context,
    type_id: Annotated[
        str | None, typer.Argument(metavar="[TYPE]", help="Only those of this content type.")
    ] = None,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Remove all orphans and their files, and follow the task to its end.

    Example: pulpit orphans remove
    """
    session = session_of(context)
    with session.client() as client:
        perform(
            session, client, lambda: client.remove_orphans(type_id), wait=not no_wait, json=json
        )
