"""Showing tasks on a terminal: bars that move, within its height, however many tasks run."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from pulpit.cli.bars import headline, stage_rows, task_rows
from pulpit.cli.outcome import end_of
from pulpit.cli.stages import stages
from pulpit.cli.views import back, gap, lost, other_event
from pulpit.client import Event, Resumed, Retry, Stale, TaskReport
from pulpit.domain.clock import utc_now
from pulpit.domain.tasks import INCOMPLETE, TaskState

__all__ = ["LiveView"]

#: Lines that are kept free: the prompt's, the summary and a notice.
_SPARE = 3
_FEWEST = 3
_FRAME_SECONDS = 0.1
#: The order in which states are counted.
_GOING = sorted(INCOMPLETE, key=lambda state: (state is not TaskState.RUNNING, state.value))
_ENDS = (TaskState.FINISHED, TaskState.ERROR, TaskState.CANCELED, TaskState.SKIPPED)


class LiveView:
    """Bars that move; a task that has ended leaves its end above them.

    Args:
        console: the terminal.
        now: the present time, for how long tasks run.
        summary: whether a line counts the tasks; their ends are then told without their stages.
    """

    def __init__(
        self, console: Console, *, now: Callable[[], datetime] = utc_now, summary: bool = False
    ) -> None:
        self._console, self._now, self._summary = console, now, summary
        self._reports: dict[str, TaskReport] = {}
        self._ended: Counter[TaskState] = Counter()
        self._notice: Text | None = None
        #: What is to be printed above the bars with the next frame.
        self._lines: list[RenderableType] = []
        self._spinner = Spinner("dots", style="cyan")
        # however fast events come, the screen is drawn a few times a second, by this thread alone
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._drawer = threading.Thread(target=self._draw_on, name="screen", daemon=True)
        self._live = Live(
            console=console, get_renderable=self._render, auto_refresh=False, transient=True
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        self._drawer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._drawer.join()
        self.draw()
        self._live.__exit__(kind, error, trace)

    def show(self, report: TaskReport) -> None:
        """Show the task as it is now."""
        with self._lock:
            if report.state.is_complete:
                self._reports.pop(report.task_id, None)
                self._ended[report.state] += 1
                self._lines.append(self._end(report))
            else:
                self._reports[report.task_id] = report

    def forget(self, task_id: str | None = None) -> None:
        """Show the task, or all tasks, no longer."""
        with self._lock:
            if task_id is None:
                self._reports.clear()
            else:
                self._reports.pop(task_id, None)

    def tell(self, event: Event) -> None:
        """Print the event above the bars."""
        self._print(other_event(event))

    def retry(self, notice: Retry) -> None:
        """Say that the connection was lost, until it is back."""
        self._notice = lost(notice)

    def resumed(self, notice: Resumed) -> None:
        """Say that the connection is back."""
        self._notice = None
        self._print(back(notice))

    def gap(self, notice: Stale) -> None:
        """Say that events were missed."""
        self._print(gap(notice))

    def draw(self) -> None:
        """Print what has ended since the last time, and the bars as they are now."""
        with self._lock:
            lines, self._lines = self._lines, []
        # first without the bars of what has ended, which would stand below its end
        self._live.refresh()
        if lines:
            self._console.print(Group(*lines))

    def _draw_on(self) -> None:
        """Draw until the view is left."""
        while not self._closing.wait(_FRAME_SECONDS):
            self.draw()

    def _print(self, line: Text) -> None:
        """Have the line printed above the bars."""
        with self._lock:
            self._lines.append(line)

    def _render(self) -> RenderableType:
        """Return what is going on now."""
        with self._lock:
            reports = dict(self._reports)
        room = max(self._console.height - _SPARE, _FEWEST)
        parts: list[RenderableType] = []
        # most tasks are not even looked at, as there may be thousands
        if len(reports) <= room and sum(map(_lines, reports.values())) <= room:
            hidden = 0
            for report in reports.values():
                parts += self._whole(report)
        else:
            shown = _foremost(reports, room)
            hidden = len(reports) - len(shown)
            width, now = self._console.width, self._now()
            parts.append(task_rows(shown, now=now, width=width, spinner=self._spinner))
        if self._summary or hidden:
            parts.append(self._counts(reports, hidden))
        if self._notice:
            parts.append(self._notice)
        return Group(*parts)

    def _whole(self, report: TaskReport) -> list[RenderableType]:
        """Return a task with all its stages."""
        rows = stage_rows(report, width=self._console.width, spinner=self._spinner)
        return [headline(report, now=self._now()), *([rows] if rows else [])]

    def _end(self, report: TaskReport) -> RenderableType:
        """Return what stays on the screen of a task that has ended."""
        width = self._console.width
        end = end_of(report, width=width)
        rows = None if self._summary else stage_rows(report, width=width, spinner=Text("·"))
        return Group(rows, end) if rows else end

    def _counts(self, reports: Mapping[str, TaskReport], hidden: int) -> Text:
        """Return the line that counts what is shown, what is not, and what has ended."""
        now = Counter(report.state for report in reports.values())
        parts = [f"{now[state]:,} {state.value}" for state in _GOING if now[state]]
        line = ", ".join(parts) or "no task runs or waits"
        line += f" ({hidden:,} not shown)" if hidden else ""
        ends = [f"{self._ended[state]:,} {state.value}" for state in _ENDS if self._ended[state]]
        line += f"; ended: {', '.join(ends)}" if ends else ""
        return Text(line, style="dim", no_wrap=True, overflow="ellipsis")


def _lines(report: TaskReport) -> int:
    """Return how many lines a task takes with all its stages."""
    return 1 + sum(stage.visible for stage in stages(report.progress))


def _foremost(reports: Mapping[str, TaskReport], room: int) -> list[TaskReport]:
    """Return the tasks that are shown: the newest that run, then the first that wait.

    Those that wait take no more than half of the room, so that ends above stay in sight.
    """
    running = [report for report in reports.values() if report.state is TaskState.RUNNING]
    waiting = [report for report in reports.values() if report.state is not TaskState.RUNNING]
    shown = running[-room:]
    return shown + waiting[: max(room // 2 - len(shown), 0)]
