"""The flags that a listener is made and changed with, and the documents that they come to."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from pulpit.cli.completion import complete_event_type, complete_listener, complete_repository
from pulpit.cli.session import Session

__all__ = [
    "CaPath",
    "ClientCert",
    "ClientKey",
    "EventTypes",
    "Json",
    "ListenerId",
    "PasswordStdin",
    "Repositories",
    "Tags",
    "Username",
    "filters",
    "given",
    "read_line",
    "read_password",
]

ListenerId = Annotated[
    str,
    typer.Argument(metavar="ID", help="Id of the listener.", autocompletion=complete_listener),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
EventTypes = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        metavar="TYPE",
        help="Tell of it, such as repo.sync.finish, task.error or task.*; may be repeated. `*` is "
        "all about repositories.",
        autocompletion=complete_event_type,
    ),
]
Repositories = Annotated[
    list[str] | None,
    typer.Option(
        "--repo",
        metavar="ID",
        help="Tell of this repository only; may be repeated: of any of them.",
        autocompletion=complete_repository,
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag", metavar="TAG", help="Tell of tasks with this tag only; repeated: with all."
    ),
]
Username = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Login there; its password is asked for."),
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
CaPath = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="On the server: file or folder of the authorities that vouch for the receiver.",
    ),
]
ClientCert = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="On the server: PEM file of the certificate to show."),
]
ClientKey = Annotated[
    str | None, typer.Option(metavar="PATH", help="On the server: PEM file of its key.")
]


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that were given."""
    return {key: value for key, value in values.items() if value is not None}


def filters(
    repositories: Sequence[str] | None, tags: Sequence[str] | None
) -> Mapping[str, Any] | None:
    """Return what a listener is told of only; None for everything."""
    found = given({"repositories": repositories or None, "tags": tags or None})
    return found or None


def read_password(session: Session, *, stdin: bool, whose: str) -> str:
    """Return the password, read or asked for.

    Args:
        session: where to read.
        stdin: whether it is the next line of standard input.
        whose: in words.

    Raises:
        BadParameter: nobody is there to ask, or it is empty.
    """
    if stdin:
        return read_line(session, "password", hint="--password-stdin")
    if not session.outside.stdin.isatty():
        raise typer.BadParameter(
            "nobody is there to ask for the password: say --password-stdin",
            param_hint="--username",
        )
    password = getpass.getpass(f"Password of {whose}: ")
    if not password:
        raise typer.BadParameter("the password is empty", param_hint="--username")
    return password


def read_line(session: Session, what: str, *, hint: str) -> str:
    """Return the next line of standard input.

    Raises:
        BadParameter: it is empty.
    """
    line = session.outside.stdin.readline().rstrip("\r\n")
    if not line:
        raise typer.BadParameter(f"standard input has no {what}", param_hint=hint)
    return line
