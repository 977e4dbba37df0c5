"""`pulpit db`, as it is typed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pulpit.cli.exits import ExitCode
from pulpit.cli.program import main
from pulpit.cli.session import Outside
from pulpit.storage.migrations import HEAD
from pulpit.storage.migrations.run import pending
from pulpit.storage.schema import data_folder, upgrade
from pulpit.storage.sqlite import SqliteStorage
from tests.services.postgresql import PostgresServer
from tests.stored_database import fill

#: Runs `pulpit db` with these words on the data folder; returns exit code, output and errors.
Run = Callable[..., tuple[int, str, str]]


#: All steps of the schema.
_STEPS = pending(None)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return what runs a command."""

    def command(*words: str, **environ: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        known = {"HOME": str(tmp_path), "PULPIT_STORAGE_DATA": str(tmp_path / "data"), **environ}
        outside = Outside(environ=known, stdin=io.StringIO(), stdout=out, stderr=err)
        code = main(["db", *words], outside=outside)
        return code, out.getvalue(), err.getvalue()

    return command


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data folder with a database."""
    (tmp_path / "data").mkdir()
    with SqliteStorage(upgrade(tmp_path / "data")) as storage:
        fill(storage)
    return tmp_path / "data"


@pytest.fixture
def empty(postgresql: PostgresServer) -> Iterator[str]:
    """Yield the URL of a database that holds nothing."""
    url = postgresql.url(postgresql.create_database())
    yield url
    postgresql.drop_database(url)


def test_sqlite_from_nothing(run: Run, tmp_path: Path) -> None:
    """Looking makes no file; upgrading does."""
    code, out, _ = run("status", "--json")
    assert code == ExitCode.OK
    assert json.loads(out)["schema"] is None
    assert not (tmp_path / "data").exists()
    assert run("upgrade")[:2] == (0, f"{tmp_path}/data/pulpit.db: ran {', '.join(_STEPS)}.\n")
    assert "was up to date" in run("upgrade")[1]


def test_status_of_sqlite(run: Run, data: Path) -> None:
    """It leaves no file beside the database."""
    code, out, _ = run("status")
    assert code == ExitCode.OK
    assert f"sqlite {data}/pulpit.db" in out
    assert [path.name for path in data.iterdir()] == ["pulpit.db"]


def test_postgresql_from_nothing(run: Run, empty: str) -> None:
    """What is due is told by the exit code too."""
    code, out, err = run("status", PULPIT_DATABASE_URL=empty)
    assert code == ExitCode.UNSOUND
    assert ", ".join(_STEPS) in out
    assert "pulpit db upgrade" in err
    assert run("upgrade", PULPIT_DATABASE_URL=empty)[0] == ExitCode.OK
    code, out, _ = run("status", "--json", PULPIT_DATABASE_URL=empty)
    assert code == ExitCode.OK
    found = json.loads(out)
    assert (found["kind"], found["schema"], found["due"]) == ("postgresql", HEAD, [])
    assert found["server"].startswith("PostgreSQL ")


def test_copy_shows_what_it_has_compared(run: Run, data: Path, empty: str) -> None:
    """The target is upgraded first if it is empty; a second copy is refused."""
    code, out, err = run("copy", "--to", empty, "--data", str(data))
    assert code == ExitCode.OK, err
    assert "both hold the same" in out
    assert "Comparing journal: 20 rows" in err
    code, _, err = run("copy", PULPIT_DATABASE_URL=empty)
    assert code == ExitCode.CANNOT_START
    assert "is in use" in err


def test_copy_as_json(run: Run, data: Path, empty: str) -> None:
    """For programs: all tables with both digests, and nothing else."""
    code, out, err = run("copy", "--json", "--to", empty, "--data", str(data))
    assert (code, err) == (ExitCode.OK, "")
    tables = {each["table"]: each for each in json.loads(out)["tables"]}
    assert tables["journal"]["target_rows"] == 20
    assert all(each["same"] for each in tables.values())


def test_copy_beside_a_server_is_refused(run: Run, data: Path, empty: str) -> None:
    """Who holds the data folder may be writing."""
    with data_folder(data):
        code, _, err = run("copy", "--to", empty)
    assert code == ExitCode.CANNOT_START
    assert "stop it" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--to"),
        (("--to", "mysql://x/y"), "postgresql://"),
        (("--to", "postgresql://pulpit:hush@127.0.0.1:1/x"), "Connection refused"),
    ],
)
def test_copy_to_nowhere_is_refused(
    run: Run, data: Path, words: tuple[str, ...], told: str
) -> None:
    """It says what to do, without the password."""
    assert data.exists()
    code, _, err = run("copy", *words)
    assert code == ExitCode.CANNOT_START
    assert told in err
    assert "hush" not in err


def test_copy_of_nothing_is_refused(run: Run, tmp_path: Path) -> None:
    """No data folder is made for it."""
    code, _, err = run("copy", "--to", "postgresql://127.0.0.1:1/x")
    assert code == ExitCode.CANNOT_START
    assert "no database to copy" in err
    assert not (tmp_path / "data").exists()
