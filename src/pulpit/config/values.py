"""Kinds of values that a setting may have: how each is read from text and written back."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import SplitResult, urlsplit

__all__ = [
    "ADDRESS",
    "BOOLEAN",
    "BROKER_URLS",
    "FLOAT",
    "HASHES",
    "HOST",
    "NETWORKS",
    "PATH",
    "PORT",
    "QUOTED",
    "SIZE",
    "TEXT",
    "WEB_URL",
    "Address",
    "Kind",
    "Network",
    "choice",
    "integer",
    "masked_url",
    "number",
]

#: Addresses of IPv4 or IPv6 that belong together; a single one is a network of its own.
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

_BOOLEANS = {
    "1": True,
    "yes": True,
    "true": True,
    "on": True,
    "0": False,
    "no": False,
    "false": False,
    "off": False,
}
_UNITS = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_BROKER_SCHEMES = {
    "amqp": "amqp",
    "amqps": "amqps",
    "qpid": "amqp",
    "tcp": "amqp",
    "ssl": "amqps",
}
_MAX_PORT = 65535
_KNOWN_HASHES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")


#: What listens at every address of a machine is reached by the machine itself here.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


class Address(NamedTuple):
    """Where a server listens; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_anywhere(self) -> bool:
        """Whether who listens there listens at every address of the machine."""
        return self.host in _LOOPBACK

    @property
    def reached(self) -> Address:
        """Where this machine itself reaches what listens there."""
        return self._replace(host=_LOOPBACK.get(self.host, self.host))


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[T]):
    """A kind of value; ``parse`` raises ValueError with the reason, and never shows a secret."""

    name: str
    parse: Callable[[str], T]
    render: Callable[[T], str] = str
    #: How the value is shown where it may be read by others.
    show: Callable[[T], str] | None = None

    def shown(self, value: T) -> str:
        """Return *value* as text without secrets."""
        return (self.show or self.render)(value)


def integer(minimum: int = 0, maximum: int | None = None) -> Kind[int]:
    """Return whole numbers from *minimum* to *maximum*."""
    span = f"{minimum} to {maximum}" if maximum is not None else f"{minimum} or more"

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise ValueError(f"{text!r} is not a whole number")
        value = int(text)
        if value < minimum or (maximum is not None and value > maximum):
            raise ValueError(f"{value} is out of range: {span}")
        return value

    return Kind(name=f"integer, {span}", parse=parse)


def number(minimum: float = 0) -> Kind[float]:
    """Return decimal numbers from *minimum*."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[+-]?([0-9]{1,15}(\.[0-9]*)?|\.[0-9]+)", text):
            raise ValueError(f"{text!r} is not a number")
        value = float(text)
        if value < minimum:
            raise ValueError(f"{text} is out of range: {minimum:g} or more")
        return value

    return Kind(
        name=f"number, {minimum:g} or more",
        parse=parse,
        render=lambda value: f"{value:.15f}".rstrip("0").rstrip("."),
    )


def choice(values: type[E]) -> Kind[E]:
    """Return the members of an enumeration, in upper or lower case."""
    names = ", ".join(values)

    def parse(text: str) -> E:
        for member in values:
            if member.lower() == text.lower():
                return member
        raise ValueError(f"{text!r} is not one of {names}")

    return Kind(name=f"one of {names}", parse=parse)


def _boolean(text: str) -> bool:
    """Read a boolean in the spellings that Pulp 2 took."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is not a boolean: write true or false") from None


def _line(text: str) -> str:
    """Read text of one line; a second one is most often a key that was indented by mistake."""
    if any(ord(char) < ord(" ") for char in text):
        raise ValueError("the value must be one line without control characters")
    return text


def _quoted(text: str) -> str:
    """Read text whose quotes, if any, are not part of it, as Pulp 2's own file has them."""
    line = _line(text)
    unquoted = line[1:-1] if line[:1] == line[-1:] and line[:1] in {"'", '"'} else line
    if not unquoted:
        raise ValueError("the value is empty")
    return unquoted


def _host(text: str) -> str:
    """Read a host name or an IP address, in brackets or not."""
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not re.fullmatch(r"[0-9A-Za-z._:%-]+", host):
        raise ValueError(f"{text!r} is not a host name or an address")
    return host


