"""One round: a server, its broker, its consumers, tasks, faults, and the verdict."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pulpit.client import Client, ClientError
from tests.acceptance.server import PulpitServer
from tests.faults.checker import Verdict, judge
from tests.faults.consumers import DoorConsumer, QueueConsumer, StreamConsumer
from tests.faults.records import Channel, Gap, Truth, as_document, head, read
from tests.faults.schedule import LOAD_SECONDS, Fault, Kind, Schedule
from tests.faults.site import Site
from tests.faults.workload import Workload
from tests.services.http import FeedServer
from tests.services.processes import children

__all__ = ["Outcome", "play"]

#: Seconds in which everything must be told once all is mended.
_SETTLE = 90.0
#: Seconds to wait for the server's answer.
_ANSWER = 10.0
#: Seconds to wait for a task to have a process that can be killed.
_CHILD = 1.0
_TICK = 0.02
#: Seconds for which tasks are still handed in when the last fault is mended.
_AFTERWARDS = 1.0

#: After these another publisher takes up the journal where the cursor stands.
_NEW_PUBLISHER = frozenset({Kind.KILL_SERVER, Kind.STOP_SERVER, Kind.RELOAD_SERVER})

# nothing that the judge looks for is deleted in a round
_CONFIG = """\
[tasks]
workers: 2
[messaging]
event_notification_url: {urls}
[events]
progress_rows: 1000000
progress_hours: 1000
"""


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

    @property
    def good(self) -> bool:
        """Whether all promises were kept, in time."""
        return self.verdict.good and not self.late


def play(schedule: Schedule, site: Site, feed: FeedServer, folder: Path) -> Outcome:
    """Play a round in a folder of its own, which stays only with the evidence of a failure."""
    folder.mkdir(parents=True)
    with _Round(schedule, site, feed, folder) as round_:
        outcome = round_.play()
    if outcome.good:
        shutil.rmtree(folder)
    else:
        round_.keep_evidence(outcome)
    return outcome


class _Round:
    """The parts of a round; a context manager that ends them all."""

    def __init__(self, schedule: Schedule, site: Site, feed: FeedServer, folder: Path) -> None:
        self._schedule, self._site, self._folder = schedule, site, folder
        self._server = PulpitServer(folder / "data", _CONFIG.format(urls=site.urls()))
        auth = self._server.user, self._server.password
        self._stack = ExitStack()
        # each is for one thread
        self._client, hands = (
            self._stack.enter_context(Client(self._server.url, auth=auth, timeout=_ANSWER))
            for _ in range(2)
        )
        self._work = Workload(hands, feed, random.Random(schedule.seed))
        self._name = f"round-{schedule.seed}-{os.getpid()}"
        self._queue = QueueConsumer(
            Channel(name="queue"),
            urls=[node.url for node in site.nodes],
            queue=self._name,
            arguments=site.queue_arguments,
        )
        self._stream = StreamConsumer(
            Channel(name="stream", repeats=False), url=self._server.url, auth=auth
        )
        self._door = DoorConsumer(
            Channel(name="door", durable=False, repeats=False), url=self._server.door_url
        )
        self._consumers = (self._queue, self._stream, self._door)
        self._late: list[str] = []
        self._reloads = 0
        self._faults: dict[str, int] = {}

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
        truth = read(
            self._server.data,
            accepted=frozenset(self._work.accepted),
            canceled=frozenset(self._work.canceled),
        )
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
        )

    def _go_through(self) -> None:
        """Hand in tasks, let faults happen, and wait for the end of all.

        Raises:
            RuntimeError: the server or a broker does not start or stop.
        """
        with ExitStack() as stack:
            self._server.start()
            stack.callback(self._end_server)
            for consumer in self._consumers:
                consumer.start()
                stack.callback(consumer.stop)
            self._work.start()
            stack.callback(self._work.stop)
            began = time.monotonic()
            self._let_faults_happen(began)
            time.sleep(max(began + LOAD_SECONDS - time.monotonic(), _AFTERWARDS))
            self._work.stop()
            self._site.heal(self._name)
            self._settle()

    # ------------------------------------------------------------------ faults

    def _let_faults_happen(self, began: float) -> None:
        """Begin and mend each fault when it is due, in this thread."""
        due = [(fault.at, self._begin, fault) for fault in self._schedule.faults]
        due += [(fault.end, self._mend, fault) for fault in self._schedule.faults]
        # of two at the same time, what begins begins before it is mended
        for moment, act, fault in sorted(due, key=lambda one: one[0]):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            act(fault)

    def _begin(self, fault: Fault) -> None:
        """Let a fault happen."""
        if fault.kind in _NEW_PUBLISHER:
            self._queue.channel.refolds = True
        match fault.kind:
            case Kind.KILL_SERVER:
                self._server.kill()
            case Kind.STOP_SERVER:
                if code := self._server.stop():
                    self._late.append(f"the server ended with exit code {code}")
            case Kind.RELOAD_SERVER:
                self._reloads += 1
                self._server.reload(_CONFIG.format(urls=self._site.urls(self._reloads)))
            case Kind.KILL_CHILD:
                if not self._kill_child():
                    return
            case Kind.KILL_NODE if self._site.forgets:
                after = self._queue.newest
                self._site.begin(fault)
                gap = Gap(after=after, up_to=head(self._server.data))
                self._queue.channel.gaps.append(gap)
            case _:
                self._site.begin(fault)
        self._faults[fault.kind.value] = self._faults.get(fault.kind.value, 0) + 1

    def _mend(self, fault: Fault) -> None:
        """Mend what the fault has broken."""
        match fault.kind:
            case Kind.KILL_SERVER | Kind.STOP_SERVER:
                self._server.start()
            case Kind.RELOAD_SERVER | Kind.KILL_CHILD:
                pass
            case _:
                self._site.end(fault)

    def _kill_child(self) -> bool:
        """Kill the process of a task; return whether there was one."""
        deadline = time.monotonic() + _CHILD
        while time.monotonic() < deadline:
            for pid in children(self._server.pid):
                # it may have ended by itself a moment ago
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return True
            time.sleep(_TICK)
        return False

    # ------------------------------------------------------------------ the end

    def _settle(self) -> None:
        """Wait until all is told, end the server, and take what is left in the queue."""
        self._await("tasks that never end", self._idle)
        newest = head(self._server.data)
        status = {row.sequence for row in self._read().journal if row.kind == "status"}
        self._await("events that never came by the queue", lambda: status <= self._queue.came)
        self._await("events that never came by the stream", lambda: self._stream.newest >= newest)
        self._end_server()
        if not self._queue.drain(_SETTLE):
            self._late.append("the queue was not drained")

    def _read(self) -> Truth:
        """Return what the database holds now."""
        return read(self._server.data, accepted=frozenset(), canceled=frozenset())

    def _idle(self) -> bool:
        """Tell whether no task is left to run."""
        try:
            return not self._client.tasks(states=["waiting", "running"], limit=1)
        except ClientError:
            return False

    def _await(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds, or note what is late."""
        deadline = time.monotonic() + _SETTLE
        while not condition():
            if time.monotonic() > deadline or not self._server.running:
                self._late.append(what)
                return
            time.sleep(_TICK)

    def _end_server(self) -> None:
        """End the server in good order."""
        if self._server.running and (code := self._server.stop()):
            self._late.append(f"the server ended with exit code {code}")

    def keep_evidence(self, outcome: Outcome) -> None:
        """Write down what was received and found, beside the server's data and log."""
        for consumer in self._consumers:
            path = self._folder / f"received-{consumer.channel.name}.json"
            path.write_text(json.dumps(as_document(consumer.channel)))
        found: dict[str, Any] = {
            "schedule": str(outcome.schedule),
            "late": outcome.late,
            "found": outcome.verdict.found,
            "accepted": sorted(self._work.accepted),
            "canceled": sorted(self._work.canceled),
        }
        (self._folder / "verdict.json").write_text(json.dumps(found, indent=1))
        for node in self._site.nodes:
            (self._folder / f"{node.node}.log").write_text(node.log_tail(2_000))
