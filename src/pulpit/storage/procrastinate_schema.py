"""The tables of Procrastinate, which carries tasks to workers, beside our own.

Procrastinate ships a file for each change of its schema. Those named ``_post_`` take away what only
its former version uses: they wait until a later version brings further files.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import Connection, inspect, select

from pulpit.storage.rows import upsert
from pulpit.storage.tables import settings

__all__ = ["due_files", "make_procrastinate_schema", "run_file", "shipped_files"]

#: Setting that holds the name of the newest file that the database has seen.
_NEWEST = "schema.procrastinate"


def make_procrastinate_schema(connection: Connection) -> None:
    """Make Procrastinate's own tables and functions in the transaction, if they are not there."""
    if inspect(connection).has_table("procrastinate_jobs"):
        return
    _execute(connection, _folder() / "schema.sql")
    _keep(connection, shipped_files()[-1])


def shipped_files() -> Sequence[Path]:
    """Return the file of each change of Procrastinate's schema, in their order."""
    return sorted((_folder() / "migrations").glob("*.sql"))


def due_files(connection: Connection, shipped: Sequence[Path]) -> Sequence[Path]:
    """Return the files that the database has not seen and needs, in their order."""
    seen = connection.execute(select(settings.c.value).where(settings.c.name == _NEWEST)).scalar()
    if seen is None:
        return []
    new = [path for path in shipped if path.name > seen]
    while new and "_post_" in new[-1].name:
        new.pop()
    return new


def run_file(connection: Connection, path: Path) -> None:
    """Make one change, in the transaction."""
    _execute(connection, path)
    _keep(connection, path)


def _folder() -> Path:
    """Return where Procrastinate keeps its SQL, found without importing it."""
    spec = find_spec("procrastinate")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "sql"


def _execute(connection: Connection, path: Path) -> None:
    """Run a file on the driver's own cursor, which takes many statements and percent signs."""
    cursor = connection.connection.cursor()
    cursor.execute(path.read_text())
    cursor.close()


def _keep(connection: Connection, path: Path) -> None:
    """Keep that the database has seen this file and those before it."""
    upsert(connection, settings, [{"name": _NEWEST, "value": path.name}])
