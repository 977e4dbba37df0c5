"""The commands against the real server, as a user runs them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from pulpit.cli.exits import ExitCode
from pulpit.cli.program import main
from pulpit.cli.session import Outside
from tests.acceptance.server import PulpitServer
from tests.isos import make_feed
from tests.schemas import assert_told
from tests.services import PATIENCE

FEED = (Path(__file__).resolve().parents[2] / "examples" / "feed" / "repo").as_uri() + "/"
PULPIT = [sys.executable, "-c", "import sys, pulpit.cli; sys.exit(pulpit.cli.main())"]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulpitServer]:
    """Yield one server for all tests of this module."""
    with PulpitServer(tmp_path_factory.mktemp("cli") / "data") as running:
        yield running


@pytest.fixture
def pulpit(server: PulpitServer, tmp_path: Path) -> Run:
    """Return a function that runs a command to its end, in this process: that saves its start."""

    def run(*arguments: str, **environ: str) -> Done:
        out, err = io.StringIO(), io.StringIO()
        outside = Outside(
            environ={**server.environ(), "HOME": str(tmp_path), **environ},
            stdin=io.StringIO(),
            stdout=out,
            stderr=err,
        )
        code = main(arguments, outside=outside)
        return Done(code, out.getvalue(), err.getvalue())

    return run


def test_from_a_feed_to_a_published_repository(server: PulpitServer, pulpit: Run) -> None:
    """Create, sync, publish, show: each says what came of it, and the result can be fetched."""
    assert pulpit("repo", "create", "bells", "--feed", FEED).returncode == 0
    synced = pulpit("repo", "sync", "bells")
    assert (synced.returncode, synced.stderr) == (0, "")
    lines = synced.stdout.splitlines()
    assert lines[0].startswith("sync of bells: waiting, task ")
    assert any(line.startswith("sync of bells: packages: ") for line in lines)
    assert "✓ sync of bells finished" in lines[-1]
    published = pulpit("repo", "publish", "bells")
    assert "✓ publish of bells finished" in published.stdout
    shown = pulpit("repo", "show", "bells").stdout
    assert f"{server.url}/pulp/repos/bells/" in shown
    with urlopen(f"{server.url}/pulp/repos/bells/repodata/repomd.xml", timeout=PATIENCE) as answer:
        assert b"<repomd" in answer.read()
    again = pulpit("repo", "sync", "bells").stdout
    assert "0 units added, 0 updated, 0 removed" in again
    assert "bells" in pulpit("repo", "list").stdout


def test_files_from_a_feed_to_the_last_of_them(
    server: PulpitServer, pulpit: Run, tmp_path: Path
) -> None:
    """Isos are synced, told of, published, and removed with their files once nothing has them."""
    feed = make_feed(tmp_path / "feed", {"a.iso": b"a" * 100_000, "below/b.iso": b"b"})
    pulpit("repo", "create", "isos", "--type", "iso", "--feed", feed.as_uri(), "--auto-publish")
    done = pulpit("repo", "sync", "isos", "--json")
    assert done.returncode == 0, done.stderr
    sync, _ = json.loads(done.stdout)["tasks"]
    assert sync["result"]["added_count"] == 2
    # the command knows it by its events, which tell stages; Pulp 2's clients ask for the task
    assert sync["progress_report"]["iso_importer"]["isos"]["items_total"] == 2
    assert_told("pulpit.task.status.v1", sync)
    with urlopen(f"{server.url}/pulp/isos/isos/below/b.iso", timeout=PATIENCE) as answer:
        assert answer.read() == b"b"
    with server.client() as client:
        report = client.task(sync["task_id"]).document
    assert report["progress_report"]["iso_importer"]["state"] == "complete"
    assert "✓ delete of isos finished" in pulpit("repo", "delete", "isos", "--yes").stdout
    assert pulpit("orphans", "list").stdout.split() == ["ORPHANS", "TYPE", "2", "iso"]
    removed = pulpit("orphans", "remove", "iso")
    assert "2 iso" in removed.stdout, removed
    assert pulpit("orphans", "list").stderr == "No orphans.\n"


def test_an_auto_publish_is_followed(pulpit: Run) -> None:
    """The sync's command ends when the publish that it hands in has ended."""
    pulpit("repo", "create", "auto", "--feed", FEED, "--auto-publish")
    done = pulpit("repo", "sync", "auto", "--json")
    assert done.returncode == 0
    tasks = json.loads(done.stdout)["tasks"]
    assert [task["state"] for task in tasks] == ["finished", "finished"]
    assert tasks[0]["spawned_tasks"][0]["task_id"] == tasks[1]["task_id"]
    assert "pulp:action:publish" in tasks[1]["tags"]


