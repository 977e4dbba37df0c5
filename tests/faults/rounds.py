"""One round: a site, its consumers, tasks, faults, and the verdict."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self

from pulpit.client import Client, ClientError
from tests.faults.checker import judge
from tests.faults.consumers import Consumer, DoorConsumer, QueueConsumer, StreamConsumer
from tests.faults.delays import Delay
from tests.faults.records import Channel, Gap, Truth, as_document, head
from tests.faults.schedule import Fault, Kind, Schedule
from tests.faults.site import LOGIN, Site
from tests.faults.verdict import Verdict
from tests.faults.workload import Workload
from tests.services.http import FeedServer

__all__ = ["Outcome", "play"]

#: Seconds in which everything must be told once all is mended.
_SETTLE = 90.0
#: Seconds to wait for a server's answer.
_ANSWER = 5.0
_TICK = 0.02
#: Seconds between two looks at whether processes live.
_TENDING = 0.2
#: Seconds for which tasks are still handed in when the last fault is mended.
_AFTERWARDS = 1.0

#: After these another publisher takes up the journal where the cursor stands.
_NEW_PUBLISHER = frozenset({Kind.KILL_SERVER, Kind.STOP_SERVER, Kind.RELOAD_SERVER})


@dataclass(kw_only=True)
class Outcome:
    """How a round went."""

    schedule: Schedule
    verdict: Verdict
    seconds: float
    #: What did not come to its end in time; empty when all did.
    late: list[str]
    #: Faults that happened, by kind.
    faults: dict[str, int]
    #: Status changes and progress in the journal, tasks.
    size: dict[str, int] = field(default_factory=dict)
    #: How long it took until others stepped in.
    delays: Sequence[Delay] = ()

    @property
    def good(self) -> bool:
        """Whether all promises were kept, in time."""
        return self.verdict.good and not self.late


def play(schedule: Schedule, site: Site, feed: FeedServer) -> Outcome:
    """Play a round; the folder of its site stays only with the evidence of a failure."""
    site.folder.mkdir(parents=True, exist_ok=True)
    with closing(site), _Round(schedule, site, feed) as round_:
        outcome = round_.play()
    if outcome.good:
        shutil.rmtree(site.folder)
    else:
        round_.keep_evidence(outcome)
    return outcome


class _Round:
    """The parts of a round; a context manager that ends them all."""

    def __init__(self, schedule: Schedule, site: Site, feed: FeedServer) -> None:
        self._schedule, self._site = schedule, site
        self._stack = ExitStack()
        # each is for one thread
        self._clients, hands = self._connect(), self._connect()
        source, hold = random.Random(schedule.seed), schedule.place.hold_seconds
        self._work = Workload(hands, feed, source, hold=hold)
        self._name = f"round-{schedule.seed}-{os.getpid()}"
        self._queue = QueueConsumer(
            Channel(name="queue", refolds=site.takeover),
            urls=[node.url for node in site.broker.nodes],
            queue=self._name,
            arguments=site.broker.queue_arguments,
        )
        self._streams = self._follow()
        self._consumers: Sequence[Consumer] = [
            self._queue,
            *self._streams,
            *(
                DoorConsumer(
                    Channel(name=f"door of {api.program.name}", durable=False, repeats=False),
                    url=api.door_url,
                )
                for api in site.apis
            ),
        ]
        self._late = site.late
        self._faults: dict[str, int] = {}
        self._settled: int | None = None

    def _connect(self) -> list[Client]:
        """Return a client of each server."""
        return [
            self._stack.enter_context(Client(api.url, auth=LOGIN, timeout=_ANSWER))
            for api in self._site.apis
        ]

    def _follow(self) -> list[StreamConsumer]:
        """Return a reader of each server's stream, and one that goes from server to server."""
        urls = [api.url for api in self._site.apis]
        follow = {f"stream of {api.program.name}": [api.url] for api in self._site.apis}
        if len(urls) > 1:
            follow["stream of any"] = urls
        return [
            StreamConsumer(Channel(name=name, repeats=False), urls=of, auth=LOGIN)
            for name, of in follow.items()
        ]

    def __enter__(self) -> Self:
        self._queue.bind()
        self._stack.callback(self._queue.delete)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def play(self) -> Outcome:
        """Play it to its end, and judge."""
        began = time.monotonic()
        try:
            self._go_through()
        except RuntimeError as error:
            # a server or a broker that does not start or stop; what there is can be judged
            self._late.append(str(error))
            with suppress(RuntimeError):
                self._site.heal(self._name)
                self._site.stop()
        truth = self._truth()
        for consumer in self._consumers:
            if truth.journal and not consumer.came:
                self._late.append(f"nothing ever came by the {consumer.channel.name}")
        kinds = [row.kind for row in truth.journal]
        return Outcome(
            schedule=self._schedule,
            verdict=judge(truth, [consumer.channel for consumer in self._consumers]),
            seconds=time.monotonic() - began,
            late=self._late,
            faults=self._faults,
            size={
                "tasks": len(truth.tasks),
                "status": kinds.count("status"),
                "progress": kinds.count("progress"),
            },
            delays=truth.delays,
        )

    def _truth(self) -> Truth:
        """Return what is known in the end."""
        return replace(
            self._site.truth(),
            accepted=frozenset(self._work.accepted),
            settled=self._settled,
            canceled=frozenset(self._work.canceled),
        )

    def _go_through(self) -> None:
        """Hand in tasks, let faults happen, and wait for the end of all.

        Raises:
            RuntimeError: the server or a broker does not start or stop.
        """
        with ExitStack() as stack:
            stack.callback(self._site.stop)
            self._site.start()
            for consumer in self._consumers:
                consumer.start()
                stack.callback(consumer.stop)
            self._work.start()
            stack.callback(self._work.stop)
            began = time.monotonic()
            self._let_faults_happen(began)
            load = began + self._schedule.place.load_seconds
            self._wait_until(max(load, time.monotonic() + _AFTERWARDS))
            self._work.stop()
            self._late += [f"a request was refused: {no}" for no in self._work.refused]
            self._site.heal(self._name)
            self._settle()

    # ------------------------------------------------------------------ faults

    def _let_faults_happen(self, began: float) -> None:
        """Begin and mend each fault when it is due, in this thread."""
        due = [(fault.at, self._begin, fault) for fault in self._schedule.faults]
        due += [(fault.end, self._site.end, fault) for fault in self._schedule.faults]
        # of two at the same time, what begins begins before it is mended
        for moment, act, fault in sorted(due, key=lambda one: one[0]):
            self._wait_until(began + moment)
            act(fault)

    def _wait_until(self, moment: float) -> None:
        """Look after the site until then."""
        while (left := moment - time.monotonic()) > 0:
            self._site.tend()
            time.sleep(min(left, _TENDING))

    def _begin(self, fault: Fault) -> None:
        """Let a fault happen."""
        if fault.kind in _NEW_PUBLISHER:
            self._queue.channel.refolds = True
        after = self._queue.newest
        if not self._site.begin(fault):
            return
        if fault.kind is Kind.KILL_NODE and self._site.broker.forgets:
            gap = Gap(after=after, up_to=head(self._site.query))
            self._queue.channel.gaps.append(gap)
        self._faults[fault.kind.value] = self._faults.get(fault.kind.value, 0) + 1

    # ------------------------------------------------------------------ the end

    def _settle(self) -> None:
        """Wait until all is told, end the servers, and take what is left in the queue."""
        self._await("tasks that never end", self._idle)
        journal = self._site.truth().journal
        newest = head(self._site.query)
        status = {row.sequence for row in journal if row.kind == "status"}
        self._await("events that never came by the queue", lambda: status <= self._queue.came)
        for stream in self._streams:
            self._await_stream(stream, newest)
        self._settled = newest
        self._site.stop()
        if not self._queue.drain(_SETTLE):
            self._late.append("the queue was not drained")

    def _await_stream(self, stream: StreamConsumer, newest: int) -> None:
        """Wait until a stream has brought the newest event."""
        what = f"events that never came by the {stream.channel.name}"
        self._await(what, lambda: stream.newest >= newest)

    def _idle(self) -> bool:
        """Tell whether no task is left to run."""
        try:
            return not self._clients[0].tasks(states=["waiting", "running"], limit=1)
        except ClientError:
            return False

    def _await(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds, or note what is late."""
        deadline = time.monotonic() + _SETTLE
        while not condition():
            if time.monotonic() > deadline or not self._site.running:
                self._late.append(what)
                return
            time.sleep(_TICK)

    def keep_evidence(self, outcome: Outcome) -> None:
        """Write down what was received and found, beside the servers' data and logs."""
        folder = self._site.folder
        for consumer in self._consumers:
            name = consumer.channel.name.replace(" ", "-")
            (folder / f"received-{name}.json").write_text(json.dumps(as_document(consumer.channel)))
        found: dict[str, Any] = {
            "schedule": str(outcome.schedule),
            "late": outcome.late,
            "found": outcome.verdict.found,
            "accepted": sorted(self._work.accepted),
            "canceled": sorted(self._work.canceled),
        }
        (folder / "verdict.json").write_text(json.dumps(found, indent=1))
        self._site.keep_evidence()
