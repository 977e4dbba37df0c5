"""The receiver of a listener of type http, from its host name to the clock by which it checks."""

from __future__ import annotations

import base64
import http.client
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pulpit.app.doctor.certificates import OwnCertificate
from pulpit.app.doctor.chain import Peer, client_context, tls_checks
from pulpit.app.doctor.findings import Check, Note, Problem, Skip
from pulpit.app.doctor.reaching import SECONDS, addresses_of, check_tcp, is_here
from pulpit.domain.listeners import OpenListener
from pulpit.errors import PulpitError
from pulpit.events.notifiers.networks import Networks
from pulpit.events.notifiers.signing import decode_keys, signature
from pulpit.events.notifiers.targets import Target, parse_target

__all__ = ["Receiver"]

#: Seconds by which clocks may differ: worth a word; receivers refuse signatures beyond that.
_SKEW, _TOO_MUCH_SKEW = 30.0, 300.0
#: Days left of a certificate that are worth a word: short-lived ones are renewed 30 days before.
_SOON = 21
_URL = "url of the listener"


@dataclass(slots=True, kw_only=True)
class Receiver:
    """Who is told by HTTP.

    Args:
        opened: the listener.
        networks: that deliveries may go to.
        now: the present time.
        patience: seconds that a whole answer may take.
    """

    opened: OpenListener
    networks: Networks
    now: Callable[[], datetime]
    patience: float = 2 * SECONDS
    _target: Target | None = None
    #: Why the URL can't be read.
    _unread: str = ""
    _allowed: list[str] = field(default_factory=list)
    _skew: float | None = None

    def __post_init__(self) -> None:
        """Read the URL as deliveries do."""
        try:
            self._target = parse_target(self._config.get("url"), self.networks)
        except PulpitError as error:
            self._unread = error.message

    def checks(self) -> Sequence[Check]:
        """Return what there is to look at; little without a URL that can be read."""
        url = Check(name="url", title="URL", answer=self.check_url)
        signature = Check(name="signature", title="Signature", answer=self.check_signature)
        if self._target is None:
            return (url, signature)
        secured: Sequence[Check] = ()
        if self._where.scheme == "https":
            secured = tls_checks(self._peer(), needs=("tcp",))
        before = ("tcp", *(check.name for check in secured))
        return (
            url,
            Check(name="host_name", title="Host name", answer=self.check_addresses),
            Check(name="tcp", title="TCP", answer=self.check_tcp, needs=("host_name",)),
            *secured,
            Check(name="answer", title="Answer", answer=self.check_answer, needs=before),
            Check(name="clock", title="Clock", answer=self.check_clock, needs=("answer",)),
            signature,
        )

    def check_url(self) -> str:
        """Look at the spelling, and whether others can read what is sent."""
        if self._target is None:
            update = f"`pulpit listener update {self.opened.listener.id} --url URL`"
            raise Problem(self._unread, f"correct it: {update}")
        if self._target.scheme == "https":
            return "with TLS"
        if is_here(self._target.host):
            return "without TLS, on this machine"
        raise Note(
            "without TLS: events, and a password, can be read on the way",
            f"use https:// in the {_URL}",
        )

    def check_addresses(self) -> str:
        """Look what the host name stands for, and whether deliveries may go there."""
        host = self._where.host
        addresses = addresses_of(host, setting=f"the {_URL}")
        refused = {
            address: what for address in addresses if (what := self.networks.refusal(address))
        }
        if refused:
            told = ", ".join(f"{address}, {what}" for address, what in refused.items())
            raise Problem(
                f"{host} stands for what deliveries may not go to: {told}",
                "if it is to be told, add its network to allow_networks in [listeners]",
            )
        self._allowed = addresses
        told = ", ".join(addresses)
        return f"{host} is an address" if told == host else f"{host} is {told}"

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
        rotate = f"make a new secret: `pulpit listener rotate-secret {self.opened.listener.id}`"
        try:
            keys = decode_keys(self.opened.secrets.signing)
        except ValueError as error:
            raise Problem(f"a secret can't be used: {error}", rotate) from error
        made = signature(keys, delivery_id="msg_0", now=self.now(), body=b"{}").split()
        if not made:
            raise Problem("there is no secret to sign with", rotate)
        if len(made) == 1:
            return "deliveries are signed"
        return f"deliveries are signed with {len(made)} secrets, while the older one holds"

    @property
    def _config(self) -> Mapping[str, Any]:
        """The listener's configuration."""
        return self.opened.listener.config

    @property
    def _where(self) -> Target:
        """What the URL says; only for who has seen that it can be read."""
        assert self._target is not None
        return self._target

    @property
    def _netloc(self) -> str:
        """Host and port, as they are told."""
        host, port = self._where.host, self._where.port
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _connect(self) -> socket.socket:
        """Return a connection to the first address that takes it; to no other than was judged."""
        failed: OSError = ConnectionError("no address")
        for address in self._allowed:
            try:
                return socket.create_connection((address, self._where.port), timeout=SECONDS)
            except OSError as error:
                failed = error
        raise failed

    def _ask(self) -> tuple[int, datetime | None]:
        """Return status and date of the answer to a HEAD request."""
        plug = self._connect()
        with plug:
            if self._where.scheme == "https":
                plug = client_context(self._peer(), names=True).wrap_socket(
                    plug, server_hostname=self._where.host
                )
            # a port that goes without saying is none of the header Host
            parts = urlsplit(self._where.url)
            connection = http.client.HTTPConnection(parts.netloc, timeout=SECONDS)
            target = f"{parts.path}?{parts.query}" if parts.query else parts.path
            connection.sock = plug
            with plug, _hung_up_after(plug, self.patience):
                connection.request("HEAD", target, headers=self._headers())
                answer = connection.getresponse()
        date = None
        with suppress(TypeError, ValueError):
            date = parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
        return answer.status, date

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
            host=self._where.host,
            connect=self._connect,
            greeting=f"OPTIONS * HTTP/1.1\r\nHost: {self._where.host}\r\n\r\n".encode(
                "ascii", "replace"
            ),
            authorities=Path(ca_path) if ca_path else None,
            own=own,
            soon=_SOON,
            authorities_setting="ca_path of the listener",
            own_setting="client_cert of the listener",
            address_setting=f"the {_URL}",
            without_tls=f"use http:// in the {_URL}, or turn TLS on at the receiver",
        )


@contextmanager
def _hung_up_after(plug: socket.socket, seconds: float) -> Iterator[None]:
    """Let reads in the block fail after so many seconds, however little each of them waits."""

    def hang_up() -> None:
        with suppress(OSError):
            plug.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
