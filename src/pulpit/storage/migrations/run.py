"""Running the steps with Alembic."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from pulpit.storage.migrations import HEAD
from pulpit.storage.rows import upsert
from pulpit.storage.tables import settings
from pulpit.storage.versions import OLDEST_CODE

__all__ = ["configuration", "oldest_code", "pending", "run", "script"]


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, for commands on that connection."""
    config = Config()
    config.set_main_option("script_location", "pulpit.storage:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def script() -> ScriptDirectory:
    """Return all steps."""
    return ScriptDirectory.from_config(configuration())


def run(connection: Connection) -> None:
    """Bring the database to the newest step, in the transaction that is open."""
    command.upgrade(configuration(connection), "head")
    upsert(connection, settings, [{"name": OLDEST_CODE, "value": oldest_code(HEAD)}])


def pending(step: str | None) -> list[str]:
    """Return the steps after one (None: all), in their order."""
    known = [known.revision for known in script().walk_revisions()]
    return sorted(each for each in known if step is None or each > step)


def oldest_code(step: str) -> str:
    """Return the oldest step whose code may run on a schema at *step*."""
    return str(script().get_revision(step).module.oldest_code)
