"""Following tasks to their end over one event stream, those that they hand in included."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import typer

from pulpit.cli.exits import ExitCode, of_tasks
from pulpit.cli.live import LiveView
from pulpit.cli.session import Session
from pulpit.cli.views import PlainView, SilentView, View
from pulpit.client import CallReport, Client, Event, Snapshot, Stale, TaskReport

__all__ = ["Follower", "finish", "perform", "view_of"]

#: Seconds without a server after which a command gives up, unless it was told how long to wait.
_PATIENCE = 60.0


class TimeIsUp(Exception):
    """The tasks have not ended in the time that there was."""


def view_of(session: Session, *, json: bool, summary: bool = False) -> View:
    """Return the view that suits who reads the output."""
    if json:
        return SilentView(session.err)
    if session.out.is_terminal:
        return LiveView(session.out, now=lambda: session.now, summary=summary)
    return PlainView(session.out, session.err)


def perform(
    session: Session,
    client: Client,
    action: Callable[[], CallReport],
    *,
    wait: bool,
    json: bool,
) -> None:
    """Do *action* and follow its tasks to their end; exits with the code of how they ended.

    Args:
        session: where to write.
        client: the server.
        action: the request whose tasks are followed.
        wait: False prints the ids of the tasks and returns at once.
        json: write one JSON document instead of words.
    """
    # asked before the action: nothing that its tasks tell can be missed
    start = client.head() if wait else 0
    call = action()
    if wait:
        finish(session, client, call.spawned, since=start, json=json)
    elif json:
        session.print_json(call.document)
    else:
        for task_id in call.spawned:
            session.out.print(task_id)


def finish(
    session: Session,
    client: Client,
    task_ids: Sequence[str],
    *,
    since: int | None,
    json: bool,
    seconds: float | None = None,
) -> None:
    """Follow the tasks, tell how they ended, and exit with the code that says so.

    Args:
        session: where to write.
        client: the server.
        task_ids: the tasks.
        since: an event's number before the first event of the tasks; None when they are older.
        json: write one JSON document instead of words.
        seconds: how long to wait at the most; None is for ever.

    Raises:
        Exit: a task did not finish well, or not in time.
    """
    summary = len(task_ids) > 1
    with view_of(session, json=json, summary=summary) as view:
        follower = Follower(client, view, patience=None if seconds else _PATIENCE)
        try:
            with _time_limit(seconds):
                follower.follow(task_ids, since=since)
        except (KeyboardInterrupt, TimeIsUp) as stopped:
            code = _stopped(session, follower, stopped, seconds)
        else:
            code = of_tasks(follower.reports)
    if json and code is not ExitCode.INTERRUPTED:
        session.print_json({"tasks": [report.document for report in follower.reports]})
    if code is ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise typer.Exit(code)


def _stopped(
    session: Session, follower: Follower, why: BaseException, seconds: float | None
) -> ExitCode:
    """Say which tasks go on, and return the code for that."""
    is_late = isinstance(why, TimeIsUp)
    open_ids = follower.open
    number, noun = len(open_ids), "task has" if len(open_ids) == 1 else "tasks have"
    late = f"{number:,} {noun} not ended after {seconds:g} s. " if is_late else ""
    goes_on = "The task goes on" if number == 1 else "The tasks go on"
    how = f"pulpit task wait {' '.join(open_ids)}"
    session.err.print(f"{late}{goes_on}; see the end with: {how}", soft_wrap=True)
    return ExitCode.TIMED_OUT if is_late else ExitCode.INTERRUPTED


class Follower:
    """Follows tasks to their end.

    Args:
        client: the server.
        view: is shown every change.
        patience: seconds without a server until Unreachable is raised; None is for ever.
    """

    def __init__(self, client: Client, view: View, *, patience: float | None) -> None:
        self._client, self._view, self._patience = client, view, patience
        self._newest: dict[str, TaskReport | None] = {}

    @property
    def reports(self) -> list[TaskReport]:
        """The newest report of each task that is known, those that were asked for first."""
        return [report for report in self._newest.values() if report is not None]

    @property
    def open(self) -> list[str]:
        """The ids of the tasks that have not ended, as far as is known."""
        return [task_id for task_id in self._newest if not self._has_ended(task_id)]

    def follow(self, task_ids: Sequence[str], *, since: int | None) -> None:
        """Return when the tasks, and those that they handed in, have ended.

        Args:
            task_ids: the tasks.
            since: an event's number before their first event; None when they are older.

        Raises:
            NotFound: there is no such task.
        """
        self._newest |= dict.fromkeys(task_ids)
        while not_ended := self.open:
            self._to_end(not_ended, since)
            # they may have ended already, which only a snapshot tells
            since = None
            for report in self.reports:
                for spawned in report.spawned:
                    self._newest.setdefault(spawned, None)

    def _to_end(self, task_ids: Sequence[str], since: int | None) -> None:
        """Return when all of the tasks have ended."""
        left = set(task_ids)
        stream = self._client.follow(
            task=task_ids,
            since=since,
            complete=True,
            patience=self._patience,
            on_retry=self._view.retry,
            on_resume=self._view.resumed,
        )
        for item in stream:
            for report in self._told(item, left):
                self._newest[report.task_id] = report
                self._view.show(report)
                if report.state.is_complete:
                    left.discard(report.task_id)
            if not left:
                return

    def _told(self, item: Snapshot | Event | Stale, left: set[str]) -> list[TaskReport]:
        """Return the reports in what the stream brought, of tasks whose end is awaited."""
        match item:
            case Event(report=TaskReport() as report):
                reports = [report]
            case Snapshot():
                reports = [known.report for known in item.tasks]
                missing = left - {report.task_id for report in reports}
                # it is not there, which the server says in its own words
                reports += [self._client.task(task_id) for task_id in sorted(missing)]
            case Stale():
                self._view.gap(item)
                reports = []
            case _:
                reports = []
        return [report for report in reports if report.task_id in left]

    def _has_ended(self, task_id: str) -> bool:
        report = self._newest[task_id]
        return report is not None and report.state.is_complete


@contextlib.contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """Raise TimeIsUp in the block once the time is up; only for the main thread."""
    if seconds is None:
        yield
        return

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
