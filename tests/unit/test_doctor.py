"""The doctor: how checks run, and what it says of machine, API and door without a network."""

from __future__ import annotations

import fcntl
import io
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from pulpit import config
from pulpit.app.doctor import Api, Finding, Outcome, diagnose
from pulpit.app.doctor.findings import Check, Note, Problem, Skip, examine
from pulpit.app.doctor.house import House
from pulpit.app.doctor.web import Web
from pulpit.cli.exits import ExitCode
from pulpit.cli.program import main
from pulpit.cli.session import Outside
from pulpit.config import Settings
from pulpit.errors import ConfigurationError, Unavailable
from pulpit.events.amqp import CURSOR
from pulpit.storage.schema import upgrade

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def raising(error: Exception) -> Callable[[], Any]:
    """Return a function that raises."""

    def answer() -> Any:
        raise error

    return answer


def check(name: str, answer: Callable[[], str], *needs: str) -> Check:
    """Return a check."""
    return Check(name=name, title=name.title(), answer=answer, needs=needs)


def by_name(findings: Iterator[Finding]) -> dict[str, Finding]:
    """Return findings by the name of their check."""
    return {finding.check: finding for finding in findings}


def settings(data: Path, **environ: str) -> Settings:
    """Return settings with a data folder."""
    return config.load(None, environ=environ, overrides={("storage", "data"): str(data)})


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return upgrade(tmp_path_factory.mktemp("template"))


