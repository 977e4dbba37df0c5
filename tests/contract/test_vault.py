"""A vault gives back what was sealed, to who has the key alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from pulpit.domain.listeners import Secrets, SigningSecret
from pulpit.errors import SecretsUnreadable
from pulpit.ports import Vault
from pulpit.storage.vault import KEY_FILE, FolderVault
from pulpit.testing import MemoryVault

_SECRETS = Secrets(
    password="hunter2 é",
    signing=(
        SigningSecret(value="whsec_new"),
        SigningSecret(value="whsec_old", until=datetime(2026, 3, 1, 12, tzinfo=UTC)),
    ),
)
#: Makes vaults, each with a key of its own.
MakeVault = Callable[[], Vault]


class _Log:
    """Remembers what it was warned of."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def warning(self, event: str, *, path: str) -> None:
        """Remember it."""
        self.told.append((event, path))


def _folder_vault(folder: Path) -> FolderVault:
    return FolderVault(folder, log=_Log())


@pytest.fixture(params=["memory", "folder"])
def make_vault(request: pytest.FixtureRequest, tmp_path: Path) -> MakeVault:
    """Return what makes vaults of one implementation."""
    names = iter("abc")

    def make() -> Vault:
        name = next(names)
        if request.param == "memory":
            return MemoryVault(name)
        (tmp_path / name).mkdir()
        return _folder_vault(tmp_path / name)

    return make


@pytest.mark.parametrize("secrets", [_SECRETS, Secrets(), Secrets(password="")])
def test_what_was_sealed_is_given_back(make_vault: MakeVault, secrets: Secrets) -> None:
    """Whatever there is of it."""
    vault = make_vault()
    assert vault.open(vault.seal(secrets)) == secrets


def test_sealed_is_not_plain(make_vault: MakeVault) -> None:
    """Nobody reads it by chance."""
    sealed = make_vault().seal(_SECRETS)
    assert b"hunter2" not in sealed
    assert b"whsec_" not in sealed


def test_another_key_opens_nothing(make_vault: MakeVault) -> None:
    """It says what to do, and not what it has seen."""
    ours, others = make_vault(), make_vault()
    others.seal(_SECRETS)
    for sealed in (ours.seal(_SECRETS), b"", b"hunter2", b"\xff" * 99):
        with pytest.raises(SecretsUnreadable) as caught:
            others.open(sealed)
        assert "key" in caught.value.message
        assert "hunter2" not in caught.value.message


@given(password=st.none() | st.text(st.characters(exclude_categories=["Cs"])))
def test_any_password_is_kept(password: str | None) -> None:
    """Every text that JSON may bring."""
    vault = MemoryVault()
    secrets = Secrets(password=password)
    assert vault.open(vault.seal(secrets)) == secrets


def test_key_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """It is made with the first secret, whole, and nothing is left beside it."""
    vault = _folder_vault(tmp_path)
    assert not [*tmp_path.iterdir()]
    vault.seal(_SECRETS)
    (file,) = tmp_path.iterdir()
    assert file.name == KEY_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert vault.open(_folder_vault(tmp_path).seal(_SECRETS)) == _SECRETS


def test_of_many_that_make_the_key_at_once_one_does(tmp_path: Path) -> None:
    """All others use that one."""
    vaults = [_folder_vault(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(lambda vault: vault.seal(_SECRETS), vaults))
    assert [vaults[0].open(each) for each in sealed] == [_SECRETS] * 8
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE]


def test_new_key_is_put_above_the_old_one(tmp_path: Path) -> None:
    """Both open while they are there, the first one seals, and a change is heeded at once."""
    vault, file = _folder_vault(tmp_path), tmp_path / KEY_FILE
    before = vault.seal(_SECRETS)
    old, new = file.read_bytes(), Fernet.generate_key()
    _replace(file, b"\n" + new + b"\n\n" + old)
    after = vault.seal(_SECRETS)
    assert vault.open(before) == vault.open(after) == _SECRETS
    _replace(file, new)
    assert vault.open(after) == _SECRETS
    with pytest.raises(SecretsUnreadable, match=r"listener\.key does not hold"):
        vault.open(before)


def _replace(file: Path, text: bytes) -> None:
    """Write the key file as an editor does."""
    draft = file.with_name("draft")
    draft.write_bytes(text)
    draft.chmod(0o600)
    draft.replace(file)


def test_lost_key_file_is_told_and_no_other_made_for_reading(tmp_path: Path) -> None:
    """Else the backup would be put back over a key that is in use."""
    vault, file = _folder_vault(tmp_path), tmp_path / KEY_FILE
    sealed, key = vault.seal(_SECRETS), file.read_bytes()
    file.unlink()
    with pytest.raises(SecretsUnreadable, match="restore it from a backup"):
        vault.open(sealed)
    assert not file.exists()
    _replace(file, key)
    assert vault.open(sealed) == _SECRETS


@pytest.mark.parametrize(
    ("text", "said"),
    [(b"", "holds no key"), (b"\n \n", "holds no key"), (b"\nhunter2\n", "Line 2 .* is no key")],
)
def test_file_without_keys_is_refused(tmp_path: Path, text: bytes, said: str) -> None:
    """For sealing too, and what stands in it is not repeated."""
    (tmp_path / KEY_FILE).write_bytes(text)
    (tmp_path / KEY_FILE).chmod(0o600)
    vault = _folder_vault(tmp_path)
    for _ in range(2):
        with pytest.raises(SecretsUnreadable, match=said) as caught:
            vault.seal(_SECRETS)
        assert "hunter2" not in caught.value.message
    with pytest.raises(SecretsUnreadable, match=said):
        vault.open(b"x")


def test_key_file_that_can_not_be_used_is_told(tmp_path: Path) -> None:
    """With its place and the reason."""
    (tmp_path / KEY_FILE).mkdir()
    with pytest.raises(SecretsUnreadable, match="can't be used: Is a directory"):
        _folder_vault(tmp_path).seal(_SECRETS)
    with pytest.raises(SecretsUnreadable, match="gone"):
        _folder_vault(tmp_path / "nowhere").seal(_SECRETS)


def test_key_file_that_others_may_read_is_told_once(tmp_path: Path) -> None:
    """It is used all the same: on a shared folder that may be on purpose."""
    log = _Log()
    vault = FolderVault(tmp_path, log=log)
    sealed = vault.seal(_SECRETS)
    assert log.told == []
    (tmp_path / KEY_FILE).chmod(0o640)
    assert vault.open(sealed) == vault.open(sealed) == _SECRETS
    assert log.told == [("others may read the key of listeners", str(tmp_path / KEY_FILE))]
