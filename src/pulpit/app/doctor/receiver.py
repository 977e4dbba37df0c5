"""The receiver of a listener of type http, from its host name to the clock by which it checks."""

from __future__ import annotations

import base64
import http.client
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from pulpit.app.doctor.certificates import OwnCertificate
from pulpit.app.doctor.chain import Peer, client_context, tls_checks
from pulpit.app.doctor.findings import Check, Note, Problem, Skip
from pulpit.app.doctor.reaching import SECONDS, addresses_of, check_tcp, is_here
from pulpit.domain.listeners import OpenListener

__all__ = ["Receiver"]

_PORTS = {"http": 80, "https": 443}
#: Seconds by which clocks may differ: worth a word; receivers refuse signatures beyond that.
_SKEW, _TOO_MUCH_SKEW = 30.0, 300.0
#: Days left of a certificate that are worth a word: short-lived ones are renewed 30 days before.
_SOON = 21
#: What may stand in a path and a query as it is.
_SAFE = "/%:@!$&'()*+,;=~-._?"
_URL = "url of the listener"
_NOWHERE = urlsplit("")


@dataclass(slots=True, kw_only=True)
class Receiver:
    """Who is told by HTTP.

    Args:
        opened: the listener.
        judge: returns why deliveries may not go to an address; None if they may.
        now: the present time.
    """

    opened: OpenListener
    judge: Callable[[str], str | None]
    now: Callable[[], datetime]
    _allowed: list[str] = field(default_factory=list)
    _skew: float | None = None

    def checks(self) -> Sequence[Check]:
        """Return what there is to look at."""
        secured: Sequence[Check] = ()
        if self._url.scheme == "https":
            secured = tls_checks(self._peer(), needs=("tcp",))
        before = ("tcp", *(check.name for check in secured))
        return (
            Check(name="url", title="URL", answer=self.check_url),
            Check(name="host_name", title="Host name", answer=self.check_addresses, needs=("url",)),
            Check(name="tcp", title="TCP", answer=self.check_tcp, needs=("host_name",)),
            *secured,
            Check(name="answer", title="Answer", answer=self.check_answer, needs=before),
            Check(name="clock", title="Clock", answer=self.check_clock, needs=("answer",)),
            Check(name="signature", title="Signature", answer=self.check_signature),
        )

    def check_url(self) -> str:
        """Look at the spelling, and whether others can read what is sent."""
        if self._url.scheme not in _PORTS or not self._url.hostname:
            raise Problem("it can't be read", f"correct the {_URL}: https://host/path")
        if self._url.scheme == "https":
            return "with TLS"
        if is_here(self._host):
            return "without TLS, on this machine"
        raise Note(
            "without TLS: events, and a password, can be read on the way",
            f"use https:// in the {_URL}",
        )

    def check_addresses(self) -> str:
        """Look what the host name stands for, and whether deliveries may go there."""
        addresses = addresses_of(self._host, setting=f"the {_URL}")
        refused = {address: reason for address in addresses if (reason := self.judge(address))}
        if refused:
            told = ", ".join(f"{address} ({reason})" for address, reason in refused.items())
            raise Problem(
                f"{self._host} stands for what deliveries may not go to: {told}",
                "if it is to be told, add its network to allow_networks in [listeners]",
            )
        self._allowed = addresses
        told = ", ".join(addresses)
        return f"{self._host} is an address" if told == self._host else f"{self._host} is {told}"

    def check_tcp(self) -> str:
        """Look whether something listens."""
        return check_tcp(self._connect, self._netloc, called="the receiver", setting=f"the {_URL}")

    def check_answer(self) -> str:
        """Look what it answers to a HEAD request, which is no delivery."""
        try:
            status, date = self._ask()
        except (http.client.HTTPException, OSError) as error:
            raise Problem(
                f"it gives no answer by HTTP ({error or type(error).__name__})",
                "look at the receiver's log, or at that of a proxy in front of it",
            ) from error
        self._skew = None if date is None else (date - self.now()).total_seconds()
        words = f"HEAD is answered by {status}"
        test = f"send a ping: `pulpit listener test {self.opened.listener.id}`"
        match status:
            case HTTPStatus.NOT_IMPLEMENTED:
                return words
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                raise Note(words, f"look at username and password, and {test}")
            case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
                raise Note(words, f"look at the path of the {_URL}, and {test}")
            case _ if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
                raise Problem(
                    f"{words}, and redirects are not followed",
                    f"write the address that it leads to into the {_URL}",
                )
            case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise Note(words, f"look at the receiver's log, and {test}")
        return words

    def check_clock(self) -> str:
        """Look whether its clock agrees with ours, by which it judges signatures."""
        if self._skew is None:
            raise Skip("it told no date")
        words = f"{abs(self._skew):.0f} s between this clock and the receiver's"
        fix = "let both machines take their time by NTP"
        if abs(self._skew) > _TOO_MUCH_SKEW:
            raise Problem(f"{words}: it will take signatures for too old or too new", fix)
        if abs(self._skew) > _SKEW:
            raise Note(words, fix)
        return "this one and the receiver's agree"

    def check_signature(self) -> str:
        """Look whether deliveries are signed so that a receiver can tell."""
        secrets = [
            secret
            for secret in self.opened.secrets.signing
            if secret.until is None or secret.until > self.now()
        ]
        rotate = f"`pulpit listener rotate-secret {self.opened.listener.id}`"
        if not secrets:
            raise Problem("there is no secret to sign with", f"make one: {rotate}")
        if any(_key(secret.value) is None for secret in secrets):
            raise Problem("a secret can't be used: it must be whsec_ and base64", rotate)
        if len(secrets) == 1:
            return "deliveries are signed"
        return f"deliveries are signed with {len(secrets)} secrets, while the older one holds"

    @property
    def _config(self) -> Mapping[str, Any]:
        """The listener's configuration."""
        return self.opened.listener.config

    @property
    def _url(self) -> SplitResult:
        """Where it is."""
        try:
            parts = urlsplit(str(self._config.get("url") or ""))
            # a port that is none is told only when it is asked for
            port = parts.port
        except ValueError:
            return _NOWHERE
        return _NOWHERE if port == 0 else parts

    @property
    def _host(self) -> str:
        """Its name, or address."""
        return self._url.hostname or ""

    @property
    def _port(self) -> int:
        return self._url.port or _PORTS[self._url.scheme]

    @property
    def _netloc(self) -> str:
        """Host and port, as they are told."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    def _connect(self) -> socket.socket:
        """Return a connection to the first address that takes it; to no other than was judged."""
        failed: OSError = ConnectionError("no address")
        for address in self._allowed:
            try:
                return socket.create_connection((address, self._port), timeout=SECONDS)
            except OSError as error:
                failed = error
        raise failed

    def _ask(self) -> tuple[int, datetime | None]:
        """Return status and date of the answer to a HEAD request."""
        plug = self._connect()
        with plug:
            if self._url.scheme == "https":
                plug = client_context(self._peer(), names=True).wrap_socket(
                    plug, server_hostname=self._host
                )
            connection = http.client.HTTPConnection(self._host, self._url.port, timeout=SECONDS)
            connection.sock = plug
            with plug:
                connection.request("HEAD", self._target, headers=self._headers())
                answer = connection.getresponse()
        date = None
        with suppress(TypeError, ValueError):
            date = parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
        return answer.status, date

    @property
    def _target(self) -> str:
        """What is asked for: path and query."""
        query = f"?{self._url.query}" if self._url.query else ""
        return quote(f"{self._url.path or '/'}{query}", safe=_SAFE)

    def _headers(self) -> dict[str, str]:
        """Return what is told with the request."""
        headers = {"User-Agent": "pulpit-doctor", "Connection": "close"}
        user, password = self._config.get("username"), self.opened.secrets.password
        if user is not None:
            login = base64.b64encode(f"{user}:{password or ''}".encode()).decode()
            headers["Authorization"] = f"Basic {login}"
        return headers

    def _peer(self) -> Peer:
        """Return whom TLS is spoken with."""
        ca_path = self._config.get("ca_path")
        certificate, key = self._config.get("client_cert"), self._config.get("client_key")
        own = None
        if certificate:
            own = OwnCertificate(
                certificate=Path(certificate),
                key=Path(key) if key else None,
                setting="client_cert of the listener",
            )
        return Peer(
            called="the receiver",
            host=self._host,
            connect=self._connect,
            greeting=f"OPTIONS * HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode("ascii", "replace"),
            authorities=Path(ca_path) if ca_path else None,
            own=own,
            soon=_SOON,
            authorities_setting="ca_path of the listener",
            own_setting="client_cert of the listener",
            address_setting=f"the {_URL}",
            without_tls=f"use http:// in the {_URL}, or turn TLS on at the receiver",
        )


def _key(secret: str) -> bytes | None:
    """Return the bytes that a secret stands for; None if it is none."""
    prefix, _, encoded = secret.partition("_")
    try:
        return base64.b64decode(encoded, validate=True) if prefix == "whsec" else None
    except ValueError:
        return None
