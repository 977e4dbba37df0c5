"""Flags and arguments that commands about users, tokens and roles share."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from pulpit.cli.session import Session

__all__ = ["Json", "Operations", "PasswordStdin", "Resource", "RoleId", "UserLogin", "new_password"]

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
UserLogin = Annotated[str, typer.Argument(metavar="LOGIN", help="Login of the user.")]
RoleId = Annotated[str, typer.Argument(metavar="ROLE", help="Id of the role.")]
Resource = Annotated[
    str,
    typer.Argument(metavar="RESOURCE", help="Path such as /v2/repositories/, with all below it."),
]
Operations = Annotated[
    list[str],
    typer.Argument(metavar="OPERATION", help="CREATE, READ, UPDATE, DELETE or EXECUTE."),
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


def new_password(session: Session, login: str, *, stdin: bool) -> str:
    """Return a new password of somebody, read, or asked for twice.

    Raises:
        BadParameter: nobody is there to ask, it is empty, or it was not the same twice.
    """
    if stdin:
        password = session.outside.stdin.readline().rstrip("\r\n")
    elif not session.outside.stdin.isatty():
        raise typer.BadParameter("nobody is there to ask for the password: say --password-stdin")
    else:
        password = getpass.getpass(f"New password of {login}: ")
        if password != getpass.getpass("The same again: "):
            raise typer.BadParameter("these were two passwords; nothing was changed")
    if not password:
        raise typer.BadParameter("the password is empty")
    return password
