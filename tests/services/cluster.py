"""A private cluster of RabbitMQ nodes: own ports, own epmd, every file below one folder."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from tests.services.rabbitmq import START_SECONDS, Epmd, RabbitMQ

__all__ = ["Cluster"]

_CLUSTER_CONFIG = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_partition_handling = pause_minority
"""
#: No scheduler waits busily: there are more of them than processors.
_ERL_ARGS = "+sbwt none +sbwtdcpu none +sbwtdio none"


class Cluster:
    """Brokers that share users, exchanges and quorum queues; three tolerate the loss of one.

    Args:
        folder: holds everything they write.
        size: how many nodes.
    """

    def __init__(self, folder: Path, size: int = 3) -> None:
        names = [f"pulpit-{number}" for number in range(1, size + 1)]
        self._epmd = Epmd(folder)
        cookie = os.urandom(16).hex()
        # all look for the first one: among equals, who is to found the cluster takes long to settle
        config = (
            f"{_CLUSTER_CONFIG}cluster_formation.classic_config.nodes.1 = {names[0]}@localhost\n"
        )
        self.nodes = tuple(
            RabbitMQ(
                folder / name,
                name=name,
                epmd=self._epmd,
                cookie=cookie,
                config=config,
                erl_args=_ERL_ARGS,
            )
            for name in names
        )
        #: Whether there is a cluster to join.
        self._founded = False

    def launch(self) -> None:
        """Start the first node without waiting for it."""
        self.nodes[0].launch()

    def start(self, timeout: float = START_SECONDS) -> None:
        """Start the nodes that do not run, and return when all are one cluster.

        Raises:
            RuntimeError: they are not within *timeout* seconds; the message holds their logs.
        """
        self.launch()
        if not self._founded:
            self.nodes[0].await_answer(timeout)
            self._founded = True
        for node in self.nodes:
            node.launch()
        self.await_whole(timeout)

    def await_whole(self, timeout: float = START_SECONDS) -> None:
        """Return when every node answers and sees all others run.

        Raises:
            RuntimeError: they do not within *timeout* seconds; the message holds their logs.
        """
        deadline = time.monotonic() + timeout
        for node in self.nodes:
            node.await_answer(max(deadline - time.monotonic(), 1.0))
        while not all(self._sees_all(node) for node in self.nodes):
            if time.monotonic() > deadline:
                logs = "\n".join(node.log_tail() for node in self.nodes)
                raise RuntimeError(f"the nodes are not one cluster:\n{logs}")
            time.sleep(0.1)

    def await_quorum(self, queue: str, timeout: float = START_SECONDS) -> None:
        """Return when every member of a quorum queue follows one leader.

        Raises:
            RuntimeError: they do not within *timeout* seconds; the message says how they are.
        """
        deadline = time.monotonic() + timeout
        while True:
            states = self._member_states(queue)
            followers = len(self.nodes) - 1
            if sorted(states) == ["follower"] * followers + ["leader"]:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"queue {queue} has no quorum of all nodes: {states}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End all nodes and their epmd."""
        for node in self.nodes:
            node.kill()
        self._epmd.stop()

    def _member_states(self, queue: str) -> list[str]:
        """Return what each node says it is to the quorum queue of vhost ``/``, if it says so."""
        states = []
        for node in self.nodes:
            # a member that is not there yet is an error
            with suppress(RuntimeError):
                states.append(node.evaluate(f"ets:lookup_element(ra_state, '%2F_{queue}', 2)"))
        return states

    def _sees_all(self, node: RabbitMQ) -> bool:
        """Return whether the node knows that all others run."""
        try:
            running = node.evaluate("length(rabbit_mnesia:cluster_nodes(running))")
        except RuntimeError:
            return False
        return running == str(len(self.nodes))
