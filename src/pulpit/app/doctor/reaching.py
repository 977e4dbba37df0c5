"""Whether another server can be reached: its name, its port."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress

from pulpit.app.doctor.findings import Problem

__all__ = ["SECONDS", "addresses_of", "check_host_name", "check_tcp", "is_here"]

#: For which an answer is awaited.
SECONDS = 3.0


def addresses_of(host: str, *, setting: str) -> list[str]:
    """Return the addresses that a host name stands for.

    Args:
        host: name or address.
        setting: that holds it, in words.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Problem(
            f"{host} stands for no address ({getattr(error, 'strerror', None) or error})",
            f"correct {setting}, or the name service (/etc/hosts, DNS)",
        ) from error
    return sorted({str(entry[4][0]) for entry in found})


def check_host_name(host: str, *, setting: str) -> str:
    """Look whether the host name stands for an address."""
    addresses = addresses_of(host, setting=setting)
    if addresses == [host]:
        return f"{host} is an address"
    return f"{host} is {', '.join(addresses)}"


def check_tcp(
    connect: Callable[[], socket.socket], netloc: str, *, called: str, setting: str
) -> str:
    """Look whether something listens.

    Args:
        connect: returns a connection, or raises OSError.
        netloc: host and port.
        called: who should listen, in words.
        setting: that holds the address.
    """
    try:
        connect().close()
    except TimeoutError as error:
        raise Problem(
            f"{netloc} does not answer within {SECONDS:g} s",
            "look for a firewall on the way, or a machine that is down",
        ) from error
    except OSError as error:
        raise Problem(
            f"{netloc}: {error.strerror or error}", f"start {called}, or correct {setting}"
        ) from error
    return f"{netloc} accepts connections"


def is_here(host: str) -> bool:
    """Return whether a host is this machine."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
