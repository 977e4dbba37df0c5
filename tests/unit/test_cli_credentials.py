"""The credentials file: whose password goes where."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from pulpit.cli.credentials import Credentials, Login, credentials_path
from pulpit.cli.exits import ExitCode
from pulpit.cli.program import main
from pulpit.cli.session import Outside
from pulpit.errors import ConfigurationError
from tests.unit.fake_api import FakeApi, error_body

ANN = Login(user="ann", password="se cret")
TOKEN = "pulpit_of-ann"
TYPES = "/pulp/api/v2/plugins/types/"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file would be."""
    return credentials_path({"XDG_CONFIG_HOME": str(tmp_path / "config")})


def test_the_file_comes_back_as_written_and_closed_to_others(path: Path) -> None:
    """What is written is read, by its owner alone, and replaces what was there."""
    assert Credentials.read(path) == Credentials()
    first = Credentials().with_login("http://a", ANN)
    first.write(path)
    both = Credentials.read(path).with_login("http://b", Login(user="b", password="ü"))
    both.write(path)
    assert Credentials.read(path) == both
    assert both.default_url == "http://b"
    assert both.logins["http://a"] == ANN
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert "se cret" not in repr(both)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_may_open_is_refused(path: Path, mode: int) -> None:
    """The error says how to close it."""
    Credentials().with_login("http://a", ANN).write(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {path}"):
        Credentials.read(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"servers": []}',
        '{"servers": {"u": {"user": 1}}}',
        '{"servers": {"u": {"token": 1}}}',
    ],
)
def test_other_files_are_refused(path: Path, content: str) -> None:
    """What `login` did not write is told, not guessed at."""
    path.parent.mkdir(parents=True)
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="not a credentials file"):
        Credentials.read(path)


def test_a_folder_or_a_pipe_is_refused(path: Path) -> None:
    """Only a regular file is read; opening never blocks."""
    path.mkdir(parents=True)
    with pytest.raises(ConfigurationError):
        Credentials.read(path)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[int, str, FakeApi]]:
    """Return a function that runs a command of ann's at a server that knows her."""

    def command(
        *arguments: str,
        stdin: str = "",
        prepare: Callable[[FakeApi], None] | None = None,
        **environ: str,
    ) -> tuple[int, str, FakeApi]:
        api = FakeApi()
        api.logins = {(ANN.user, ANN.password)}
        api.tokens = {TOKEN}
        api.at("GET", TYPES, [])
        api.at("GET", "/pulp/api/v2/repositories/", [])
        if prepare:
            prepare(api)
        err = io.StringIO()
        outside = Outside(
            environ={"XDG_CONFIG_HOME": str(tmp_path / "config"), **environ},
            stdin=io.StringIO(stdin),
            stdout=io.StringIO(),
            stderr=err,
            transport=api.transport,
        )
        return main(arguments, outside=outside), err.getvalue(), api

    return command


Runner = Callable[..., tuple[int, str, FakeApi]]


def test_login_is_checked_before_it_is_kept(run: Runner, path: Path) -> None:
    """A wrong password is not written; a right one serves later commands."""
    wrong, _, _ = run("--url", "http://a/", "login", "ann", "--password-stdin", stdin="no\n")
    assert (wrong, path.exists()) == (ExitCode.UNAUTHORIZED, False)
    right, _, _ = run("--url", "http://a/", "login", "ann", "--password-stdin", stdin="se cret\n")
    assert right == 0
    assert Credentials.read(path).logins == {"http://a": ANN}
    listed, _, api = run("repo", "list")
    assert (listed, str(api.requests[0].url)[:9]) == (0, "http://a/")


def test_a_password_goes_to_its_own_server_alone(run: Runner, path: Path) -> None:
    """Naming another server sends it nothing of what was kept for the first."""
    Credentials().with_login("http://a", ANN).write(path)
    code, _, api = run("--url", "http://other", "repo", "list")
    assert code == ExitCode.UNAUTHORIZED
    assert "Authorization" not in api.requests[0].headers


def test_flags_and_environment_come_first(run: Runner, path: Path) -> None:
    """A named user needs a password of its own; a password alone keeps the user."""
    Credentials().with_login("http://a", Login(user="ann", password="old")).write(path)
    assert run("repo", "list")[0] == ExitCode.UNAUTHORIZED
    assert run("repo", "list", PULPIT_PASSWORD="se cret")[0] == 0
    assert run("--password", "se cret", "repo", "list", PULPIT_PASSWORD="no")[0] == 0
    assert run("--user", "bob", "repo", "list")[0] == ExitCode.USAGE


def test_an_open_file_stops_every_command(run: Runner, path: Path) -> None:
    """The command exits with the code of configuration errors and sends nothing."""
    Credentials().with_login("http://a", ANN).write(path)
    path.chmod(0o644)
    code, err, api = run("repo", "list")
    assert (code, api.requests) == (ExitCode.CANNOT_START, [])
    assert "chmod 600" in err


def test_a_token_is_kept_in_the_place_of_a_password(run: Runner, path: Path) -> None:
    """It is checked first, stands in the file alone, and serves later commands."""
    login = ("--url", "http://a/", "login", "--token-stdin")
    assert run(*login, stdin="pulpit_wrong\n")[0] == ExitCode.UNAUTHORIZED
    assert run(*login, stdin="\n")[0] == ExitCode.USAGE
    assert run(*login, "ann", stdin=f"{TOKEN}\n")[0] == ExitCode.USAGE
    assert not path.exists()
    assert run(*login, stdin=f"{TOKEN}\n")[0] == 0
    kept = Credentials.read(path)
    assert kept.logins == {"http://a": Login(token=TOKEN)}
    assert TOKEN not in repr(kept)
    code, _, api = run("repo", "list")
    assert (code, api.requests[0].headers["authorization"]) == (0, f"Bearer {TOKEN}")


def test_a_token_in_the_environment_comes_before_what_was_kept(run: Runner, path: Path) -> None:
    """And after a login that is named; one that can't be sent is refused before anything is."""
    Credentials().with_login("http://a", Login(user="ann", password="old")).write(path)
    assert run("repo", "list", PULPIT_TOKEN=TOKEN)[0] == 0
    named = {"PULPIT_USER": "ann", "PULPIT_PASSWORD": "old"}
    assert run("repo", "list", PULPIT_TOKEN=TOKEN, **named)[0] == ExitCode.UNAUTHORIZED
    code, err, api = run("repo", "list", PULPIT_TOKEN="pulpit_é\n")
    assert (code, api.requests) == (ExitCode.USAGE, [])
    assert "é" not in err


def test_who_may_not_list_types_is_known_all_the_same(run: Runner, path: Path) -> None:
    """A user without rights can log in."""
    Credentials().write(path)

    def refused(api: FakeApi) -> None:
        api.at("GET", TYPES, error_body(403, "PLP0042", "no right"), 403)

    code, _, _ = run(
        "--url", "http://a", "login", "ann", "--password-stdin", stdin="se cret\n", prepare=refused
    )
    assert code == 0


def test_login_without_anybody_to_ask(run: Runner) -> None:
    """A script must say where the password comes from."""
    assert run("--url", "http://a", "login", "ann")[0] == ExitCode.USAGE
    assert run("--url", "http://a", "login", "ann", "--password-stdin")[0] == ExitCode.USAGE
