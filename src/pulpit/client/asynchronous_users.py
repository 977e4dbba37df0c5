"""What the client for an event loop asks of users, tokens, roles and rights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulpit.client import user_requests as requests
from pulpit.client.connection import AsyncConnection

__all__ = ["AsyncUserCalls"]


class AsyncUserCalls:
    """The calls about users; each means what that of UserCalls means."""

    _connection: AsyncConnection

    async def users(self) -> Sequence[Mapping[str, Any]]:
        return await self._connection.ask(requests.users())

    async def user(self, login: str) -> Mapping[str, Any]:
        return await self._connection.ask(requests.user(login))

    async def create_user(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._connection.ask(requests.create_user(document))

    async def update_user(self, login: str, delta: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._connection.ask(requests.update_user(login, delta))

    async def delete_user(self, login: str) -> None:
        await self._connection.ask(requests.delete_user(login))

    async def tokens(self, login: str) -> Sequence[Mapping[str, Any]]:
        return await self._connection.ask(requests.tokens(login))

    async def create_token(self, login: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._connection.ask(requests.create_token(login, document))

    async def revoke_token(self, login: str, token_id: str) -> None:
        await self._connection.ask(requests.revoke_token(login, token_id))

    async def roles(self) -> Sequence[Mapping[str, Any]]:
        return await self._connection.ask(requests.roles())

    async def create_role(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._connection.ask(requests.create_role(document))

    async def delete_role(self, role_id: str) -> None:
        await self._connection.ask(requests.delete_role(role_id))

    async def add_to_role(self, role_id: str, login: str) -> None:
        await self._connection.ask(requests.add_to_role(role_id, login))

    async def remove_from_role(self, role_id: str, login: str) -> None:
        await self._connection.ask(requests.remove_from_role(role_id, login))

    async def grant_to_user(self, login: str, resource: str, operations: Sequence[str]) -> None:
        who = {"login": login}
        await self._connection.ask(
            requests.change_rights("grant_to_user", who, resource, operations)
        )

    async def revoke_from_user(self, login: str, resource: str, operations: Sequence[str]) -> None:
        who = {"login": login}
        await self._connection.ask(
            requests.change_rights("revoke_from_user", who, resource, operations)
        )

    async def grant_to_role(self, role_id: str, resource: str, operations: Sequence[str]) -> None:
        who = {"role_id": role_id}
        await self._connection.ask(
            requests.change_rights("grant_to_role", who, resource, operations)
        )

    async def revoke_from_role(
        self, role_id: str, resource: str, operations: Sequence[str]
    ) -> None:
        who = {"role_id": role_id}
        await self._connection.ask(
            requests.change_rights("revoke_from_role", who, resource, operations)
        )
