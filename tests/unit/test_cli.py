"""The commands against a scripted server: words, JSON and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from pulpit.cli.exits import ExitCode
from tests.unit.command import Cli, Run, runner
from tests.unit.fake_api import TASK, FakeApi, error_body, report

REPOSITORIES = "/pulp/api/v2/repositories/"
TASKS = "/pulp/api/v2/tasks/"
SYNC = f"{REPOSITORIES}zoo/actions/sync/"
ZOO = {
    "id": "zoo",
    "display_name": "The zoo",
    "description": None,
    "notes": {"env": "dev"},
    "content_unit_counts": {"rpm": 1234, "erratum": 2},
    "importers": [
        {
            "config": {"feed": "http://feed/zoo/", "download_policy": "immediate"},
            "last_sync": "2024-05-01T11:55:00Z",
        }
    ],
    "distributors": [
        {"id": "yum_distributor", "config": {"relative_url": "z/oo"}, "last_publish": None}
    ],
}


@pytest.fixture
def api() -> FakeApi:
    """Return the server that the commands speak to."""
    return FakeApi()


@pytest.fixture
def cli(api: FakeApi, tmp_path: Path) -> Cli:
    """Return a function that runs a command in a world of its own."""
    return runner(api, tmp_path)


def test_create_makes_importer_and_distributor_in_one_call(api: FakeApi, cli: Cli) -> None:
    """Every flag has its place in the one document."""
    api.at("POST", REPOSITORIES, ZOO, 201)
    done = cli(
        *("repo", "create", "zoo", "--feed", "http://feed/", "--policy", "on-demand"),
        *("--relative-url", "z/oo", "--auto-publish", "--note", "a=1", "--note", "b=x=y"),
        *("--retain-old", "2", "--remove-missing", "--feed-user", "u", "--name", "Zoo"),
        PULPIT_FEED_PASSWORD="",
    )
    assert (done.code, done.out) == (0, "Created repository zoo.\n")
    assert api.bodies("POST", REPOSITORIES) == [
        {
            "id": "zoo",
            "display_name": "Zoo",
            "notes": {"a": "1", "b": "x=y"},
            "importer_type_id": "yum_importer",
            "importer_config": {
                "feed": "http://feed/",
                "download_policy": "on_demand",
                "basic_auth_username": "u",
                "retain_old_count": 2,
                "remove_missing": True,
            },
            "distributors": [
                {
                    "distributor_id": "yum_distributor",
                    "distributor_type_id": "yum_distributor",
                    "auto_publish": True,
                    "distributor_config": {"relative_url": "z/oo", "http": True, "https": False},
                }
            ],
        }
    ]


def test_a_repository_of_isos(api: FakeApi, cli: Cli) -> None:
    """The type chooses importer and distributor; what is shown is where isos are published."""
    api.at("POST", REPOSITORIES, {"id": "isos"}, 201)
    created = cli("repo", "create", "isos", "--type", "iso", "--feed", "http://feed/")
    assert created.code == 0
    [sent] = api.bodies("POST", REPOSITORIES)
    assert sent["importer_type_id"] == "iso_importer"
    [distributor] = sent["distributors"]
    assert distributor == {
        "distributor_id": "iso_distributor",
        "distributor_type_id": "iso_distributor",
        "auto_publish": False,
        "distributor_config": {"relative_url": "isos", "serve_http": True},
    }
    shown = {"id": "isos", "content_unit_counts": {"iso": 2}}
    for config in ({"relative_url": "isos"}, {}):
        one = {"distributor_type_id": "iso_distributor", "repo_id": "isos", "config": config}
        api.at("GET", f"{REPOSITORIES}isos/", {**shown, "distributors": [one]})
        told = cli("repo", "show", "isos").out
        assert "2 files" in told
        assert "http://server:1/pulp/isos/isos/" in told


def test_orphans(api: FakeApi, cli: Cli) -> None:
    """They are counted, listed by type and removed; a type that is not there is said."""
    orphans = "/pulp/api/v2/content/orphans/"
    counts = {"iso": {"count": 2, "_href": "x"}, "rpm": {"count": 0, "_href": "y"}}
    listed = [{"_id": "u", "_content_type_id": "iso", "_href": "z", "name": "a", "size": 5}]
    api.at("GET", orphans, counts)
    api.at("GET", f"{orphans}iso/", listed)
    api.at("GET", f"{orphans}rpm/", [])
    body = error_body(404, "PLP0009", "x", resources={"content_type_id": "none"})
    api.at("GET", f"{orphans}none/", {**body, "resources": {"content_type_id": "none"}}, 404)
    assert cli("orphans", "list").out.split() == ["ORPHANS", "TYPE", "2", "iso"]
    assert cli("orphans", "list", "iso").out.split() == ["UUID", "UNIT", "u", "name=a", "size=5"]
    assert json.loads(cli("orphans", "list", "iso", "--json").out) == listed
    assert cli("orphans", "list", "rpm").err == "No orphans.\n"
    assert cli("orphans", "list", "none").code == ExitCode.NOT_FOUND
    tagged = report(tags=["pulp:content_unit:orphans"], result={"iso": 2, "rpm": 1})
    call = {"spawned_tasks": [{"task_id": TASK, "_href": "x"}], "result": None, "error": None}
    for path in (orphans, f"{orphans}iso/"):
        api.at("DELETE", path, call, 202)
    assert cli("orphans", "remove", "--no-wait").out == f"{TASK}\n"
    assert cli("orphans", "remove", "iso", "--no-wait").out == f"{TASK}\n"
    api.at("GET", f"{TASKS}{TASK}/", tagged)
    assert "2 iso, 1 rpm" in cli("task", "show", TASK).out


def test_lists_and_details(api: FakeApi, cli: Cli) -> None:
    """What a person reads has the figures; what a program reads is the server's document."""
    api.at("GET", REPOSITORIES, [ZOO])
    api.at("GET", f"{REPOSITORIES}zoo/", ZOO)
    listed = cli("repo", "list").out.splitlines()
    assert listed[0].split() == ["REPOSITORY", "PACKAGES", "OTHERS", "SYNCED", "PUBLISHED", "FEED"]
    assert listed[1].split() == [
        "zoo",
        "1,234",
        "2",
        "5",
        "min",
        "ago",
        "never",
        "http://feed/zoo/",
    ]
    shown = cli("repo", "show", "zoo").out
    for words in (
        "The zoo",
        "env=dev",
        "1,234 packages",
        "2 errata",
        "http://server:1/pulp/repos/z/oo/",
    ):
        assert words in shown
    assert json.loads(cli("repo", "list", "--json").out) == [ZOO]
    assert json.loads(cli("repo", "show", "zoo", "--json").out) == ZOO


