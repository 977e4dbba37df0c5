"""Event listeners in memory, and a vault for what of them is secret."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence

import msgspec

from pulpit.domain.listeners import Health, Listener, Secrets
from pulpit.errors import MissingResource, SecretsUnreadable
from pulpit.testing.state import State

__all__ = ["MemoryListenerStore", "MemoryVault"]


class MemoryListenerStore:
    """Implements ``pulpit.ports.ListenerStore``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, listener: Listener) -> None:
        self._state.listeners[listener.id] = listener

    def get(self, listener_id: str) -> Listener:
        if listener_id not in self._state.listeners:
            raise MissingResource(event_listener_id=listener_id)
        return self._state.listeners[listener_id]

    def list(self) -> Sequence[Listener]:
        return sorted(self._state.listeners.values(), key=lambda each: (each.created, each.id))

    def update(self, listener: Listener) -> None:
        if (known := self._state.listeners.get(listener.id)) is not None:
            self.add(dataclasses.replace(listener, health=known.health))

    def set_health(self, healths: Mapping[str, Health]) -> None:
        for listener_id, health in healths.items():
            if (known := self._state.listeners.get(listener_id)) is not None:
                self.add(dataclasses.replace(known, health=health))

    def remove(self, listener_id: str) -> None:
        self._state.listeners.pop(listener_id, None)
        for number, delivery in list(self._state.deliveries.items()):
            if delivery.listener_id == listener_id:
                del self._state.deliveries[number]


class MemoryVault:
    """Implements ``pulpit.ports.Vault``; whoever looks at what is sealed can't miss what it is.

    Args:
        key: what is sealed with another one can't be read.
    """

    def __init__(self, key: str = "key") -> None:
        self._mark = f"sealed with {key}: ".encode()

    def seal(self, secrets: Secrets) -> bytes:
        return self._mark + base64.b85encode(msgspec.json.encode(secrets))

    def open(self, sealed: bytes) -> Secrets:
        if not sealed.startswith(self._mark):
            raise SecretsUnreadable
        text = base64.b85decode(sealed.removeprefix(self._mark))
        return msgspec.json.decode(text, type=Secrets)
