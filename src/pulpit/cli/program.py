"""The program: all commands, and how what went wrong is said."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer
from rich.text import Text

from pulpit.cli import (
    associations,
    config,
    database,
    listeners,
    orphans,
    repositories,
    roles,
    schedules,
    tasks,
    tokens,
    uploads,
    users,
)
from pulpit.cli.doctor import doctor
from pulpit.cli.exits import ExitCode, of_error
from pulpit.cli.login import login
from pulpit.cli.serve import serve
from pulpit.cli.session import Flags, OutputClosed, Outside, Session, session_of
from pulpit.cli.watch import watch
from pulpit.cli.words import printable
from pulpit.cli.worker import worker
from pulpit.client import ClientError, NotFound, Unauthenticated
from pulpit.errors import PulpitError

__all__ = ["ExitCode", "app", "main"]

_KINDS = {
    "repo_id": "repository",
    "repository": "repository",
    "task_id": "task",
    "upload_id": "upload",
    "event_listener_id": "listener",
    "delivery_id": "delivery",
    "login": "user",
    "role_id": "role",
    "token_id": "token",
    "schedule_id": "schedule",
    "importer_id": "importer",
    "distributor_id": "distributor",
    "content_type_id": "content type",
}

app = typer.Typer(
    name="pulpit",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Run and use a content server that tells what it does.",
    epilog="Exit codes: 0 done, 1 task failed, 2 wrong usage, 3 task canceled, 4 not found, "
    "5 no server, 6 login refused, 7 request refused, 8 server failed, 9 can't start, "
    "10 something to mend, 124 not in time.",
)
app.command()(serve)
app.command()(worker)
app.command()(doctor)
repositories.app.command("upload")(uploads.upload)
repositories.app.command("copy")(associations.copy)
repositories.app.command("remove-units")(associations.remove_units)
app.add_typer(repositories.app, name="repo")
app.add_typer(schedules.app, name="schedule")
app.add_typer(orphans.app, name="orphans")
app.add_typer(tasks.app, name="task")
app.add_typer(listeners.app, name="listener")
app.add_typer(users.app, name="user")
app.add_typer(tokens.app, name="token")
app.add_typer(roles.app, name="role")
app.add_typer(config.app, name="config")
app.add_typer(database.app, name="db")
app.command()(watch)
app.command()(login)


@app.callback()
def start(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Address of the server; or set PULPIT_URL."),
    ] = None,
    cafile: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Authorities that vouch for an https server, else the system's; or set "
            "PULPIT_CAFILE.",
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Login; or set PULPIT_USER.")
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Other users may see it here: better set PULPIT_PASSWORD, or `pulpit login`.",
        ),
    ] = None,
) -> None:
    """Hold on to what concerns every command."""
    outside = context.find_object(Outside) or Outside()
    context.obj = Session(outside, Flags(url=url, cafile=cafile, user=user, password=password))


@app.command()
def version(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Show the version of this program."""
    session = session_of(context)
    pulpit = metadata.version("pulpit")
    if json:
        session.print_json({"pulpit": pulpit, "python": platform.python_version()})
    else:
        session.out.print(f"pulpit {pulpit} (Python {platform.python_version()})")


def main(arguments: Sequence[str] | None = None, *, outside: Outside | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: without the program's name; None takes those of the process.
        outside: what the command takes from its process; None takes the process itself.
    """
    surroundings = outside or Outside()
    try:
        app(
            None if arguments is None else list(arguments),
            prog_name="pulpit",
            obj=surroundings,
        )
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else ExitCode.OK
    except (ClientError, PulpitError) as error:
        _tell(error, surroundings)
        return of_error(error)
    except OutputClosed:
        # the interpreter would complain once more when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), surroundings.stdout.fileno())
        return ExitCode.OUTPUT_CLOSED
    except Exception as defect:
        if surroundings.environ.get("PULPIT_DEBUG"):
            raise
        _tell(
            PulpitError(f"{type(defect).__name__}: {defect} (see more: PULPIT_DEBUG=1)"),
            surroundings,
        )
        return ExitCode.DEFECT
    return ExitCode.OK


def _tell(error: ClientError | PulpitError, outside: Outside) -> None:
    """Say what went wrong, and what to do, in human words."""
    console = Session(outside, Flags()).err
    console.print(
        Text("Error: ", style="bold red") + Text(printable(_words(error))), soft_wrap=True
    )


def _words(error: ClientError | PulpitError) -> str:
    """Return the error's words, or better ones where more is known here."""
    match error:
        case Unauthenticated():
            return (
                "the server refused the login: run `pulpit login`, "
                "or set PULPIT_USER and PULPIT_PASSWORD, or PULPIT_TOKEN."
            )
        case NotFound(data={"resources": dict(resources)}):
            kinds = ((_KINDS.get(kind, kind), name) for kind, name in resources.items())
            return "there is no " + ", ".join(f"{kind} {name}" for kind, name in kinds) + "."
        case _:
            return error.message
