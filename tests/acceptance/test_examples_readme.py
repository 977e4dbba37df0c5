"""What the README and the tutorial tell a reader to type does what they say."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.server import ReadyProcess
from tests.services import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"README.md": "## Quick start", "docs/tutorial/index.md": "## Start the server"}
#: Run by the test itself, or nothing that ends.
NOT_RUN = re.compile(r"make setup|\. \.venv|export PATH|pulpit serve|pulpit watch$")
#: Commands that go on for ever: a few seconds of them must show an event.
ENDLESS = re.compile(r"kombu_consumer|curl -N")


def commands(page: str) -> list[str]:
    """Return the lines that the page tells to type, from its heading on."""
    text = (ROOT / page).read_text(encoding="utf-8").partition(PAGES[page])[2]
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def refuse_taken_ports() -> None:
    """Skip where somebody else has the ports that a stranger's machine has free."""
    for port in (8080, 5672):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"port {port} is taken here")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a stranger who has run `make setup`."""
    programs = Path(sys.executable).parent
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PULPIT_")}
    return {**kept, "HOME": str(tmp_path), "PATH": f"{programs}:{os.environ['PATH']}"}


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest) -> str:
    """Return each page in turn."""
    return str(request.param)


@pytest.fixture
def served(page: str, environ: dict[str, str]) -> Iterator[str]:
    """Start the server as the page says and yield the password that it shows."""
    refuse_taken_ports()
    [command] = [line for line in commands(page) if line.startswith("pulpit serve")]
    process = ReadyProcess(["sh", "-c", f"exec {command}"], cwd=ROOT, environ=environ)
    try:
        output = process.wait_ready("http://127.0.0.1:8080", seconds=PATIENCE)
        [password] = re.findall(r"password (\S+)", output)
        yield password
    finally:
        process.terminate(seconds=PATIENCE)


def run(command: str, environ: dict[str, str], *, seconds: float = 60) -> str:
    """Return what the command printed.

    Raises:
        CalledProcessError: it failed.
    """
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def hears(command: str, environ: dict[str, str]) -> bool:
    """Return whether an endless command prints an event while a repository is synced."""
    listener = ReadyProcess(["sh", "-c", f"exec env {command}"], cwd=ROOT, environ=environ)
    try:
        for _ in range(5):
            run("pulpit repo sync bells", environ)
            if any("finished" in line for line in listener.lines()):
                return True
        return False
    finally:
        listener.terminate(seconds=PATIENCE)


def test_every_command_works_as_printed(page: str, served: str, environ: dict[str, str]) -> None:
    """One after the other, from the start of the server to the last line of the page."""
    told = ""
    for line in commands(page):
        command = line.replace("PASSWORD", served)
        if NOT_RUN.search(line):
            continue
        if ENDLESS.search(line):
            assert hears(command, environ), line
        elif line.startswith("pulpit login"):
            # what a person would type at the prompt
            told += run(command, {**environ, "PULPIT_PASSWORD": served})
        else:
            told += run(command, environ)
    assert "✓ sync of bells finished" in told
    assert "✓ publish of bells finished" in told
    assert "<repomd" in told