def _address(text: str) -> Address:
    """Read ``host:port`` or ``[host]:port``."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        raise ValueError(f"{text!r} is not host:port, such as 127.0.0.1:5672")
    return Address(_host(host), PORT.parse(port))


def _path(text: str) -> Path:
    """Read the absolute path of a file or folder."""
    try:
        path = Path(_line(text)).expanduser()
    except RuntimeError:
        raise ValueError(
            f"{text!r} begins with the home folder of a user who is not known"
        ) from None
    if not path.is_absolute():
        raise ValueError(f"{text!r} is not an absolute path")
    return path


def _size(text: str) -> int:
    """Read a number of bytes, with or without a unit."""
    match = re.fullmatch(r"([0-9]{1,15})\s*([A-Za-z]*)", text)
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{text!r} is not a size, such as 2 GiB or 1048576")
    return int(match[1]) * unit


def _render_size(value: int) -> str:
    """Write a number of bytes with the largest unit that divides it."""
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value and value % factor == 0:
            return f"{value // factor} {unit}"
    return str(value)


def _hashes(text: str) -> tuple[str, ...]:
    """Read names of hash functions, separated by commas or spaces."""
    names = tuple(dict.fromkeys(re.split(r"[\s,]+", text.lower().strip(" ,\n"))))
    for name in names:
        if name not in _KNOWN_HASHES:
            raise ValueError(f"{name!r} is not one of {', '.join(_KNOWN_HASHES)}")
    return names


def _networks(text: str) -> tuple[Network, ...]:
    """Read addresses and networks, separated by commas or spaces."""
    found: dict[Network, None] = {}
    for word in re.split(r"[\s,]+", text.strip(" ,\n")):
        try:
            found[ipaddress.ip_network(word)] = None
        except ValueError:
            raise ValueError(
                f"{word!r} is not an address or a network, such as 192.0.2.7 or 192.0.2.0/24"
            ) from None
    return tuple(found)


def _render_networks(networks: tuple[Network, ...]) -> str:
    """Write networks; one of a single address as that address."""
    return ", ".join(
        str(network.network_address if network.num_addresses == 1 else network)
        for network in networks
    )


def _web_url(text: str) -> str:
    """Read a URL of the web without user, query and fragment, below which paths may be added."""
    if not re.fullmatch(r"https?://[^/?#@\s]+(/[!-~]*)?", text) or re.search("[?#]", text):
        raise ValueError(f"{text!r} is not a URL, such as https://pulp.example.com")
    return text


def masked_url(url: str) -> str:
    """Return *url* with its passwords, if any, as three stars."""
    plain = re.sub(r"(?<=://)([^/@:]*):.*@", r"\1:***@", url)
    return re.sub(r"([?&][^=&]*password=)[^&]*", r"\1***", plain)


def _split_url(url: str) -> SplitResult:
    """Take a broker's URL apart, or say what is wrong with it."""
    problem = f"{masked_url(url)!r} is not a URL, such as amqp://user:password@host:5672/vhost"
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(problem)
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        # The library's own message would show the password.
        raise ValueError(problem) from None
    if parts.scheme not in _BROKER_SCHEMES:
        raise ValueError(f"{masked_url(url)!r} must begin with amqp:// or amqps://")
    if not named:
        raise ValueError(problem)
    return parts


def _database_url(text: str) -> str:
    """Read a PostgreSQL URL as libpq takes it: several hosts and parameters may stand in it."""
    if re.match(r"(postgresql|postgres)://", text) and not re.fullmatch(r"[!-~]*", text):
        raise ValueError(
            f"{masked_url(text)!r} holds characters that no URL has: in a password, write a space "
            "as %20, and others as % and their code, too"
        )
    if not re.match(r"(postgresql|postgres)://", text):
        raise ValueError(
            f"{masked_url(text)!r} is not a URL, such as postgresql://pulpit@db.example.com/pulpit"
        )
    return text


def _broker_urls(text: str) -> tuple[str, ...]:
    """Read URLs of brokers; Pulp 2's qpid, tcp and ssl become AMQP."""
    urls = [url.strip() for url in text.split(";") if url.strip()]
    if not urls:
        raise ValueError("no URL is named")
    schemes = [_split_url(url).scheme for url in urls]
    return tuple(
        _BROKER_SCHEMES[scheme] + url[url.index("://") :]
        for scheme, url in zip(schemes, urls, strict=True)
    )


def _show_urls(urls: tuple[str, ...]) -> str:
    """Write the URLs without their passwords."""
    return "; ".join(masked_url(url) for url in urls)


PORT = integer(0, _MAX_PORT)
FLOAT = number()
BOOLEAN = Kind(name="boolean", parse=_boolean, render=lambda value: "true" if value else "false")
TEXT = Kind(name="text", parse=_line)
QUOTED = Kind(name="text", parse=_quoted)
HOST = Kind(name="host", parse=_host)
ADDRESS = Kind(name="host:port", parse=_address)
PATH = Kind(name="absolute path", parse=_path)
SIZE = Kind(name="size in bytes, or with KiB, MiB, GiB, TiB", parse=_size, render=_render_size)
HASHES = Kind(name="list of hash functions", parse=_hashes, render=", ".join)
NETWORKS = Kind(name="list of addresses and networks", parse=_networks, render=_render_networks)
WEB_URL = Kind(name="http:// or https:// URL", parse=_web_url)
DATABASE_URL = Kind(name="postgresql:// URL", parse=_database_url, show=masked_url)
BROKER_URLS = Kind(
    name="URLs, separated by ;", parse=_broker_urls, render="; ".join, show=_show_urls
)
