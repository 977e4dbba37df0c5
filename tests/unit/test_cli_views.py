"""Stages, figures and the live view."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pulpit.cli.live import LiveView
from pulpit.cli.outcome import end_of
from pulpit.cli.stages import Stage, StageState, stages
from pulpit.cli.words import amount, clock_time, duration, printable, size
from pulpit.client import Retry, TaskReport
from tests.unit.fake_api import report

#: A minute and a bit after the tasks have started.
NOW = datetime(2024, 5, 1, 12, 1, 5, tzinfo=UTC)
SYNC = {
    "yum_importer": {
        "metadata": {"state": "FINISHED"},
        "content": {
            "state": "IN_PROGRESS",
            "items_total": 38,
            "items_left": 26,
            "size_total": 400_000,
            "size_left": 300_000,
            "details": {"rpm_total": 38, "rpm_done": 12},
            "error_details": [{"url": "x"}],
        },
        "errata": {"state": "NOT_STARTED"},
        "comps": {"state": "SKIPPED"},
        "modules": {"state": "FAILED", "error": "not YAML"},
    }
}
PUBLISH = {
    "yum_distributor": [
        {"step_type": "rpms", "state": "FINISHED", "items_total": 38, "num_processed": 38},
        {"step_type": "repoview", "state": "SKIPPED", "items_total": 0},
        {"step_type": "close_repo_metadata", "state": "FINISHED", "items_total": 0},
        {"step_type": "publish_directory", "state": "IN_PROGRESS", "items_total": 1},
    ]
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("IN_PROGRESS"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["state", "items_total", "items_left", "error", "step_type", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def test_sync_stages() -> None:
    """Figures, failures and problems are read; what is skipped or to come is not shown."""
    shown = [stage for stage in stages(SYNC) if stage.visible]
    assert [(stage.name, stage.state.value, stage.figures()) for stage in shown] == [
        ("metadata", "FINISHED", ""),
        ("packages", "IN_PROGRESS", "12 of 38, 100.0 kB of 400.0 kB, 1 failure"),
        ("modules", "FAILED", ""),
    ]
    assert shown[1].share == 0.25
    assert shown[2].problem == "not YAML"


def test_publish_steps() -> None:
    """Steps without items are shown only while they run."""
    shown = [stage for stage in stages(PUBLISH) if stage.visible]
    assert [(stage.name, stage.figures()) for stage in shown] == [
        ("packages", "38"),
        ("publish directory", "0 of 1"),
    ]


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_any_report_is_survived(progress: dict[str, Any]) -> None:
    """A progress report of any shape gives stages or none, and never an error."""
    for stage in stages(progress):
        assert stage.share is None or 0 <= stage.share <= 1
        assert isinstance(stage.figures(), str)


def live(width: int, **environ: str) -> str:
    """Return what a terminal receives while a sync runs and ends."""
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=True, _environ={"TERM": "xterm", **environ}
    )
    with LiveView(console) as view:
        view.show(TaskReport.from_document(report("running", progress_report=SYNC)))
        view.draw()
        view.retry(Retry(reason="reset", delay=0.1))
        view.draw()
        view.show(TaskReport.from_document(report("error", progress_report=SYNC)))
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_live_view_shows_bars_and_then_the_end(width: int) -> None:
    """Bars move while it runs; stages and outcome stay."""
    text = live(width)
    for words in ("━", "12 of 38", "Connection lost (reset)", "not YAML", "the server"):
        assert words in text


def screen(reports: list[dict[str, Any]], *, height: int, summary: bool = True) -> list[str]:
    """Return the lines of the first frame that shows the tasks."""
    console = Console(
        file=io.StringIO(), width=80, height=height, force_terminal=True, _environ={"TERM": "xterm"}
    )
    view = LiveView(console, now=lambda: NOW, summary=summary)
    for told in reports:
        view.show(TaskReport.from_document(told))
    return [
        "".join(segment.text for segment in line).rstrip()
        for line in console.render_lines(view._render(), pad=False)
    ]


def test_a_few_tasks_are_shown_whole() -> None:
    """With their stages and the time that they run by now."""
    lines = screen(
        [report("running", progress_report=SYNC), report("waiting", task_id="w")], height=24
    )
    assert lines[0].startswith("sync of zoo running 1:05  11111111-")
    assert [line.split()[1] for line in lines[1:4]] == ["metadata", "packages", "modules"]
    assert lines[5] == "1 running, 1 waiting"


def test_thousands_of_tasks_do_not_flood_the_screen() -> None:
    """Running ones have a line each, the newest of them; the rest is counted."""
    running = [report("running", task_id=f"r{n}", progress_report=SYNC) for n in range(100)]
    waiting = [report("waiting", task_id=f"w{n}", start_time=None) for n in range(5000)]
    lines = screen([*waiting, *running, report("error", task_id="e")], height=24)
    assert len(lines) == 22
    assert max(len(line) for line in lines) <= 80
    assert "packages" in lines[0]
    assert "12 of 38" in lines[0]
    assert lines[0].endswith("1:05")
    assert lines[-1] == "100 running, 5,000 waiting (5,079 not shown); ended: 1 error"


def test_tasks_that_wait_leave_room_for_what_has_ended() -> None:
    """They take no more than half of the screen."""
    waiting = [report("waiting", task_id=f"w{n}", start_time=None) for n in range(50)]
    lines = screen([report("running"), *waiting], height=25)
    assert len(lines) == 12
    assert lines[1].split() == ["·", "sync", "of", "zoo", "waiting"]


def test_an_empty_screen_says_so() -> None:
    """Who watches an idle server sees that it is idle, and not that nothing works."""
    assert screen([], height=24) == ["no task runs or waits"]


def test_errors_are_told_in_full() -> None:
    """However long they are, with what lies below them and the items that failed."""
    reason = "no such thing, " * 100
    error = {
        "code": "X1",
        "description": reason,
        "sub_errors": [{"code": "X2", "description": "deeper", "sub_errors": []}],
    }
    items = [{"url": f"http://feed/{n}.rpm", "error": "gone"} for n in range(7)]
    progress = {"yum_importer": {"content": {"state": "FAILED", "error_details": items}}}
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, _environ={"TERM": "dumb"})
    with LiveView(console, summary=True) as view:
        view.show(TaskReport.from_document(report("error", error=error, progress_report=progress)))
    text = " ".join(out.getvalue().split())
    assert f"{reason.strip()} [X1]" in text
    assert "deeper [X2]" in text
    assert "- http://feed/4.rpm: gone - and 2 more: see `pulpit task show " in text
    assert f"`pulpit task show {report('error')['task_id']} --json`" in text
    assert max(len(line) for line in out.getvalue().splitlines()) <= 80


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), JSON)
def test_any_error_is_survived(progress: dict[str, Any], error: Any) -> None:
    """An error of any shape is told, and never a defect."""
    told = report("error", error={"sub_errors": [error]}, progress_report=progress)
    lines = Console(width=80).render_lines(
        end_of(TaskReport.from_document(told), width=80), pad=False
    )
    assert "sync of zoo" in "".join(segment.text for segment in lines[0])


def test_colours_can_be_turned_off() -> None:
    """NO_COLOR leaves no colour in what is sent."""
    assert "\x1b[31m" in live(80) or "\x1b[1;31m" in live(80)
    bare = live(80, NO_COLOR="1")
    assert not any(f"\x1b[{code}m" in bare for code in ("31", "1;31", "32", "36"))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (duration(0.4), "0 s"),
        (duration(200), "3 min 20 s"),
        (clock_time(7.9), "0:07"),
        (clock_time(3905), "1:05:05"),
        (duration(3900), "1 h 5 min"),
        (size(999), "999 B"),
        (size(1_234_567), "1.2 MB"),
        (size(9_999_000_000_000), "10.0 TB"),
        (amount(1, "package"), "1 package"),
        (amount(1200, "package"), "1,200 packages"),
        (printable("a\x1b[31m\n b", limit=100), "a�[31m b"),
        (printable("x" * 50, limit=10), "x" * 9 + "…"),
    ],
)
def test_words(written: str, read: str) -> None:
    """Lengths, sizes and texts read as a person would write them."""
    assert written == read


def test_a_stage_without_items_has_no_share() -> None:
    """Nobody knows how far it is."""
    assert Stage(key="x", name="x", state=StageState.IN_PROGRESS).share is None
