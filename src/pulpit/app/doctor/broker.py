"""One broker, from the spelling of its URL to whether it would take a message now."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from pulpit.app.doctor.certificates import OwnCertificate
from pulpit.app.doctor.chain import Peer, tls_checks
from pulpit.app.doctor.findings import Check, Note, Problem, Skip
from pulpit.app.doctor.reaching import SECONDS, check_host_name, check_tcp, is_here
from pulpit.events.amqp.addresses import Address
from pulpit.events.amqp.inspection import Inspection, Writing
from pulpit.events.amqp.link import LinkOptions
from pulpit.events.amqp.reasons import LinkError, Reason
from pulpit.events.message import EXCHANGE

__all__ = ["Broker"]

_URL = "event_notification_url in [messaging]"
_CLIENTCERT = "clientcert in [messaging]"
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


@dataclass(slots=True)
class Broker:
    """A broker that events are to be published to.

    Args:
        address: of one URL.
        options: how the publisher connects.
        exchange: that messages go to.
    """

    address: Address
    options: LinkOptions
    exchange: str = EXCHANGE
    _inspection: Inspection = field(init=False)
    _refused: LinkError | None = None
    _has_exchange: bool = False

    def __post_init__(self) -> None:
        """Be ready to look at it."""
        self._inspection = Inspection(self.address, self.options, exchange=self.exchange)

    def checks(self) -> Sequence[Check]:
        """Return what there is to look at."""
        secured = tls_checks(self._peer(), needs=("tcp",)) if self.address.tls else ()
        before = ("tcp", *(check.name for check in secured))
        return (
            Check(name="url", title="URL", answer=self.check_url),
            Check(name="host_name", title="Host name", answer=self.check_host_name),
            Check(name="tcp", title="TCP", answer=self.check_tcp, needs=("host_name",)),
            *secured,
            Check(name="login", title="Login", answer=self.check_login, needs=before),
            Check(
                name="virtual_host",
                title="Virtual host",
                answer=self.check_virtual_host,
                needs=("login",),
            ),
            Check(
                name="exchange",
                title="Exchange",
                answer=self.check_exchange,
                needs=("virtual_host",),
            ),
            Check(name="publish", title="Publish", answer=self.check_write, needs=("exchange",)),
        )

    def close(self) -> None:
        """End what is open."""
        self._inspection.close()

    def _peer(self) -> Peer:
        """Return whom TLS is spoken with."""
        address, options = self.address, self.options
        own = None
        if options.clientcert:
            own = OwnCertificate(certificate=options.clientcert, setting=_CLIENTCERT)
        return Peer(
            called="the broker",
            host=address.host,
            connect=lambda: socket.create_connection(
                (address.host, address.port), timeout=options.timeout
            ),
            greeting=_PROTOCOL_HEADER,
            authorities=options.cacert,
            own=own,
            authorities_setting="cacert in [messaging]",
            own_setting=_CLIENTCERT,
            address_setting=_URL,
            without_tls="use the broker's TLS port (most often 5671), or amqp:// for one without "
            "TLS",
        )

    def check_url(self) -> str:
        """Look at the spelling; who can't be read has no address at all."""
        if self.address.note:
            raise Note(self.address.note, f"write it so in {_URL}")
        if not self.address.tls and not is_here(self.address.host):
            raise Note(
                "without TLS: the password and all events can be read on the way",
                f"use amqps:// in {_URL}",
            )
        return "without TLS, on this machine" if not self.address.tls else "with TLS"

    def check_host_name(self) -> str:
        """Look whether the host name stands for an address."""
        return check_host_name(self.address.host, setting=_URL)

    def check_tcp(self) -> str:
        """Look whether something listens."""
        where = (self.address.host, self.address.port)
        return check_tcp(
            lambda: socket.create_connection(where, timeout=SECONDS),
            self.address.netloc,
            called="the broker",
            setting=_URL,
        )

    def check_login(self) -> str:
        """Look whether the broker lets us in."""
        try:
            product = self._inspection.log_in()
        except LinkError as error:
            self._refused = error
            if error.reason is not Reason.NO_VHOST:
                raise _problem(error) from error
            product = "the broker"
        return f"{product} accepts {self.address.user or 'guest'}"

    def check_virtual_host(self) -> str:
        """Look whether the virtual host is there for us."""
        if self._refused:
            raise _problem(self._refused)
        return f"{self.address.virtual_host} is open"

    def check_exchange(self) -> str:
        """Look whether the exchange is there as consumers expect it."""
        try:
            self._has_exchange = self._inspection.exchange()
        except LinkError as error:
            raise _problem(error) from error
        if not self._has_exchange:
            raise Note(
                f"{self.exchange} is not there yet: the server declares it when it connects, if "
                "the user may configure it"
            )
        return f"{self.exchange} is of type topic, durable"

    def check_write(self) -> str:
        """Look whether a message would be taken now; none is ever delivered."""
        if not self._has_exchange:
            raise Skip("there is no exchange yet")
        try:
            found = self._inspection.write(seconds=SECONDS)
        except LinkError as error:
            raise _problem(error) from error
        if found is Writing.BLOCKED:
            raise Problem(
                "the broker takes no messages now: it has a memory or disk alarm",
                "look at `rabbitmq-diagnostics alarms`; events wait in the journal meanwhile",
            )
        if found is Writing.UNKNOWN:
            raise Skip("only RabbitMQ can be asked without sending a message")
        return "messages are taken"


def _problem(error: LinkError) -> Problem:
    """Return what the publisher would log, its advice apart where it can be told apart."""
    what, colon, advice = error.message.partition(": ")
    return Problem(what, advice) if colon else Problem(error.message)
