"""To which addresses deliveries may go: public ones, and those that the operator allows.

Whoever may create a listener could otherwise have this server send requests to whatever it alone
can reach: itself, its neighbors, and what hands out the credentials of its machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from pulpit.config.values import Network

__all__ = ["Address", "Networks"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Where clouds tell a machine its credentials; a wide network never allows them.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "169.254.169.254",  # nearly all of them
            "169.254.170.2",  # containers at Amazon
            "169.254.170.23",
            "169.254.42.42",  # Scaleway
            "169.254.0.23",  # Tencent
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure, although it is a public one
            "192.0.0.192",  # Oracle
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",  # Google
            "fd00:42::42",
            "fe80::a9fe:a9fe",  # OpenStack
        ),
    )
)


def _table(*rows: tuple[str, str]) -> tuple[tuple[Network, str], ...]:
    """Return networks, each with what it is."""
    return tuple((ipaddress.ip_network(network), what) for network, what in rows)


#: What is not public, by the registries of special-purpose addresses; the first match tells.
_NOT_PUBLIC_4 = _table(
    ("0.0.0.0/8", "an unspecified address"),
    ("10.0.0.0/8", "a private address"),
    ("100.64.0.0/10", "a shared address of a carrier"),
    ("127.0.0.0/8", "a loopback address"),
    ("169.254.0.0/16", "a link-local address"),
    ("172.16.0.0/12", "a private address"),
    ("192.0.0.0/24", "a reserved address"),
    ("192.0.2.0/24", "an address for documentation"),
    ("192.88.99.0/24", "a reserved address"),
    ("192.168.0.0/16", "a private address"),
    ("198.18.0.0/15", "an address for benchmarks"),
    ("198.51.100.0/24", "an address for documentation"),
    ("203.0.113.0/24", "an address for documentation"),
    ("224.0.0.0/4", "a multicast address"),
    ("255.255.255.255/32", "the broadcast address"),
    ("240.0.0.0/4", "a reserved address"),
)
_NOT_PUBLIC_6 = _table(
    ("::/128", "the unspecified address"),
    ("::1/128", "the loopback address"),
    ("::ffff:0:0/96", "an address of IPv4 written as one of IPv6"),
    ("::/96", "an address of IPv4 written as one of IPv6"),
    ("fc00::/7", "a private address"),
    ("fe80::/10", "a link-local address"),
    ("fec0::/10", "a site-local address"),
    ("ff00::/8", "a multicast address"),
    ("2001:db8::/32", "an address for documentation"),
    ("3fff::/20", "an address for documentation"),
    ("2001:2::/48", "an address for benchmarks"),
)
#: They lead to an address of IPv4 that they hold, which is judged in their place.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_EMBEDDED = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("::ffff:0:0/96"))
#: Assigned for single purposes by the IETF, none of which is a receiver.
_ASSIGNED = ipaddress.IPv6Network("2001::/23")
_GLOBAL = ipaddress.IPv6Network("2000::/3")
#: The middle of the second half of an ISATAP address, but for the bit that says who assigned it.
_ISATAP = 0x5EFE
_WORD = 0xFFFFFFFF


class Networks:
    """The judgement over addresses.

    Args:
        allowed: networks that deliveries may go to although they are not public.
    """

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)
        self._hosts = frozenset(
            network.network_address for network in self._allowed if network.num_addresses == 1
        )

    def refusal(self, address: str | Address) -> str | None:
        """Return what is wrong with an address, such as ``a private address``; None: it may be.

        Args:
            address: as text in its usual notation, or taken apart.
        """
        if isinstance(address, str):
            try:
                address = ipaddress.ip_address(address)
            except ValueError:
                return "no address"
        if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
            return "an address of one network interface"
        if address in self._hosts:
            return None
        held = tuple(_held(address))
        if any(each in _METADATA and each not in self._hosts for each in (address, *held)):
            return "the address of a metadata service"
        if any(address in network for network in self._allowed):
            return None
        if what := _not_public(address):
            return what
        for each in held:
            if what := self.refusal(each):
                return f"an address that leads to {each}, {what}"
        return None


def _not_public(address: Address) -> str | None:
    """Return what an address is that is not public, whatever address it holds."""
    if isinstance(address, ipaddress.IPv4Address):
        return next((what for network, what in _NOT_PUBLIC_4 if address in network), None)
    for network, what in _NOT_PUBLIC_6:
        if address in network:
            return what
    if address in _NAT64 or address in _TEREDO:
        return None
    return "a reserved address" if address in _ASSIGNED or address not in _GLOBAL else None


def _held(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield the addresses of IPv4 that an address holds and leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    number = int(address)
    if address in _NAT64 or any(address in network for network in _EMBEDDED):
        yield ipaddress.IPv4Address(number & _WORD)
    elif address in _SIX_TO_FOUR:
        yield ipaddress.IPv4Address(number >> 80 & _WORD)
    elif address in _TEREDO:
        yield ipaddress.IPv4Address(number >> 64 & _WORD)
        yield ipaddress.IPv4Address(~number & _WORD)
    if number >> 32 & 0xFDFFFFFF == _ISATAP:
        yield ipaddress.IPv4Address(number & _WORD)
