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

__all__ = ["Site", "of_cluster", "of_node"]

_WATERMARK = "vm_memory_monitor:set_vm_memory_high_watermark({:f})"
_CLOSE_ALL = (
    '[rabbit_networking:close_connection(P, "a fault") || P <- rabbit_networking:connections()]'
)


@dataclass(frozen=True, kw_only=True)
class Site:
    """A broker as a round sees it."""

    nodes: Sequence[RabbitMQ]
    #: One in front of each node, in the same order.
    relays: Sequence[Relay]
    #: Of the queue that is checked.
    queue_arguments: Mapping[str, Any]
    #: Returns once every node is back and the queue of that name is as safe as it can be.
    heal: Callable[[str], None]

    def urls(self, turn: int = 0) -> str:
        """Return what the server publishes to, in the form of its setting; each turn another."""
        host = ("127.0.0.1", "localhost")[turn % 2]
        first = turn % len(self.relays)
        ports = [relay.port for relay in (*self.relays[first:], *self.relays[:first])]
        return "; ".join(f"amqp://guest:guest@{host}:{port}//" for port in ports)

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
                node.evaluate(_WATERMARK.format(0.00001))
            case Kind.CLOSE:
                node.evaluate(_CLOSE_ALL)
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
                node.evaluate(_WATERMARK.format(0.4))
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

    def _cut_off(self, node: RabbitMQ) -> None:
        """Let the other nodes and this one know each other no longer."""
        for other in self.nodes:
            if other is not node:
                # whoever of the two calls again is refused by the one that has the wrong cookie
                other.evaluate(
                    f"erlang:set_cookie('{node.node}', no_longer_known), "
                    f"erlang:disconnect_node('{node.node}')"
                )

    def _let_in(self, node: RabbitMQ) -> None:
        """Let them know each other again."""
        for other in self.nodes:
            if other is not node:
                other.evaluate(f"erlang:set_cookie('{node.node}', erlang:get_cookie())")


@contextmanager
def of_node(broker: RabbitMQ) -> Iterator[Site]:
    """Yield the site of a single node."""
    broker.start()
    with _relays([broker]) as relays:
        yield Site(
            nodes=[broker],
            relays=relays,
            queue_arguments={"x-single-active-consumer": True},
            heal=lambda _queue: broker.start(),
        )


@contextmanager
def of_cluster(cluster: Cluster) -> Iterator[Site]:
    """Yield the site of a cluster."""
    cluster.start()

    def heal(queue: str) -> None:
        """Bring back all nodes, and all members of the queue."""
        cluster.start()
        cluster.await_quorum(queue)

    with _relays(cluster.nodes) as relays:
        yield Site(
            nodes=cluster.nodes,
            relays=relays,
            queue_arguments={"x-queue-type": "quorum", "x-single-active-consumer": True},
            heal=heal,
        )


@contextmanager
def _relays(nodes: Sequence[RabbitMQ]) -> Iterator[Sequence[Relay]]:
    """Yield a relay in front of each node."""
    with ExitStack() as stack:
        yield [stack.enter_context(Relay(node.port)) for node in nodes]
