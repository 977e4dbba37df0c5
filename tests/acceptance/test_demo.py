"""The demo, as `make demo` runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

from tests.services import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, str(ROOT / "scripts" / "demo.py")]


def demo(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end; what it writes elsewhere than below *folder* is a mistake."""
    return subprocess.run(
        [*DEMO, *arguments],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_demo_shows_the_main_job(tmp_path: Path) -> None:
    """Every change of status of both tasks comes by AMQP, and the packages are published."""
    done = demo(folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.findall(r"AMQP tasks\.\S+ (\w+) of demo (\w+)", done.stdout)
    assert told == [
        (action, state)
        for action in ("sync", "publish")
        for state in ("waiting", "running", "finished")
    ]
    assert re.search(r"Tasks +2 finished", done.stdout)
    assert re.search(r"Events +\d+ received by AMQP: 6 of status, \d+ progress", done.stdout)
    assert re.search(r"Packages +4\d packages", done.stdout)
    assert "make demo OPEN=1" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_feed_that_is_not_there_fails_the_demo(tmp_path: Path) -> None:
    """The reason is told and the exit code is not 0."""
    done = demo("--feed", "http://127.0.0.1:1/none/", folder=tmp_path)
    assert done.returncode == 1
    assert "The demo failed: sync ended as error" in done.stdout
    assert "127.0.0.1:1" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_open_demo_keeps_its_server(tmp_path: Path) -> None:
    """It prints address and credentials, and ends with Ctrl-C."""
    process = subprocess.Popen(
        [*DEMO, "--open"],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        text = ""
        while "repomd.xml" not in text.partition("Then try")[2]:
            line = process.stdout.readline()
            assert line, text
            text += line
        [url] = re.findall(r"export PULPIT_URL=(\S+)", text)
        assert re.search(r"export PULPIT_USER=admin PULPIT_PASSWORD=\S+", text)
        with urlopen(f"{url}/pulp/api/v2/status/", timeout=PATIENCE) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        assert list(tmp_path.iterdir()) == []
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
