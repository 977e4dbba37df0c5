"""The URL of a listener, read more strictly than resolvers and libraries would read it.

What two readers could take for two hosts is refused: odd notations of addresses, credentials,
characters that look like others or turn into them.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pulpit.errors import InvalidValue, MissingValue
from pulpit.events.notifiers.networks import Address, Networks

__all__ = ["Target", "parse_target"]

_KEY = "url"
_LONGEST = 2_048
_LONGEST_NAME = 253
_PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65_535
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?]*)(?P<rest>.*)")
_PORT = re.compile(r"(?P<host>.*?)(?::(?P<port>[^:\]]*))?")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
#: A last label of which resolvers make an address, in one notation or another.
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_DOTTED = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
#: What stays as it is in path and query.
_SAFE = "/%:@!$&'()*+,;=~-._?[]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a listener is told."""

    #: In one spelling, ASCII.
    url: str
    #: ``http`` or ``https``.
    scheme: str
    #: Name or address, in lower case, an address of IPv6 without brackets.
    host: str
    port: int
    #: If the host is one.
    address: Address | None
    #: Host and port as a request names them, and path with query; both are parts of the URL.
    netloc: str
    path: str


def parse_target(url: Any, networks: Networks) -> Target:
    """Return a URL taken apart; no names are resolved.

    Args:
        url: of a listener's configuration, which may be anything.
        networks: judges the host if it is an address.

    Raises:
        MissingValue, InvalidValue: deliveries can't go there; the message says what to change.
    """
    if url is None or url == "":
        raise MissingValue(_KEY, why="say where to POST to: https://host/path")
    if not isinstance(url, str):
        raise _refused("it must be text")
    if len(url) > _LONGEST:
        raise _refused(f"it has more than {_LONGEST} characters")
    if " " in url or not url.isprintable():
        raise _refused("it has spaces or control characters; write them with percent signs")
    if "#" in url:
        raise _refused("it has a fragment, which is never sent; leave out # and what follows")
    found = _URL.fullmatch(url)
    if found is None or (scheme := found["scheme"].lower()) not in _PORTS:
        raise _refused("it must begin with http:// or https://")
    host, port = _authority(found["authority"])
    address = _address(host)
    if address is None:
        _check_name(host)
    elif what := networks.refusal(address):
        raise _refused(
            f"{address} is {what}; if it is to be told, add its network to allow_networks in "
            "[listeners]"
        )
    host = host.lower() if address is None else str(address)
    netloc = f"[{host}]" if ":" in host else host
    netloc += "" if port in (None, _PORTS[scheme]) else f":{port}"
    path = _path(found["rest"])
    return Target(
        url=f"{scheme}://{netloc}{path}",
        scheme=scheme,
        host=host,
        port=port or _PORTS[scheme],
        address=address,
        netloc=netloc,
        path=path,
    )


def _refused(why: str) -> InvalidValue:
    """Return the error that says why a URL is not used."""
    return InvalidValue(_KEY, why=why)


def _authority(authority: str) -> tuple[str, int | None]:
    """Return host, in its brackets, and port."""
    if "@" in authority:
        raise _refused("it has credentials; give them as username and password")
    found = _PORT.fullmatch(authority)
    if found is None or not found["host"]:
        raise _refused("it names no host: https://host/path")
    port = found["port"]
    if port is None:
        return found["host"], None
    if not (port.isascii() and port.isdigit() and len(port) <= len(str(_LAST_PORT))):
        raise _refused(f"the port must be a number from 1 to {_LAST_PORT}")
    if not 1 <= int(port) <= _LAST_PORT:
        raise _refused(f"the port must be a number from 1 to {_LAST_PORT}")
    return found["host"], int(port)


def _address(host: str) -> Address | None:
    """Return the address that a host is; None if it is a name."""
    if host.startswith("["):
        try:
            address = ipaddress.IPv6Address(host[1:-1] if host.endswith("]") else host)
        except ValueError:
            raise _refused("the address in brackets is none of IPv6") from None
        if address.scope_id is not None:
            raise _refused("the address has a zone; deliveries go through any interface")
        return address
    if not _NUMERIC.fullmatch(host.rpartition(".")[2]):
        return None
    if not _DOTTED.fullmatch(host):
        raise _refused("the address must be written as four decimal numbers, as in 192.0.2.7")
    return ipaddress.IPv4Address(host)


def _check_name(host: str) -> None:
    """Check the name of a host."""
    if not host.isascii():
        raise _refused("the name of the host must be ASCII; write an international one as xn--…")
    if host.endswith("."):
        raise _refused("the name of the host ends with a full stop; leave it out")
    if len(host) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, host.split("."))):
        raise _refused("the name of the host is none: letters, digits and hyphens between dots")


def _path(rest: str) -> str:
    """Return path and query as they are sent."""
    path, mark, query = rest.partition("?")
    # a question mark in a query is one
    return quote(path or "/", safe=_SAFE) + mark + quote(query, safe=_SAFE)