def test_units_of_a_repository(api: FakeApi, cli: Cli) -> None:
    """Units are asked for by type and filter, and shown by what people call them."""
    package = {"name": "bell", "epoch": "1", "version": "2.0", "release": "1", "arch": "noarch"}
    stream = {"name": "choir", "stream": "1.10", "version": 3, "arch": "x86_64"}
    found = [
        {"_content_type_id": "rpm", **package},
        {"_content_type_id": "modulemd", **stream},
        {"_content_type_id": "erratum", "id": "E1", "version": "1"},
    ]
    api.at("POST", f"{REPOSITORIES}zoo/search/units/", [{"metadata": unit} for unit in found])
    shown = cli("repo", "units", "zoo", "--type", "rpm", "--filter", '{"name": "bell"}')
    assert [line.split() for line in shown.out.splitlines()] == [
        ["TYPE", "NAME", "VERSION", "ARCH"],
        ["rpm", "bell", "1:2.0-1", "noarch"],
        ["modulemd", "choir", "1.10:3", "x86_64"],
        ["erratum", "E1", "1"],
    ]
    criteria = {"type_ids": ["rpm"], "filters": {"unit": {"name": "bell"}}, "limit": 100}
    assert api.bodies("POST", f"{REPOSITORIES}zoo/search/units/") == [{"criteria": criteria}]
    assert json.loads(cli("repo", "units", "zoo", "--json").out) == found
    assert "--limit" in cli("repo", "units", "zoo", "--limit", "3").err
    for bad in ("{", "[]"):
        assert cli("repo", "units", "zoo", "--filter", bad).code == ExitCode.USAGE


def test_tables_fit_a_narrow_terminal(api: FakeApi, cli: Cli) -> None:
    """At 80 columns no line is longer, and ids stay whole."""
    api.at("GET", REPOSITORIES, [ZOO | {"id": "a-very-long-name-of-a-repository" * 2}])
    api.at("POST", f"{TASKS}search/", [report("running"), report("canceled")])
    for command in (("repo", "list"), ("task", "list")):
        lines = cli(*command, COLUMNS="80").out.splitlines()
        assert max(len(line) for line in lines) <= 80
    assert TASK in cli("task", "list", COLUMNS="80").out


