"""Task events into the journal and out through RabbitMQ, against other publishers.

    python -m bench.events [--quick] [--json]

Bodies of 1.5 KB, publisher confirms, a window of 500, and a consumer in a process of its own that
is attached all the while. Folding is off: each event of the journal is sent, so that numbers of
events compare with numbers of messages. py-amqp alone and the publisher in C get their messages
ready made, and Celery and fedora-messaging the reports that they turn into messages. All that is
compared is measured in turns, on the same broker, and a ratio is that of the medians. Peers are
installed first, by ``make peers``; one that can't be is left out, and said so.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import _amqp
from bench._peers import PEERS, Peers, install
from bench._report import Aim, Measured, run
from bench._tasks import Told, World, quiet, world
from pulpit.domain.clock import utc_now
from pulpit.domain.events import Event, EventKind, task_event
from pulpit.domain.tasks import Task, TaskState
from pulpit.events.amqp import CURSOR, Publisher, PublisherSettings
from pulpit.events.message import Message, message_of
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from tests.services import free_ports
from tests.services.rabbitmq import RabbitMQ

__all__ = ["main", "measure"]

_SOURCE = "http://localhost:8080/"
_BODY = 1500
#: What a report of the benchmark's task takes beside its filling.
_BARE = 640
_TASKS = 20
_WINDOW = 500
_PER_SECOND = 500.0

#: By the name of the peer; what sends without confirms, or many events in one, has none.
_LEAST = {"c": 0.5, "aio_pika": 2.0, "fedora_messaging": 5.0, "celery": 2.0}

_AIMS = {
    "vs_pyamqp": Aim(least=0.8, text="draining a filled journal, messages/s"),
    **{f"vs_{peer.name}": Aim(least=_LEAST.get(peer.name), text=peer.text) for peer in PEERS},
    "vs_connection_per_message": Aim(least=30, text="the same against a connection for each"),
    "end_to_end_vs_pyamqp": Aim(text="a task's progress calls to the consumer, events/s"),
    "p50_vs_pyamqp": Aim(most=10, text="commit to consumer at 500/s; publish to consumer"),
    "p99_vs_pyamqp": Aim(most=20, text="the same, the slowest of a hundred"),
    "progress_call_us": Aim(most=50, text="median of a progress call, the worst of the three"),
    "progress_commit_p99_ms": Aim(most=20, text="from call to commit, the worst of the three"),
}


def measure(quick: bool) -> Measured:  # noqa: FBT001 - the one choice there is
    """Return the ratios and figures; *quick* takes fewer messages and rounds."""
    install()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-events-")))
        broker = RabbitMQ(folder / "rabbitmq")
        stack.callback(broker.stop)
        broker.start()
        bench = _Bench(folder, broker, quick=quick)
        ratios, figures = bench.drains()
        for more_ratios, more_figures in (bench.end_to_end(figures), bench.latency()):
            ratios |= more_ratios
            figures |= more_figures
        figures |= bench.without_broker()
    for name in ("progress_call_us", "progress_commit_p99_ms"):
        figures[name] = max(figures[f"{name}_{state}"] for state in ("up", "down", "blocked"))
    return Measured(ratios=ratios, figures=figures)


class _Bench:
    """The measurements, on one broker.

    Args:
        folder: for data folders.
        broker: runs.
        quick: fewer messages and rounds.
    """

    def __init__(self, folder: Path, broker: RabbitMQ, *, quick: bool) -> None:
        self._folder, self._broker = folder, broker
        self._rounds = 3 if quick else 5
        self._drained = 6_000 if quick else 30_000
        self._single = 50 if quick else 200
        self._written = 3_000 if quick else 15_000
        self._paced = 750 if quick else 5_000

    def drains(self) -> tuple[dict[str, float], dict[str, float]]:
        """Measure a journal filled beforehand against other publishers of the same events."""
        count, data = self._drained, self._folder / "drain"
        data.mkdir()
        rates: defaultdict[str, list[float]] = defaultdict(list)
        with SqliteStorage(upgrade(data)) as storage:
            _fill(storage, count)
            messages = _messages(storage.events.read(0, count))
            single = messages[: self._single]
            port = self._broker.port
            peers = Peers(self._folder, port=port, messages=messages, window=_WINDOW)
            # as the server does at its start: the collector need not look at all this again
            gc.collect()
            gc.freeze()
            for _ in range(self._rounds):
                rates["pyamqp"].append(count / _amqp.drain(port, messages, _WINDOW))
                rates["drain"].append(count / self._drain(storage, count))
                for peer in peers.present:
                    rates[peer.name].append(peers.rate(peer))
                rates["connection_per_message"].append(
                    len(single) / _amqp.one_connection_each(port, single)
                )
        medians = {name: statistics.median(values) for name, values in rates.items()}
        ours = medians["drain"]
        return (
            {f"vs_{name}": ours / rate for name, rate in medians.items() if name != "drain"},
            {f"{name}_per_s": rate for name, rate in medians.items()},
        )

    def _drain(self, storage: SqliteStorage, count: int) -> float:
        """Return the seconds in which the publisher has the whole journal confirmed."""
        storage.cursors.save(CURSOR, 0)
        publisher = _publisher(self._broker.url, storage)
        with _amqp.attached(self._broker.port, count) as consumer:
            began = time.perf_counter()
            publisher.start()
            while publisher.status().confirmed < count:
                time.sleep(0.002)
            taken = time.perf_counter() - began
            consumer.arrivals()
            publisher.stop()
        return taken

    def end_to_end(self, drained: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """Measure from the first progress call of a task to the last arrival at the consumer."""
        rates = []
        for _ in range(self._rounds - 2):
            with self._world() as made:
                told, arrivals = self._published(made, count=self._written, per_second=0)
            last = max(arrivals[event.id] for event in told.events)
            rates.append(len(told.events) / (last - told.called[0]))
        rate = statistics.median(rates)
        return (
            {"end_to_end_vs_pyamqp": rate / drained["pyamqp_per_s"]},
            {"end_to_end_per_s": rate},
        )

    def latency(self) -> tuple[dict[str, float], dict[str, float]]:
        """Measure commit to consumer at an even rate, and publish to consumer with py-amqp.

        What a progress call costs with the broker up falls off.
        """
        ours: list[float] = []
        theirs: list[float] = []
        runs = []
        for _ in range(self._rounds - 2):
            with self._world() as made:
                told, arrivals = self._published(made, count=self._paced, per_second=_PER_SECOND)
            runs.append(told)
            ours += [
                arrivals[event.id] - committed
                for event, committed in zip(told.events, told.committed, strict=True)
            ]
            messages = _messages(told.events)
            theirs += _amqp.paced(self._broker.port, messages, _PER_SECOND)
        figures = {
            "p50_ms": statistics.median(ours) * 1000,
            "p99_ms": _p99(ours) * 1000,
            "pyamqp_p50_ms": statistics.median(theirs) * 1000,
            "pyamqp_p99_ms": _p99(theirs) * 1000,
        }
        ratios = {
            f"{name}_vs_pyamqp": figures[f"{name}_ms"] / figures[f"pyamqp_{name}_ms"]
            for name in ("p50", "p99")
        }
        return ratios, figures | _costs("up", runs)

    def without_broker(self) -> dict[str, float]:
        """Measure what a progress call costs with the broker down, and with it blocked."""
        (nowhere,) = free_ports(1)
        figures: dict[str, float] = {}
        for name, url in (
            ("down", f"amqp://127.0.0.1:{nowhere}/"),
            ("blocked", self._broker.url),
        ):
            with self._world() as made, self._alarm(on=name == "blocked"):
                publisher = _publisher(url, made.storage)
                publisher.start()
                told = made.run(count=self._paced, per_second=_PER_SECOND, fill=_BODY - _BARE)
                publisher.stop()
            figures |= _costs(name, [told])
        return figures

    def _published(
        self, made: World, *, count: int, per_second: float
    ) -> tuple[Told, _amqp.Arrivals]:
        """Run the task with publisher and consumer; return what it told and when it arrived."""
        publisher = _publisher(self._broker.url, made.storage)
        # waiting, running and finished are status changes
        with _amqp.attached(self._broker.port, count + 3) as consumer:
            publisher.start()
            told = made.run(count=count, per_second=per_second, fill=_BODY - _BARE)
            arrivals = consumer.arrivals()
            publisher.stop()
        return told, arrivals

    @contextmanager
    def _world(self) -> Iterator[World]:
        """Start an engine on a new data folder."""
        with TemporaryDirectory(dir=self._folder) as name, world(Path(name) / "data") as made:
            yield made

    @contextmanager
    def _alarm(self, *, on: bool) -> Iterator[None]:
        """Have the broker block its publishers."""
        if not on:
            yield
            return
        self._broker.ctl("set_vm_memory_high_watermark", "0.00001")
        try:
            yield
        finally:
            self._broker.ctl("set_vm_memory_high_watermark", "0.4")


def _costs(name: str, runs: Sequence[Told]) -> dict[str, float]:
    """Return what progress calls cost, under names that end in *name*."""
    return {
        f"progress_call_us_{name}": statistics.median(us for told in runs for us in told.call_us),
        f"progress_commit_p99_ms_{name}": _p99([ms for told in runs for ms in told.commit_ms]),
    }


def _publisher(url: str, storage: SqliteStorage) -> Publisher:
    """Return a publisher that folds nothing."""
    return Publisher(
        PublisherSettings(urls=url, window=_WINDOW, fold_above=None),
        source=storage.events,
        cursors=storage.cursors,
        event_source_uri=_SOURCE,
        log=quiet(),
    )


def _fill(storage: SqliteStorage, count: int) -> None:
    """Write *count* events of several tasks, one in ten a status change, bodies of 1.5 KB."""
    now = utc_now()
    tasks = [_task(number) for number in range(_TASKS)]
    bare = task_event(replace(tasks[0], progress={"fill": ""}), EventKind.STATUS, now=now)
    fill = {"fill": "x" * (_BODY - len(bare.body))}
    events = [
        task_event(
            replace(tasks[number % _TASKS], progress=fill, revision=number // _TASKS + 1),
            EventKind.PROGRESS if number % 10 else EventKind.STATUS,
            now=now,
        )
        for number in range(count)
    ]
    with storage.write() as transaction:
        transaction.journal.append(events)


def _task(number: int) -> Task:
    """Return a running task."""
    return Task(
        id=f"00000000-0000-4000-8000-{number:012d}",
        oid=f"{number:024x}",
        task_type="pulp.server.managers.repo.sync.sync",
        operation="bench",
        state=TaskState.RUNNING,
        tags=("pulp:repository:zoo", "pulp:action:sync"),
        created=utc_now(),
    )


def _messages(events: Sequence[Event]) -> list[Message]:
    """Return the events as messages."""
    return [message_of(event, source=_SOURCE) for event in events]


def _p99(values: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return statistics.quantiles(values, n=100)[98]


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print one JSON object or a table."""
    run("events", __doc__ or "", measure, _AIMS, arguments)


if __name__ == "__main__":
    main()
