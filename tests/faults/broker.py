"""The broker of a round: one node or a cluster, behind paths that can be cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.faults.schedule import Fault, Kind
from tests.services.cluster import Cluster
from tests.services.rabbitmq import RabbitMQ
from tests.services.relay import Relay

__all__ = ["Broker", "of_cluster", "of_node"]

_WATERMARK = "vm_memory_monitor:set_vm_memory_high_watermark({:f})"
_FORGET = "{erlang:set_cookie(N, no_longer_known), erlang:disconnect_node(N)}"
_CLOSE_ALL = (
    '[rabbit_networking:close_connection(P, "a fault") || P <- rabbit_networking:connections()]'
)


@dataclass(frozen=True, kw_only=True)
class Broker:
    """A broker as a round sees it."""

    nodes: Sequence[RabbitMQ]
    #: One in front of each node, in the same order.
    relays: Sequence[Relay]
    #: Of the queue that is checked.
    queue_arguments: Mapping[str, Any]
    #: Starts nodes that do not run; returns once all are back and the queue is on each of them.
    start: Callable[[str], None]

    def urls(self, turn: int = 0) -> str:
        """Return what the server publishes to, in the form of its setting; each turn another."""
        first = turn % len(self.relays)
        relays = (*self.relays[first:], *self.relays[:first])
        # of a single node only the name of this host can be another one
        names = {"127.0.0.1": "localhost"} if turn % 2 else {}
        return "; ".join(
            f"amqp://guest:guest@{names.get(relay.host, relay.host)}:{relay.port}//"
            for relay in relays
        )

    @property
    def forgets(self) -> bool:
        """Whether progress is lost with a node that is killed."""
        return len(self.nodes) == 1

    def begin(self, fault: Fault) -> None:
        """Let a fault of the broker begin."""
        node = self.nodes[fault.node % len(self.nodes)]
        match fault.kind:
            case Kind.KILL_NODE:
                node.kill()
            case Kind.FREEZE_NODE:
                node.freeze()
            case Kind.BLOCK:
                self._tell_one(node, _WATERMARK.format(0.00001))
            case Kind.CLOSE:
                self._tell_one(node, _CLOSE_ALL)
            case Kind.CUT:
                for relay in self.relays:
                    relay.cut(after=fault.size)
            case Kind.HALT:
                for relay in self.relays:
                    relay.halt()
            case Kind.PARTITION:
                self._cut_off(node)
            case _:
                raise ValueError(f"{fault.kind} is none of the broker's")

    def end(self, fault: Fault) -> None:
        """Mend it; a node that was killed is on its way back."""
        node = self.nodes[fault.node % len(self.nodes)]
        match fault.kind:
            case Kind.KILL_NODE:
                node.launch()
            case Kind.FREEZE_NODE:
                node.thaw()
            case Kind.BLOCK:
                self._tell_all(_WATERMARK.format(0.4))
            case Kind.CUT:
                for relay in self.relays:
                    # where too little came for the other kind of cut
                    relay.cut()
                    relay.resume()
            case Kind.HALT:
                for relay in self.relays:
                    relay.resume()
            case Kind.PARTITION:
                self._let_in(node)

    def heal(self, queue: str) -> None:
        """Mend whatever may be broken, and return when the broker is as good as new.

        Args:
            queue: that is to be as safe as it was.

        Raises:
            RuntimeError: it never came to that.
        """
        for relay in self.relays:
            relay.resume()
        for node in self.nodes:
            node.thaw()
            self._let_in(node)
        self._tell_all(_WATERMARK.format(0.4))
        self.start(queue)

    def _cut_off(self, node: RabbitMQ) -> None:
        """Let this node and the others know each other no longer, all of them at once."""
        # whoever of two calls again is refused by the one that has the wrong cookie
        _told(node, f"[{_FORGET} || N <- {self._others(node)}]")

    def _let_in(self, node: RabbitMQ) -> None:
        """Let them know each other again."""
        _told(node, f"[erlang:set_cookie(N, erlang:get_cookie()) || N <- {self._others(node)}]")

    def _others(self, node: RabbitMQ) -> str:
        """Return the other nodes as an Erlang list."""
        return str([other.node for other in self.nodes if other is not node])

    def _tell_one(self, first: RabbitMQ, expression: str) -> None:
        """Evaluate it in this node, or in the next one if it can't just now."""
        place = self.nodes.index(first)
        for node in (*self.nodes[place:], *self.nodes[:place]):
            if _told(node, expression):
                return

    def _tell_all(self, expression: str) -> None:
        """Evaluate it in every node; where that fails the node is down or coming up."""
        for node in self.nodes:
            _told(node, expression)


def _told(node: RabbitMQ, expression: str) -> bool:
    """Evaluate it in the node; return whether that worked."""
    try:
        node.evaluate(expression)
    except RuntimeError:
        return False
    return True


@contextmanager
def of_node(broker: RabbitMQ, host: str = "127.0.0.1") -> Iterator[Broker]:
    """Yield a single node, reached at an address of this machine."""

    def start() -> None:
        """Bring it back."""
        broker.launch()
        broker.await_answer()

    start()
    with _relays([broker], host) as relays:
        yield Broker(
            nodes=[broker],
            relays=relays,
            queue_arguments={"x-single-active-consumer": True},
            start=lambda _queue: start(),
        )


@contextmanager
def of_cluster(cluster: Cluster, host: str = "127.0.0.1") -> Iterator[Broker]:
    """Yield a cluster, reached at an address of this machine."""
    cluster.start()

    def start(queue: str) -> None:
        """Bring back all nodes, and all members of the queue."""
        cluster.start()
        cluster.await_quorum(queue)

    with _relays(cluster.nodes, host) as relays:
        yield Broker(
            nodes=cluster.nodes,
            relays=relays,
            queue_arguments={"x-queue-type": "quorum", "x-single-active-consumer": True},
            start=start,
        )


@contextmanager
def _relays(nodes: Sequence[RabbitMQ], host: str) -> Iterator[Sequence[Relay]]:
    """Yield a relay in front of each node."""
    with ExitStack() as stack:
        yield [stack.enter_context(Relay(node.port, host=host)) for node in nodes]
