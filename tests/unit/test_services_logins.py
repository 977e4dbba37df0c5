"""Who may come in: the first user, passwords, tokens and certificates."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters

from pulpit.domain.clock import render_time
from pulpit.domain.permissions import Operation
from pulpit.domain.users import Caller
from pulpit.errors import AuthenticationFailed, PermissionDenied
from pulpit.services.certificates import Certificates
from pulpit.services.logins import Logins
from pulpit.services.permissions import Permissions
from pulpit.services.tokens import Tokens
from pulpit.services.users import Users
from pulpit.testing import FrozenClock, MemoryAuthority, MemoryStorage
from tests.services import PATIENCE


class _Hasher(PasswordHasher):
    """A hasher that takes no time, counts what it verifies, and may be held up."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str | bytes] = []
        self.hashes: list[str | bytes] = []
        self.hold: threading.Barrier | None = None
        self._lock = threading.Lock()
        self.inside = self.most = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override] # noqa: A002
        with self._lock:
            self.verified.append(password)
            self.hashes.append(hash)
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            if self.hold:
                self.hold.wait(PATIENCE)
            return super().verify(hash, password)
        finally:
            with self._lock:
                self.inside -= 1


class _House:
    """Users over a storage in memory."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.hasher = _Hasher()
        self.clock = FrozenClock()
        self.users = Users(self.storage, clock=self.clock, hasher=self.hasher)
        self.authority = MemoryAuthority()
        self.logins = Logins(
            self.storage, clock=self.clock, hasher=self.hasher, authority=self.authority
        )


def test_the_first_user_is_created_once() -> None:
    """A password that is given is not shown; a second call changes nothing."""
    house = _House()
    assert house.users.ensure_first("admin", "secret") is None
    assert house.users.ensure_first("other", "secret") is None
    assert house.users.ensure_first("admin", None) is None
    assert house.logins.authenticate("admin", "secret").user.login == "admin"
    with pytest.raises(AuthenticationFailed):
        house.logins.authenticate("other", "secret")


def test_an_unknown_login_costs_what_a_known_one_does() -> None:
    """Its password is verified too, against a hash of the same cost, which no password fits."""
    house = _House()
    house.users.ensure_first("admin", "secret")
    for login in ("admin", "other"):
        with pytest.raises(AuthenticationFailed):
            house.logins.authenticate(login, "wrong")
    known, unknown = map(str, house.hasher.hashes)
    assert known != unknown
    assert extract_parameters(unknown) == extract_parameters(known)


def test_a_password_is_made_up_and_shown_once() -> None:
    """Without a password there is a long one, another each time."""
    passwords = set()
    for _ in range(2):
        house = _House()
        password = house.users.ensure_first("admin", None)
        assert password is not None
        assert len(password) >= 20
        assert house.logins.authenticate("admin", password).user.login == "admin"
        passwords.add(password)
    assert len(passwords) == 2


def test_the_password_is_kept_as_a_hash() -> None:
    """Nothing that is kept holds the password."""
    house = _House()
    house.users.ensure_first("admin", "a secret")
    with house.storage.read() as transaction:
        user = transaction.users.get("admin")
    assert user is not None
    assert user.password_hash.startswith("$argon2id$")
    assert "a secret" not in repr(user)


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("admin", "wrong"),
        ("admin", ""),
        ("admin", "secret "),
        ("admin", "SECRET"),
        ("Admin", "secret"),
        ("", "secret"),
        ("nobody", "secret"),
        ("admin", "\ud800"),
        ("admin", "x" * 100_000),
        ("a\0dmin", "secret"),
    ],
)
def test_others_are_refused(login: str, password: str) -> None:
    """Wrong is wrong, whether the login is known or not, and takes a verification each time."""
    house = _House()
    house.users.ensure_first("admin", "secret")
    for count in (1, 2):
        with pytest.raises(AuthenticationFailed):
            house.logins.authenticate(login, password)
        assert len(house.hasher.verified) == count
        assert house.logins.recall(login, password) is None


def test_a_proven_password_is_remembered() -> None:
    """Only the first time takes a verification; another password takes its own."""
    house = _House()
    house.users.ensure_first("admin", "secret")
    assert house.logins.recall("admin", "secret") is None
    for _ in range(3):
        user = house.logins.authenticate("admin", "secret")
        assert house.logins.recall("admin", "secret") == user
    assert house.hasher.verified == ["secret"]
    with pytest.raises(AuthenticationFailed):
        house.logins.authenticate("admin", "other")
    assert house.logins.recall("admin", "secret") is not None


def test_a_changed_password_is_proven_anew() -> None:
    """What was proven against an old hash counts no longer."""
    house = _House()
    house.users.ensure_first("admin", "old")
    user = house.logins.authenticate("admin", "old").user
    with house.storage.write() as transaction:
        changed = dataclasses.replace(user, password_hash=house.hasher.hash("new"))
        transaction.users.set(changed)
    assert house.logins.recall("admin", "old") is None
    with pytest.raises(AuthenticationFailed):
        house.logins.authenticate("admin", "old")
    assert house.logins.authenticate("admin", "new").user == changed


def test_few_passwords_are_verified_at_a_time() -> None:
    """However many guess, two verifications run at once, and a proven user waits for none."""
    house = _House()
    house.users.ensure_first("admin", "secret")
    house.logins.authenticate("admin", "secret")
    house.hasher.most = 0
    refused = []

    def guess(number: int) -> None:
        try:
            house.logins.authenticate("admin", f"guess {number}")
        except AuthenticationFailed:
            refused.append(number)

    # two verifications meet there, and the test
    house.hasher.hold = threading.Barrier(3)
    guesses = [threading.Thread(target=guess, args=(number,)) for number in range(6)]
    for thread in guesses:
        thread.start()
    for _ in range(3):
        assert house.logins.recall("admin", "secret") is not None
        assert house.logins.authenticate("admin", "secret").user.login == "admin"
        house.hasher.hold.wait(PATIENCE)
    for thread in guesses:
        thread.join(10)
    assert sorted(refused) == list(range(6))
    assert house.hasher.most == 2


def _admin(house: _House) -> Caller:
    """Return the super-user, whom it makes."""
    house.users.ensure_first("admin", "secret")
    return house.logins.authenticate("admin", "secret")


@pytest.mark.parametrize("secret", ["", "pulpit_", "pulpit_x", "secret", "pulpit_\ud800"])
def test_what_is_no_token_is_refused(secret: str) -> None:
    """Whatever it looks like."""
    house = _House()
    _admin(house)
    with pytest.raises(AuthenticationFailed):
        house.logins.with_token(secret)


def test_a_token_lets_its_user_in_until_it_ends() -> None:
    """With no more rights than it has; revoked, expired or without its user it is void."""
    house = _House()
    admin, tokens = _admin(house), Tokens(house.storage, clock=house.clock)
    expires = render_time(house.clock() + timedelta(hours=2))
    made = {
        name: tokens.create("admin", {"name": name, **more}, by=admin)
        for name, more in (
            ("all", {}),
            ("reading", {"read_only": True}),
            ("ending", {"expires": expires}),
            ("revoked", {}),
        )
    }
    for token, secret in made.values():
        assert secret.startswith("pulpit_")
        assert secret not in repr(token)
        caller = house.logins.with_token(secret)
        assert caller.user.login == "admin"
        assert caller.access.is_unlimited is not token.read_only
        assert not caller.has_password
    tokens.revoke("admin", made["revoked"][0].id, by=admin)
    house.clock.advance(hours=2)
    for name, (_, secret) in made.items():
        if name in {"ending", "revoked"}:
            with pytest.raises(AuthenticationFailed):
                house.logins.with_token(secret)
        else:
            house.logins.with_token(secret)
    with house.storage.write() as transaction:
        transaction.users.remove("admin")
    for _, secret in made.values():
        with pytest.raises(AuthenticationFailed):
            house.logins.with_token(secret)


def test_the_use_of_a_token_is_kept_coarsely() -> None:
    """It is written at most once an hour, and never makes what is remembered void."""
    house = _House()
    tokens = Tokens(house.storage, clock=house.clock)
    _, secret = tokens.create("admin", {"name": "ci"}, by=_admin(house))
    uses = []
    for _ in range(5):
        house.logins.with_token(secret)
        (token,) = tokens.list("admin")
        uses.append(token.last_used)
        house.clock.advance(minutes=25)
    start = uses[0]
    assert start is not None
    assert [use and use - start for use in uses] == [
        timedelta(0),
        timedelta(0),
        timedelta(0),
        timedelta(minutes=75),
        timedelta(minutes=75),
    ]


def test_a_certificate_stands_for_the_password() -> None:
    """Until its time is over, the password changes, or the user is another of the same login."""
    house = _House()
    admin = _admin(house)
    certificates = Certificates(house.authority, clock=house.clock, days=7)

    def shown() -> bytes:
        caller = house.logins.authenticate("admin", "secret")
        return certificates.issue(caller)["certificate"].encode()

    first = shown()
    caller = house.logins.with_certificate(first)
    assert (caller.user, caller.has_password) == (admin.user, False)
    with pytest.raises(PermissionDenied):
        certificates.issue(caller)
    with pytest.raises(AuthenticationFailed):
        house.logins.with_certificate(b"another")
    house.clock.advance(days=7)
    second = shown()
    with pytest.raises(AuthenticationFailed):
        house.logins.with_certificate(first)
    house.users.update("admin", {"delta": {"name": "Other", "password": "secret"}}, by=admin)
    with pytest.raises(AuthenticationFailed):
        house.logins.with_certificate(second)
    third = shown()
    house.logins.with_certificate(third)
    with house.storage.write() as transaction:
        transaction.users.remove("admin")
    house.users.ensure_first("admin", "secret")
    with pytest.raises(AuthenticationFailed):
        house.logins.with_certificate(third)
    without = Logins(house.storage, clock=house.clock, hasher=house.hasher)
    with pytest.raises(AuthenticationFailed):
        without.with_certificate(shown())


def test_who_reads_on_is_looked_at_again() -> None:
    """Whoever would not be let in any more is told so within seconds, and others go on."""
    house = _House()
    admin = _admin(house)
    reader = house.users.create({"login": "ann", "password": "a"}, by=admin.access)
    ann = house.logins.authenticate("ann", "a")
    tokens = Tokens(house.storage, clock=house.clock)
    token, secret = tokens.create("ann", {"name": "ci"}, by=ann)
    by_token = house.logins.with_token(secret)
    for caller in (ann, by_token):
        assert house.logins.renewed(caller) is not None
    house.clock.advance(seconds=6)
    permissions = Permissions(house.storage)
    right = {"login": "ann", "resource": "/v2/", "operations": ["READ"]}
    permissions.grant_to_user(right, by=admin.access)
    for caller in (ann, by_token):
        present = house.logins.renewed(caller)
        assert present is not None
        assert present.access.allows(Operation.READ, "/v2/")
    tokens.revoke("ann", token.id, by=admin)
    house.clock.advance(seconds=6)
    assert house.logins.renewed(by_token) is None
    assert house.logins.renewed(ann) is not None
    house.users.update(reader.login, {"delta": {"password": "b"}}, by=admin)
    house.clock.advance(seconds=6)
    assert house.logins.renewed(ann) is None


def test_a_token_that_ends_meanwhile_ends_what_is_read() -> None:
    """Nobody needs to change anything for that."""
    house = _House()
    tokens = Tokens(house.storage, clock=house.clock)
    expires = render_time(house.clock() + timedelta(seconds=2))
    _, secret = tokens.create("admin", {"name": "ci", "expires": expires}, by=_admin(house))
    caller = house.logins.with_token(secret)
    assert house.logins.renewed(caller) is caller
    house.clock.advance(seconds=2)
    assert house.logins.renewed(caller) is None


def test_one_small_read_tells_whether_all_is_as_before() -> None:
    """A request of somebody who is known reads nothing but the name of the state."""
    house = _House()
    _admin(house)
    counting = _CountingStorage(house.storage)
    logins = Logins(counting, clock=house.clock, hasher=house.hasher)
    logins.authenticate("admin", "secret")
    counting.read_from.clear()
    for _ in range(3):
        assert logins.recall("admin", "secret") is not None
    assert counting.read_from == ["permissions"] * 3


class _CountingStorage(MemoryStorage):
    """A storage that notes which stores its readers look at."""

    def __init__(self, other: MemoryStorage) -> None:
        super().__init__()
        self._other = other
        self.read_from: list[str] = []

    @contextlib.contextmanager
    def read(self) -> Iterator[Any]:
        with self._other.read() as transaction:
            yield _Noting(transaction, self.read_from)


class _Noting:
    """A transaction that notes which stores are asked for."""

    def __init__(self, transaction: object, read_from: list[str]) -> None:
        self._transaction, self._read_from = transaction, read_from

    def __getattr__(self, name: str) -> Any:
        self._read_from.append(name)
        return getattr(self._transaction, name)
