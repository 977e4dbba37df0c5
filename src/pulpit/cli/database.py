"""`pulpit db`: upgrades the database, tells of it, and copies it to PostgreSQL."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from pulpit.cli.exits import ExitCode
from pulpit.cli.flags import ConfigFile, DataFolder
from pulpit.cli.session import Session, session_of
from pulpit.cli.tables import facts, listing
from pulpit.cli.words import amount, printable, size
from pulpit.config import Settings, load

if TYPE_CHECKING:
    from pulpit.app.database import Status
    from pulpit.storage.copying import Copied, Told

app = typer.Typer(no_args_is_help=True, help="Look after the server's database.")

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
_VERBS = {"copy": "Copying", "check": "Comparing"}


@app.command("upgrade")
def upgrade(
    context: typer.Context,
    config: ConfigFile = None,
    data: DataFolder = None,
    json: Json = False,
) -> None:
    """Bring the database to this version's schema.

    PostgreSQL is upgraded while servers and workers run; then restart them one by one. SQLite is
    upgraded by each start of the server, so this is for one that does not run.

    Example: pulpit db upgrade --config /etc/pulp/server.conf
    """
    from pulpit.app.database import upgrade_database  # noqa: PLC0415 - its libraries are slow

    session = session_of(context)
    where, done = upgrade_database(_settings(session, config, data))
    if json:
        session.print_json({"database": where, "steps": done})
        return
    words = f"ran {', '.join(done)}" if done else "was up to date"
    session.out.print(Text(f"{where}: {words}."), soft_wrap=True)


@app.command("status")
def status(
    context: typer.Context,
    config: ConfigFile = None,
    data: DataFolder = None,
    json: Json = False,
) -> None:
    """Show where the database is, its schema, what is due, its size and the newest event.

    Changes nothing. The exit code is 10 if this version can't run on it.

    Example: pulpit db status --json
    """
    from pulpit.app.database import read_status  # noqa: PLC0415 - its libraries are slow

    session = session_of(context)
    found = read_status(_settings(session, config, data))
    if json:
        session.print_json(dataclasses.asdict(found))
    else:
        _show(session, found)
    if found.problem or (found.due and found.kind == "postgresql"):
        raise typer.Exit(ExitCode.UNSOUND)


@app.command("copy")
def copy(
    context: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="PULPIT_DATABASE_URL",
            help="postgresql:// URL of an empty database; else url in [database].",
        ),
    ] = None,
    config: ConfigFile = None,
    data: DataFolder = None,
    json: Json = False,
) -> None:
    """Copy the data folder's SQLite database to PostgreSQL, and compare both.

    Stop the server first. Nothing is committed unless both databases hold the same. A password in
    the URL can be seen by other users of this machine: better keep it in ~/.pgpass.

    Example: pulpit db copy --to postgresql://pulpit@db.example.com/pulpit
    """
    from pulpit.app.database import copy_to  # noqa: PLC0415 - its libraries are slow

    session = session_of(context)
    settings = _settings(session, config, data, url=to)
    with _progress(session, quiet=json) as told:
        where, tables = copy_to(settings, to, told=told)
    if json:
        document = [{**dataclasses.asdict(each), "same": each.is_same} for each in tables]
        session.print_json({"database": where, "tables": document})
        return
    _show_copied(session, tables)
    rows = amount(sum(each.target_rows for each in tables), "row")
    session.out.print(Text(f"{rows} copied to {where}; both hold the same.", style="green"))
    session.out.print(
        Text(
            "Now set url in [database], and start the server. Content stays in the data folder; "
            "pulpit.db there is as it was, and of no more use."
        ),
        soft_wrap=True,
    )


def _settings(session: Session, config: Any, data: Any, *, url: str | None = None) -> Settings:
    """Read the configuration as the server does; a URL must be one that it would take."""
    told: Mapping[tuple[str, str], str | None] = {
        ("storage", "data"): None if data is None else str(data),
        ("database", "url"): url,
    }
    return load(config, environ=session.outside.environ, overrides=told)


def _show(session: Session, found: Status) -> None:
    """Print what there is to know of a database."""
    due = Text(", ".join(found.due) or "nothing", style="yellow" if found.due else "")
    if found.problem:
        due = Text(found.problem, style="bold red")
    session.out.print(
        facts(
            ("database", f"{found.kind} {found.where}"),
            ("server", found.server),
            ("schema", found.schema or "none yet"),
            ("due", due),
            ("size", size(found.size)),
            ("newest event", f"{found.head:,}"),
        )
    )
    if found.due and found.kind == "postgresql":
        session.err.print("Run `pulpit db upgrade`.", style="yellow")


def _show_copied(session: Session, tables: Sequence[Copied]) -> None:
    """Print what came of each table that has rows."""
    table = listing("TABLE", "ROWS", "DIGEST", "", shrink="DIGEST")
    for each in tables:
        if each.source_rows:
            digest = each.source_digest[:16]
            table.add_row(
                printable(each.table), f"{each.source_rows:,}", digest, Text("✓", style="green")
            )
    session.out.print(table)


@contextmanager
def _progress(session: Session, *, quiet: bool) -> Iterator[Told]:
    """Yield what is told how far it is: bars on a terminal, else one line for each table."""
    if session.err.is_terminal and not quiet:
        with _bars(session) as told:
            yield told
        return

    def line(verb: str, table: str, done: int, total: int) -> None:
        if done == total and total and not quiet:
            session.err.print(f"{_VERBS[verb]} {table}: {amount(total, 'row')}")

    yield line


@contextmanager
def _bars(session: Session) -> Iterator[Told]:
    """Yield what moves a bar for what is done now."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
    )
    with Progress(*columns, console=session.err, transient=True) as progress:
        bar = progress.add_task("Looking at both databases", total=None)

        def move(verb: str, table: str, done: int, total: int) -> None:
            progress.update(
                bar,
                description=f"{_VERBS[verb]} {table}",
                completed=done,
                total=total,
            )

        yield move
