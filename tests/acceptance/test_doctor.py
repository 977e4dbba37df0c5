"""`pulpit doctor` beside a running server, and without one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import PulpitServer

PULPIT = [sys.executable, "-c", "import sys, pulpit.cli; sys.exit(pulpit.cli.main())"]
_UNSOUND = 10

#: (group, check) to the finding.
Findings = dict[tuple[str, str], Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulpitServer]:
    """Yield a server with an open door."""
    with PulpitServer(tmp_path_factory.mktemp("doctor") / "data") as running:
        yield running


def doctor(server: PulpitServer, *arguments: str, **environ: str) -> tuple[int, Findings]:
    """Run the command as JSON; return its code and the findings by group and check."""
    done = subprocess.run(
        [*PULPIT, "doctor", "--json", "--data", str(server.data), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**server.environ(), **environ},
    )
    assert done.stderr == ""
    document = json.loads(done.stdout)
    found = {(each["group"], each["check"]): each for each in document["findings"]}
    return done.returncode, found


def outcomes(found: Findings, *wanted: str) -> set[str]:
    """Return the checks with one of these outcomes."""
    return {check for (_, check), each in found.items() if each["outcome"] in wanted}


def test_a_server_that_runs_is_well(server: PulpitServer) -> None:
    """Everything is looked at, and found well; the files stay as they are."""
    flags = ("--events", "--door", f"127.0.0.1:{server.door_port}")
    code, found = doctor(server, *flags)
    assert (code, outcomes(found, "failed", "note")) == (0, set()), found
    assert str(server.pid) in found["This machine", "server"]["detail"]
    assert found["API", "login"]["outcome"] == "ok"
    assert found["AMQP", "door"]["detail"].startswith("open at")
    assert server.password not in repr(found)


def test_a_wrong_password_and_a_closed_door_are_found(server: PulpitServer) -> None:
    """The door that the flags name is not the one that the server has."""
    flags = ("--events", "--door", "127.0.0.1:1")
    code, found = doctor(server, *flags, PULPIT_PASSWORD="not this one")
    assert code == _UNSOUND
    assert outcomes(found, "failed") == {"login", "door"}
    assert "not this one" not in repr(found)


def test_without_a_server_and_with_a_broker_that_is_away(tmp_path: Path) -> None:
    """After the end of the server its files are read without a trace."""
    with PulpitServer(tmp_path / "data", door=False) as ended:
        pass
    before = sorted(path.name for path in ended.data.iterdir())
    url = {"PULPIT_MESSAGING_EVENT_NOTIFICATION_URL": "amqp://zoo:keeper@127.0.0.1:1/"}
    code, found = doctor(ended, "--events", **url)
    assert code == _UNSOUND
    assert outcomes(found, "failed") == {"tcp"}
    assert {"database", "journal", "disk"} <= outcomes(found, "ok")
    assert "api" in outcomes(found, "skipped")
    assert "keeper" not in repr(found)
    assert sorted(path.name for path in ended.data.iterdir()) == before
