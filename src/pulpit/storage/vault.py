"""Secrets of listeners, encrypted with a key that is kept in the data folder.

The key file holds one key in each line: the first one encrypts, all of them decrypt. So a new key
is put above the old one, and the old one is taken away once nothing is sealed with it any more.
"""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pulpit.domain.listeners import Secrets
from pulpit.errors import SecretsUnreadable
from pulpit.storage.secret_files import make_secret_file

__all__ = ["KEY_FILE", "FolderVault"]

#: Name of the key file in the data folder.
KEY_FILE = "listener.key"
#: A key file is far smaller than this.
_MOST_BYTES = 64 * 1024
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class _Identity(NamedTuple):
    """Which file it is, as it is now."""

    device: int
    inode: int
    size: int
    changed: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns)


class FolderVault:
    """Implements ``pulpit.ports.Vault``; several servers may share the folder.

    The first secret that is sealed makes the key file; a changed one is heeded at once.

    Args:
        folder: of the data.
        log: is told, once for each key file, that others may read it.
    """

    def __init__(self, folder: Path, *, log: Any) -> None:
        self._file = folder / KEY_FILE
        self._log = log
        self._turn = threading.Lock()
        self._known: tuple[_Identity, MultiFernet] | None = None

    def seal(self, secrets: Secrets) -> bytes:
        """Return the secrets encrypted.

        Raises:
            SecretsUnreadable: the key file can't be made or read, or holds no keys.
        """
        return self._keys(make=True).encrypt(msgspec.json.encode(secrets))

    def open(self, sealed: bytes) -> Secrets:
        try:
            return msgspec.json.decode(self._keys(make=False).decrypt(sealed), type=Secrets)
        except (InvalidToken, msgspec.DecodeError) as error:
            raise SecretsUnreadable(
                f"The listener's secrets were sealed with a key that {self._file} does not hold: "
                "put that key back as a line of the file, or set the listener's secrets anew."
            ) from error

    def _keys(self, *, make: bool) -> MultiFernet:
        """Return the keys as they are in the file now, which is made first if it may be."""
        try:
            with self._turn:
                if make and not self._file.exists():
                    make_secret_file(self._file, Fernet.generate_key() + b"\n")
                return self._read()
        except FileNotFoundError as error:
            raise SecretsUnreadable(
                f"The key file {self._file} is gone: restore it from a backup, or set the secrets "
                "of all listeners anew."
            ) from error
        except OSError as error:
            raise SecretsUnreadable(
                f"The key file {self._file} can't be used: {error.strerror}; mend its permissions, "
                "or those of its folder."
            ) from error

    def _read(self) -> MultiFernet:
        with self._file.open("rb") as opened:
            found = os.fstat(opened.fileno())
            identity = _Identity.of(found)
            if self._known is None or self._known[0] != identity:
                self._known = identity, self._parsed(opened.read(_MOST_BYTES))
                if found.st_mode & _OPEN_TO_OTHERS:
                    self._log.warning("others may read the key of listeners", path=str(self._file))
            return self._known[1]

    def _parsed(self, text: bytes) -> MultiFernet:
        """Return the keys of the file's lines."""
        keys = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                keys.append(Fernet(line.strip()))
            except ValueError as error:
                raise SecretsUnreadable(
                    f"Line {number} of the key file {self._file} is no key: restore the file from "
                    "a backup, or take the line away."
                ) from error
        if not keys:
            raise SecretsUnreadable(
                f"The key file {self._file} holds no key: restore it from a backup; or delete it "
                "and set the secrets of all listeners anew."
            )
        return MultiFernet(keys)
