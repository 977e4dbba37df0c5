"""`pulpit token`: secrets by which programs come in as a user."""

from __future__ import annotations

from typing import Annotated

import typer

from pulpit.cli.session import Session, session_of
from pulpit.cli.tables import listing
from pulpit.cli.user_flags import Json
from pulpit.cli.words import printable

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke tokens for programs.")

For = Annotated[
    str | None,
    typer.Option("--for", metavar="LOGIN", help="User whom it lets in; without it, yourself."),
]


@app.command("create")
def create(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    login: For = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Its end, such as 2027-01-31T00:00:00Z."),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Let it only read.")] = False,
    json: Json = False,
) -> None:
    """Make a token and print it, which nobody can do again.

    Example: pulpit token create ci --read-only
    """
    session = session_of(context)
    document: dict[str, object] = {"name": name, "read_only": read_only}
    if expires is not None:
        document["expires"] = expires
    with session.client() as client:
        made = client.create_token(_user(session, login), document)
    if json:
        session.print_json(made)
    else:
        session.write(f"{printable(made.get('token'))}\n")
        session.err.print("Keep it: it is shown this once.")


@app.command("list")
def list_tokens(context: typer.Context, login: For = None, json: Json = False) -> None:
    """List a user's tokens, without what they are.

    Example: pulpit token list --for ann
    """
    session = session_of(context)
    with session.client() as client:
        found = client.tokens(_user(session, login))
    if json:
        session.print_json(found)
    elif not found:
        session.err.print("No tokens. Make one with: pulpit token create NAME")
    else:
        table = listing("TOKEN", "NAME", "MAY", "EXPIRES", "LAST USED", shrink="NAME")
        for token in found:
            may = "read" if token.get("read_only") else "all"
            times = (token.get("expires") or "never", token.get("last_used") or "never")
            name = printable(token.get("name"))
            table.add_row(printable(token.get("id")), name, may, *map(printable, times))
        session.out.print(table)


@app.command("revoke")
def revoke(
    context: typer.Context,
    token_id: Annotated[str, typer.Argument(metavar="TOKEN", help="Id, as list shows it.")],
    login: For = None,
) -> None:
    """Make a token void, at once.

    Example: pulpit token revoke 65f0c0de4f1d2a0001a2b3c4
    """
    session = session_of(context)
    with session.client() as client:
        client.revoke_token(_user(session, login), token_id)
    session.out.print(f"Revoked token {printable(token_id)}.")


def _user(session: Session, named: str | None) -> str:
    """Return the user who was named, or the one who asks.

    Raises:
        BadParameter: who that is is not known here.
    """
    if named is not None:
        return named
    saved = session.saved()
    login = session.login_for(session.url(saved), saved)
    if login is None or not login.user:
        raise typer.BadParameter("say whose token with --for", param_hint="--for")
    return login.user
