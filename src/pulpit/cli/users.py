"""`pulpit user`: who may use the server, and for what."""

from __future__ import annotations

from typing import Annotated

import typer

from pulpit.cli.session import session_of
from pulpit.cli.tables import listing
from pulpit.cli.user_flags import (
    Json,
    Operations,
    PasswordStdin,
    Resource,
    UserLogin,
    new_password,
)
from pulpit.cli.words import printable

app = typer.Typer(no_args_is_help=True, help="Look after users and their rights.")

Name = Annotated[str | None, typer.Option(metavar="TEXT", help="Name of the user.")]
Roles = Annotated[
    list[str] | None, typer.Option("--role", metavar="ROLE", help="A role; may be repeated.")
]


@app.command("list")
def list_users(context: typer.Context, json: Json = False) -> None:
    """List all users and their roles.

    Example: pulpit user list
    """
    session = session_of(context)
    with session.client() as client:
        found = client.users()
    if json:
        session.print_json(found)
        return
    table = listing("LOGIN", "NAME", "ROLES", shrink="ROLES")
    for user in found:
        roles = ", ".join(printable(role) for role in user.get("roles") or ())
        table.add_row(printable(user.get("login")), printable(user.get("name")), roles)
    session.out.print(table)


@app.command("create")
def create(
    context: typer.Context,
    *,
    login: Annotated[
        str, typer.Argument(metavar="LOGIN", help="Letters, digits, '.', '-' and '_'.")
    ],
    name: Name = None,
    role: Roles = None,
    password_stdin: PasswordStdin = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Let nobody in by password, only by tokens.")
    ] = False,
    json: Json = False,
) -> None:
    """Create a user, who may do nothing but what roles and grants allow.

    Example: pulpit user create ann --name Ann --role operators
    """
    session = session_of(context)
    if no_password and password_stdin:
        raise typer.BadParameter("say one of --no-password and --password-stdin")
    document: dict[str, object] = {"login": login, "roles": role or []}
    if name is not None:
        document["name"] = name
    if not no_password:
        document["password"] = new_password(session, login, stdin=password_stdin)
    with session.client() as client:
        created = client.create_user(document)
    if json:
        session.print_json(created)
    else:
        session.out.print(f"Created user {printable(login)}.")


@app.command("update")
def update(
    context: typer.Context,
    *,
    login: UserLogin,
    name: Name = None,
    role: Roles = None,
    no_roles: Annotated[bool, typer.Option("--no-roles", help="Take all roles away.")] = False,
    password: Annotated[
        bool, typer.Option("--ask-password", help="Ask for a new password.")
    ] = False,
    password_stdin: PasswordStdin = False,
    json: Json = False,
) -> None:
    """Change a user's name, password, or roles, which take the place of those there are.

    Example: pulpit user update ann --ask-password
    """
    session = session_of(context)
    if no_roles and role:
        raise typer.BadParameter("say one of --role and --no-roles")
    delta: dict[str, object] = {}
    if name is not None:
        delta["name"] = name
    if role or no_roles:
        delta["roles"] = role or []
    if password or password_stdin:
        delta["password"] = new_password(session, login, stdin=password_stdin)
    if not delta:
        raise typer.BadParameter("say what is to change")
    with session.client() as client:
        changed = client.update_user(login, delta)
    if json:
        session.print_json(changed)
    else:
        session.out.print(f"Changed user {printable(login)}.")


@app.command("delete")
def delete(context: typer.Context, login: UserLogin) -> None:
    """Delete a user, with their tokens and all that was granted to them.

    Example: pulpit user delete ann
    """
    session = session_of(context)
    with session.client() as client:
        client.delete_user(login)
    session.out.print(f"Deleted user {printable(login)}.")


@app.command("grant")
def grant(
    context: typer.Context, login: UserLogin, resource: Resource, operations: Operations
) -> None:
    """Let a user do something to a resource, and to all below it.

    Example: pulpit user grant ann /v2/repositories/zoo/ READ EXECUTE
    """
    session = session_of(context)
    with session.client() as client:
        client.grant_to_user(login, resource, operations)
    session.out.print(f"Granted to user {printable(login)}.")


@app.command("revoke")
def revoke(
    context: typer.Context, login: UserLogin, resource: Resource, operations: Operations
) -> None:
    """Take back what was granted to a user; what a role allows stays.

    Example: pulpit user revoke ann /v2/repositories/zoo/ EXECUTE
    """
    session = session_of(context)
    with session.client() as client:
        client.revoke_from_user(login, resource, operations)
    session.out.print(f"Revoked from user {printable(login)}.")
