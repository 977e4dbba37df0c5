"""A private PostgreSQL: own port, every file below one folder, gone with the test run."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
from psycopg import sql

from pulpit.storage.postgresql_schema import upgrade_postgresql
from pulpit.storage.tables import metadata
from tests.services import free_ports, missing
from tests.services.processes import family

__all__ = ["PostgresServer", "installed", "lent_postgresql"]

#: Who runs the server when we are root, which it refuses to be run by.
_USER = "postgres"
#: Seconds until a server answers, on a busy machine with two processors.
_START_SECONDS = 60.0
_TEMPLATE = "pulpit_template"
_SETTINGS = {
    "unix_socket_directories": "",
    # nothing here outlives the machine
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    # it would hold the template while a test wants a copy of it
    "autovacuum": "off",
    "log_min_messages": "warning",
}
#: A tenth of what it takes to make a new database; only the names of journal and schema stay.
_EMPTYING = sql.SQL("; ").join(
    [
        *(
            sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name))
            for table in reversed(metadata.sorted_tables)
            if table.name != "settings"
        ),
        sql.SQL("DELETE FROM settings WHERE name != 'journal.id' AND name NOT LIKE 'schema.%'"),
        sql.SQL("DELETE FROM procrastinate_events"),
        sql.SQL("DELETE FROM procrastinate_jobs"),
        sql.SQL("DELETE FROM procrastinate_workers"),
        sql.SQL("SELECT setval(sequencename::text, 1, false) FROM pg_sequences"),
    ]
)


def _programs() -> Path | None:
    """Return the folder of the newest version's programs, which Debian keeps off PATH."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).parent)
    return max(found, key=_version, default=None)


def _version(programs: Path) -> int:
    """Return the version that stands in a folder's name; 0 for one without."""
    name = programs.parent.name
    return int(name) if name.isdecimal() else 0


def installed() -> bool:
    """Return whether PostgreSQL can be started here."""
    return _programs() is not None and (os.geteuid() != 0 or shutil.which("setpriv") is not None)


