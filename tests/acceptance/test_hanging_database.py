"""A database that is there and answers nothing: a stop is a stop all the same."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

from pulpit.app.last_resort import STOP_SECONDS
from pulpit.cli.exits import ExitCode
from tests.acceptance.server import PulpitServer
from tests.acceptance.test_worker import Desk
from tests.acceptance.worker import PulpitWorker
from tests.services import until
from tests.services.postgresql import PostgresServer
from tests.services.processes import children, family

#: A lease so long that it is not what ends the processes of tasks.
_LONG = "worker_timeout: 90\n"


def test_whatever_hangs_server_and_worker_end(
    postgresql: PostgresServer, postgresql_url: str, tmp_path: Path
) -> None:
    """Both end by themselves with the processes of their tasks, say so, and lose nothing."""
    url = postgresql.lend_pulpit()
    server = PulpitServer(tmp_path / "data", f"[database]\nurl: {url}\n", door=False)
    worker = PulpitWorker(tmp_path, tmp_path / "shared", postgresql_url, config=_LONG)
    # a feed that takes connections and answers nothing, so that tasks run on
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        contextlib.closing(Desk(postgresql_url)) as desk,
        server,
        worker,
    ):
        feed = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        desk.sync(feed=feed)
        task = sync(server, feed)
        until(lambda: children(server.pid) and children(worker.pid), "both run a task")
        left = [*family(server.pid), *family(worker.pid)]
        postgresql.freeze()
        try:
            began = time.monotonic()
            for pid in (server.pid, worker.pid):
                os.kill(pid, signal.SIGTERM)
            assert server.stop() == ExitCode.HUNG
            assert worker.stop() == ExitCode.HUNG
            assert time.monotonic() - began >= STOP_SECONDS
            until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), "all end")
        finally:
            postgresql.thaw()
        for log in (server.log(), worker.log()):
            assert log.count("something hangs") == 1
            assert "Traceback" not in log
        server.start()
        with server.client() as client:
            until(lambda: client.task(task).state == "canceled", "the next start cancels it")
        server.stop()
    postgresql.give_back(url)


def sync(server: PulpitServer, feed: str) -> str:
    """Begin to sync from the feed; return the task's id."""
    with server.client() as client:
        importer = {"importer_type_id": "yum_importer", "importer_config": {"feed": feed}}
        client.create_repository({"id": "zoo", **importer})
        (task,) = client.sync("zoo").spawned
    return str(task)
