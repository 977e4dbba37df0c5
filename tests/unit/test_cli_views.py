"""Stages, figures and the live view."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pulpit.cli.stages import Stage, StageState, stages
from pulpit.cli.views import LiveView
from pulpit.cli.words import amount, duration, printable, size
from pulpit.client import Retry, TaskReport
from tests.unit.fake_api import report

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
        view._live.refresh()
        view.retry(Retry(reason="reset", delay=0.1))
        view._live.refresh()
        view.show(TaskReport.from_document(report("error", progress_report=SYNC)))
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_live_view_shows_bars_and_then_the_end(width: int) -> None:
    """Bars move while it runs; stages and outcome stay."""
    text = live(width)
    for words in ("━", "12 of 38", "Connection lost (reset)", "not YAML", "the server"):
        assert words in text


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