@pytest.fixture
def data(_template: Path, tmp_path: Path) -> Path:
    """Return a data folder as a server has left it."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "pulpit.db").write_bytes(_template.read_bytes())
    return folder


def write(data: Path, *statements: str) -> None:
    """Change the database."""
    with closing(sqlite3.connect(data / "pulpit.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def an_event(sequence: int, time: datetime) -> str:
    """Return the statement that writes an event."""
    micro = int(time.timestamp() * 1_000_000)
    return (
        "INSERT INTO journal (sequence, kind, type, revision, previous, tags, time, body) "
        f"VALUES ({sequence}, 'status', 't', 1, 0, '[]', {micro}, x'7b7d')"
    )


def house(data: Path, *, publishes: bool = False, **environ: str) -> dict[str, Finding]:
    """Return what is found on this machine."""
    made = House(settings(data, **environ), publishes=publishes)
    return by_name(examine("This machine", made.checks()))


class TestExamine:
    """Running checks."""

    def test_each_word_has_its_outcome(self) -> None:
        """A check answers, or says by an exception what else it came to."""
        found = list(
            examine(
                "g",
                [
                    check("a", lambda: "well"),
                    check("b", raising(Note("n", "do"))),
                    check("c", raising(Problem("p", "mend"))),
                    check("d", raising(Skip("s"))),
                    check("e", raising(Unavailable("ours"))),
                    check("f", raising(ZeroDivisionError("oops"))),
                ],
            )
        )
        outcomes = [finding.outcome.value for finding in found]
        assert outcomes == ["ok", "note", "failed", "skipped", "failed", "failed"]
        assert [finding.detail for finding in found][:4] == ["well", "n", "p", "s"]
        assert [finding.fix for finding in found][:4] == ["", "do", "mend", ""]
        assert found[4].detail == "ours"
        assert "oops" in found[5].detail

    def test_what_needs_a_failed_check_is_skipped_with_the_reason(self) -> None:
        """So are those that need one that was skipped; a note is good enough."""
        found = by_name(
            examine(
                "g",
                [
                    check("a", raising(Problem("p"))),
                    check("b", raising(AssertionError()), "a"),
                    check("c", raising(AssertionError()), "b"),
                    check("d", raising(Note("n"))),
                    check("e", lambda: "well", "d"),
                ],
            )
        )
        assert found["b"].outcome is found["c"].outcome is Outcome.SKIPPED
        assert found["b"].detail == "needs A"
        assert found["c"].detail == "needs B"
        assert found["e"].outcome is Outcome.OK

    def test_a_check_that_hangs_fails_in_time(self) -> None:
        """The next one is made all the same."""
        never = threading.Event()

        def hang() -> str:
            never.wait()
            return ""

        found = list(examine("g", [check("a", hang), check("b", lambda: "x")], seconds=0.02))
        never.set()
        assert found[0].outcome is Outcome.FAILED
        assert "0.02 s" in found[0].detail
        assert found[1].outcome is Outcome.OK


class TestHouse:
    """Data folder, disk, database, journal."""

    def test_a_folder_that_a_server_has_left_is_well(self, data: Path) -> None:
        """All is said to be there, and nothing is made beside it."""
        before = sorted(data.iterdir())
        found = house(data)
        assert {name for name, each in found.items() if each.outcome is Outcome.OK} == {
            "data_folder",
            "disk",
            "database",
            "journal",
        }
        assert found["server"].outcome is Outcome.NOTE
        assert sorted(data.iterdir()) == before

    def test_a_folder_that_is_not_there_is_made_by_the_first_start(self, tmp_path: Path) -> None:
        """That is no problem, and the doctor does not make it."""
        found = house(tmp_path / "new" / "data")
        assert found["data_folder"].outcome is Outcome.NOTE
        assert found["database"].outcome is Outcome.SKIPPED
        assert not (tmp_path / "new").exists()

    def test_a_file_in_its_place_must_be_mended(self, tmp_path: Path) -> None:
        """What depends on the folder is not looked at."""
        (tmp_path / "data").write_text("")
        found = house(tmp_path / "data")
        assert found["data_folder"].outcome is Outcome.FAILED
        assert found["database"].detail == "needs Data folder"

    def test_the_process_that_holds_the_folder_is_named(self, data: Path) -> None:
        """Looking takes no lock, which would keep a server from starting."""
        with (data / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = house(data)
        assert found["server"].outcome is Outcome.OK
        assert str(os.getpid()) in found["server"].detail

    def test_a_disk_below_the_floor_must_be_mended(self, data: Path) -> None:
        """The setting is named."""
        found = house(data, PULPIT_STORAGE_DISK_FLOOR="900 TiB")
        assert found["disk"].outcome is Outcome.FAILED
        assert "disk_floor" in found["disk"].detail

    def test_a_schema_of_a_newer_version_must_be_mended(self, data: Path) -> None:
        """The version there is named."""
        write(
            data,
            "UPDATE alembic_version SET version_num = '9999'",
            "UPDATE settings SET value = '9998' WHERE name = 'schema.oldest_code'",
        )
        found = house(data)
        assert found["database"].outcome is Outcome.FAILED
        assert "9999" in found["database"].detail

    def test_a_file_that_is_no_database_must_be_mended(self, data: Path) -> None:
        """It is left as it is."""
        (data / "pulpit.db").write_text("this is no database" * 100)
        found = house(data)
        assert found["database"].outcome is Outcome.FAILED
        assert found["journal"].outcome is Outcome.SKIPPED

    def test_another_boot_is_told(self, data: Path) -> None:
        """Numbers will jump at the next start."""
        write(data, "UPDATE settings SET value = 'x' WHERE name = 'boot.id'")
        assert house(data)["database"].outcome is Outcome.NOTE

    def test_how_late_the_broker_is(self, data: Path) -> None:
        """In numbers and in seconds; without a server, that is to be expected."""
        then = datetime.now(UTC) - timedelta(hours=1)
        cursor = f"INSERT INTO cursors (name, sequence) VALUES ('{CURSOR}', 3)"
        write(data, *(an_event(number, then) for number in (2, 3, 4, 9)), cursor)
        assert house(data)["publisher_lag"].outcome is Outcome.SKIPPED
        waiting = house(data, publishes=True)["publisher_lag"]
        assert waiting.outcome is Outcome.NOTE
        assert waiting.detail.startswith("6 behind, the oldest for 3,60")
        with (data / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert house(data, publishes=True)["publisher_lag"].outcome is Outcome.FAILED

    def test_all_confirmed_is_well(self, data: Path) -> None:
        """A cursor at the head is behind nothing."""
        cursor = f"INSERT INTO cursors (name, sequence) VALUES ('{CURSOR}', 7)"
        write(data, an_event(7, NOW), cursor)
        assert house(data, publishes=True)["publisher_lag"].outcome is Outcome.OK


class TestWeb:
    """The API."""

    @staticmethod
    def look(
        answers: Callable[[httpx.Request], httpx.Response], server: int | None = 1, **more: Any
    ) -> dict[str, Finding]:
        """Return what is found of an API that answers so."""
        api = Api(
            url="http://server:1",
            transport=httpx.MockTransport(answers),
            now=lambda: NOW,
            **more,
        )
        return by_name(examine("API", Web(api, lambda: server).checks()))

    @staticmethod
    def well(request: httpx.Request) -> httpx.Response:
        """Answer as a server that is well and has one user."""
        if request.url.path == "/pulp/api/v2/plugins/types/":
            right = httpx.BasicAuth("admin", "secret")
            wanted = next(right.auth_flow(httpx.Request("GET", "http://x")))
            known = request.headers.get("authorization") == wanted.headers["authorization"]
            return httpx.Response(200 if known else 401, json=[])
        document = {"status": "ok", "checks": []}
        return httpx.Response(200, json=document, headers={"date": format_datetime(NOW)})

    def test_a_server_that_is_well(self) -> None:
        """Everything is, and the password is shown nowhere."""
        found = self.look(self.well, login=("admin", "secret"))
        assert {finding.outcome for finding in found.values()} == {Outcome.OK}
        assert "secret" not in repr(found)

    def test_a_wrong_login(self) -> None:
        """The fix names the ways to set another."""
        found = self.look(self.well, login=("admin", "wrong"))
        assert found["login"].outcome is Outcome.FAILED
        assert "pulpit login" in found["login"].fix
        assert "wrong" not in repr(found)
        assert self.look(self.well)["login"].outcome is Outcome.SKIPPED
        broken = self.look(self.well, login_problem="others may read it")
        assert broken["login"].detail == "others may read it"

    def test_nothing_answers(self) -> None:
        """That is a problem only where a server runs."""

        def refuse(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("Connection refused")

        assert self.look(refuse)["api"].outcome is Outcome.FAILED
        alone = self.look(refuse, server=None)
        assert {finding.outcome for finding in alone.values()} == {Outcome.SKIPPED}

    def test_own_certificate_that_can_not_be_used(self, tmp_path: Path) -> None:
        """That is told where it belongs, and not a second time in the words of a library."""
        (tmp_path / "cert.pem").write_text("none")
        api = Api(url="https://localhost:1", certificate=tmp_path / "cert.pem")
        found = by_name(examine("API", Web(api, lambda: 1).checks()))
        assert {each.outcome for each in found.values()} == {Outcome.SKIPPED}
        assert "certificate" in found["api"].detail

    def test_something_else_answers(self) -> None:
        """Another program at the port is no server of ours."""
        found = self.look(lambda _: httpx.Response(200, text="<html>"))
        assert found["api"].outcome is Outcome.FAILED
        assert "no Pulpit server" in found["api"].detail

    def test_reasons_of_a_server_that_is_not_ready(self) -> None:
        """They are passed on; a degraded one is a note."""
        for status, outcome in (("failed", Outcome.FAILED), ("degraded", Outcome.NOTE)):
            document = {
                "status": status,
                "checks": [{"name": "disk", "status": status, "reason": "no room"}],
            }

            def answer(
                request: httpx.Request, document: dict[str, Any] = document
            ) -> httpx.Response:
                if request.url.path == "/ready":
                    return httpx.Response(503, json=document)
                return self.well(request)

            found = self.look(answer)
            assert found["ready"].outcome is outcome
            assert found["ready"].detail == "disk: no room"

    @pytest.mark.parametrize(("name", "fix"), [("broker", "broker below"), ("workers", "above")])
    def test_advice_leads_to_what_is_not_well(self, name: str, fix: str) -> None:
        """Workers are told of in another place than the broker."""
        checks = [{"name": name, "status": "degraded", "reason": "why"}]

        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path == "/ready":
                return httpx.Response(200, json={"status": "degraded", "checks": checks})
            return self.well(request)

        assert fix in self.look(answer)["ready"].fix

    @pytest.mark.parametrize(
        ("seconds", "outcome"),
        [(1, Outcome.OK), (-20, Outcome.NOTE), (20, Outcome.NOTE), (300, Outcome.FAILED)],
    )
    def test_clocks_that_differ(self, seconds: int, outcome: Outcome) -> None:
        """In both directions."""

        def answer(request: httpx.Request) -> httpx.Response:
            date = format_datetime(NOW + timedelta(seconds=seconds))
            return httpx.Response(200, json={"status": "ok", "checks": []}, headers={"date": date})

        assert self.look(answer)["clock"].outcome is outcome


def test_a_configuration_that_cannot_be_read_ends_the_diagnosis() -> None:
    """All else depends on it."""
    refuse = raising(ConfigurationError("unknown key", section="server", key="prot"))
    found = list(diagnose(refuse, api=lambda _: Api(url=None)))
    assert [finding.outcome for finding in found] == [Outcome.FAILED]
    assert "[server] prot" in found[0].detail


def run(*arguments: str, home: Path, **environ: str) -> tuple[int, str, str]:
    """Run the command without a server; return code and output."""
    out, err = io.StringIO(), io.StringIO()

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    outside = Outside(
        environ={"HOME": str(home), "COLUMNS": "80", **environ},
        stdin=io.StringIO(),
        stdout=out,
        stderr=err,
        transport=httpx.MockTransport(refuse),
    )
    return main(arguments, outside=outside), out.getvalue(), err.getvalue()


def test_the_command_prints_a_line_a_check_and_ends_well(data: Path) -> None:
    """Without a server and without AMQP there is nothing to mend."""
    code, out, err = run("doctor", "--data", str(data), home=data)
    assert (code, err) == (ExitCode.OK, "")
    assert "✓ Database" in out
    assert "! Server" in out
    assert "· Events" in out
    assert out.splitlines()[-1].strip() == "Nothing to mend, 1 note."
    assert max(len(line) for line in out.splitlines()) <= 80


def test_the_command_takes_the_flags_of_serve(data: Path) -> None:
    """What the server was started with tells the doctor where to look."""
    flags = ("--data", str(data), "--host", "127.0.0.2", "--port", "8181", "--no-events")
    _, out, err = run("doctor", *flags, "--json", home=data)
    assert err == ""
    [api] = [found for found in json.loads(out)["findings"] if found["check"] == "api"]
    assert "http://127.0.0.2:8181" in api["detail"]


def test_the_command_says_the_fix_and_ends_with_its_own_code(tmp_path: Path) -> None:
    """A script learns from the code that something is to be mended."""
    (tmp_path / "data").write_text("")
    code, out, _ = run("doctor", "--data", str(tmp_path / "data"), home=tmp_path)
    assert code == ExitCode.UNSOUND
    assert "✗ Data folder" in out
    assert "→ choose another with --data" in out
    assert out.splitlines()[-1].strip().startswith("1 thing to mend")


def test_the_command_writes_json(data: Path) -> None:
    """One document with every finding."""
    code, out, _ = run("doctor", "--data", str(data), "--json", home=data)
    document = json.loads(out)
    assert code == ExitCode.OK
    assert document["outcome"] == "ok"
    for finding in document["findings"]:
        assert set(finding) == {"group", "check", "outcome", "detail", "fix"}
    names = [(finding["group"], finding["check"]) for finding in document["findings"]]
    assert len(set(names)) == len(names)
    assert ("This machine", "disk") in names


def test_a_wrong_setting_is_told_by_name(tmp_path: Path) -> None:
    """The diagnosis begins and ends with it."""
    path = tmp_path / "server.conf"
    path.write_text("[server]\nprot: 1\n")
    code, out, _ = run("doctor", "--config", str(path), home=tmp_path)
    assert code == ExitCode.UNSOUND
    assert "prot" in out
    assert "port" in out
