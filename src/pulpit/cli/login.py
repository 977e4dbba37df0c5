"""`pulpit login`: keep a login and password, or a token, for later commands."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from pulpit.cli.credentials import Login, credentials_path
from pulpit.cli.session import Session, session_of

__all__ = ["login"]


def login(
    context: typer.Context,
    user: Annotated[
        str | None, typer.Argument(metavar="USER", help="Login; asked for without it.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    token_stdin: Annotated[
        bool,
        typer.Option("--token-stdin", help="Read a token, and keep that, from standard input."),
    ] = False,
) -> None:
    """Check a login and password, or a token, and keep them, readable by you alone."""
    session = session_of(context)
    saved = session.saved()
    url = session.url(saved)
    if token_stdin:
        chosen = Login(token=_token(session, user))
    else:
        chosen = _login(session, user, password_stdin=password_stdin)
    with session.client_of(url, chosen) as client:
        client.check_credentials()
        url = client.url
    path = credentials_path(session.outside.environ)
    saved.with_login(url, chosen).write(path)
    session.out.print(f"Logged in at {url} as {chosen.name}; kept in {path}.", soft_wrap=True)


def _token(session: Session, user: str | None) -> str:
    """Return the token that comes by standard input, or raise BadParameter."""
    if user is not None:
        raise typer.BadParameter("a token says itself whose it is: name no user")
    token = session.outside.stdin.readline().strip()
    if not token:
        raise typer.BadParameter("standard input has no token", param_hint="--token-stdin")
    return token


def _login(session: Session, user: str | None, *, password_stdin: bool) -> Login:
    """Return who to be, asking for what was not said.

    Raises:
        BadParameter: nobody is there to ask.
    """
    environ, stdin = session.outside.environ, session.outside.stdin
    user = user or session.flags.user or environ.get("PULPIT_USER") or None
    password = session.flags.password or environ.get("PULPIT_PASSWORD") or None
    if password_stdin:
        password = stdin.readline().rstrip("\r\n")
    elif password is None and not stdin.isatty():
        raise typer.BadParameter("nobody is there to ask: say --password-stdin")
    if user is None:
        user = "admin" if password_stdin else typer.prompt("User", default="admin", err=True)
    if password is None:
        password = getpass.getpass("Password: ")
    if not password:
        raise typer.BadParameter("the password is empty")
    return Login(user=user, password=password)
