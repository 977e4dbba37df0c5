"""Running the steps with Alembic."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

__all__ = ["configuration", "is_known", "run", "script"]


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


def is_known(revision: str) -> bool:
    """Tell whether this version has that step."""
    try:
        return script().get_revision(revision) is not None
    except CommandError:
        return False


def run(connection: Connection) -> None:
    """Bring the database to the newest step, in the transaction that is open."""
    command.upgrade(configuration(connection), "head")
