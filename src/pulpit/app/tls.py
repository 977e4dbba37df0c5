"""The server's certificate at its ports, where it may be changed while they are open."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from pulpit.app.certificates import load_certificate
from pulpit.app.handshakes import Handshakes
from pulpit.config import Settings

__all__ = ["Contexts", "Tls"]

#: Seconds for a handshake with the API; at the door, where whoever comes first waits for nobody,
#: it must be over sooner.
_API_SECONDS, _DOOR_SECONDS = 10.0, 3.0
#: Handshakes at a time.
_MOST = 500


class Contexts(NamedTuple):
    """How handshakes go."""

    #: Clients may show a certificate of a user's.
    api: ssl.SSLContext
    door: ssl.SSLContext


class Tls:
    """TLS at the API and at the door, if there is a certificate.

    Args:
        settings: of the server.
        authority: of users' certificates, PEM, to ask clients of the API for theirs; None: not.
        log: where it is told what clients may not like.

    Raises:
        ConfigurationError: the certificate or its key can't be used.
    """

    def __init__(self, settings: Settings, *, authority: str | None = None, log: Any) -> None:
        self._log = log
        self._authority = authority
        self._contexts: Contexts | None = None
        self._api = Handshakes(
            lambda: self._current().api, seconds=_API_SECONDS, most=_MOST, log=log
        )
        self._door = Handshakes(
            lambda: self._current().door, seconds=_DOOR_SECONDS, most=_MOST, log=log
        )
        self._is_on = settings.server.certificate is not None
        self.use(self.read(settings))

    def read(self, settings: Settings) -> Contexts | None:
        """Return what the files hold now; None where no certificate is set.

        Raises:
            ConfigurationError: they can't be used.
        """
        server = settings.server
        if not (server.certificate and server.private_key):
            return None
        found = load_certificate(server.certificate, server.private_key)
        for warning in found.warnings:
            self._log.warning("The server's certificate needs a look", problem=warning)
        asking = load_certificate(server.certificate, server.private_key).context
        if self._authority is not None:
            # one of another authority fails: what can't be checked is worse than none
            asking.load_verify_locations(cadata=self._authority)
            asking.verify_mode = ssl.CERT_OPTIONAL
            # the authority may itself be vouched for by another one
            asking.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return Contexts(api=asking, door=found.context)

    def use(self, contexts: Contexts | None) -> None:
        """Use a certificate from the next handshake on; whether there is one stays as it was."""
        if contexts is not None and self._is_on:
            self._contexts = contexts

    def before_http(
        self, protocol: Callable[..., asyncio.Protocol]
    ) -> Callable[..., asyncio.Protocol]:
        """Return the API's protocol, after a handshake where there is a certificate."""
        if not self._is_on:
            return protocol
        return lambda **given: self._api.before(partial(protocol, **given))

    def before_amqp(self, protocol: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
        """Return what a client of the door meets, where it speaks TLS."""
        return self._door.before(protocol)

    def close(self) -> None:
        """Break off all handshakes; the connections go on."""
        self._api.close()
        self._door.close()

    def _current(self) -> Contexts:
        """Return the contexts for the next handshake."""
        assert self._contexts is not None
        return self._contexts
