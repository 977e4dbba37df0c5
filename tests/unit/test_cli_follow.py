"""Waiting for tasks and watching them: what is asked, what is printed, which exit code."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pulpit.cli.exits import ExitCode
from pulpit.domain.events import LISTENER_DISABLED
from pulpit.domain.tasks import TaskState
from tests.unit.command import Cli, runner
from tests.unit.fake_api import TASK, FakeApi, cloudevent, error_body, report, sse, task_event

TASKS = "/pulp/api/v2/tasks/"
SEARCH = ("POST", f"{TASKS}search/")
GAP = {"since": 7, "oldest": 40, "head": 50, "missed": 32, "snapshot": "/pulpit/v1/snapshot/"}
BROKEN = httpx.ReadError("reset")


@pytest.fixture
def api() -> FakeApi:
    """Return the server that the commands speak to."""
    return FakeApi()


@pytest.fixture
def cli(api: FakeApi, tmp_path: Path) -> Cli:
    """Return a function that runs a command in a world of its own."""
    return runner(api, tmp_path)


def asked(api: FakeApi) -> list[str]:
    """Return the last parts of the paths that were asked for."""
    return [request.url.path.strip("/").rpartition("/")[2] for request in api.requests]


def task(task_id: str, state: str, **more: Any) -> dict[str, Any]:
    """Return the report of a task that is named in its repository, too."""
    return report(state, task_id=task_id, tags=[f"pulp:repository:{task_id}"], **more)


def test_waiting_for_a_task_that_is_over(api: FakeApi, cli: Cli) -> None:
    """No event will come any more; the snapshot tells."""
    for command in (("task", "wait", TASK), ("watch", f"tasks.{TASK}")):
        api.snapshot(report("canceled"))
        assert cli(*command).code == ExitCode.TASK_CANCELED
    assert asked(api) == ["snapshot", "snapshot"]


def test_many_tasks_are_awaited_over_one_stream(api: FakeApi, cli: Cli) -> None:
    """One snapshot and one stream, however many there are and in whatever order they end."""
    api.snapshot(task("a", "running"), task("b", "waiting"), task("c", "finished"))
    api.streams.append(
        [
            task_event(8, task("b", "running")),
            task_event(9, task("b", "error", error={"code": "X1", "description": "Broken"})),
            task_event(10, task("a", "canceled")),
        ]
    )
    done = cli("task", "wait", "a", "b", "c", "a")
    # an error outweighs a cancel
    assert done.code == ExitCode.TASK_ERROR
    assert "Broken [X1]" in done.out
    assert asked(api) == ["snapshot", "events"]
    for request in api.requests:
        assert request.url.params.get_list("task") == ["a", "b", "c"]
    assert api.requests[0].url.params.get_list("state") == list(TaskState)


def test_reports_come_in_the_order_of_the_arguments(api: FakeApi, cli: Cli) -> None:
    """JSON for a script, which knows which report is whose; and no words beside it."""
    api.snapshot(task("b", "finished"), task("a", "running"))
    api.streams.append([task_event(9, task("a", "finished"))])
    done = cli("task", "wait", "a", "b", "--json")
    assert [told["task_id"] for told in json.loads(done.out)["tasks"]] == ["a", "b"]
    assert (done.code, done.err) == (0, "")


def test_a_group_is_awaited(api: FakeApi, cli: Cli) -> None:
    """Its tasks are searched for once; there is a code for a group that has none."""
    api.at(*SEARCH, [task("b", "running"), task("a", "finished")])
    api.snapshot(task("a", "finished"), task("b", "running"))
    api.streams.append([task_event(9, task("b", "finished"))])
    assert cli("task", "wait", "--group", "g").code == 0
    assert api.bodies(*SEARCH)[0]["criteria"]["filters"] == {"group_id": "g"}
    assert asked(api) == ["search", "snapshot", "events"]
    api.at(*SEARCH, [])
    none = cli("task", "wait", "--group", "none")
    assert (none.code, none.err) == (ExitCode.NOT_FOUND, "There is no task of group none.\n")


def test_tasks_that_a_task_hands_in_are_awaited(api: FakeApi, cli: Cli) -> None:
    """They may have ended before anybody knew of them, which a snapshot tells."""
    api.snapshot(task("a", "running"))
    handed_in = [{"task_id": "p"}, {"task_id": "a"}]
    api.streams.append([task_event(9, task("a", "finished", spawned_tasks=handed_in))])
    api.snapshot(task("p", "error"))
    assert cli("task", "wait", "a").code == ExitCode.TASK_ERROR
    assert asked(api) == ["snapshot", "events", "snapshot"]
    assert api.requests[2].url.params.get_list("task") == ["p"]


def test_a_task_that_is_not_there(api: FakeApi, cli: Cli) -> None:
    """The server's own words, and a code of its own."""
    missing = error_body(404, "PLP0009", "Missing", resources={"task_id": "zz"})
    api.at("GET", f"{TASKS}zz/", missing, 404)
    api.snapshot(task("a", "running"))
    done = cli("task", "wait", "a", "zz")
    assert (done.code, done.err) == (ExitCode.NOT_FOUND, "Error: there is no task zz.\n")


