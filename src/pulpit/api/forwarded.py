"""Who really asks, where proxies stand in between: ``Forwarded`` (RFC 7239), ``X-Forwarded-*``.

Anybody can send these headers, so only what a trusted proxy has written is believed. Each proxy
adds at the right whom it was asked by; from there to the left, the first address that is no trusted
proxy's is the client, and what stands left of it is the client's own word. Where both kinds of
headers come, one of them may have passed the proxy unseen: they are believed if they agree.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from starlette.types import ASGIApp, Receive, Scope, Send

from pulpit.api.client_certificates import CERTIFICATE, from_header

__all__ = ["ForwardedHeaders", "Network", "Origin", "origin"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Headers = Sequence[tuple[bytes, bytes]]

#: Proxies that may stand in a row, and characters of a line; what is beyond is not looked at.
_LONGEST_CHAIN, _LONGEST_LINE = 32, 8192
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_ADDRESS = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?|([0-9.]+)(?::([0-9]{1,5}))?")
_PAIR = re.compile(
    r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)="
    # addresses with a port should be quoted, but not all proxies know
    r"""(?:([!#$%&'*+.^_`|~0-9A-Za-z:\[\]-]+)|"((?:[^"\\]|\\.)*)")\s*"""
)
#: A quoted string, text without one, or a quotation mark that none ends.
_QUOTED_OR_NOT = re.compile(r'"(?:[^"\\]|\\.)*"|[^"]+|"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What trusted proxies tell of a request; None is what they do not tell."""

    #: Address and port of the client; 0 for a port that is not known.
    client: tuple[str, int] | None = None
    #: http or https, as the client spoke to the first proxy.
    scheme: str | None = None
    #: Host, and port if there is one, that the client asked.
    host: str | None = None


class ForwardedHeaders:
    """Passes requests on as the client sent them to the first proxy.

    Args:
        app: what answers.
        trusted: addresses of the proxies that are believed.
        certificate_header: in which they send clients' certificates, if they do.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        trusted: Sequence[Network],
        certificate_header: str | None = None,
    ) -> None:
        self._app, self._trusted = app, trusted
        self._header = certificate_header.lower().encode("latin-1") if certificate_header else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._believes(scope):
            # what the proxy itself has shown is not the client's
            scope.setdefault("state", {})[CERTIFICATE] = self._certificate(scope)
            scope = _as_sent(scope, origin(scope["headers"], trusted=self._trusted))
        await self._app(scope, receive, send)

    def _certificate(self, scope: Scope) -> bytes | None:
        """Return the client's certificate as the proxy tells it, in one line."""
        lines = [value for name, value in scope["headers"] if name == self._header]
        return from_header(lines[0].decode("latin-1")) if len(lines) == 1 else None

    def _believes(self, scope: Scope) -> bool:
        """Return whether a request has come from a trusted proxy."""
        peer, server = scope.get("client"), scope.get("server")
        if server and server[1] is None and server[0].startswith("/"):
            # by a Unix-domain socket, which its permissions guard
            return True
        return bool(peer and self._trusted and is_trusted(peer[0], self._trusted))


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Return whether an address is a trusted proxy's."""
    found = _parsed(address)
    return found is not None and any(found[0] in network for network in trusted)


def origin(headers: Headers, *, trusted: Sequence[Network]) -> Origin:
    """Return what the headers of a trusted proxy tell.

    Args:
        headers: of the request, their names in lower case.
        trusted: addresses of the proxies that are believed.
    """
    told = [
        found
        for found in (_of_forwarded(headers, trusted), _of_x_forwarded(headers, trusted))
        if found is not None
    ]
    if not told or any(other != told[0] for other in told):
        return Origin()
    return told[0]


def _of_x_forwarded(headers: Headers, trusted: Sequence[Network]) -> Origin | None:
    """Return what X-Forwarded-For, -Proto and -Host tell; None without any."""
    client, _ = _client(_listed(headers, b"x-forwarded-for"), trusted)
    # the last proxy's words alone: it has passed on or replaced what others told
    scheme = next(_listed(headers, b"x-forwarded-proto"), "")
    host = next(_listed(headers, b"x-forwarded-host"), "")
    found = Origin(client=client, scheme=_scheme(scheme), host=_host(host))
    return None if found == Origin() else found


def _of_forwarded(headers: Headers, trusted: Sequence[Network]) -> Origin | None:
    """Return what Forwarded tells; None without any."""
    elements = list(islice(_elements(headers), _LONGEST_CHAIN))
    if not elements:
        return None
    client, place = _client((element.get("for", "") for element in elements), trusted)
    told = elements[place]
    found = Origin(
        client=client, scheme=_scheme(told.get("proto", "")), host=_host(told.get("host", ""))
    )
    return None if found == Origin() else found


def _client(hops: Iterator[str], trusted: Sequence[Network]) -> tuple[tuple[str, int] | None, int]:
    """Return the client, and the place of the last hop that was looked at.

    Args:
        hops: as the proxies wrote them, the nearest one's first.
        trusted: addresses of the proxies that are believed.
    """
    client: tuple[str, int] | None = None
    place = 0
    for place, hop in enumerate(islice(hops, _LONGEST_CHAIN)):  # noqa: B007 - it is returned
        found = _parsed(hop)
        if found is None:
            # unknown, hidden, or garbage: all that is known is who passed it on
            break
        client = str(found[0]), found[1]
        if not any(found[0] in network for network in trusted):
            break
    return client, place


def _lines(headers: Headers, name: bytes) -> Iterator[str]:
    """Yield the lines of a header, the last one first."""
    return (value.decode("latin-1") for key, value in reversed(headers) if key == name)


def _listed(headers: Headers, name: bytes) -> Iterator[str]:
    """Yield the values of a header that is a plain list, the last one first."""
    for line in _lines(headers, name):
        yield from (value.strip() for value in reversed(line[-_LONGEST_LINE:].split(",")))


def _elements(headers: Headers) -> Iterator[dict[str, str]]:
    """Yield the pairs of each element of Forwarded, the last one first; none for garbage."""
    for line in _lines(headers, b"forwarded"):
        elements = _split(line, ",") if len(line) <= _LONGEST_LINE else [line]
        yield from (_pairs(element) for element in reversed(elements))


def _split(text: str, separator: str) -> list[str]:
    """Split at separators outside quoted strings; a quotation mark that none ends takes all."""
    found = [""]
    for piece in map(re.Match.group, _QUOTED_OR_NOT.finditer(text)):
        if piece == '"':
            return [text]
        first, *others = [piece] if piece.startswith('"') else piece.split(separator)
        found[-1] += first
        found += others
    return found


def _pairs(element: str) -> dict[str, str]:
    """Return the pairs of an element of Forwarded; none for what is none."""
    found: dict[str, str] = {}
    for part in _split(element, ";"):
        match = _PAIR.fullmatch(part)
        if match is None or match[1].lower() in found:
            return {}
        text = match[2] if match[2] is not None else re.sub(r"\\(.)", r"\1", match[3])
        found[match[1].lower()] = text
    return found


def _parsed(text: str) -> tuple[_IpAddress, int] | None:
    """Return address and port; None for what is no address."""
    match = _ADDRESS.fullmatch(text)
    host, port = (match[1] or match[3], match[2] or match[4]) if match else (text, None)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        address = address.ipv4_mapped or address
    number = int(port or 0)
    return (address, number) if number <= 0xFFFF else None  # noqa: PLR2004 - of 16 bits


def _scheme(text: str) -> str | None:
    """Return http or https; None for anything else."""
    return text.lower() if text.lower() in {"http", "https"} else None


def _host(text: str) -> str | None:
    """Return a host that may stand in a URL; None for anything else."""
    return text if _HOST.fullmatch(text) else None


def _as_sent(scope: Scope, told: Origin) -> Scope:
    """Return the scope of the request as the client sent it to the first proxy."""
    sent = dict(scope)
    if told.client:
        sent["client"] = told.client
    if told.scheme:
        sent["scheme"] = told.scheme
    if told.host:
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        sent["headers"] = [(b"host", told.host.encode("ascii")), *others]
    return sent
