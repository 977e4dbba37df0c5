"""Where brokers are: the setting ``event_notification_url``, read."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote

from kombu.utils.url import url_to_parts

from pulpit.errors import ConfigurationError

__all__ = ["Address", "parse_addresses"]

#: Scheme to (AMQP scheme, what Pulp 2 meant by it).
_SCHEMES = {
    "amqp": "amqp",
    "amqps": "amqps",
    "qpid": "amqp",
    "tcp": "amqp",
    "ssl": "amqps",
}
_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One broker."""

    host: str
    port: int
    virtual_host: str = "/"
    #: None: none was given.
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    #: What an operator should know about the spelling of the URL; empty if nothing.
    note: str = ""

    @property
    def netloc(self) -> str:
        """The host and port, as sockets' textual addresses have them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        """Return the URL without the password."""
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        path = "/" if self.virtual_host == "/" else f"/{quote(self.virtual_host, safe='')}"
        return f"{'amqps' if self.tls else 'amqp'}://{user}{self.netloc}{path}"


def parse_addresses(urls: str) -> tuple[Address, ...]:
    """Return the brokers of *urls*, in the order in which they are tried.

    Args:
        urls: URLs separated by ``;``. ``qpid://`` and ``tcp://`` are read as ``amqp://``,
            ``ssl://`` as ``amqps://``.

    Raises:
        ConfigurationError: one can't be read, or there is none.
    """
    found = tuple(_parse(url.strip()) for url in urls.split(";") if url.strip())
    if not found:
        raise _wrong("name a broker, such as amqp://guest:guest@localhost:5672/")
    return found


def _parse(url: str) -> Address:
    """Return the broker of one URL."""
    spelled = url.partition("://")[0].lower() if "://" in url else ""
    scheme = _SCHEMES.get(spelled)
    if scheme is None:
        raise _wrong(f"a URL must begin with one of {', '.join(f'{name}://' for name in _SCHEMES)}")
    try:
        parts = url_to_parts(url)
    except ValueError as error:
        # the error's own text may quote the URL with its password
        raise _wrong("a URL can't be read: check its host and port") from error
    if not parts.hostname:
        raise _wrong("a URL names no host")
    note = "" if spelled == scheme else f"{spelled}:// is read as {scheme}:// (AMQP 0-9-1)"
    return Address(
        host=parts.hostname,
        port=parts.port or _PORTS[scheme],
        virtual_host=parts.path or "/",
        user=parts.username,
        password=parts.password,
        tls=scheme == "amqps",
        note=note,
    )


def _wrong(reason: str) -> ConfigurationError:
    """Return the error that names the setting."""
    return ConfigurationError(reason, section="messaging", key="event_notification_url")