def test_waiting_for_nothing_is_wrong_usage(cli: Cli) -> None:
    """Neither a task nor a group: the command says what it wants."""
    assert cli("task", "wait").code == ExitCode.USAGE


def silent_after(*chunks: bytes) -> Iterator[bytes]:
    """Yield the chunks, then nothing for longer than any test."""
    yield from chunks
    threading.Event().wait(60)


@pytest.mark.parametrize("json_flag", [False, True])
def test_a_time_limit(api: FakeApi, cli: Cli, *, json_flag: bool) -> None:
    """After it the command ends with its own code and says which tasks go on."""
    api.snapshot(task("a", "running"), task("b", "running"))
    api.streams.append(silent_after(task_event(9, task("a", "finished"))))
    done = cli("task", "wait", "a", "b", "--timeout", "0.3", *(["--json"] if json_flag else []))
    assert done.code == ExitCode.TIMED_OUT
    assert done.err == (
        "1 task has not ended after 0.3 s. The task goes on; see the end with: pulpit task wait b\n"
    )
    if json_flag:
        states = [told["state"] for told in json.loads(done.out)["tasks"]]
        assert states == ["finished", "running"]


def test_a_time_limit_that_is_not_reached(api: FakeApi, cli: Cli) -> None:
    """The outcome counts, and no alarm is left behind."""
    api.snapshot(task("a", "error"))
    assert cli("task", "wait", "a", "--timeout", "30").code == ExitCode.TASK_ERROR


def test_a_gap_while_following_is_closed_by_a_snapshot(api: FakeApi, cli: Cli) -> None:
    """Events past retention do not leave the command waiting for ever; they are told."""
    api.call("POST", "/pulp/api/v2/repositories/zoo/actions/sync/", TASK)
    api.streams.append([sse(None, "stale", GAP)])
    api.snapshot(report())
    done = cli("repo", "sync", "zoo")
    assert done.code == 0
    assert done.err.startswith("32 events after number 7 can't be read any more")


def test_a_number_ahead_of_the_server_is_told_as_such(api: FakeApi, cli: Cli) -> None:
    """Nothing has been removed then: the number is another server's, or of before a restore."""
    ahead = GAP | {"since": 999, "head": 50, "missed": None}
    api.streams += [
        [sse(None, "stale", ahead)],
        httpx.Response(403, json=error_body(403, "PLP0042", "No more")),
    ]
    api.snapshots.append({"sequence": 50, "tasks": [], "next": None})
    told = cli("watch", "--since", "999").err.splitlines()
    assert told[0].startswith("Number 999 is ahead of the newest event")


def test_watching_begins_with_what_runs(api: FakeApi, cli: Cli) -> None:
    """Not with an empty screen; what the snapshot tells is not told twice."""
    api.snapshot(task("a", "running"), revision=4)
    api.streams += [
        [
            task_event(8, task("a", "running"), pulpitrevision=4),
            task_event(9, task("b", "waiting")),
            task_event(10, task("a", "finished")),
            sse(11, "repo.sync.finish", cloudevent(11, {}, type="repo.sync.finish")),
            BROKEN,
        ],
        [b": alive\n\n", sse(None, "stale", GAP)],
        # a refusal, so that the command ends
        httpx.Response(403, json=error_body(403, "PLP0042", "No more")),
    ]
    api.snapshots.append({"sequence": 60, "tasks": [], "next": None})
    done = cli("watch", "--tag", "x", "--repo", "zoo")
    assert done.code == ExitCode.UNAUTHORIZED
    assert done.out.splitlines() == [
        "sync of a: running, task a",
        "sync of b: waiting, task b",
        "✓ sync of a finished in 2 s",
        "repo.sync.finish  event 11",
    ]
    told = done.err.splitlines()
    assert told[0] == "Connection lost (reset); trying again…"
    assert told[1].startswith("Connected again after ")
    assert told[2].startswith("32 events after number 7 can't be read any more")
    assert asked(api) == ["snapshot", "events", "events", "snapshot", "events"]
    assert api.requests[0].url.params.get_list("tag") == ["x"]


