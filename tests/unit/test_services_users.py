"""Users, roles, permissions and tokens: what is done with them, and by whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher

from pulpit.domain.permissions import ALL, EVERYTHING, Access, Operation
from pulpit.domain.roles import SUPER_USERS
from pulpit.domain.users import Caller
from pulpit.errors import (
    DuplicateResource,
    InvalidValue,
    LastSuperUser,
    MissingResource,
    MissingValue,
    PermissionDenied,
    RequestError,
    UnsupportedValue,
    WrongJsonType,
)
from pulpit.services.certificates import Certificates
from pulpit.services.logins import Logins
from pulpit.services.permissions import Permissions
from pulpit.services.roles import Roles
from pulpit.services.tokens import Tokens
from pulpit.services.users import Users
from pulpit.testing import FrozenClock, MemoryAuthority, MemoryStorage

_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_ADMIN = Access(login="admin", rights=EVERYTHING)


class _House:
    """All services over a storage in memory, with a super-user, and ann who may look after users.

    ann may do anything with users and roles, and grant rights, but nothing else.
    """

    def __init__(self) -> None:
        self.storage, self.clock = MemoryStorage(), FrozenClock()
        self.users = Users(self.storage, clock=self.clock, hasher=_HASHER)
        self.roles = Roles(self.storage, clock=self.clock)
        self.permissions = Permissions(self.storage)
        self.tokens = Tokens(self.storage, clock=self.clock)
        self.authority = MemoryAuthority()
        self.certificates = Certificates(self.authority, clock=self.clock, days=7)
        self.logins = Logins(
            self.storage, clock=self.clock, hasher=_HASHER, authority=self.authority
        )
        self.users.ensure_first("admin", "secret")
        for login in ("ann", "bob"):
            self.users.create({"login": login, "password": f"{login}'s"}, by=_ADMIN)
        for resource in ("/v2/users/", "/v2/roles/", "/v2/permissions/"):
            self.grant("ann", resource)

    def grant(self, login: str, resource: str, *operations: str) -> None:
        """Grant operations, or all, on a resource."""
        document = {"login": login, "resource": resource, "operations": operations or list(ALL)}
        self.permissions.grant_to_user(
            {**document, "operations": [*document["operations"]]}, by=_ADMIN
        )

    def caller(self, login: str) -> Caller:
        """Return the user as let in by the first password they had."""
        password = {"admin": "secret"}.get(login, f"{login}'s")
        return self.logins.authenticate(login, password)

    def allows(self, login: str, operation: Operation, resource: str) -> bool:
        """Tell what the user may do now."""
        return self.caller(login).access.allows(operation, resource)


@pytest.fixture
def house() -> _House:
    """Return a new one."""
    return _House()


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (None, WrongJsonType),
        ([], WrongJsonType),
        ({}, MissingValue),
        ({"login": None}, MissingValue),
        ({"login": ""}, InvalidValue),
        ({"login": "a b"}, InvalidValue),
        ({"login": "é"}, InvalidValue),
        ({"login": "x" * 256}, InvalidValue),
        ({"login": "search"}, InvalidValue),
        ({"login": 1}, InvalidValue),
        ({"login": "cat", "password": 1}, InvalidValue),
        ({"login": "cat", "password": "x" * 1025}, InvalidValue),
        ({"login": "cat", "password": "\ud800"}, InvalidValue),
        ({"login": "cat", "name": ["x"]}, InvalidValue),
        ({"login": "cat", "roles": "x"}, InvalidValue),
        ({"login": "cat", "roles": [1]}, InvalidValue),
        ({"login": "cat", "roles": ["none"]}, MissingResource),
        ({"login": "cat", "more": 1}, UnsupportedValue),
        ({"login": "bob"}, DuplicateResource),
    ],
)
def test_bad_users_are_refused(house: _House, document: Any, error: type[RequestError]) -> None:
    """Nobody is created."""
    with pytest.raises(error):
        house.users.create(document, by=_ADMIN)
    assert [user.login for user in house.users.list()] == ["admin", "ann", "bob"]


@pytest.mark.parametrize(
    ("delta", "error"),
    [
        ({"password": ""}, InvalidValue),
        ({"password": None}, InvalidValue),
        ({"name": ""}, InvalidValue),
        ({"name": None}, InvalidValue),
        ({"roles": None}, InvalidValue),
        ({"roles": ["none"]}, MissingResource),
        ({"login": "rob"}, UnsupportedValue),
        ("x", InvalidValue),
        (None, MissingValue),
    ],
)
def test_bad_changes_are_refused(house: _House, delta: Any, error: type[RequestError]) -> None:
    """Nothing is changed, though the rest of the delta be right."""
    before = house.users.get("bob")
    more = {"name": "Rob", **delta} if isinstance(delta, dict) else delta
    with pytest.raises(error):
        house.users.update("bob", {"delta": more}, by=house.caller("admin"))
    assert house.users.get("bob") == before


def test_a_user_without_a_password_does_not_come_in(house: _House) -> None:
    """Neither by an empty one; once there is one, by that."""
    for number, password in enumerate((None, "")):
        login = f"robot-{number}"
        house.users.create({"login": login, "password": password}, by=_ADMIN)
        for guess in ("", "x"):
            with pytest.raises(RequestError):
                house.logins.authenticate(login, guess)
        delta = {"password": f"{login}'s"}
        house.users.update(login, {"delta": delta}, by=house.caller("admin"))
        assert house.caller(login).user.login == login


def test_a_change_of_rights_holds_at_once(house: _House) -> None:
    """By grants and by roles, given and taken back, on another server as well."""
    other = Logins(house.storage, clock=house.clock, hasher=_HASHER)
    other.authenticate("bob", "bob's")
    resource = "/v2/repositories/zoo/"

    def allowed() -> bool:
        told = {
            logins.authenticate("bob", "bob's").access.allows(Operation.READ, resource)
            for logins in (house.logins, other)
        }
        assert len(told) == 1
        return told.pop()

    right = {"resource": "/v2/repositories/", "operations": ["READ"]}
    house.roles.create({"role_id": "readers"})
    assert not allowed()
    house.permissions.grant_to_user({"login": "bob", **right}, by=_ADMIN)
    assert allowed()
    house.permissions.revoke_from_user({"login": "bob", **right}, by=_ADMIN)
    assert not allowed()
    house.permissions.grant_to_role({"role_id": "readers", **right}, by=_ADMIN)
    assert not allowed()
    house.roles.add_user("readers", {"login": "bob"}, by=_ADMIN)
    assert allowed()
    # what a role allows is not taken back from one user
    house.permissions.revoke_from_user({"login": "bob", **right}, by=_ADMIN)
    assert allowed()
    house.permissions.revoke_from_role({"role_id": "readers", **right}, by=_ADMIN)
    assert not allowed()
    house.permissions.grant_to_role({"role_id": "readers", **right}, by=_ADMIN)
    assert allowed()
    house.roles.remove_user("readers", "bob", by=_ADMIN)
    assert not allowed()
    house.users.update("bob", {"delta": {"roles": ["readers"]}}, by=house.caller("admin"))
    assert allowed()
    house.roles.delete("readers", by=_ADMIN)
    assert not allowed()
    assert house.users.get("bob").roles == ()


def test_there_always_is_a_super_user(house: _House) -> None:
    """The last one stays, however it is tried; when there is another one, that goes."""
    admin = house.caller("admin")
    takes: list[Callable[[], object]] = [
        lambda: house.users.delete("admin", by=_ADMIN),
        lambda: house.users.update("admin", {"delta": {"roles": []}}, by=admin),
        lambda: house.roles.remove_user(SUPER_USERS, "admin", by=_ADMIN),
    ]
    for take in takes:
        with pytest.raises(LastSuperUser):
            take()
        house.roles.add_user(SUPER_USERS, {"login": "bob"}, by=_ADMIN)
        take()
        assert {user.login for user in house.roles.get(SUPER_USERS).users} == {"bob"}
        if not any(user.login == "admin" for user in house.users.list()):
            house.users.create({"login": "admin", "password": "secret"}, by=_ADMIN)
        house.roles.add_user(SUPER_USERS, {"login": "admin"}, by=_ADMIN)
        house.roles.remove_user(SUPER_USERS, "bob", by=_ADMIN)


def test_the_role_of_super_users_stays_as_it_is(house: _House) -> None:
    """It is there from the start, and can be neither made, changed nor deleted."""
    right = {"role_id": SUPER_USERS, "resource": "/", "operations": ["READ"]}
    before = house.roles.get(SUPER_USERS)
    assert before.role.permissions == EVERYTHING
    with pytest.raises(DuplicateResource):
        house.roles.create({"role_id": SUPER_USERS})
    for act in (
        lambda: house.roles.delete(SUPER_USERS, by=_ADMIN),
        lambda: house.roles.update(SUPER_USERS, {"delta": {"display_name": "x"}}),
        lambda: house.permissions.revoke_from_role(right, by=_ADMIN),
        lambda: house.permissions.grant_to_role(right, by=_ADMIN),
    ):
        with pytest.raises(InvalidValue):
            act()
    assert house.roles.get(SUPER_USERS) == before


_ESCALATIONS: dict[str, Callable[[_House, Caller], object]] = {
    "role at birth": lambda h, by: h.users.create(
        {"login": "eve", "roles": [SUPER_USERS]}, by=by.access
    ),
    "own role": lambda h, by: h.users.update("ann", {"delta": {"roles": [SUPER_USERS]}}, by=by),
    "own membership": lambda h, by: h.roles.add_user(SUPER_USERS, {"login": "ann"}, by=by.access),
    "own grant": lambda h, by: h.permissions.grant_to_user(
        {"login": "ann", "resource": "/", "operations": ["READ"]}, by=by.access
    ),
    "grant to own role": lambda h, by: h.permissions.grant_to_role(
        {"role_id": "own", "resource": "/v2/tasks/", "operations": ["READ"]}, by=by.access
    ),
    "membership in another's role": lambda h, by: h.roles.add_user(
        "strong", {"login": "ann"}, by=by.access
    ),
    "another's password": lambda h, by: h.users.update(
        "admin", {"delta": {"password": "x"}}, by=by
    ),
    "another's token": lambda h, by: h.tokens.create("admin", {"name": "x"}, by=by),
    "removal of who may more": lambda h, by: h.users.delete("bob", by=by.access),
    "removal of a role that may more": lambda h, by: h.roles.delete("strong", by=by.access),
    "revocation of what she lacks": lambda h, by: h.permissions.revoke_from_user(
        {"login": "bob", "resource": "/v2/repositories/", "operations": ["READ"]}, by=by.access
    ),
}


@pytest.mark.parametrize("way", _ESCALATIONS)
def test_nobody_gets_more_by_looking_after_users(house: _House, way: str) -> None:
    """Who may do anything with users, roles and rights gains nothing that they lack."""
    house.roles.create({"role_id": "own"})
    house.roles.create({"role_id": "strong"})
    house.roles.add_user("own", {"login": "ann"}, by=_ADMIN)
    house.permissions.grant_to_role(
        {"role_id": "strong", "resource": "/v2/tasks/", "operations": ["DELETE"]}, by=_ADMIN
    )
    house.grant("bob", "/v2/repositories/", "READ")
    before = (house.users.list(), house.roles.list(), house.permissions.list())
    with pytest.raises(PermissionDenied):
        _ESCALATIONS[way](house, house.caller("ann"))
    assert (house.users.list(), house.roles.list(), house.permissions.list()) == before


def test_what_one_has_can_be_given(house: _House) -> None:
    """Whoever looks after users does so among those who may no more."""
    ann = house.caller("ann")
    user = house.users.create({"login": "cat", "password": "cat's"}, by=ann.access)
    house.users.update("cat", {"delta": {"name": "Cat"}}, by=ann)
    right = {"resource": "/v2/users/cat/", "operations": ["read"]}
    house.permissions.grant_to_user({"login": "cat", **right}, by=ann.access)
    house.permissions.grant_to_user({"login": "bob", **right}, by=ann.access)
    assert house.allows("bob", Operation.READ, "/v2/users/cat/")
    token, secret = house.tokens.create("cat", {"name": "ci"}, by=ann)
    assert house.logins.with_token(secret).user.oid == user.oid
    house.tokens.revoke("cat", token.id, by=ann)
    house.users.delete("cat", by=ann.access)
    # nothing is left for the next one of that name
    assert not house.allows("bob", Operation.READ, "/v2/users/cat/")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"operations": ["FLY"]}, InvalidValue),
        ({"operations": [None]}, InvalidValue),
        ({"operations": "READ"}, InvalidValue),
        ({"operations": None}, MissingValue),
        ({"resource": "v2"}, InvalidValue),
        ({"resource": None}, MissingValue),
        ({"login": "nobody"}, MissingResource),
        ({"login": None}, MissingValue),
        ({"more": 1}, UnsupportedValue),
    ],
)
def test_bad_grants_are_refused(
    house: _House, change: dict[str, Any], error: type[RequestError]
) -> None:
    """Nothing is granted."""
    before = house.permissions.list()
    document = {"login": "bob", "resource": "/v2/", "operations": ["READ"], **change}
    with pytest.raises(error):
        house.permissions.grant_to_user(document, by=_ADMIN)
    assert house.permissions.list() == before


def test_permissions_tell_who_may_what(house: _House) -> None:
    """By grants and by roles together, for all resources or one."""
    house.roles.create({"role_id": "readers"})
    house.roles.add_user("readers", {"login": "ann"}, by=_ADMIN)
    right = {"role_id": "readers", "resource": "/v2/users", "operations": ["READ"]}
    house.permissions.grant_to_role(right, by=_ADMIN)
    house.grant("bob", "/v2/users/", "READ", "EXECUTE")
    ((resource, users),) = house.permissions.list("/pulp/api/v2/users/")
    assert (resource, users) == (
        "/v2/users/",
        {"ann": set(ALL), "bob": {Operation.READ, Operation.EXECUTE}},
    )
    names = [resource for resource, _ in house.permissions.list()]
    assert names == ["/", "/v2/permissions/", "/v2/roles/", "/v2/users/"]
    assert house.permissions.list("/v2/none/") == []
    with pytest.raises(InvalidValue):
        house.permissions.list("x")


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({}, MissingValue),
        ({"name": ""}, InvalidValue),
        ({"name": "x" * 256}, InvalidValue),
        ({"name": "x", "read_only": 1}, InvalidValue),
        ({"name": "x", "expires": "soon"}, InvalidValue),
        ({"name": "x", "expires": "2020-01-01T00:00:00Z"}, InvalidValue),
        ({"name": "x", "expires": "0001-01-01T00:00:00+14:00"}, InvalidValue),
        ({"name": "x", "more": 1}, UnsupportedValue),
        ({"name": "ci"}, DuplicateResource),
    ],
)
def test_bad_tokens_are_refused(
    house: _House, document: dict[str, Any], error: type[RequestError]
) -> None:
    """None is made."""
    bob = house.caller("bob")
    house.tokens.create("bob", {"name": "ci"}, by=bob)
    with pytest.raises(error):
        house.tokens.create("bob", document, by=bob)
    assert [token.name for token in house.tokens.list("bob")] == ["ci"]


@pytest.mark.parametrize("kind", ["token", "certificate"])
def test_who_sends_no_password_makes_nothing_that_lasts(house: _House, kind: str) -> None:
    """Else a token or a certificate that ends, is revoked or was stolen would live on."""
    admin = house.caller("admin")
    if kind == "token":
        by = house.logins.with_token(house.tokens.create("admin", {"name": "ci"}, by=admin)[1])
    else:
        shown = house.certificates.issue(admin)["certificate"]
        by = house.logins.with_certificate(shown.encode())
    assert by.access.is_unlimited
    with pytest.raises(PermissionDenied):
        house.tokens.create("admin", {"name": "cd"}, by=by)
    with pytest.raises(PermissionDenied):
        house.certificates.issue(by)
    with pytest.raises(PermissionDenied):
        house.users.update("admin", {"delta": {"password": "new"}}, by=by)
    # what it may do otherwise it may
    house.users.update("bob", {"delta": {"password": "new"}}, by=by)
    assert house.logins.authenticate("bob", "new").user.login == "bob"


def test_a_user_has_a_bounded_number_of_tokens(house: _House) -> None:
    """One more is refused until another is revoked."""
    bob = house.caller("bob")
    tokens = [house.tokens.create("bob", {"name": str(n)}, by=bob)[0] for n in range(100)]
    with pytest.raises(InvalidValue):
        house.tokens.create("bob", {"name": "more"}, by=bob)
    house.tokens.revoke("bob", tokens[0].id, by=bob)
    house.tokens.create("bob", {"name": "more"}, by=bob)
    with pytest.raises(MissingResource):
        house.tokens.revoke("bob", tokens[0].id, by=bob)
