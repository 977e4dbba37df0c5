"""The credentials file: which login and password, or token, belong to which server."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec

from pulpit.client.connection import Auth
from pulpit.errors import ConfigurationError

__all__ = ["Credentials", "Login", "credentials_path"]

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user of a server, by login and password or by a token."""

    #: Empty with a token, which says for itself whose it is.
    user: str = ""
    password: str = field(default="", repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def auth(self) -> Auth:
        """What the client takes."""
        return self.token or (self.user, self.password)

    @property
    def name(self) -> str:
        """Who it is, for people."""
        return "the user of a token" if self.token else self.user

    def to_document(self) -> dict[str, str]:
        """Return what the file holds of it."""
        if self.token:
            return {"token": self.token}
        return {"user": self.user, "password": self.password}

    @classmethod
    def of_document(cls, document: Any) -> Self:
        """Return what the file holds; raises KeyError or TypeError for anything else."""
        if "token" in document:
            return cls(token=_text(document["token"]))
        return cls(user=_text(document["user"]), password=_text(document["password"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What the file holds."""

    #: The server to speak to when none is named.
    default_url: str | None = None
    #: Address of a server to the user there.
    logins: Mapping[str, Login] = field(default_factory=dict)

    def with_login(self, url: str, login: Login) -> Self:
        """Return the credentials with this login, its server being the default from now on."""
        return type(self)(default_url=url, logins={**self.logins, url: login})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what the file holds; nothing when there is none.

        Raises:
            ConfigurationError: others may read the file, or it is not what `login` writes.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise ConfigurationError(f"{error.strerror}", source=str(path)) from None
        try:
            # of what is open, not of the path: nobody can swap the file in between
            _refuse_unsafe(os.fstat(descriptor), path)
            content = os.read(descriptor, _MAX_BYTES)
        finally:
            os.close(descriptor)
        try:
            document = msgspec.json.decode(content)
            logins = {url: Login.of_document(login) for url, login in document["servers"].items()}
            default = document.get("default")
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            raise ConfigurationError(
                "not a credentials file: run `pulpit login` to write a new one after removing it",
                source=str(path),
            ) from None
        return cls(default_url=default if isinstance(default, str) else None, logins=logins)

    def write(self, path: Path) -> None:
        """Write the file, readable by its owner alone.

        Raises:
            ConfigurationError: it can't be written.
        """
        servers = {url: login.to_document() for url, login in self.logins.items()}
        content = msgspec.json.format(
            msgspec.json.encode({"default": self.default_url, "servers": servers})
        )
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content + b"\n")
            fresh.replace(path)
        except OSError as error:
            raise ConfigurationError(f"{error.strerror}", source=str(path)) from None


def credentials_path(environ: Mapping[str, str]) -> Path:
    """Return where the credentials file is."""
    configured = environ.get("XDG_CONFIG_HOME", "")
    home = Path(environ.get("HOME") or Path.home())
    folder = Path(configured) if configured.startswith("/") else home / ".config"
    return folder / "pulpit" / "credentials.json"


def _text(value: Any) -> str:
    """Return *value*, which must be text."""
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def _refuse_unsafe(found: os.stat_result, path: Path) -> None:
    """Raise if anybody else may read or write the file."""
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError("not a regular file", source=str(path))
    if found.st_uid not in {os.geteuid(), 0}:
        raise ConfigurationError("belongs to another user; remove it", source=str(path))
    if found.st_mode & _OTHERS:
        raise ConfigurationError(
            f"others may read the passwords in it: run `chmod 600 {path}`, and change them",
            source=str(path),
        )
