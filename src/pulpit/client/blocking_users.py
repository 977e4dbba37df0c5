"""What the client whose calls wait asks of users, tokens, roles and rights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulpit.client import user_requests as requests
from pulpit.client.connection import Connection

__all__ = ["UserCalls"]


class UserCalls:
    """The calls about users; every one raises NotFound for who or what is not there."""

    _connection: Connection

    def users(self) -> Sequence[Mapping[str, Any]]:
        """Return all users, by login."""
        return self._connection.ask(requests.users())

    def user(self, login: str) -> Mapping[str, Any]:
        """Return a user."""
        return self._connection.ask(requests.user(login))

    def create_user(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create a user.

        Args:
            document: ``{login, password, name, roles}``, of which only the login must be there.

        Raises:
            Conflict: there is one of that login.
        """
        return self._connection.ask(requests.create_user(document))

    def update_user(self, login: str, delta: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change a user; *delta* has what is to change of ``{password, name, roles}``."""
        return self._connection.ask(requests.update_user(login, delta))

    def delete_user(self, login: str) -> None:
        """Delete a user with their tokens and rights."""
        self._connection.ask(requests.delete_user(login))

    def tokens(self, login: str) -> Sequence[Mapping[str, Any]]:
        """Return a user's tokens, by name, without what they are."""
        return self._connection.ask(requests.tokens(login))

    def create_token(self, login: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a token, which comes back as ``token``, this once.

        Args:
            login: of the user whom it lets in.
            document: ``{name, expires, read_only}``, of which only the name must be there.

        Raises:
            Conflict: the user has one of that name.
        """
        return self._connection.ask(requests.create_token(login, document))

    def revoke_token(self, login: str, token_id: str) -> None:
        """Make a token void."""
        self._connection.ask(requests.revoke_token(login, token_id))

    def roles(self) -> Sequence[Mapping[str, Any]]:
        """Return all roles, with what they allow and who has them."""
        return self._connection.ask(requests.roles())

    def create_role(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create a role that allows nothing yet.

        Args:
            document: ``{role_id, display_name, description}``; the first must be there.

        Raises:
            Conflict: there is one of that id.
        """
        return self._connection.ask(requests.create_role(document))

    def delete_role(self, role_id: str) -> None:
        """Delete a role."""
        self._connection.ask(requests.delete_role(role_id))

    def add_to_role(self, role_id: str, login: str) -> None:
        """Give a role to a user."""
        self._connection.ask(requests.add_to_role(role_id, login))

    def remove_from_role(self, role_id: str, login: str) -> None:
        """Take a role from a user."""
        self._connection.ask(requests.remove_from_role(role_id, login))

    def grant_to_user(self, login: str, resource: str, operations: Sequence[str]) -> None:
        """Let a user do something to a resource, such as READ to ``/v2/repositories/``."""
        who = {"login": login}
        self._connection.ask(requests.change_rights("grant_to_user", who, resource, operations))

    def revoke_from_user(self, login: str, resource: str, operations: Sequence[str]) -> None:
        """Take back what was granted to a user."""
        who = {"login": login}
        self._connection.ask(requests.change_rights("revoke_from_user", who, resource, operations))

    def grant_to_role(self, role_id: str, resource: str, operations: Sequence[str]) -> None:
        """Let all who have a role do something to a resource."""
        who = {"role_id": role_id}
        self._connection.ask(requests.change_rights("grant_to_role", who, resource, operations))

    def revoke_from_role(self, role_id: str, resource: str, operations: Sequence[str]) -> None:
        """Take back what was granted to a role."""
        who = {"role_id": role_id}
        self._connection.ask(requests.change_rights("revoke_from_role", who, resource, operations))
