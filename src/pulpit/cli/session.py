"""What every command gets: where to write, and a client of the right server."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TextIO

import httpx
import msgspec
import typer
from rich.console import Console

from pulpit.cli.credentials import Credentials, Login, credentials_path
from pulpit.client import Client
from pulpit.config import DEFAULT_URL
from pulpit.domain.clock import utc_now

__all__ = ["Flags", "OutputClosed", "Outside", "Session", "session_of"]

#: Wide enough that nothing is cut off where a program reads the output.
_PIPE_WIDTH = 400


class OutputClosed(Exception):
    """Whoever read the output went away."""


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What the commands take from their process."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    stdin: TextIO = field(default_factory=lambda: sys.stdin)
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    #: Carries the requests; None for the network.
    transport: httpx.BaseTransport | None = None
    now: Callable[[], datetime] = utc_now


@dataclass(frozen=True, kw_only=True)
class Flags:
    """What the command line says before the command."""

    url: str | None = None
    cafile: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)


class _Console(Console):
    """A console whose reader may go away."""

    def on_broken_pipe(self) -> None:
        """End the command with the code that says so."""
        raise OutputClosed


def _console(file: TextIO, environ: Mapping[str, str]) -> Console:
    """Return a console that cuts nothing off when it writes to a program or a file."""
    piped = not file.isatty() and "COLUMNS" not in environ
    return _Console(
        file=file,
        highlight=False,
        markup=False,
        emoji=False,
        width=_PIPE_WIDTH if piped else None,
        _environ=environ,
    )


class Session:
    """One run of one command."""

    def __init__(self, outside: Outside, flags: Flags) -> None:
        self.flags = flags
        self.outside = outside
        #: For what was asked.
        self.out = _console(outside.stdout, outside.environ)
        #: For errors and hints.
        self.err = _console(outside.stderr, outside.environ)

    @property
    def now(self) -> datetime:
        """The present time."""
        return self.outside.now()

    def print_json(self, document: Any) -> None:
        """Write *document* as JSON: for people with indents, for programs in one line."""
        content = msgspec.json.encode(document)
        content = msgspec.json.format(content) if self.out.is_terminal else content
        self.write(f"{content.decode()}\n")

    def print_line(self, document: Any) -> None:
        """Write *document* as one line of JSON."""
        self.write(f"{msgspec.json.encode(document).decode()}\n")

    def write(self, text: str) -> None:
        """Write *text* as it is, at once, so that a program at the other end sees it.

        Raises:
            OutputClosed: nobody reads any more.
        """
        try:
            self.outside.stdout.write(text)
            self.outside.stdout.flush()
        except BrokenPipeError:
            raise OutputClosed from None

    def saved(self) -> Credentials:
        """Return what the credentials file holds."""
        return Credentials.read(credentials_path(self.outside.environ))

    def url(self, saved: Credentials) -> str:
        """Return the server's address: flag, PULPIT_URL, credentials file, default."""
        named = self.flags.url or self.outside.environ.get("PULPIT_URL")
        return (named or saved.default_url or DEFAULT_URL).rstrip("/")

    @property
    def cafile(self) -> str | None:
        """The file of the authorities that vouch for the server; None for the system's."""
        return self.flags.cafile or self.outside.environ.get("PULPIT_CAFILE") or None

    def login_for(self, url: str, saved: Credentials) -> Login | None:
        """Return who to be at that server; a saved password goes to its own server alone.

        Raises:
            BadParameter: a user without a password.
        """
        environ, kept = self.outside.environ, saved.logins.get(url)
        user = self.flags.user or environ.get("PULPIT_USER") or None
        password = self.flags.password or environ.get("PULPIT_PASSWORD") or None
        token = environ.get("PULPIT_TOKEN") or None
        if user is None and password is None:
            return Login(token=token) if token else kept
        if password is None and kept is not None and kept.user == user:
            return kept
        if password is None:
            raise typer.BadParameter(
                f"user {user!r} has no password: set PULPIT_PASSWORD, or run `pulpit login`",
            )
        return Login(user=user or (kept.user if kept else "admin"), password=password)

    def client(self, *, timeout: float = 30.0) -> Client:
        """Return a client of the server, to be closed by the caller.

        Raises:
            BadParameter: the address or the credentials can't be used.
            ConfigurationError: the credentials file can't be used.
        """
        saved = self.saved()
        url = self.url(saved)
        login = self.login_for(url, saved)
        return self.client_of(url, login, timeout=timeout)

    def client_of(self, url: str, login: Login | None, *, timeout: float = 30.0) -> Client:
        """Return a client of this server for this user.

        Raises:
            BadParameter: the address or the file of authorities can't be used.
        """
        auth = login.auth if login else None
        try:
            return Client(
                url,
                auth=auth,
                timeout=timeout,
                cafile=self.cafile,
                transport=self.outside.transport,
            )
        except ValueError as error:
            hint = "--cafile" if self.cafile and self.cafile in str(error) else "--url"
            raise typer.BadParameter(str(error), param_hint=hint) from None


def session_of(context: typer.Context) -> Session:
    """Return the session that the callback of the program made."""
    session = context.find_object(Session)
    assert session is not None
    return session
