"""Users, roles, grants and tokens are kept, found and forgotten alike by every storage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pulpit.domain.criteria import parse_criteria
from pulpit.domain.permissions import ALL, Grant, Operation
from pulpit.domain.roles import SUPER_USERS, Role
from pulpit.domain.tokens import Token
from pulpit.domain.users import User
from pulpit.errors import DuplicateResource
from pulpit.ports import Transaction
from tests.contract.databases import NOW, Database

_READ = (Operation.READ,)


def _user(login: str, **changes: Any) -> User:
    user = User(login=login, oid=f"{login:0>24}", name=login, password_hash="x", created=NOW)
    return replace(user, **changes)


def _role(role_id: str, **changes: Any) -> Role:
    role = Role(id=role_id, oid=f"{role_id:0>24}", display_name=role_id, created=NOW)
    return replace(role, **changes)


def _token(login: str, name: str, **changes: Any) -> Token:
    token = Token(
        id=f"{login + name:0>24}",
        login=login,
        name=name,
        digest=f"{login + name:0>64}",
        read_only=False,
        created=NOW,
    )
    return replace(token, **changes)


def _write(database: Database, *acts: Callable[[Transaction], object]) -> None:
    with database.write() as transaction:
        for act in acts:
            act(transaction)


def _revision(database: Database) -> str:
    with database.read() as transaction:
        return transaction.permissions.revision()


def test_users_are_listed_searched_and_forgotten(database: Database) -> None:
    """By login, whatever their order; a removed one takes grants and tokens along."""
    ann = _user("ann", name="Ann", roles=("a", SUPER_USERS))
    bob = _user("bob", name="Bob é", password_hash="", roles=("a",))
    grants = [Grant(resource="/v2/", login=user.login, operations=_READ) for user in (ann, bob)]
    with database.write() as transaction:
        for user in (bob, ann):
            transaction.users.set(user)
            transaction.tokens.add(_token(user.login, "ci"))
        for grant in grants:
            transaction.permissions.set(grant)
    with database.read() as transaction:
        assert transaction.users.list() == [ann, bob]
        assert transaction.users.with_role("a") == [ann, bob]
        assert transaction.users.with_role(SUPER_USERS) == [ann]
    _write(database, lambda t: t.users.remove("bob"), lambda t: t.users.remove("nobody"))
    with database.read() as transaction:
        assert transaction.users.list() == [ann]
        assert transaction.permissions.list() == grants[:1]
        assert transaction.tokens.list("bob") == []
        assert transaction.tokens.list("ann") == [_token("ann", "ci")]


#: Criteria to the logins of those whom they select.
_SEARCHES: list[tuple[Any, list[str]]] = [
    ({}, ["ann", "bob", "cat"]),
    ({"filters": {"login": {"$in": ["bob", "cat"]}}, "limit": 1}, ["bob"]),
    ({"filters": {"name": {"$regex": "^A"}}}, ["ann"]),
    ({"filters": {"roles": "a"}, "sort": [["login", "descending"]]}, ["bob", "ann"]),
    ({"filters": {"id": f"{'cat':0>24}"}}, ["cat"]),
    # nothing tells what is kept of a password
    ({"filters": {"password_hash": "x"}}, []),
    ({"filters": {"password": {"$regex": "."}}}, []),
    ({"filters": {"password_hash": {"$exists": True}}}, []),
]


def test_users_are_searched(database: Database) -> None:
    """By what the API shows of them, and by nothing else."""
    ann = _user("ann", name="Ann", roles=("a",))
    with database.write() as transaction:
        for user in (_user("cat"), _user("bob", roles=("a", "b")), ann):
            transaction.users.set(user)
    with database.read() as transaction:
        for criteria, logins in _SEARCHES:
            found = transaction.users.search(parse_criteria(criteria))
            assert [user.login for user in found] == logins, criteria


def test_roles_are_kept(database: Database) -> None:
    """An update writes all but id and birth; there is one of each id."""
    role = _role("b", permissions={"/v2/": _READ, "/": ALL}, description="é")
    _write(database, lambda t: t.roles.add(role), lambda t: t.roles.add(_role("a")))
    with pytest.raises(DuplicateResource), database.write() as transaction:
        transaction.roles.add(_role("a"))
    changed = replace(role, display_name="B", description=None, permissions={"/v2/x/": ALL})
    other = replace(changed, oid="f" * 24, created=NOW + timedelta(days=1))
    _write(database, lambda t: t.roles.update(other), lambda t: t.roles.update(_role("gone")))
    with database.read() as transaction:
        assert transaction.roles.list() == [_role("a"), changed]
        assert transaction.roles.get("b") == changed
        assert transaction.roles.get("gone") is None
    _write(database, lambda t: t.roles.remove("b"))
    with database.read() as transaction:
        assert transaction.roles.list() == [_role("a")]


def test_grants_are_kept_and_taken_back(database: Database) -> None:
    """One for each user and resource; an empty one is none."""
    both = (Operation.CREATE, Operation.READ)
    zoo = Grant(resource="/v2/zoo/", login="ann", operations=both)
    all_of_it = Grant(resource="/v2/", login="bob", operations=ALL)
    with database.write() as transaction:
        for login in ("ann", "bob"):
            transaction.users.set(_user(login))
        # their order is not the caller's
        transaction.permissions.set(replace(zoo, operations=both[::-1]))
        transaction.permissions.set(replace(all_of_it, operations=_READ))
        transaction.permissions.set(all_of_it)
    with database.read() as transaction:
        assert transaction.permissions.list() == [all_of_it, zoo]
        assert transaction.permissions.list("/v2/zoo/") == [zoo]
        assert transaction.permissions.list("/v2/zo/") == []
        assert dict(transaction.permissions.of_user("ann")) == {"/v2/zoo/": both}
    _write(database, lambda t: t.permissions.set(replace(all_of_it, operations=())))
    with database.read() as transaction:
        assert transaction.permissions.list() == [zoo]


def test_grants_below_a_resource_are_forgotten(database: Database) -> None:
    """With the resource itself; others whose names begin alike stay."""
    names = ("/v2/zoo/", "/v2/zoo/a/b/", "/v2/zoo-2/", "/v2/zoo.x/", "/v2/zoo0/", "/v2/zo/", "/v2/")
    _write(database, lambda t: t.users.set(_user("ann")))
    with database.write() as transaction:
        for name in names:
            grant = Grant(resource=name, login="ann", operations=_READ)
            transaction.permissions.set(grant)
        assert transaction.permissions.any_below("/v2/zoo/")
        transaction.permissions.remove_below("/v2/zoo/")
        assert not transaction.permissions.any_below("/v2/zoo/")
    with database.read() as transaction:
        left = [grant.resource for grant in transaction.permissions.list()]
    assert left == sorted(names[2:])


def test_tokens_are_found_by_their_secret(database: Database) -> None:
    """One of each name for a user; only its own user's is revoked."""
    ci = _token("ann", "ci", read_only=True, expires=NOW + timedelta(days=1))
    cd = _token("ann", "cd")
    with database.write() as transaction:
        for login in ("ann", "bob"):
            transaction.users.set(_user(login))
        for token in (ci, cd, _token("bob", "ci")):
            transaction.tokens.add(token)
    with pytest.raises(DuplicateResource), database.write() as transaction:
        transaction.tokens.add(replace(ci, id="e" * 24, digest="e" * 64))
    later = NOW + timedelta(hours=1)
    _write(database, lambda t: t.tokens.used(ci.id, now=later))
    with database.write() as transaction:
        assert transaction.tokens.list("ann") == [cd, replace(ci, last_used=later)]
        assert transaction.tokens.with_digest(cd.digest) == cd
        assert transaction.tokens.with_digest("0" * 64) is None
        assert not transaction.tokens.remove("bob", cd.id)
        assert transaction.tokens.remove("ann", cd.id)
        assert not transaction.tokens.remove("ann", cd.id)
        assert transaction.tokens.with_digest(cd.digest) is None


