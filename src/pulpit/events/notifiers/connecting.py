"""Connections to receivers: judged by the address that is connected to, whatever names say."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from pulpit.events.notifiers.attempts import Attempted, Phase
from pulpit.events.notifiers.networks import Networks

__all__ = ["AddressInfo", "Guard", "Lookup", "Resolver", "address_info", "look_up", "shown_peer"]

#: Returns the addresses that a name stands for; raises OSError if it stands for none.
Lookup = Callable[[str], Awaitable[Sequence[str]]]

#: As ``socket.getaddrinfo`` has it: family, kind, protocol, name, address.
AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]

#: Addresses of one name that are tried; all of them are judged.
_MOST_ADDRESSES = 8
#: Names that are looked up at a time; each takes a thread until it is answered.
_MOST_LOOKUPS = 64
_ALLOW = "if it is to be told, add its network to allow_networks in [listeners]"


async def look_up(name: str) -> Sequence[str]:
    """Return the addresses of a name, as the system resolves it.

    It may take the system long to give up; a thread of its own waits for that, so that nobody
    else does, neither other work of the loop nor the end of the process.

    Raises:
        OSError: there are none.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[str]] = loop.create_future()

    def settle(found: Sequence[str], error: OSError | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)

    def ask() -> None:
        found: Sequence[str] = ()
        failed: OSError | None = None
        try:
            told = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            found = tuple(dict.fromkeys(str(row[4][0]) for row in told))
        except OSError as error:
            failed = error
        except UnicodeError:
            failed = OSError("not a name")
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, found, failed)

    threading.Thread(target=ask, name="pulpit-lookup", daemon=True).start()
    return await answer


class Resolver:
    """Resolves names of receivers for one attempt's connection; refuses what may not be told.

    Those who want the same name at the same time wait for one answer; nothing is kept beyond that,
    as what a name stands for may change.

    Args:
        networks: judges each address.
        lookup: asks the system.
    """

    def __init__(self, networks: Networks, lookup: Lookup) -> None:
        self._networks, self._lookup = networks, lookup
        self._asked: dict[str, asyncio.Task[Sequence[str]]] = {}
        self._turns = asyncio.Semaphore(_MOST_LOOKUPS)

    async def resolve(self, host: str, port: int, attempt: Attempted) -> list[AddressInfo]:
        """Return the addresses to try, each of which may be told.

        Raises:
            OSError: the host has none, or one that may not be told.
        """
        attempt.phase = Phase.NAME
        addresses = await asyncio.shield(self._asking(host))
        if not addresses:
            raise OSError(f"{host} has no address")
        for address in addresses:
            if what := self._networks.refusal(address):
                attempt.refused = f"{host} stands for {address}, {what}; {_ALLOW}"
                raise OSError(attempt.refused)
        attempt.phase = Phase.CONNECTION
        return [address_info(address, port) for address in addresses[:_MOST_ADDRESSES]]

    def _asking(self, name: str) -> asyncio.Task[Sequence[str]]:
        """Return the lookup of a name that is under way, or begin one."""
        if (asked := self._asked.get(name)) is not None:
            return asked
        asked = self._asked[name] = asyncio.create_task(self._ask(name))
        asked.add_done_callback(lambda done: self._answered(name, done))
        return asked

    async def _ask(self, name: str) -> Sequence[str]:
        async with self._turns:
            return await self._lookup(name)

    def _answered(self, name: str, asked: asyncio.Task[Sequence[str]]) -> None:
        """Forget an answer; those who wait for it have it."""
        del self._asked[name]
        if not asked.cancelled():
            asked.exception()  # nobody may be left to hear it

    async def close(self) -> None:
        for asked in tuple(self._asked.values()):
            asked.cancel()


class Guard:
    """Makes the sockets of connections to receivers, for those addresses that may be told.

    Args:
        networks: judges each address again, so that no way leads around it.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._open: WeakSet[socket.socket] = WeakSet()

    @property
    def count(self) -> int:
        """How many connections there are."""
        return len(self._open)

    def __call__(self, info: AddressInfo, attempt: Attempted) -> socket.socket:
        """Return a socket for an address.

        Raises:
            OSError: it may not be connected to.
        """
        family, kind, protocol, _, address = info
        attempt.is_fresh, attempt.phase = True, Phase.CONNECTION
        attempt.peer = shown_peer(address)
        if what := self._networks.refusal(str(address[0])):
            attempt.refused = f"{address[0]} is {what}; {_ALLOW}"
            raise OSError(attempt.refused)
        made = socket.socket(family, kind, protocol)
        self._open.add(made)
        return made


def address_info(address: str, port: int) -> AddressInfo:
    """Return what a socket is made of for an address in its usual notation."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


def shown_peer(address: Any) -> str:
    """Return address and port as they are written: ``192.0.2.7:443``, ``[2001:db8::7]:443``."""
    if not isinstance(address, tuple):
        return ""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
