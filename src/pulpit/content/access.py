"""How a feed is reached: credentials, certificates, proxy and speed."""

from __future__ import annotations

import os
import ssl
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Access", "ssl_context"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What is needed to download from a feed; secrets never show in its repr."""

    #: URL without credentials; they are sent to its host only.
    feed: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    #: A token that is sent as the query of each URL.
    query: str | None = field(default=None, repr=False)
    #: URL of a proxy without credentials.
    proxy: str | None = None
    proxy_username: str | None = None
    proxy_password: str | None = field(default=None, repr=False)
    #: False: any certificate of the feed is taken.
    verify: bool = True
    #: PEM text of the authorities that may sign the feed's certificate; None: the system's.
    ca: str | None = None
    #: PEM text of the client's certificate and key; the key may stand in the certificate's text.
    client_cert: str | None = None
    client_key: str | None = field(default=None, repr=False)
    #: Bytes per second for all downloads together; None: no limit.
    max_speed: int | None = None


def ssl_context(access: Access) -> ssl.SSLContext:
    """Return the context for connections over TLS.

    Raises:
        ValueError: a certificate or key can't be used.
    """
    try:
        context = ssl.create_default_context(cadata=access.ca or None)
        if not access.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if access.client_cert:
            _load_client(context, access.client_cert, access.client_key or "")
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"a certificate or key can't be used: {error.strerror}") from error
    return context


def _load_client(context: ssl.SSLContext, cert: str, key: str) -> None:
    """Load a client's certificate; the library takes it from a file only."""
    descriptor, name = tempfile.mkstemp(prefix="pulpit-client-")  # readable by its owner only
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{cert}\n{key}\n")
        # an encrypted key must fail, not ask at the terminal
        context.load_cert_chain(name, password="")
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()
