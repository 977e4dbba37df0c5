"""`pulpit role`: rights that several users have."""

from __future__ import annotations

from typing import Annotated

import typer

from pulpit.cli.session import session_of
from pulpit.cli.tables import listing
from pulpit.cli.user_flags import Json, Operations, Resource, RoleId, UserLogin
from pulpit.cli.words import printable

app = typer.Typer(no_args_is_help=True, help="Look after roles: rights that users share.")


@app.command("list")
def list_roles(context: typer.Context, json: Json = False) -> None:
    """List all roles, what they allow and who has them.

    Example: pulpit role list
    """
    session = session_of(context)
    with session.client() as client:
        found = client.roles()
    if json:
        session.print_json(found)
        return
    table = listing("ROLE", "USERS", "RIGHTS", shrink="RIGHTS")
    for role in found:
        rights = role.get("permissions")
        told = [
            f"{resource}: {', '.join(operations)}"
            for resource, operations in (rights if isinstance(rights, dict) else {}).items()
        ]
        users = ", ".join(printable(user) for user in role.get("users") or ())
        table.add_row(printable(role.get("id")), users, printable("; ".join(told)))
    session.out.print(table)


@app.command("create")
def create(
    context: typer.Context,
    *,
    role_id: Annotated[str, typer.Argument(metavar="ROLE", help="Letters, digits, '-' and '_'.")],
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Name to display.")] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is for.")] = None,
    json: Json = False,
) -> None:
    """Create a role, which allows nothing yet.

    Example: pulpit role create operators
    """
    session = session_of(context)
    document = {"role_id": role_id, "display_name": name, "description": description}
    with session.client() as client:
        created = client.create_role(document)
    if json:
        session.print_json(created)
    else:
        session.out.print(f"Created role {printable(role_id)}.")


@app.command("delete")
def delete(context: typer.Context, role_id: RoleId) -> None:
    """Delete a role; whoever has it loses what it allows.

    Example: pulpit role delete operators
    """
    session = session_of(context)
    with session.client() as client:
        client.delete_role(role_id)
    session.out.print(f"Deleted role {printable(role_id)}.")


@app.command("add")
def add(context: typer.Context, role_id: RoleId, login: UserLogin) -> None:
    """Give a role to a user.

    Example: pulpit role add operators ann
    """
    session = session_of(context)
    with session.client() as client:
        client.add_to_role(role_id, login)
    session.out.print(f"User {printable(login)} has role {printable(role_id)}.")


@app.command("remove")
def remove(context: typer.Context, role_id: RoleId, login: UserLogin) -> None:
    """Take a role from a user.

    Example: pulpit role remove operators ann
    """
    session = session_of(context)
    with session.client() as client:
        client.remove_from_role(role_id, login)
    session.out.print(f"User {printable(login)} no longer has role {printable(role_id)}.")


@app.command("grant")
def grant(
    context: typer.Context, role_id: RoleId, resource: Resource, operations: Operations
) -> None:
    """Let all who have a role do something to a resource, and to all below it.

    Example: pulpit role grant operators /v2/repositories/ READ EXECUTE
    """
    session = session_of(context)
    with session.client() as client:
        client.grant_to_role(role_id, resource, operations)
    session.out.print(f"Granted to role {printable(role_id)}.")


@app.command("revoke")
def revoke(
    context: typer.Context, role_id: RoleId, resource: Resource, operations: Operations
) -> None:
    """Take back what a role allows.

    Example: pulpit role revoke operators /v2/repositories/ EXECUTE
    """
    session = session_of(context)
    with session.client() as client:
        client.revoke_from_role(role_id, resource, operations)
    session.out.print(f"Revoked from role {printable(role_id)}.")