def end_of_watch(api: FakeApi, *chunks: bytes) -> None:
    """Have the stream bring this, then end the command by a refusal."""
    api.streams += [[*chunks, BROKEN], httpx.Response(403, json=error_body(403, "P", "No more"))]


def test_watching_some_states(api: FakeApi, cli: Cli) -> None:
    """Only these are told, of the snapshot as well; ends are asked for, to forget by."""
    api.snapshot(task("a", "running"), task("b", "waiting"))
    end_of_watch(api, task_event(8, task("a", "finished")), task_event(9, task("b", "error")))
    done = cli("watch", "--state", "waiting", "--state", "error", "--kind", "status")
    assert done.out.splitlines() == [
        "sync of b: waiting, task b",
        "✗ sync of b error in 2 s: the server gave no reason",
    ]
    wanted = api.requests[1].url.params
    assert set(wanted.get_list("state")) == {
        "waiting",
        "error",
        "finished",
        "canceled",
        "skipped",
    }
    assert wanted["kind"] == "status"


def test_watching_progress_alone(api: FakeApi, cli: Cli) -> None:
    """Changes of status are not told, and still end what is shown."""
    stage = {"yum_importer": {"content": {"state": "IN_PROGRESS", "items_total": 4}}}
    running = task("a", "running", progress_report=stage)
    end_of_watch(
        api,
        task_event(8, task("a", "running")),
        task_event(9, running, pulpitkind="progress", type="pulpit.task.progress.v1"),
        task_event(10, task("a", "finished")),
    )
    done = cli("watch", "--kind", "progress")
    assert done.out.splitlines() == ["sync of a: running, task a", "sync of a: packages: 4"]
    assert "kind" not in api.requests[1].url.params


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (
            {"listener": {"id": "5e1f", "target": "ci.example\u001b.com"}, "reason": "gone\nnow"},
            "listener 5e1f (ci.example\N{REPLACEMENT CHARACTER}.com) is disabled: gone now",
        ),
        (
            {"listener": {"id": "5e1f", "target": None}},
            "listener 5e1f is disabled: no reason is known",
        ),
        ({"listener": "5e1f"}, f"{LISTENER_DISABLED}  event 9"),
    ],
)
def test_watching_listeners(api: FakeApi, cli: Cli, body: dict[str, Any], line: str) -> None:
    """One that was disabled is told in a line, whatever its event holds, and no task beside it."""
    api.snapshot(task("a", "running"))
    told = cloudevent(9, body, type=LISTENER_DISABLED, pulpitkind="listener")
    end_of_watch(api, sse(9, LISTENER_DISABLED, told))
    done = cli("watch", "--kind", "listener")
    assert done.out.splitlines() == [line]
    assert api.requests[1].url.params["kind"] == "listener"


def test_watch_writes_one_event_a_line(api: FakeApi, cli: Cli) -> None:
    """The lines are CloudEvents, in order, until the task has ended; its end is the code."""
    api.told(report("running"), report("error"))
    done = cli("watch", f"tasks.{TASK}", "--json", "--since", "3")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert lines == [cloudevent(8, report("running")), cloudevent(9, report("error"))]
    assert done.code == ExitCode.TASK_ERROR
    assert cli("watch", "queue.x").code == ExitCode.USAGE


def test_a_task_that_is_over_has_no_more_lines(api: FakeApi, cli: Cli) -> None:
    """The command does not wait for events that can't come."""
    api.at("GET", f"{TASKS}{TASK}/", report("canceled"))
    done = cli("watch", f"tasks.{TASK}", "--json")
    assert (done.code, done.out) == (ExitCode.TASK_CANCELED, "")
    assert asked(api) == ["events", TASK]


def test_a_gap_is_a_line_too(api: FakeApi, cli: Cli) -> None:
    """So that a program at the other end of the pipe knows that it has missed events."""
    end_of_watch(api, sse(None, "stale", GAP), task_event(40, report()))
    done = cli("watch", "--json", "--since", "7")
    first, second = (json.loads(line) for line in done.out.splitlines())
    assert first == {"type": "stale", "data": GAP}
    assert second["id"] == "journal:40"
    assert "32 events after number 7" in done.err
