"""The exchange, the queues and their bindings: what each client may declare, bind and delete."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pulpit.events.door.bindings import Bindings
from pulpit.events.door.queues import Queue, QueueTraits
from pulpit.events.door.refusals import ChannelRefusal, ConnectionRefusal
from pulpit.events.message import EXCHANGE
from pulpit.events.reply_codes import ReplyCode

__all__ = ["Topology", "server_name"]

_TYPES: Final = frozenset({"direct", "fanout", "topic", "headers"})
# the arguments that a second declaration must repeat; the rest means nothing to anybody
_ARGUMENTS: Final = (
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-message-ttl",
    "x-overflow",
    "x-queue-mode",
    "x-queue-type",
    "x-single-active-consumer",
)
_RESERVED: Final = "amq."


def server_name(kind: str) -> str:
    """Return a name that nobody can guess, such as ``amq.gen-…`` for kind ``gen``."""
    return f"{_RESERVED}{kind}-{secrets.token_urlsafe(16)}"


def _arguments_key(arguments: Mapping[str, Any] | None) -> str:
    """Return a short key that is equal for equal tables."""
    if not arguments:
        return ""
    text = repr(sorted(arguments.items(), key=lambda item: item[0]))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _check_equal(argument: str, given: object, current: object) -> None:
    """Refuse a declaration that differs from what is there."""
    if given != current:
        raise ChannelRefusal(
            ReplyCode.PRECONDITION_FAILED,
            f"inequivalent arg {argument}: received '{given}' but current is '{current}'",
        )


class Topology:
    """All queues of the door by name, each with the connection that owns it."""

    def __init__(self, *, max_queues: int, max_bindings: int) -> None:
        self.bindings: Bindings[Queue] = Bindings()
        self._queues: dict[str, tuple[Queue, object]] = {}
        self._owned: dict[object, dict[str, Queue]] = {}
        self._bound: dict[object, int] = {}
        self._max_queues = max_queues
        self._max_bindings = max_bindings

    def __len__(self) -> int:
        return len(self._queues)

    def owned(self, owner: object) -> Iterable[Queue]:
        """Return the queues of *owner*."""
        return tuple(self._owned.get(owner, {}).values())

    def exists(self, name: str) -> bool:
        """Return whether there is a queue *name*, whosever it is."""
        return name in self._queues

    @staticmethod
    def is_fixed(exchange: str) -> bool:
        """Return whether *exchange* is one that no client may make or delete."""
        return not exchange or exchange == EXCHANGE or exchange.startswith(_RESERVED)

    def declare_exchange(
        self,
        name: str,
        kind: str,
        *,
        passive: bool,
        durable: bool,
        auto_delete: bool,
        internal: bool,
    ) -> None:
        """Answer exchange.declare; only the one exchange is there, and only as it is."""
        if passive:
            self.check_exchange(name)
            return
        if kind not in _TYPES:
            raise ConnectionRefusal(ReplyCode.COMMAND_INVALID, f"unknown exchange type '{kind}'")
        if not name or name.startswith(_RESERVED):
            raise ChannelRefusal(
                ReplyCode.ACCESS_REFUSED, f"exchange name '{name}' is reserved; use '{EXCHANGE}'"
            )
        if name != EXCHANGE:
            raise ChannelRefusal(
                ReplyCode.ACCESS_REFUSED,
                f"no exchange '{name}' can be declared here; the only one is '{EXCHANGE}'",
            )
        for argument, given, has in (
            ("type", kind, "topic"),
            ("durable", durable, True),
            ("auto_delete", auto_delete, False),
            ("internal", internal, False),
        ):
            _check_equal(f"'{argument}' for exchange '{name}'", given, has)

    def check_exchange(self, name: str) -> None:
        """Refuse a name other than that of the one exchange."""
        if not name:
            raise ChannelRefusal(
                ReplyCode.ACCESS_REFUSED, "operation not permitted on the default exchange"
            )
        if name != EXCHANGE:
            raise ChannelRefusal(
                ReplyCode.NOT_FOUND, f"no exchange '{name}'; the only one is '{EXCHANGE}'"
            )

    def find(self, name: str, owner: object) -> Queue:
        """Return the queue *name*.

        Raises:
            ChannelRefusal: it is not there, or is another connection's.
        """
        found = self._queues.get(name)
        if found is None:
            raise ChannelRefusal(ReplyCode.NOT_FOUND, f"no queue '{name}'")
        queue, its_owner = found
        if its_owner is not owner:
            raise ChannelRefusal(
                ReplyCode.RESOURCE_LOCKED,
                f"cannot obtain exclusive access to locked queue '{name}'",
            )
        return queue

    def find_equal(self, name: str, traits: QueueTraits, owner: object) -> Queue:
        """Return the queue *name*, which is declared once more.

        Raises:
            ChannelRefusal: it was declared in another way, or is another connection's.
        """
        queue = self.find(name, owner if traits.exclusive else None)
        has = queue.traits
        for argument, given, current in (
            ("auto_delete", traits.auto_delete, has.auto_delete),
            *((key, traits.arguments.get(key), has.arguments.get(key)) for key in _ARGUMENTS),
        ):
            _check_equal(f"'{argument}' for queue '{name}'", given, current)
        return queue

    def check_new(self, name: str, traits: QueueTraits, owner: object) -> str:
        """Return the name for a new queue of *owner*, made up here if *name* is empty."""
        if not traits.exclusive:
            raise ChannelRefusal(
                ReplyCode.PRECONDITION_FAILED,
                "only exclusive queues can be declared here; declare it with exclusive=true",
            )
        if name.startswith(_RESERVED):
            raise ChannelRefusal(
                ReplyCode.ACCESS_REFUSED,
                f"queue name '{name}' contains reserved prefix '{_RESERVED}*'",
            )
        if len(self._owned.get(owner, ())) >= self._max_queues:
            raise ChannelRefusal(
                ReplyCode.PRECONDITION_FAILED,
                f"a connection may have {self._max_queues} queues here; delete one first",
            )
        return name or server_name("gen")

    def add(self, queue: Queue, owner: object) -> None:
        """Give *owner* a new queue."""
        self._queues[queue.name] = (queue, owner)
        self._owned.setdefault(owner, {})[queue.name] = queue

    def bind(
        self, queue: Queue, pattern: str, arguments: Mapping[str, Any] | None, owner: object
    ) -> None:
        """Bind *queue*; a binding that is there already stays as it is."""
        key = (pattern, _arguments_key(arguments))
        if key in queue.bindings:
            return
        if self._bound.get(owner, 0) >= self._max_bindings:
            raise ChannelRefusal(
                ReplyCode.PRECONDITION_FAILED,
                f"a connection may have {self._max_bindings} bindings here; unbind some, "
                "or bind a pattern such as tasks.#",
            )
        queue.bindings.add(key)
        self._bound[owner] = self._bound.get(owner, 0) + 1
        self.bindings.add(pattern, queue)

    def unbind(
        self, name: str, pattern: str, arguments: Mapping[str, Any] | None, owner: object
    ) -> None:
        """Undo a binding; one that is not there is no error."""
        key = (pattern, _arguments_key(arguments))
        if name in self._queues and key in self._queues[name][0].bindings:
            queue = self.find(name, owner)
            queue.bindings.remove(key)
            self._bound[owner] -= 1
            self.bindings.remove(pattern, queue)

    def remove(self, queue: Queue) -> None:
        """Delete *queue* with its bindings and all that waits in it."""
        _, owner = self._queues.pop(queue.name)
        del self._owned[owner][queue.name]
        self._bound[owner] = self._bound.get(owner, 0) - len(queue.bindings)
        for pattern, _ in queue.bindings:
            self.bindings.remove(pattern, queue)
        queue.bindings.clear()
        queue.close()

    def forget(self, owner: object) -> None:
        """Delete all queues of *owner*, who has gone."""
        for queue in self.owned(owner):
            self.remove(queue)
        self._owned.pop(owner, None)
        self._bound.pop(owner, None)
