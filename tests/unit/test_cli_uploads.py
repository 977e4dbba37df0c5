"""`pulpit repo upload` against a scripted server."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pulpit.cli.exits import ExitCode
from tests.unit.command import Cli, runner
from tests.unit.fake_api import TASK, FakeApi, error_body, report

UPLOADS = "/pulp/api/v2/content/uploads/"
IMPORT = "/pulp/api/v2/repositories/zoo/actions/import_upload/"


@pytest.fixture
def api() -> FakeApi:
    """Return a server that takes uploads."""
    api = FakeApi()
    api.at("GET", "/pulp/api/v2/repositories/zoo/", {"id": "zoo"})
    api.at("POST", UPLOADS, {"upload_id": "u1"}, 201)
    api.at("GET", f"{UPLOADS}u1/", {"upload_id": "u1", "received": []})
    api.at("PUT", f"{UPLOADS}u1/0/", None)
    api.at("DELETE", f"{UPLOADS}u1/", None)
    api.call("POST", IMPORT, TASK)
    return api


@pytest.fixture
def cli(api: FakeApi, tmp_path: Path) -> Cli:
    """Return a function that runs a command in a world of its own."""
    return runner(api, tmp_path)


@pytest.fixture
def package(tmp_path: Path) -> str:
    """Return the name of a file."""
    path = tmp_path / "bell.rpm"
    path.write_bytes(b"bytes of a bell")
    return str(path)


def _asked(api: FakeApi) -> list[tuple[str, str]]:
    return [(request.method, request.url.path) for request in api.requests]


def test_a_file_is_uploaded_imported_and_forgotten(api: FakeApi, cli: Cli, package: str) -> None:
    """The task is followed; the upload is deleted once it has ended."""
    done = report(tags=["pulp:repository:zoo", "pulp:action:import_upload"])
    api.told(done)
    ran = cli("repo", "upload", "zoo", package)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "✓ import_upload of zoo finished in 2 s\n"
    [sent] = [request for request in api.requests if request.method == "PUT"]
    assert sent.content == b"bytes of a bell"
    assert api.bodies("POST", IMPORT) == [
        {"upload_id": "u1", "unit_type_id": "rpm", "unit_key": {}, "unit_metadata": {}}
    ]
    assert _asked(api)[-1] == ("DELETE", f"{UPLOADS}u1/")


@pytest.mark.parametrize(
    ("details", "told"),
    [
        (
            {"unit": {"type_id": "rpm", "unit_key": {"name": "bell", "epoch": "0", "arch": "x"}}},
            "rpm bell-x",
        ),
        ({"unit": {"type_id": "erratum", "unit_key": {"id": "E1"}}}, "erratum E1"),
        ({"units": [{}, {}]}, "2 units"),
    ],
)
def test_what_a_file_became_is_told(
    api: FakeApi, cli: Cli, package: str, details: object, told: str
) -> None:
    """By the type and what people call it, or by number if there are several."""
    tags = ["pulp:repository:zoo", "pulp:action:import_upload"]
    result = {"success_flag": True, "summary": "", "details": details}
    api.told(report(tags=tags, result=result))
    ran = cli("repo", "upload", "zoo", package)
    assert ran.out == f"✓ import_upload of zoo finished in 2 s: {told}\n"


def test_an_iso_has_its_key_from_its_file(api: FakeApi, cli: Cli, package: str) -> None:
    """Name, checksum and size are those of the file; a key that is given is sent as it is."""
    arguments = ("repo", "upload", "zoo", package, "--type", "iso", "--no-wait")
    assert cli(*arguments).code == 0
    assert cli(*arguments, "--key", '{"name": "x"}').code == 0
    first, second = (body["unit_key"] for body in api.bodies("POST", IMPORT))
    checksum = hashlib.sha256(b"bytes of a bell").hexdigest()
    assert first == {"name": "bell.rpm", "checksum": checksum, "size": 15}
    assert second == {"name": "x"}


def test_a_task_that_fails_is_told(api: FakeApi, cli: Cli, package: str) -> None:
    """By its error and the code; the upload goes all the same."""
    error = {"code": "RPM1016", "description": "not an RPM", "data": {}, "sub_errors": []}
    api.told(report("error", error=error))
    ran = cli("repo", "upload", "zoo", package)
    assert ran.code == ExitCode.TASK_ERROR
    assert "not an RPM" in ran.out + ran.err
    assert _asked(api)[-1] == ("DELETE", f"{UPLOADS}u1/")


def test_metadata_needs_no_file(api: FakeApi, cli: Cli) -> None:
    """Nothing is sent of it but what the options say."""
    metadata = '{"id": "E1", "title": "T"}'
    ran = cli(
        *("repo", "upload", "zoo", "--type", "erratum", "--no-wait", "--json"),
        *("--key", '{"id": "E1"}', "--metadata", metadata),
    )
    assert json.loads(ran.out) == {"uploads": ["u1"], "tasks": [TASK]}
    [body] = api.bodies("POST", IMPORT)
    assert (body["unit_key"], body["unit_metadata"]) == ({"id": "E1"}, json.loads(metadata))
    assert "PUT" not in {method for method, _ in _asked(api)}
    assert cli("repo", "upload", "zoo", "--metadata", "{}", "--no-wait").out == f"{TASK}\n"


def test_an_upload_that_was_interrupted_goes_on(api: FakeApi, cli: Cli, package: str) -> None:
    """Only what is missing is sent; a refusal says how to go on."""
    api.at("GET", f"{UPLOADS}u1/", {"upload_id": "u1", "received": [{"start": 0, "end": 6}]})
    api.at("PUT", f"{UPLOADS}u1/6/", error_body(507, "PLPIT16", "The disk is full"), 507)
    ran = cli("repo", "upload", "zoo", package, "--resume", "u1", "--no-wait")
    assert ran.code == ExitCode.SERVER_FAILED
    assert "--resume u1" in ran.err
    assert "The disk is full" in ran.err
    api.at("PUT", f"{UPLOADS}u1/6/", None)
    assert cli("repo", "upload", "zoo", package, "--resume", "u1", "--no-wait").code == 0
    assert [request.content for request in api.requests if request.method == "PUT"][-1] == (
        b"of a bell"
    )
    assert ("POST", UPLOADS) not in _asked(api)


def test_nothing_is_sent_for_nothing(api: FakeApi, cli: Cli, package: str) -> None:
    """To no repository; and what has no bytes leaves no upload when it is refused."""
    assert cli("repo", "upload", "none", package).code == ExitCode.NOT_FOUND
    assert ("POST", UPLOADS) not in _asked(api)
    api.at("POST", IMPORT, error_body(400, "PLP0015", "Invalid properties"), 400)
    ran = cli("repo", "upload", "zoo", "--type", "x", "--key", "{}")
    assert (ran.code, "--resume" in ran.err) == (ExitCode.REFUSED, False)
    assert _asked(api)[-1] == ("DELETE", f"{UPLOADS}u1/")
    ran = cli("repo", "upload", "zoo", package)
    assert (ran.code, "--resume u1" in ran.err) == (ExitCode.REFUSED, True)
    assert _asked(api)[-1] == ("POST", IMPORT)


def test_of_several_files_those_that_failed_are_named(
    api: FakeApi, cli: Cli, package: str, tmp_path: Path
) -> None:
    """Their tasks are all alike: the names say which files to look at."""
    other = tmp_path / "organ.rpm"
    other.write_bytes(b"bytes of an organ")
    task = "f4f6f1d8-2b4e-4d7e-9f5f-2f4d5f4b6a01"
    error = {"code": "RPM1016", "description": "not an RPM", "data": {}, "sub_errors": []}
    api.call("POST", IMPORT, TASK, task)
    failed = report("error", task_id=task, error=error)
    api.told(report(), failed)
    api.at("GET", f"/pulp/api/v2/tasks/{TASK}/", report())
    api.at("GET", f"/pulp/api/v2/tasks/{task}/", failed)
    ran = cli("repo", "upload", "zoo", package, str(other))
    assert (ran.code, ran.err) == (ExitCode.TASK_ERROR, f"Not imported: {other}\n")


def test_only_isos_may_be_empty(api: FakeApi, cli: Cli, tmp_path: Path) -> None:
    """Of a package without a byte nothing is sent; an iso may mark something by being there."""
    empty = tmp_path / "done"
    empty.touch()
    ran = cli("repo", "upload", "zoo", str(empty))
    assert (ran.code, api.requests) == (ExitCode.USAGE, [])
    ran = cli("repo", "upload", "zoo", str(empty), "--type", "iso", "--no-wait")
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--key", "[]"),
        ("--metadata", "{"),
        ("/none.rpm",),
        ("/dev",),
        ("/dev/null",),
        ("FILE", "FILE", "--resume", "u1"),
    ],
)
def test_usage_errors(cli: Cli, api: FakeApi, package: str, arguments: tuple[str, ...]) -> None:
    """They are told before anything is asked of the server."""
    named = [package if argument == "FILE" else argument for argument in arguments]
    assert cli("repo", "upload", "zoo", *named).code == ExitCode.USAGE
    assert api.requests == []