def test_a_task_that_fails(pulpit: Run, tmp_path: Path) -> None:
    """The exit code says so, and the words name the reason; asking later says the same."""
    pulpit("repo", "create", "gone", "--feed", (tmp_path / "no-feed").as_uri() + "/")
    task = pulpit("repo", "sync", "gone", "--no-wait").stdout.strip()
    for _ in range(2):
        waited = pulpit("task", "wait", task)
        assert waited.returncode == ExitCode.TASK_ERROR
        assert "✗ sync of gone error" in waited.stdout
        assert "no-feed" in waited.stdout
    listed = pulpit("task", "list", "--repo", "gone", "--state", "error").stdout
    assert task in listed


def test_watch_tells_events_of_others_as_lines(server: PulpitServer, pulpit: Run) -> None:
    """A watcher that started before hears each step, and survives a restart of the server."""
    pulpit("repo", "create", "seen", "--feed", FEED)
    watching = subprocess.Popen(
        [*PULPIT, "watch", "--repo", "seen", "--kind", "status", "--json", "--since", "0"],
        env=server.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert watching.stdout is not None
    first = server.pid
    try:
        for _ in range(2):
            pulpit("repo", "sync", "seen")
            told = [json.loads(watching.stdout.readline()) for _ in range(3)]
            states = [line["data"]["state"] for line in told]
            assert states == ["waiting", "running", "finished"]
            if server.pid == first:
                assert server.stop() == 0
                server.start()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE) == ExitCode.INTERRUPTED
    finally:
        watching.kill()
        watching.wait()
        watching.stdout.close()


def test_watching_a_task_ends_with_it(pulpit: Run) -> None:
    """Its exit code is the task's, also when it has ended before."""
    pulpit("repo", "create", "one", "--feed", FEED)
    task = pulpit("repo", "sync", "one", "--no-wait").stdout.strip()
    watched = pulpit("watch", f"tasks.{task}")
    assert watched.returncode == 0
    assert "✓ sync of one finished" in watched.stdout


def test_login_is_kept(server: PulpitServer, pulpit: Run, tmp_path: Path) -> None:
    """After a login, commands need neither address nor password."""
    bare = {"PULPIT_USER": "", "PULPIT_PASSWORD": "", "XDG_CONFIG_HOME": str(tmp_path)}
    assert pulpit("repo", "list", **bare).returncode == ExitCode.UNAUTHORIZED
    assert pulpit("login", XDG_CONFIG_HOME=str(tmp_path)).returncode == 0
    assert pulpit("repo", "list", **bare, PULPIT_URL="").returncode == 0
    assert (tmp_path / "pulpit" / "credentials.json").stat().st_mode & 0o777 == 0o600


def test_refusals(pulpit: Run) -> None:
    """A taken id, an unknown one, a bad one and a dead address have codes of their own."""
    pulpit("repo", "create", "taken")
    assert pulpit("repo", "create", "taken").returncode == ExitCode.REFUSED
    assert pulpit("repo", "create", "a b").returncode == ExitCode.REFUSED
    unknown = pulpit("repo", "sync", "unknown")
    assert unknown.returncode == ExitCode.NOT_FOUND
    assert "there is no repository unknown." in unknown.stderr
    assert pulpit("task", "show", "unknown").returncode == ExitCode.NOT_FOUND
    dead = pulpit("repo", "list", PULPIT_URL="http://127.0.0.1:1")
    assert dead.returncode == ExitCode.UNREACHABLE
    assert pulpit("repo", "delete", "taken", "--yes").returncode == 0


def test_a_closed_pipe_is_no_error(server: PulpitServer) -> None:
    """Who reads only the first line gets no complaint."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(
            [*PULPIT, "config", "example"],
            env=server.environ(),
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (ExitCode.OUTPUT_CLOSED, b"")


def test_the_shell_completes_commands_and_ids(server: PulpitServer, pulpit: Run) -> None:
    """Tab offers commands, and the ids of the server's repositories."""
    pulpit("repo", "create", "completed")
    for words, offered in (("pulpit re", "repo"), ("pulpit repo show compl", "completed")):
        asked = {
            "_PULPIT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        done = subprocess.run(
            [str(Path(sys.executable).with_name("pulpit"))],
            env={**server.environ(), **asked},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.split() == [offered]
