"""Tasks of all kinds, handed in by a thread for as long as a round wants them."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

from bench._packages import listed_repository
from pulpit.client import ApiError, CallReport, Client, ClientError, Unreachable
from tests.feeds.draft import SAMPLE
from tests.services.http import Answer, FeedServer

__all__ = ["Workload", "feeds"]

#: Units of the repository whose publish tells of each.
_MANY = 500
#: Tasks that may be unfinished at a time, so that the end of a round is near.
_BACKLOG = 12
#: Seconds between two tasks, at most.
_PAUSE = 0.1
#: Seconds for which slow downloads go on between two times of standing still.
_FLOW = 0.07
#: Seconds of standing still from which on some wait for others from the beginning, and how many.
_LONG, _QUEUES = 1.0, 3


@contextmanager
def feeds(folder: Path, host: str = "127.0.0.1") -> Iterator[FeedServer]:
    """Yield a server of feeds: ``good``, ``slow``, ``many`` (of which nothing can be downloaded).

    What else is asked for is not there.

    Args:
        folder: where they are made.
        host: the address of this machine where they are served.
    """
    folder.mkdir()
    for name in ("good", "slow"):
        folder.joinpath(name).symlink_to(SAMPLE)
    listed_repository(_MANY, cache=folder / "made").rename(folder / "many")
    with FeedServer(folder, host=host) as feed:
        yield feed


class Workload:
    """Hands in tasks; remembers which the server has accepted, and which it was to cancel.

    Args:
        clients: of the servers, which answer for the same; this thread's alone.
        feed: of ``feeds``.
        source: of what is handed in, and when.
    """

    def __init__(
        self, clients: Sequence[Client], feed: FeedServer, source: random.Random, *, hold: float
    ) -> None:
        self._clients, self._feed, self._source = deque(clients), feed, source
        self._hold = hold
        self.accepted: set[str] = set()
        self.canceled: set[str] = set()
        #: What the server said no to, which it never should.
        self.refused: list[str] = []
        self._recent: deque[str] = deque(maxlen=_BACKLOG)
        self._repositories: dict[str, list[str]] = {"good": [], "slow": [], "many": [], "none": []}
        self._count = 0
        self._stopping = threading.Event()
        self._open = threading.Event()
        feed.answer("/slow/*.rpm", Answer(gate=self._open))
        self._thread = threading.Thread(target=self._run, name="workload", daemon=True)
        self._valve = threading.Thread(target=self._turn_valve, name="valve", daemon=True)

    @property
    def _client(self) -> Client:
        """The one that is asked at the moment."""
        return self._clients[0]

    def start(self) -> None:
        """Begin, with a repository of each kind of feed."""
        for kind, known in self._repositories.items():
            while not known:
                # a machine that is busy with starting all may not answer in time
                with suppress(Unreachable):
                    self._create(kind)
        if self._hold > _LONG:
            self._queue_up()
        self._thread.start()
        self._valve.start()

    def _queue_up(self) -> None:
        """Hand in syncs that take long, and have others wait for each."""
        for _ in range(_QUEUES):
            with suppress(Unreachable):
                repo_id = self._create("slow")
                for _ in range(2):
                    self._keep(self._client.sync(repo_id))

    def stop(self) -> None:
        """Hand in no more, and let slow downloads go on."""
        self._stopping.set()
        self._thread.join(60)
        self._valve.join(60)
        self._feed.behave()
        self._open.set()

    def _turn_valve(self) -> None:
        """Let slow downloads through now and then."""
        while not self._stopping.wait(self._hold):
            self._open.set()
            self._stopping.wait(_FLOW)
            self._open.clear()

    def _run(self) -> None:
        """Hand in one task after another, also after a server that is away for a while."""
        actions: list[Callable[[], None]] = [self._sync, self._publish, self._cancel]
        while not self._stopping.wait(self._source.uniform(0, _PAUSE)):
            try:
                self._await_room()
                self._source.choices(actions, weights=[5, 4, 1])[0]()
            except ClientError as error:
                if not _is_away(error):
                    self.refused.append(str(error))
                # a request may have been heard all the same: then its task is only not expected
                self._stopping.wait(_PAUSE)
            self._clients.rotate()

    def _await_room(self) -> None:
        """Wait until few tasks are unfinished."""
        unfinished = ["waiting", "running"]
        while not self._stopping.is_set():
            if len(self._client.tasks(states=unfinished, limit=_BACKLOG)) < _BACKLOG:
                return
            time.sleep(_PAUSE)

    def _sync(self) -> None:
        """Sync a repository, often a new one."""
        kind = self._source.choices(["good", "slow", "many", "none"], weights=[5, 4, 2, 3])[0]
        known = self._repositories[kind]
        again = self._source.random() < 0.6
        self._keep(self._client.sync(self._source.choice(known) if again else self._create(kind)))

    def _publish(self) -> None:
        """Publish a repository; of many units, with many progress updates."""
        known = self._repositories[self._source.choices(["many", "good"], weights=[3, 3])[0]]
        self._keep(self._client.publish(self._source.choice(known), "web"))

    def _cancel(self) -> None:
        """Cancel a task that may be over."""
        if self._recent:
            task_id = self._source.choice(self._recent)
            self.canceled.add(task_id)
            self._client.cancel(task_id)

    def _keep(self, call: CallReport) -> None:
        """Remember what the server has accepted."""
        self.accepted.update(call.spawned)
        self._recent.extend(call.spawned)

    def _create(self, kind: str) -> str:
        """Create a repository of a kind of feed."""
        self._count += 1
        repo_id = f"{kind}-{self._count}"
        policy = "on_demand" if kind == "many" else "immediate"
        self._client.create_repository(
            {
                "id": repo_id,
                "importer_type_id": "yum_importer",
                "importer_config": {
                    "feed": f"{self._feed.url}{kind}/",
                    "download_policy": policy,
                },
                "distributors": [
                    {
                        "distributor_id": "web",
                        "distributor_type_id": "yum_distributor",
                        "auto_publish": kind == "good",
                        "distributor_config": {
                            "relative_url": repo_id,
                            "http": True,
                            "https": False,
                        },
                    }
                ],
            }
        )
        self._repositories[kind].append(repo_id)
        return repo_id


def _is_away(error: ClientError) -> bool:
    """Tell whether the server, or its database, is only away for a while."""
    if isinstance(error, ApiError):
        return error.status == HTTPStatus.SERVICE_UNAVAILABLE
    return isinstance(error, Unreachable)
