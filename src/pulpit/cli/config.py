"""`pulpit config`: what the server would run with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pulpit.cli.session import session_of
from pulpit.cli.tables import listing
from pulpit.cli.words import printable
from pulpit.config import describe, example, load

app = typer.Typer(no_args_is_help=True, help="Check the server's configuration.")


@app.command("check")
def check(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: /etc/pulp/server.conf.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="List settings that have their default, too.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Check the configuration, file and environment, and show what is set; starts nothing."""
    session = session_of(context)
    settings = load(config, environ=session.outside.environ)
    rows = [row for row in describe(settings) if everything or row.origin != "default"]
    if json:
        session.print_json(
            {
                "settings": [
                    {name: getattr(row, name) for name in ("section", "key", "value", "origin")}
                    for row in rows
                ],
                "ignored": settings.ignored,
                "notes": settings.notes,
            }
        )
        return
    if rows:
        table = listing("SECTION", "KEY", "VALUE", "FROM", shrink="VALUE")
        for row in rows:
            table.add_row(row.section, row.key, printable(row.value), printable(row.origin))
        session.out.print(table)
    for note in settings.notes:
        session.err.print(Text(f"Note: {note}"), soft_wrap=True)
    if settings.ignored:
        unused = ", ".join(settings.ignored)
        session.err.print(Text(f"Known from Pulp 2, without use here: {unused}"), soft_wrap=True)
    session.err.print("The configuration is good.", style="green")


@app.command("example")
def show_example(context: typer.Context) -> None:
    """Write a configuration file with every setting, explained and commented out."""
    session_of(context).write(example())
