"""A thread that publishes to one exchange what it is handed, and says what the broker said."""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from threading import Lock, Thread
from typing import Any, Protocol

from pulpit.events.amqp.addresses import Address
from pulpit.events.amqp.frames import Confirm
from pulpit.events.amqp.reasons import LinkError
from pulpit.events.amqp.turns import Turns
from pulpit.events.amqp.wake import Wake

__all__ = ["BOUNDS", "Bounds", "Carried", "Carrier", "CarrierLink", "Job"]

_ALARM = "the broker takes no messages: look at its memory and disk alarms"
_NACKED = "the broker refuses the message (nack): look at its log, and at the limits of the queues"
#: Messages that leave in one write.
_BATCH = 64
#: Seconds after which handed-in messages that nobody waits for any more are looked for.
_TICK = 1.0


class CarrierLink(Protocol):
    """A connection as the carrier uses it; see ``Link``."""

    @property
    def blocked(self) -> bool: ...

    @property
    def backed_up(self) -> bool: ...

    @property
    def frame_max(self) -> int: ...

    def send(self, data: bytes) -> None: ...

    def receive(self) -> list[Confirm]: ...

    def wait(self, *wakers: Any, timeout: float) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What came of a message."""

    #: The broker that it went to, or that was tried last.
    peer: str
    #: Why it failed; empty: the broker has taken it over.
    reason: str = ""
    #: Whether there was a connection to it.
    connected: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A message to carry."""

    #: Returns its frames, which are no larger than the number of bytes given.
    frames: Callable[[int], bytes]
    #: Bytes of its body.
    size: int
    #: What came of it; canceled by who does not wait for it any more.
    done: Future[Carried] = field(default_factory=Future)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much a carrier holds, and for how long."""

    #: How many messages may be unconfirmed, and how many bytes of their bodies.
    window: int = 500
    window_bytes: int = 16 << 20
    #: Seconds without a message after which it ends.
    idle: float = 60.0


#: What suits a server.
BOUNDS = Bounds()


class Carrier:
    """Publishes to one exchange, by a connection and a thread of its own, until it is idle.

    What goes wrong with one exchange ends the channel, and so touches no other one. Messages that
    were sent when a connection is lost have failed, although the broker may have them: they are
    delivered again under the same id. Those that have not left wait for the next connection, and
    have failed once every broker was tried in vain.

    Args:
        turns: the brokers.
        connect: opens a connection, and sees to the exchange; raises LinkError.
        log: a structlog logger.
        bounds: how much it holds.
    """

    def __init__(
        self,
        turns: Turns,
        *,
        connect: Callable[[Address], CarrierLink],
        log: Any,
        bounds: Bounds = BOUNDS,
    ) -> None:
        self._turns, self._connect, self._log, self._bounds = turns, connect, log, bounds
        self._lock, self._wake = Lock(), Wake()
        self._waiting: deque[Job] = deque()
        self._sent: dict[int, Job] = {}
        self._sent_bytes = self._tag = 0
        self._ended = self._stopping = False
        self._used = time.monotonic()
        #: Why what is handed in has to wait; empty if it does not.
        self.trouble = ""
        #: Whether there is a connection to the broker.
        self.connected = False
        self._thread = Thread(target=self._run, name="amqp-listeners", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether it has nothing to carry."""
        return not self._waiting and not self._sent

    @property
    def peer(self) -> str:
        """The broker in use, or to be tried next."""
        return self._turns.address.netloc

    def take(self, job: Job) -> bool:
        """Take a message to carry; False once it has ended."""
        with self._lock:
            if self._ended:
                return False
            self._waiting.append(job)
        self._wake.ring()
        return True

    def stop(self) -> None:
        """Have it end as soon as it can; what it holds has failed."""
        self._stopping = True
        self._wake.ring()

    def join(self, seconds: float) -> None:
        """Wait until it has ended; a thread that hangs longer is left to itself."""
        self._thread.join(seconds)

    def _run(self) -> None:
        """Carry until there was nothing to carry for long."""
        reason = "the server ends"
        try:
            while not self._stopping and not self._end_if_idle():
                if not self._waiting:
                    self._rest(self._bounds.idle)
                    continue
                try:
                    self._connect_and_serve()
                except LinkError as error:
                    self._lost(error)
        except Exception:  # noqa: BLE001 - a dead thread tells nothing
            self._log.exception("listeners of type amqp could not be told")
            reason = "an error of the server's own; its log tells more"
        finally:
            with self._lock:
                self._ended = True
            self._tell(self._take_all(), Carried(peer=self.peer, reason=reason))
            self._wake.close()

    def _end_if_idle(self) -> bool:
        """End if nothing was to be carried for long; return whether it has ended."""
        with self._lock:
            self._ended = self.idle and time.monotonic() - self._used >= self._bounds.idle
            return self._ended

    def _rest(self, seconds: float) -> None:
        """Wait until the time is up or the bell rings."""
        select.select([self._wake], [], [], max(seconds, 0))
        self._wake.hear()

    def _connect_and_serve(self) -> None:
        """Open a connection and use it until it is lost or has been idle for long.

        Raises:
            LinkError: it could not be opened, or was lost.
        """
        link = self._connect(self._turns.address)
        self.trouble, self.connected = "", True
        try:
            self._serve(link)
        finally:
            self.connected = False
            link.close()

    def _serve(self, link: CarrierLink) -> None:
        """Send what there is and settle what is confirmed."""
        while not self._stopping:
            self._wake.hear()
            self._settle(link.receive())
            self.trouble = _ALARM if link.blocked else ""
            if not link.blocked and not link.backed_up and (jobs := self._next()):
                link.send(b"".join([self._begin(job, link.frame_max) for job in jobs]))
                continue
            left = self._used + self._bounds.idle - time.monotonic()
            if self.idle and left <= 0:
                return
            self._forget_canceled()
            link.wait(self._wake, timeout=max(left, 0) if self.idle else _TICK)

    def _next(self) -> list[Job]:
        """Return what to send now."""
        jobs: list[Job] = []
        room = min(_BATCH, self._bounds.window - len(self._sent))
        size = self._sent_bytes
        while self._waiting and len(jobs) < room and size < self._bounds.window_bytes:
            job = self._waiting.popleft()
            if not job.done.cancelled():
                jobs.append(job)
                size += job.size
        return jobs

    def _begin(self, job: Job, frame_max: int) -> bytes:
        """Note that a message goes out; the broker counts the same tags."""
        self._tag += 1
        self._sent[self._tag] = job
        self._sent_bytes += job.size
        self._used = time.monotonic()
        return job.frames(frame_max)

    def _settle(self, confirms: list[Confirm]) -> None:
        """Say of messages what the broker says of them."""
        for confirm in confirms:
            if confirm.multiple:
                tags = [tag for tag in self._sent if not confirm.tag or tag <= confirm.tag]
            else:
                tags = [confirm.tag] if confirm.tag in self._sent else []
            jobs = [self._sent.pop(tag) for tag in tags]
            self._sent_bytes -= sum(job.size for job in jobs)
            self._used = time.monotonic()
            if confirm.taken:
                self._turns.succeeded()
                self._tell(jobs, Carried(peer=self.peer))
            else:
                self._tell(jobs, Carried(peer=self.peer, reason=_NACKED))

    def _lost(self, error: LinkError) -> None:
        """Say of messages that they have failed; rest when all brokers have failed."""
        sent, carried = list(self._sent.values()), Carried(peer=self.peer, reason=_words(error))
        self._sent.clear()
        self._sent_bytes = self._tag = 0
        self._tell(sent, carried)
        self.trouble = carried.reason
        rest = self._turns.failed(refused=error.refused)
        if rest and not sent:
            self._tell(self._take_all(), replace(carried, connected=False))
        until = time.monotonic() + rest
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._rest(left)

    def _take_all(self) -> list[Job]:
        """Return all that is sent and waits, and forget it."""
        with self._lock:
            jobs = [*self._sent.values(), *self._waiting]
            self._sent.clear()
            self._waiting.clear()
        return jobs

    def _forget_canceled(self) -> None:
        """Forget the oldest of those that wait if nobody waits for them."""
        while self._waiting and self._waiting[0].done.cancelled():
            self._waiting.popleft()

    def _tell(self, jobs: list[Job], carried: Carried) -> None:
        """Say of messages what came of them, to those who still wait for it."""
        for job in jobs:
            if job.done.set_running_or_notify_cancel():
                job.done.set_result(carried)


def _words(error: LinkError) -> str:
    """Return what went wrong, for the owner of a listener."""
    if error.own_door:
        return (
            "there is no broker, and the server's own AMQP door takes no messages: have "
            "event_notification_url in [messaging] name a broker"
        )
    return error.message
