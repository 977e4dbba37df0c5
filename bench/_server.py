"""A server under measurement: ``pulpit serve`` in processes of its own, and the memory of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from pulpit.client import Client, ClientError
from tests.services import free_ports

__all__ = ["Memory", "Server", "resident", "shared_once"]

_LOGIN, _PASSWORD = "admin", "measured"
_START_SECONDS = 30
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MEGABYTE = 1024 * 1024


class Server:
    """``pulpit serve`` with data, configuration and log in the new *folder*; a context manager.

    Raises:
        RuntimeError: it does not start; the message has its log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        (port,) = free_ports(1)
        config = self._folder / "server.conf"
        config.write_text(
            f"[server]\nport: {port}\ndefault_login: {_LOGIN}\ndefault_password: {_PASSWORD}\n"
            "log_level: WARNING\n"
        )
        config.chmod(0o600)
        self.url = f"http://127.0.0.1:{port}"
        self._log = self._folder / "log"
        program = Path(sys.executable).with_name("pulpit")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [program, "serve", f"--config={config}", f"--data={self._folder / 'data'}"],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.client = Client(self.url, auth=(_LOGIN, _PASSWORD))
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.client.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Return the number of the server's first process."""
        return self._process.pid

    def _wait(self) -> None:
        """Return when the server answers."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.client.status()
            except ClientError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = self._log.read_text()
                    raise RuntimeError(f"pulpit serve does not answer ({error}):\n{said}") from None
                time.sleep(0.05)
            else:
                return


class Memory:
    """The peak memory of a process and all that descend from it, while a block runs.

    Args:
        pid: the first process.
        measure: what is summed over the processes, in bytes: :func:`resident` costs nothing;
            :func:`shared_once` is exact but slows the measured processes down.
    """

    def __init__(self, pid: int, measure: Callable[[int], int] | None = None) -> None:
        self._pid = pid
        self._measure = measure or resident
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        #: Bytes at the highest point so far.
        self.peak = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def peak_mb(self) -> float:
        """Return the peak in MiB."""
        return self.peak / _MEGABYTE

    def _sample(self) -> None:
        """Look every 20 ms."""
        while not self._stop.wait(0.02):
            self.peak = max(self.peak, sum(map(self._measure, _tree(self._pid))))


def resident(pid: int) -> int:
    """Return the bytes that are resident; what processes share counts in each of them."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def shared_once(pid: int) -> int:
    """Return the bytes that are resident, what n processes share counting an nth in each."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _tree(pid: int) -> list[int]:
    """Return *pid* and the numbers of all that descend from it."""
    found = [pid]
    for parent in found:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, path.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found
