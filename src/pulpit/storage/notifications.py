"""NOTIFY: what other processes tell over the database, heard by one thread of this one."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

import psycopg
from psycopg import Notify, sql

__all__ = ["Notifications"]

#: Seconds between looks for what was missed, and until a dead connection is found.
_POLL = 5.0
#: Seconds before the first and at the most before any later attempt to connect again.
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 2.0


class _Log(Protocol):
    """What is needed of the log."""

    def info(self, event: str, /, **fields: Any) -> Any: ...
    def warning(self, event: str, /, **fields: Any) -> Any: ...


#: Is given the payload; called in the listening thread, so it must be quick. What it raises costs
#: the connection, and is told in the log.
Callback = Callable[[str], None]


@dataclass(eq=False, slots=True)
class _Subscription:
    """One who listens on a channel."""

    channel: str
    callback: Callback
    missed: Callable[[], None]
    #: Whether it is heard on the present connection.
    begun: bool = False


class Notifications:
    """Listens on channels of the database, from the first subscription on.

    Args:
        connect: opens a connection in autocommit mode.
        poll: called every few seconds with the connection, for who can't be told otherwise.
        log: where to tell that nothing is heard; None: nowhere.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        poll: Callable[[psycopg.Connection[Any]], None],
        *,
        log: _Log | None = None,
    ) -> None:
        self._connect = connect
        self._poll = poll
        self._log = log
        #: Whether it was told that nothing is heard.
        self._deaf = False
        self._turn = threading.Lock()
        self._subscriptions: list[_Subscription] = []
        self._closing = False
        self._thread: threading.Thread | None = None
        self._nudged, self._nudges = os.pipe()
        for end in (self._nudged, self._nudges):
            os.set_blocking(end, False)

    def subscribe(
        self, channel: str, callback: Callback, *, missed: Callable[[], None] = lambda: None
    ) -> Callable[[], None]:
        """Call *callback* with the payload of each notification; return what ends that.

        Args:
            channel: its name, in lower case.
            callback: called in the listening thread: it must be quick.
            missed: called there whenever listening begins, also after the connection was lost:
                what was told before is not told again.
        """
        subscription = _Subscription(channel, callback, missed)
        with self._turn:
            self._subscriptions.append(subscription)
            if not self._closing:
                self._nudge()
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
                    self._thread.start()

        def unsubscribe() -> None:
            with self._turn, contextlib.suppress(ValueError):
                self._subscriptions.remove(subscription)

        return unsubscribe

    def close(self) -> None:
        """Stop listening; returns when the thread is gone."""
        with self._turn:
            if self._closing:
                return
            self._closing = True
        self._nudge()
        if self._thread is not None:
            self._thread.join()
        with self._turn:
            for end in (self._nudged, self._nudges):
                os.close(end)

    def _nudge(self) -> None:
        """Let the thread look at what changed."""
        # a full pipe nudges as well
        with contextlib.suppress(BlockingIOError):
            os.write(self._nudges, b"\0")

    # ------------------------------------------------------------------ the listening thread

    def _run(self) -> None:
        delay = _FIRST_DELAY
        while not self._closing:
            try:
                with self._connect() as connection:
                    delay = _FIRST_DELAY
                    self._listen(connection)
            except Exception as error:  # noqa: BLE001 - without this thread nothing is heard any more
                self._tell_deaf(error)
                self._await_news(delay)
                delay = min(2 * delay, _LONGEST_DELAY)

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        """Hear and tell until closed, or the connection is lost."""
        connection.add_notify_handler(self._tell)
        for subscription in self._present():
            subscription.begun = False
        due = monotonic()
        while not self._closing:
            self._begin(connection)
            if monotonic() >= due:
                self._poll(connection)
                self._tell_heard()
                due = monotonic() + _POLL
            self._await_news(max(due - monotonic(), 0), connection)
            connection.pgconn.consume_input()
            while told := connection.pgconn.notifies():
                self._tell(Notify(told.relname.decode(), told.extra.decode(), told.be_pid))

    def _begin(self, connection: psycopg.Connection[Any]) -> None:
        """Listen for those who have come since the last time."""
        for subscription in self._present():
            if not subscription.begun:
                channel = sql.Identifier(subscription.channel)
                connection.execute(sql.SQL("LISTEN {}").format(channel))
                subscription.begun = True
                subscription.missed()

    def _await_news(
        self, seconds: float, connection: psycopg.Connection[Any] | None = None
    ) -> None:
        """Wait for the server, for a nudge, or until time is up."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._nudged, selectors.EVENT_READ)
            if connection is not None:
                selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.select(seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._nudged, 4096)

    def _tell(self, notify: Notify) -> None:
        """Tell those who listen on the channel."""
        for subscription in self._present():
            if subscription.channel == notify.channel:
                subscription.callback(notify.payload)

    def _tell_deaf(self, error: Exception) -> None:
        """Tell the operator once that the connection is lost."""
        if self._log and not self._deaf:
            self._log.warning(
                "The connection that hears of other processes is lost; trying again",
                reason=f"{type(error).__name__}: {error}".strip().partition("\n")[0],
            )
        self._deaf = True

    def _tell_heard(self) -> None:
        """Tell the operator that it is there again."""
        if self._log and self._deaf:
            self._log.info("Other processes are heard of again")
        self._deaf = False

    def _present(self) -> list[_Subscription]:
        """Return who listens now."""
        with self._turn:
            return list(self._subscriptions)
