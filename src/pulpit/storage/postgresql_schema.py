"""Bringing a PostgreSQL database to this version's schema."""

from __future__ import annotations

from sqlalchemy import Connection, text

from pulpit.errors import ConfigurationError, SchemaTooNew
from pulpit.storage.journal import name_journal
from pulpit.storage.locks import AdvisoryLock, lock
from pulpit.storage.migrations import HEAD
from pulpit.storage.migrations.run import is_known, run
from pulpit.storage.postgresql_connections import postgresql_engine
from pulpit.storage.procrastinate_schema import make_procrastinate_schema
from pulpit.storage.schema import present_step

__all__ = ["upgrade_postgresql"]


def upgrade_postgresql(url: str) -> None:
    """Run the steps that the database has not seen, in one transaction.

    Raises:
        SchemaTooNew: a newer version of Pulpit has made it.
        ConfigurationError: it keeps text in another encoding than UTF-8.
    """
    engine = postgresql_engine(url, connections=1, idle_seconds=60)
    try:
        with engine.begin() as connection:
            # two that upgrade at once take turns; the second finds nothing to do
            lock(connection, AdvisoryLock.SCHEMA)
            _refuse_other_encodings(connection)
            present = present_step(connection)
            if present is not None and not is_known(present):
                raise SchemaTooNew(
                    f"The database was made by a newer version of Pulpit (schema {present}): "
                    "start that version.",
                )
            if present != HEAD:
                run(connection)
            make_procrastinate_schema(connection)
            name_journal(connection)
    finally:
        engine.dispose()


def _refuse_other_encodings(connection: Connection) -> None:
    """Raise ConfigurationError for a database that can't keep any text."""
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise ConfigurationError(
            f"the database keeps text as {encoding}: make one with "
            "CREATE DATABASE pulpit ENCODING 'UTF8' TEMPLATE template0",
            section="database",
            key="url",
        )
