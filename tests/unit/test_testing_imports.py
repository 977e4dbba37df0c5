"""The fakes that need no server bring none along."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_fakes_loads_no_web_framework() -> None:
    """They are used in places that are quick to start; the fake plane is a module of its own."""
    heavy = ("uvicorn", "starlette", "httpx", "argon2", "pamqp", "pulpit.api", "pulpit.client")
    check = f"import sys, pulpit.testing; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
