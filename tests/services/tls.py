"""Certificates for tests, and TLS in front of a service that has none."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme

from tests.services.front import Front

__all__ = ["Files", "TlsFront", "issue"]


@dataclass(frozen=True, kw_only=True)
class Files:
    """A certificate, its key and the certificate of its authority, as PEM in files."""

    certificate: Path
    key: Path
    authority: Path

    @property
    def settings(self) -> str:
        """The lines of section [server] that name them."""
        return f"certificate: {self.certificate}\nprivate_key: {self.key}\n"


def issue(
    folder: Path,
    *names: str,
    authority: trustme.CA | None = None,
    until: datetime | None = None,
) -> Files:
    """Write a certificate for these names into a folder, in place of one that is there.

    Args:
        folder: made if it is not there.
        names: of hosts, or addresses.
        authority: that issues it; None makes one.
        until: when it expires; None is far away.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority = authority or trustme.CA()
    issued = authority.issue_cert(*names, not_after=until)
    files = Files(
        certificate=folder / "server.pem",
        key=folder / "server.key",
        authority=folder / "authority.pem",
    )
    authority.cert_pem.write_to_path(str(files.authority))
    for blob, path in (
        (b"".join(pem.bytes() for pem in issued.cert_chain_pems), files.certificate),
        (issued.private_key_pem.bytes(), files.key),
    ):
        path.write_bytes(blob)
    files.key.chmod(0o600)
    return files


class TlsFront(Front):
    """Speaks TLS with clients and passes bytes to a port without it.

    Args:
        context: the server's certificate, and whom it asks for one.
        port: of 127.0.0.1, where the service is.
    """

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        super().__init__(port)
        self._context = context
        self._open: list[socket.socket] = []

    def cut(self) -> None:
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _serve(self, client: socket.socket) -> None:
        self._open.append(client)
        # a client that refuses the certificate, or ends without goodbye, is an OSError too
        secure = self._context.wrap_socket(client, server_side=True)
        with secure, self._service() as plain:
            self._open += secure, plain
            while True:
                ready = [secure] if secure.pending() else select.select([secure, plain], [], [])[0]
                for source in ready:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    (plain if source is secure else secure).sendall(data)
