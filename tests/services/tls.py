"""Certificates for tests, and TLS in front of a service that has none."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme

from tests.services.front import Front

__all__ = ["Files", "HttpProxy", "TlsFront", "issue"]


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
            self._begin(secure, plain)
            while True:
                ready = [secure] if secure.pending() else select.select([secure, plain], [], [])[0]
                for source in ready:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    (plain if source is secure else secure).sendall(data)

    def _begin(self, secure: ssl.SSLSocket, plain: socket.socket) -> None:
        """Do what comes before bytes are passed on as they are."""


class HttpProxy(TlsFront):
    """Ends TLS in front of an HTTP server, and tells it who has asked; one request a connection.

    Args:
        context: the proxy's certificate.
        port: of 127.0.0.1, where the server is.
        added: headers to add; ``{client}`` stands for the address of who has asked. One that the
            client has sent too is continued, as proxies do it.
    """

    def __init__(self, context: ssl.SSLContext, port: int, added: Mapping[str, str]) -> None:
        super().__init__(context, port)
        self._added = added

    def _begin(self, secure: ssl.SSLSocket, plain: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            data = secure.recv(1 << 16)
            if not data:
                return
            received += data
        head, _, rest = received.partition(b"\r\n\r\n")
        request, *lines = head.decode("latin-1").split("\r\n")
        headers = [line for line in lines if not line.lower().startswith("connection:")]
        for name, text in self._added.items():
            value = text.format(client=secure.getpeername()[0])
            sent = [line for line in headers if line.lower().startswith(f"{name.lower()}:")]
            headers = [line for line in headers if line not in sent]
            before = [line.partition(":")[2].strip() for line in sent]
            headers.append(f"{name}: {', '.join([*before, value])}")
        told = "\r\n".join([request, *headers, "Connection: close"])
        plain.sendall(told.encode("latin-1") + b"\r\n\r\n" + rest)
