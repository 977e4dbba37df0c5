"""Starting and stopping the real server, and what it says when it can't start."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pika
import pytest

from tests.acceptance.server import PulpitServer
from tests.services import PATIENCE, free_ports

_CANNOT_START = 9


def run_serve(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `pulpit serve`, which is expected to end by itself."""
    command = [sys.executable, "-c", "import sys, pulpit.cli; sys.exit(pulpit.cli.main())"]
    return subprocess.run(
        [*command, "serve", "--host", "127.0.0.1", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "400", **environ},
    )


def refusal(run: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that says why the server did not start."""
    assert run.returncode == _CANNOT_START, run.stderr
    assert "Traceback" not in run.stderr
    lines = [line for line in run.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, run.stderr
    return lines[0]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on a file system with room for very little."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a file system takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_second_server_on_a_data_folder_says_so(tmp_path: Path) -> None:
    """One server for each data folder."""
    with PulpitServer(tmp_path / "data", door=False) as server:
        run = run_serve("--data", str(server.data), "--port", "0")
        line = refusal(run)
        assert f"process {server.pid}" in line
        assert str(server.data) in line
        with server.client() as client:
            assert client.status()


def test_taken_port_is_named(tmp_path: Path) -> None:
    """The message names address and port; nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = run_serve("--data", str(tmp_path / "data"), "--port", str(port))
        assert f"127.0.0.1:{port}" in refusal(run)


def test_taken_door_port_is_named(tmp_path: Path) -> None:
    """An explicit port of the door that is taken is an error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        run = run_serve(
            "--data", str(tmp_path / "data"), "--port", "0", "--events", "--door", where
        )
        assert where in refusal(run)


def test_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """A data folder that can't be made is named."""
    path = tmp_path / "data"
    path.write_text("not a folder")
    assert str(path) in refusal(run_serve("--data", str(path), "--port", "0"))


def test_read_only_data_folder_is_refused(small_disk: Path) -> None:
    """A file system mounted read-only is told in one line."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    line = refusal(run_serve("--data", str(small_disk / "data"), "--port", "0"))
    assert "Read-only file system" in line


def test_full_disk_is_refused(small_disk: Path) -> None:
    """A disk without room for the database is told in one line."""
    (small_disk / "filler").write_bytes(bytes(48 << 10))
    line = refusal(run_serve("--data", str(small_disk / "data"), "--port", "0"))
    assert str(small_disk) in line


def test_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """A schema that this version does not know, and that does not let it in, is left alone."""
    with PulpitServer(tmp_path / "data", door=False) as server:
        pass
    database = server.data / "pulpit.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE settings SET value = '9999' WHERE name = 'schema.oldest_code'")
    connection.close()
    line = refusal(run_serve("--data", str(server.data), "--port", "0"))
    assert "newer version" in line
    assert "9999" in line


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A database that is none is told, not overwritten."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "pulpit.db").write_text("hello, this is no database" * 100)
    assert "pulpit.db" in refusal(run_serve("--data", str(data), "--port", "0"))
    assert (data / "pulpit.db").read_text().startswith("hello")


def test_unknown_key_names_file_section_key_and_the_nearest(tmp_path: Path) -> None:
    """A misspelt setting is an error that helps."""
    path = tmp_path / "server.conf"
    path.write_text("[messaging]\nevent_notifications_enabeld: true\n")
    line = refusal(run_serve("--config", str(path), "--data", str(tmp_path / "data")))
    for part in (str(path), "messaging", "event_notifications_enabeld"):
        assert part in line
    assert "event_notifications_enabled" in line


def test_password_is_made_up_and_shown_once(tmp_path: Path) -> None:
    """Without a configured password, the first start shows one that works; later ones do not."""
    port = free_ports(1)[0]
    data = tmp_path / "data"
    shown = _start_and_stop(data, port)
    assert "password" in shown
    password = shown.split("password ")[1].split()[0]
    assert len(password) >= 16
    assert "password" not in _start_and_stop(data, port, check=("admin", password))


def test_failed_first_start_keeps_no_password_to_itself(tmp_path: Path) -> None:
    """A password is made up only when it is shown: a start that fails leaves no user behind."""
    data = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        refusal(run_serve("--data", str(data), "--port", "0", "--events", "--door", where))
    assert "password " in _start_and_stop(data, free_ports(1)[0])


def test_events_name_the_port_that_a_free_one_became(tmp_path: Path) -> None:
    """With port 0 the source of events is where the server really listens."""
    config = tmp_path / "server.conf"
    config.write_text("[server]\nserver_name: localhost\ndefault_password: secret\n")
    (door,) = free_ports(1)
    arguments = ["--config", str(config), "--data", str(tmp_path / "data"), "--port", "0"]
    with serving(*arguments, "--events", "--door", f"127.0.0.1:{door}") as lines:
        url = lines[-1].split()[-1].rstrip("/")
        connection = pika.BlockingConnection(
            pika.URLParameters(f"amqp://admin:secret@127.0.0.1:{door}")
        )
        with contextlib.closing(connection):
            channel = connection.channel()
            queue = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(queue, "pulp.api.v2", "tasks.#")
            with httpx.Client(base_url=f"{url}/pulp/api/v2/repositories/", auth=_ADMIN) as client:
                client.post("", json={"id": "zoo"}).raise_for_status()
                client.delete("zoo/").raise_for_status()
            _, properties, _ = next(
                channel.consume(queue, auto_ack=True, inactivity_timeout=PATIENCE)
            )
    assert properties.headers["cloudEvents:source"] == url.replace("127.0.0.1", "localhost")


_ADMIN = ("admin", "secret")


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[list[str]]:
    """Run `pulpit serve` and yield the lines that it prints until it is ready; stop it well."""
    command = [sys.executable, "-c", "import sys, pulpit.cli; sys.exit(pulpit.cli.main())"]
    process = subprocess.Popen(
        [*command, "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "ready" in line:
            break
    try:
        yield lines
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=PATIENCE)
        lines.append(rest)
    assert process.returncode == 0


def _start_and_stop(data: Path, port: int, *, check: tuple[str, str] | None = None) -> str:
    """Start a server without any configuration, stop it, and return what it printed."""
    config = data.with_suffix(".conf")
    config.touch()
    with serving("--config", str(config), "--data", str(data), "--port", str(port)) as lines:
        if check:
            answer = httpx.get(f"http://127.0.0.1:{port}/pulp/api/v2/tasks/", auth=check)
            assert answer.status_code == 200
    return "".join(lines)


def test_pulp2_configuration_file_is_read(tmp_path: Path) -> None:
    """A server.conf with Pulp 2's sections starts the server, and what has no use is told once."""
    config = "[database]\nname: pulp_database\nseeds: localhost:27017\n[ldap]\nenabled: false\n"
    server = PulpitServer(tmp_path / "data", config, door=False)
    with server, server.client() as client:
        assert client.status()
    log = server.log()
    assert log.count("[database] name") == 1
    assert log.count("[ldap] enabled") == 1
