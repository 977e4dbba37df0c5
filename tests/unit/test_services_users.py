"""Users: the first one, and who may come in."""

from __future__ import annotations

import dataclasses
import threading

import pytest
from argon2 import PasswordHasher, extract_parameters

from pulpit.errors import AuthenticationFailed
from pulpit.services.users import Users
from pulpit.testing import FrozenClock, MemoryStorage
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
        self.users = Users(self.storage, clock=FrozenClock(), hasher=self.hasher)


def test_the_first_user_is_created_once() -> None:
    """A password that is given is not shown; a second call changes nothing."""
    house = _House()
    assert house.users.ensure_first("admin", "secret") is None
    assert house.users.ensure_first("other", "secret") is None
    assert house.users.ensure_first("admin", None) is None
    assert house.users.authenticate("admin", "secret").login == "admin"
    with pytest.raises(AuthenticationFailed):
        house.users.authenticate("other", "secret")


def test_an_unknown_login_costs_what_a_known_one_does() -> None:
    """Its password is verified too, against a hash of the same cost, which no password fits."""
    house = _House()
    house.users.ensure_first("admin", "secret")
    for login in ("admin", "other"):
        with pytest.raises(AuthenticationFailed):
            house.users.authenticate(login, "wrong")
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
        assert house.users.authenticate("admin", password).login == "admin"
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
            house.users.authenticate(login, password)
        assert len(house.hasher.verified) == count
        assert house.users.recall(login, password) is None


def test_a_proven_password_is_remembered() -> None:
    """Only the first time takes a verification; another password takes its own."""
    house = _House()
    house.users.ensure_first("admin", "secret")
    assert house.users.recall("admin", "secret") is None
    for _ in range(3):
        user = house.users.authenticate("admin", "secret")
        assert house.users.recall("admin", "secret") == user
    assert house.hasher.verified == ["secret"]
    with pytest.raises(AuthenticationFailed):
        house.users.authenticate("admin", "other")
    assert house.users.recall("admin", "secret") is not None


def test_a_changed_password_is_proven_anew() -> None:
    """What was proven against an old hash counts no longer."""
    house = _House()
    house.users.ensure_first("admin", "old")
    user = house.users.authenticate("admin", "old")
    with house.storage.write() as transaction:
        changed = dataclasses.replace(user, password_hash=house.hasher.hash("new"))
        transaction.users.set(changed)
    assert house.users.recall("admin", "old") is None
    with pytest.raises(AuthenticationFailed):
        house.users.authenticate("admin", "old")
    assert house.users.authenticate("admin", "new") == changed


def test_few_passwords_are_verified_at_a_time() -> None:
    """However many guess, two verifications run at once, and a proven user waits for none."""
    house = _House()
    house.users.ensure_first("admin", "secret")
    house.users.authenticate("admin", "secret")
    house.hasher.most = 0
    refused = []

    def guess(number: int) -> None:
        try:
            house.users.authenticate("admin", f"guess {number}")
        except AuthenticationFailed:
            refused.append(number)

    # two verifications meet there, and the test
    house.hasher.hold = threading.Barrier(3)
    guesses = [threading.Thread(target=guess, args=(number,)) for number in range(6)]
    for thread in guesses:
        thread.start()
    for _ in range(3):
        assert house.users.recall("admin", "secret") is not None
        assert house.users.authenticate("admin", "secret").login == "admin"
        house.hasher.hold.wait(PATIENCE)
    for thread in guesses:
        thread.join(10)
    assert sorted(refused) == list(range(6))
    assert house.hasher.most == 2