@contextmanager
def lent_postgresql(*, settings: Mapping[str, str] | None = None) -> Iterator[PostgresServer]:
    """Start a server, and stop it in the end; skip the test if there is none on a laptop.

    Args:
        settings: more of the server's.
    """
    if not installed():
        missing("postgresql")
    # not in pytest's folder, which the server's user may not enter
    folder = Path(tempfile.mkdtemp(prefix="pulpit-postgresql-"))
    server = PostgresServer(folder, settings=settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


class PostgresServer:
    """One server on a free port of 127.0.0.1, with superuser pulpit and no passwords.

    It dies with the thread that has started it.

    Args:
        folder: empty; holds everything the server writes.
        host: where else it listens, for the network *trusted*.
        trusted: addresses from which anybody is let in, such as 198.18.0.0/24.
        settings: more of them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        trusted: str = "127.0.0.1/32",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        programs = _programs()
        if programs is None:
            msg = "PostgreSQL is not installed"
            raise RuntimeError(msg)
        self._programs, self._folder = programs, folder
        #: Where its URLs say that it is.
        self.host, self._trusted = host, trusted
        addresses = {"listen_addresses": ",".join(dict.fromkeys(["127.0.0.1", host]))}
        self._settings = {**_SETTINGS, **addresses, **(settings or {})}
        self._data = folder / "data"
        (self.port,) = free_ports(1)
        self._server: subprocess.Popen[bytes] | None = None
        self._has_template = False
        self._spare: list[str] = []

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._server is not None and self._server.poll() is None

    @property
    def pid(self) -> int:
        """The server's process, from which all others of it come."""
        assert self._server is not None
        return self._server.pid

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, as libpq takes it."""
        return f"postgresql://pulpit@{self.host}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and return when it answers; one that runs is left alone.

        Raises:
            RuntimeError: it ended, or did not answer in time.
        """
        if self.running:
            return
        if not self._data.exists():
            self._initialize()
        options = [f"--{name.replace('_', '-')}={value}" for name, value in self._settings.items()]
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        command += [f"--port={self.port}", *options]
        with self._log().open("ab") as output:
            self._server = subprocess.Popen(
                [*_guard(), *command],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._await_answer()

    def stop(self) -> None:
        """End the server in good order; clients are cut off."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server at once, as a crash would; it recovers with the next start."""
        self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """Stop all of the server's processes in their tracks; connections stay open and silent."""
        for pid in (self.pid, *family(self.pid)):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        for pid in (*family(self.pid), self.pid):
            os.kill(pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop the server in good order and start it on the same port."""
        self.stop()
        self.start()

    def create_database(self, template: str = "template0") -> str:
        """Make a database as a copy of another one, and return its name."""
        name = f"t{uuid4().hex}"
        # for copies as small as these it takes a third of the time of the other strategy
        statement = "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY"
        self._execute(statement, sql.Identifier(name), sql.Identifier(template))
        return name

    def drop_database(self, url: str) -> None:
        """Delete a database, whoever is connected to it."""
        name = url.rpartition("/")[2]
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", sql.Identifier(name))

    def lend_pulpit(self) -> str:
        """Return the URL of an empty database with this version's schema."""
        return self._spare.pop() if self._spare else self.create_pulpit()

    def give_back(self, url: str) -> None:
        """Take a database of ``lend_pulpit`` back: emptied, it is lent again."""
        with psycopg.connect(url) as connection:
            connection.execute(_EMPTYING)
        self._spare.append(url)

    def create_pulpit(self) -> str:
        """Make a database with this version's schema, and return its URL."""
        if not self._has_template:
            self._execute("DROP DATABASE IF EXISTS {}", sql.Identifier(_TEMPLATE))
            self._execute("CREATE DATABASE {} TEMPLATE template0", sql.Identifier(_TEMPLATE))
            upgrade_postgresql(self.url(_TEMPLATE))
            self._has_template = True
        return self.url(self.create_database(_TEMPLATE))

    def execute(
        self, statement: LiteralString, *values: Any, database: str
    ) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser in autocommit mode; return its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def log_tail(self, lines: int = 30) -> str:
        """Return the end of what the server wrote to its log."""
        return "\n".join(self._log().read_text(errors="replace").splitlines()[-lines:])

    def _execute(self, statement: LiteralString, *names: sql.Identifier) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*names))

    def _initialize(self) -> None:
        """Make the files of an empty server."""
        if os.geteuid() == 0:
            user = pwd.getpwnam(_USER)
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        # a locale whose order is not that of code points: we must not depend on it
        locale = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-A", "trust"]
        command += ["-U", "pulpit", "-E", "UTF8", "--no-sync", *locale]
        done = subprocess.run(
            [*_guard(), *command],
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
            check=False,
        )
        if done.returncode:
            msg = f"initdb failed: {done.stdout}{done.stderr}"
            raise RuntimeError(msg)
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {self._trusted} trust\n")

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while self.running and time.monotonic() < deadline:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
            except psycopg.OperationalError:
                # a port that is closed can't be awaited, only tried again
                time.sleep(0.02)
            else:
                return
        self.stop()
        msg = f"PostgreSQL did not start:\n{self.log_tail()}"
        raise RuntimeError(msg)

    def _end(self, number: signal.Signals) -> None:
        """Send the signal and wait until the process is gone, by force if it takes too long."""
        process, self._server = self._server, None
        if process is None:
            return
        process.send_signal(number)
        # one that is frozen would never hear of it
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _log(self) -> Path:
        return self._folder / "output"


def _guard() -> Sequence[str]:
    """Return what a command is started by so that it dies with us, and is not run by root."""
    guard = ["setpriv", "--pdeathsig", "QUIT"] if shutil.which("setpriv") else []
    if os.geteuid() == 0:
        guard += [f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
    return guard