def test_sync_is_followed_to_its_end(api: FakeApi, cli: Cli) -> None:
    """Stages and states come as plain lines; the publish that the sync hands in is followed."""
    stage = {"state": "IN_PROGRESS", "items_total": 4, "items_left": 2}
    result = {"added_count": 4, "updated_count": 0, "removed_count": 1}
    api.call("POST", SYNC, TASK)
    api.told(
        report("waiting"),
        report("running", progress_report={"yum_importer": {"content": stage}}),
        report(result=result, spawned_tasks=[{"task_id": "p"}]),
    )
    published = report(task_id="p", tags=["pulp:repository:zoo", "pulp:action:publish"])
    api.at("GET", f"{TASKS}p/", published)
    done = cli("repo", "sync", "zoo")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"sync of zoo: waiting, task {TASK}",
        f"sync of zoo: running, task {TASK}",
        "sync of zoo: packages: 2 of 4",
        "✓ sync of zoo finished in 2 s: 4 units added, 0 updated, 1 removed",
        "✓ publish of zoo finished in 2 s",
    ]
    # the stream starts at the number from before the action: nothing can be missed
    order = [(request.method, request.url.path) for request in api.requests]
    assert order.index(("GET", "/pulpit/v1/events/")) < order.index(("POST", SYNC))
    assert f"task={TASK}&since=7" in str(api.requests[2].url)


@pytest.mark.parametrize(
    ("state", "code"),
    [("finished", 0), ("error", ExitCode.TASK_ERROR), ("canceled", ExitCode.TASK_CANCELED)],
)
def test_the_exit_code_tells_how_the_task_ended(
    api: FakeApi, cli: Cli, state: str, code: int
) -> None:
    """A script sees it without reading a word."""
    error = {"code": "RPM1004", "description": "Error retrieving metadata: gone"}
    api.call("POST", SYNC, TASK)
    for _ in range(2):
        api.told(report(state, error=error if state == "error" else None))
    done = cli("repo", "sync", "zoo")
    assert done.code == code
    assert ("Error retrieving metadata: gone [RPM1004]" in done.out) == (state == "error")
    asked = cli("repo", "sync", "zoo", "--json")
    assert asked.code == code
    assert [task["state"] for task in json.loads(asked.out)["tasks"]] == [state]


def test_no_wait_prints_the_uuid_alone(api: FakeApi, cli: Cli) -> None:
    """So that it can stand in another command line."""
    api.call("POST", SYNC, TASK)
    assert cli("repo", "sync", "zoo", "--no-wait") == Run(0, f"{TASK}\n", "")
    call = json.loads(cli("repo", "sync", "zoo", "--no-wait", "--json").out)
    assert call["spawned_tasks"][0]["task_id"] == TASK


def test_publish_finds_the_distributor(api: FakeApi, cli: Cli) -> None:
    """With one distributor nobody needs to name it; with several, one must."""
    publish = f"{REPOSITORIES}zoo/actions/publish/"
    api.at("GET", f"{REPOSITORIES}zoo/", ZOO)
    api.call("POST", publish, TASK)
    assert cli("repo", "publish", "zoo", "--no-wait", "--force-full").code == 0
    assert api.bodies("POST", publish) == [
        {"id": "yum_distributor", "override_config": {"force_full": True}}
    ]
    api.at("GET", f"{REPOSITORIES}zoo/", ZOO | {"distributors": [{"id": "a"}, {"id": "b"}]})
    assert cli("repo", "publish", "zoo").code == ExitCode.USAGE
    assert cli("repo", "publish", "zoo", "--distributor", "b", "--no-wait").code == 0


def test_delete_asks_first(api: FakeApi, cli: Cli) -> None:
    """Where nobody can be asked, nothing is deleted without --yes."""
    api.call("DELETE", f"{REPOSITORIES}zoo/", TASK)
    assert cli("repo", "delete", "zoo").code == ExitCode.USAGE
    assert api.requests == []
    assert cli("repo", "delete", "zoo", "--yes", "--no-wait").out == f"{TASK}\n"


