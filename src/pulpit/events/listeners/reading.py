"""Reading of the database for who delivers; all of it may block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pulpit.domain.deliveries import Delivery
from pulpit.domain.listeners import Listener, OpenListener
from pulpit.domain.messages import Message
from pulpit.errors import PulpitError
from pulpit.events.listeners.desk import Opened
from pulpit.events.listeners.lanes import Read
from pulpit.ports import Storage, Transaction, Vault

__all__ = ["Found", "look", "read_message", "read_pending"]

#: Messages that are read at once, and bytes of bodies after which no more are.
_MESSAGES, _BYTES = 8, 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was read for several listeners."""

    #: In the order in which it was asked for.
    deliveries: Sequence[Sequence[Delivery]]
    #: Of these deliveries, as far as they were lacking and not too large altogether.
    messages: Mapping[int, Message]


def read_pending(
    storage: Storage,
    asked: Sequence[tuple[str, Read]],
    lacking: Callable[[Iterable[int]], Iterable[int]],
) -> Found:
    """Read pending deliveries, with their messages.

    Args:
        storage: where they are.
        asked: id of a listener, and what of its deliveries is wanted.
        lacking: returns which messages are not held already; called in this thread.
    """
    with storage.read() as transaction:
        found = [
            transaction.deliveries.pending(
                listener_id, after=read.after, limit=read.limit, lane=read.lane
            )
            for listener_id, read in asked
        ]
        numbers = sorted(lacking({each.message for some in found for each in some}))
        return Found(deliveries=found, messages=_messages(transaction, numbers))


def _messages(transaction: Transaction, numbers: Sequence[int]) -> Mapping[int, Message]:
    """Return the first ones of the messages, as many as are not too large altogether."""
    messages: dict[int, Message] = {}
    size = 0
    for start in range(0, len(numbers), _MESSAGES):
        some = transaction.deliveries.messages(numbers[start : start + _MESSAGES])
        messages.update(some)
        size += sum(len(message.body) for message in some.values())
        if size >= _BYTES:
            break
    return messages


def read_message(storage: Storage, number: int) -> Message | None:
    """Read one message; None if it is gone."""
    with storage.read() as transaction:
        return transaction.deliveries.messages([number]).get(number)


def look(storage: Storage, vault: Vault, known: Mapping[str, int]) -> Sequence[Opened]:
    """Read all listeners, and open the secrets of those that are enabled and not known yet.

    Args:
        storage: where they are.
        vault: opens the secrets.
        known: id of a listener to the revision that is known.
    """
    with storage.read() as transaction:
        listeners = transaction.listeners.list()
    return [
        Opened(listener=listener, opened=None)
        if not listener.is_enabled or known.get(listener.id) == listener.revision
        else _opened(listener, vault)
        for listener in listeners
    ]


def _opened(listener: Listener, vault: Vault) -> Opened:
    """Return the listener with its secrets, or with why they can't be read."""
    if listener.sealed is None:
        return Opened(listener=listener, opened=OpenListener(listener=listener))
    try:
        secrets = vault.open(listener.sealed)
    except PulpitError as error:
        return Opened(listener=listener, opened=None, problem=str(error))
    return Opened(listener=listener, opened=OpenListener(listener=listener, secrets=secrets))