#: What is changed to a change of it; each finds what those before it have left.
_CHANGES: dict[str, Callable[[Transaction], object]] = {
    "user": lambda t: t.users.set(_user("bob")),
    "role": lambda t: t.roles.add(_role("new")),
    "changed role": lambda t: t.roles.update(_role("a", display_name="A")),
    "removed role": lambda t: t.roles.remove("a"),
    "grant": lambda t: t.permissions.set(Grant(resource="/", login="ann", operations=ALL)),
    "forgotten": lambda t: t.permissions.remove_below("/v2/"),
    "revoked": lambda t: t.permissions.set(Grant(resource="/", login="ann", operations=())),
    "token": lambda t: t.tokens.add(_token("ann", "new")),
    "revoked token": lambda t: t.tokens.remove("ann", _token("ann", "ci").id),
    "removed user": lambda t: t.users.remove("ann"),
}


def test_whatever_decides_who_may_what_is_a_new_state(database: Database) -> None:
    """Each change names the state anew, unless it is rolled back; the use of a token does not."""
    with database.write() as transaction:
        transaction.users.set(_user("ann"))
        transaction.roles.add(_role("a"))
        transaction.permissions.set(Grant(resource="/v2/", login="ann", operations=_READ))
        transaction.tokens.add(_token("ann", "ci"))
    known = {"", _revision(database)}
    for name, change in _CHANGES.items():
        before = _revision(database)
        _write(database, lambda t: t.tokens.used(_token("ann", "ci").id, now=NOW))
        with pytest.raises(ZeroDivisionError):
            _write(database, change, lambda _: 1 // 0)
        assert _revision(database) == before, name
        _write(database, change)
        assert _revision(database) not in known, name
        known.add(_revision(database))