def test_task_commands(api: FakeApi, cli: Cli) -> None:
    """List, show and cancel say what a person asks about."""
    failed = report("error", error={"code": "RPM1005", "description": "No feed"})
    api.at("POST", f"{TASKS}search/", [failed])
    api.at("GET", f"{TASKS}{TASK}/", failed)
    api.at("DELETE", f"{TASKS}{TASK}/", None)
    assert "error" in cli("task", "list", "--repo", "zoo", "--state", "error").out
    assert api.bodies("POST", f"{TASKS}search/")[0]["criteria"]["filters"] == {
        "$and": [{"tags": "pulp:repository:zoo"}],
        "state": {"$in": ["error"]},
    }
    shown = cli("task", "show", TASK).out
    assert "✗ sync of zoo error in 2 s: No feed [RPM1005]" in shown
    assert "2024-05-01T12:00:02Z" in shown
    assert cli("task", "cancel", TASK).code == 0
    assert json.loads(cli("task", "show", TASK, "--json").out) == failed


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (httpx.ConnectError("refused"), ExitCode.UNREACHABLE, "`pulpit serve`"),
        (
            (404, error_body(404, "PLP0009", "x", resources={"repo_id": "zoo"})),
            ExitCode.NOT_FOUND,
            "there is no repository zoo.",
        ),
        ((409, error_body(409, "PLP0018", "Duplicate")), ExitCode.REFUSED, "Duplicate"),
        ((500, error_body(500, "PLP0001", "Oops")), ExitCode.SERVER_FAILED, "Oops"),
        ((200, b"<html>"), ExitCode.SERVER_FAILED, "no Pulpit server"),
        ((404, b"<html>"), ExitCode.SERVER_FAILED, "no Pulpit server: it has no /pulp/api/v2/"),
        ((403, error_body(403, "PLP0042", "May not")), ExitCode.UNAUTHORIZED, "May not"),
    ],
)
def test_errors_are_one_line_and_a_code(
    api: FakeApi, cli: Cli, answer: Any, code: ExitCode, words: str
) -> None:
    """No traceback; the line says what is wrong and what to do."""
    status, document = answer if isinstance(answer, tuple) else (200, answer)
    api.at("GET", f"{REPOSITORIES}zoo/", document, status)
    done = cli("repo", "show", "zoo")
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1
    assert words in done.err


def test_a_refused_login_says_how_to_log_in(cli: Cli) -> None:
    """Wrong or missing credentials have one answer."""
    for environ in ({"PULPIT_PASSWORD": "wrong"}, {"PULPIT_USER": "", "PULPIT_PASSWORD": ""}):
        done = cli("repo", "list", **environ)
        assert done.code == ExitCode.UNAUTHORIZED
        assert "pulpit login" in done.err


def test_text_from_outside_can_not_take_over_the_terminal(api: FakeApi, cli: Cli) -> None:
    """Escape sequences in names, notes and errors are shown, not sent."""
    evil = "\x1b]0;owned\x07\x9b31m\u202ezoo\n[red]x"
    api.at("GET", REPOSITORIES, [ZOO | {"id": evil}])
    api.at("GET", f"{REPOSITORIES}zoo/", ZOO | {"display_name": evil, "notes": {evil: evil}})
    api.at("POST", f"{TASKS}search/", [report(tags=[f"pulp:repository:{evil}"])])
    api.at("GET", f"{TASKS}{TASK}/", error_body(400, evil, evil), 400)
    runs = [
        cli("repo", "list"),
        cli("repo", "show", "zoo"),
        cli("task", "list"),
        cli("task", "show", TASK),
    ]
    for done in runs:
        assert not set("\x1b\x07\x9b\u202e") & set(done.out + done.err)
        assert "[red]x" in done.out + done.err


def test_usage_errors_exit_2(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not a command, or lacks an argument, is told on standard error."""
    for arguments in (("dance",), ("repo", "show"), ("repo", "create", "x", "--note", "y")):
        assert cli(*arguments).code == ExitCode.USAGE
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "Usage: pulpit" in captured.err


@pytest.mark.parametrize(
    ("command", "usage"), [("watch", "[KEY]"), ("login", "[USER]"), ("task wait", "[TASK]...")]
)
def test_the_usage_brackets_once_what_may_be_left_out(
    cli: Cli, capsys: pytest.CaptureFixture[str], command: str, usage: str
) -> None:
    """As manual pages do."""
    assert cli(*command.split(), "--help").code == ExitCode.OK
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert f"Usage: pulpit {command} [OPTIONS] {usage}" in lines


def test_version_and_config(cli: Cli, tmp_path: Path) -> None:
    """Both need no server; a wrong configuration has its own code."""
    assert cli("version").out.startswith("pulpit ")
    assert set(json.loads(cli("version", "--json").out)) == {"pulpit", "python"}
    good, bad = tmp_path / "good.conf", tmp_path / "bad.conf"
    good.write_text("[server]\nport: 8181\ndefault_password: hush\n[database]\nname: pulp\n")
    bad.write_text("[server]\nprot: 8181\n")
    checked = cli("config", "check", "--config", str(good))
    assert checked.code == 0
    assert "8181" in checked.out
    assert "hush" not in checked.out + checked.err
    assert "[database] name" in checked.err
    wrong = cli("config", "check", "--config", str(bad))
    assert wrong.code == ExitCode.CANNOT_START
    assert f"{bad} [server] prot" in wrong.err
    assert cli("config", "example").out.startswith("#")
