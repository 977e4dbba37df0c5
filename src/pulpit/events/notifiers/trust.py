"""TLS with receivers: which authorities vouch for them, and which certificate we show.

Files are read again when they have changed, so that neither a renewed authority nor a renewed
certificate needs anybody to restart anything.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pulpit.events.notifiers.attempts import Attempted, Phase

__all__ = ["Trust", "TrustFiles", "Unusable"]

#: Seconds after which files are looked at again.
_REST = 1.0
#: Bytes that a file may have; the system's bundle of authorities has 300 KB.
_LARGEST = 16 << 20
#: Files of a folder whose changes are noticed.
_MOST_FILES = 4_096
#: Sets of files that are kept ready.
_MOST_SETS = 256


class Unusable(Exception):
    """A file can't be used; says which setting names it and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFiles:
    """The files that a listener names."""

    #: File or folder of authorities; None: the system's.
    authorities: str | None = None
    #: The certificate that we show, and its key unless it stands in the same file.
    certificate: str | None = None
    key: str | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Return those of a listener's configuration."""
        return cls(
            authorities=config.get("ca_path"),
            certificate=config.get("client_cert"),
            key=config.get("client_key"),
        )


#: What changes of a file when it is written or replaced.
_Print = tuple[int, ...]


@dataclass(slots=True)
class _Known:
    """A context, and what the files were like when it was made."""

    context: ssl.SSLContext | None = None
    prints: tuple[_Print, ...] = ()
    looked: float = float("-inf")
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Trust:
    """The contexts of all receivers; for use in one event loop.

    Args:
        timer: seconds that only grow.
    """

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._known: dict[TrustFiles, _Known] = {}

    async def context(self, files: TrustFiles, attempt: Attempted) -> ssl.SSLContext:
        """Return the context for these files, as they are now or were a second ago.

        Args:
            files: that the listener names.
            attempt: for which they may have to be read.

        Raises:
            Unusable: one of them can't be used.
        """
        known = self._known.get(files)
        if known is not None and known.context and self._timer() - known.looked < _REST:
            return known.context
        if known is None:
            if len(self._known) >= _MOST_SETS:
                del self._known[next(iter(self._known))]
            known = self._known[files] = _Known()
        async with known.turn:
            if known.context is None or self._timer() - known.looked >= _REST:
                attempt.phase = Phase.CERTIFICATES
                await asyncio.to_thread(self._look, files, known)
        assert known.context is not None
        return known.context

    def _look(self, files: TrustFiles, known: _Known) -> None:
        """Make the context anew if the files have changed."""
        now = self._timer()
        prints = tuple(_prints(files))
        if known.context is None or prints != known.prints:
            # an old one must not go on where the new files can't be used
            known.context = None
            known.context = _made(files)
            known.prints = prints
        known.looked = now


def _prints(files: TrustFiles) -> Iterator[_Print]:
    """Yield what changes with the files.

    Raises:
        Unusable: one is not there.
    """
    named = (
        ("ca_path", files.authorities),
        ("client_cert", files.certificate),
        ("client_key", files.key),
    )
    for setting, name in named:
        if name is None:
            yield ()
            continue
        try:
            yield from _prints_of(Path(name), setting=setting)
        except OSError as error:
            raise Unusable(f"{setting} {name} can't be read: {error.strerror}") from error


def _prints_of(path: Path, *, setting: str) -> Iterator[_Print]:
    """Yield what changes with a file, or a folder and what lies in it."""
    found = path.stat()
    yield _print(found)
    if stat.S_ISDIR(found.st_mode) and setting == "ca_path":
        for index, entry in enumerate(os.scandir(path)):
            if index < _MOST_FILES:
                yield _print(entry.stat(follow_symlinks=entry.is_file()))
    elif not stat.S_ISREG(found.st_mode):
        raise Unusable(f"{setting} {path} is not a file")
    elif found.st_size > _LARGEST:
        raise Unusable(f"{setting} {path} is too large: more than {_LARGEST} bytes")


def _print(found: os.stat_result) -> _Print:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _made(files: TrustFiles) -> ssl.SSLContext:
    """Return a new context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if files.authorities is None:
        context.load_default_certs()
    else:
        _load_authorities(context, Path(files.authorities))
    if files.certificate is not None:
        try:
            # an encrypted key must fail, not ask at the terminal
            context.load_cert_chain(files.certificate, files.key, password="")
        except (ssl.SSLError, OSError) as error:
            raise Unusable(
                "client_cert and client_key can't be used: they must be PEM files of a "
                f"certificate and its key without a passphrase ({_why(error)})"
            ) from error
    return context


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    """Load the authorities of a file, or of a folder as ``openssl rehash`` makes it."""
    try:
        if path.is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError) as error:
        raise Unusable(
            f"ca_path {path} can't be used: it must be a PEM file of authorities, or a folder of "
            f"such files made by `openssl rehash` ({_why(error)})"
        ) from error


def _why(error: OSError) -> str:
    """Return what the library says, without the line of its source that said so."""
    reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return str(reason).lower().replace("_", " ")
