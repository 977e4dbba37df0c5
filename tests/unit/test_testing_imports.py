"""What is not needed is not loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pulpit.storage.schema import upgrade


def test_importing_the_fakes_loads_no_web_framework() -> None:
    """They are used in places that are quick to start; the fake plane is a module of its own."""
    heavy = ("uvicorn", "starlette", "httpx", "argon2", "pamqp", "pulpit.api", "pulpit.client")
    assert _loaded("import pulpit.testing", *heavy) == "[]"


def test_a_start_on_sqlite_loads_nothing_of_postgresql(tmp_path: Path) -> None:
    """Its libraries take a tenth of a second that a laptop has better things to do with."""
    # the first start runs Alembic, which loads all there is
    upgrade(tmp_path)
    start = f"""
from pathlib import Path
import pulpit.app.server
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
with SqliteStorage(upgrade(Path({str(tmp_path)!r}))) as storage, storage.write() as transaction:
    transaction.content.add_artifacts({{"a": 1}})
"""
    heavy = ("psycopg", "procrastinate", "sqlalchemy.dialects.postgresql")
    assert _loaded(start, *heavy) == "[]"


def _loaded(act: str, *modules: str) -> str:
    """Return which of the modules are loaded once a new Python has done something."""
    check = f"{act}\nimport sys; print([n for n in {modules} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()
