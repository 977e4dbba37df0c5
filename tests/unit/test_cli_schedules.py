"""`pulpit schedule` against a scripted server: what is sent, words and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pulpit.cli.exits import ExitCode
from tests.unit.command import Cli, runner
from tests.unit.fake_api import FakeApi, error_body

_ZOO = "/pulp/api/v2/repositories/zoo/"
_SYNCS = f"{_ZOO}importers/yum_importer/schedules/sync/"
_PUBLISHES = f"{_ZOO}distributors/web/schedules/publish/"
_SYNC, _PUBLISH = "1" * 24, "2" * 24
#: What could take over a terminal, and what would make two lines of one.
_HOSTILE = "\x1b[31mPT1H\x07\nsecond"


def _schedule(schedule_id: str, **more: Any) -> dict[str, Any]:
    return {
        "_id": schedule_id,
        "schedule": "PT1H",
        "enabled": True,
        "next_run": "2024-05-01T13:00:00Z",
        "last_run_at": "2024-05-01T11:55:00Z",
        "consecutive_failures": 0,
        **more,
    }


@pytest.fixture
def api() -> FakeApi:
    """Return a server with one repository that has two schedules."""
    api = FakeApi()
    plugins = {"importers": [{"id": "yum_importer"}], "distributors": [{"id": "web"}]}
    api.at("GET", _ZOO, {"id": "zoo", **plugins})
    api.at("GET", f"{_ZOO.replace('zoo', 'bare')}", {"id": "bare", "importers": []})
    failing = _schedule(_PUBLISH, enabled=False, consecutive_failures=3, schedule=_HOSTILE)
    for path, kept in ((_SYNCS, _schedule(_SYNC)), (_PUBLISHES, failing)):
        api.at("GET", path, [kept])
        api.at("POST", path, kept, 201)
        api.at("PUT", f"{path}{kept['_id']}/", kept)
        api.at("DELETE", f"{path}{kept['_id']}/", None)
    return api


@pytest.fixture
def cli(api: FakeApi, tmp_path: Path) -> Cli:
    """Return what runs a command."""
    return runner(api, tmp_path)


def test_list_shows_syncs_and_publishes(cli: Cli) -> None:
    """One line each: when it runs next, when it ran last, and how often it failed."""
    run = cli("schedule", "list", "zoo", COLUMNS="160")
    heading, sync, publish = run.out.splitlines()
    assert heading.split()[:3] == ["SCHEDULE", "WHAT", "INTERVAL"]
    assert sync.split("  ")[:2] == [_SYNC, "sync"]
    assert "2024-05-01T13:00:00Z" in sync
    assert "5 min ago" in sync
    assert f"{_PUBLISH}  publish by web" in publish
    assert "disabled" in publish
    assert "3 failures" in publish
    assert "\x1b" not in run.out


def test_list_as_json(cli: Cli) -> None:
    """JSON has what the server said."""
    told = json.loads(cli("schedule", "list", "zoo", "--json").out)
    assert [schedule["_id"] for schedule in told] == [_SYNC, _PUBLISH]


def test_list_of_nothing_says_how_to_make_one(cli: Cli) -> None:
    """On standard error, for people."""
    run = cli("schedule", "list", "bare")
    assert (run.code, run.out) == (ExitCode.OK, "")
    assert "pulpit schedule create bare PT1H" in run.err


@pytest.mark.parametrize(
    ("command", "sent", "words"),
    [
        (
            "create zoo PT1H",
            (f"POST {_SYNCS}", {"schedule": "PT1H", "enabled": True}),
            f"Created schedule {_SYNC}: sync, next run 2024-05-01T13:00:00Z.",
        ),
        (
            "create zoo P1D --publish web --failure-threshold 3 --disabled",
            (f"POST {_PUBLISHES}", {"schedule": "P1D", "enabled": False, "failure_threshold": 3}),
            f"Created schedule {_PUBLISH}: publish by web, disabled.",
        ),
        (
            f"update zoo {_PUBLISH} --enable --interval PT2H --no-failure-threshold",
            (
                f"PUT {_PUBLISHES}{_PUBLISH}/",
                {"schedule": "PT2H", "enabled": True, "failure_threshold": None},
            ),
            f"Changed schedule {_PUBLISH}",
        ),
        (
            f"update zoo {_SYNC} --disable --failure-threshold 1",
            (f"PUT {_SYNCS}{_SYNC}/", {"enabled": False, "failure_threshold": 1}),
            f"Changed schedule {_SYNC}",
        ),
        (
            f"delete zoo {_PUBLISH}",
            (f"DELETE {_PUBLISHES}{_PUBLISH}/", None),
            f"Deleted schedule {_PUBLISH}.",
        ),
    ],
)
def test_commands_send_what_was_said(
    cli: Cli, api: FakeApi, command: str, sent: tuple[str, Any], words: str
) -> None:
    """Each sends one change, to the importer or the distributor, and says what came of it."""
    run = cli("schedule", *command.split())
    assert (run.code, run.err) == (ExitCode.OK, "")
    assert run.out.startswith(words)
    request, body = sent
    method, path = request.split()
    assert api.bodies(method, path) == [body]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("create bare PT1H", "repository bare has no importer"),
        (f"update zoo {_SYNC}", "say what is to change"),
        (
            f"update zoo {_SYNC} --failure-threshold 1 --no-failure-threshold",
            "say the one or the other",
        ),
        (f"update zoo {'3' * 24} --enable", "pulpit schedule list zoo"),
        ("delete zoo nothing", "has no schedule nothing"),
        ("create zoo PT1H --failure-threshold 0", "--failure-threshold"),
    ],
)
def test_what_can_not_be_done_is_said(
    cli: Cli, capsys: pytest.CaptureFixture[str], command: str, words: str
) -> None:
    """With what to do, and as wrong usage."""
    run = cli("schedule", *command.split())
    assert run.code == ExitCode.USAGE
    # the box around it is as wide as the terminal
    assert words in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_refusals_of_the_server_are_told(cli: Cli, api: FakeApi) -> None:
    """An interval that is none is told in the server's words."""
    refused = error_body(400, "PLP0015", "Invalid properties: schedule ('x' is no duration)")
    api.at("POST", _SYNCS, refused, 400)
    run = cli("schedule", "create", "zoo", "x")
    assert run.code == ExitCode.REFUSED
    assert "'x' is no duration" in run.err
