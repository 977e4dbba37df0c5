"""Which code may run on which schema.

Steps of the schema are numbered, and first only add: what code of an earlier step writes and reads
goes on working. The database keeps the oldest step whose code may run on it, so that old and new
versions share it while servers and workers are restarted one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, inspect, text

from pulpit.errors import SchemaDue, SchemaTooNew
from pulpit.storage.migrations import HEAD

__all__ = ["OLDEST_CODE", "SchemaVersion", "read_version"]

#: Setting that holds the oldest step whose code may run on the schema.
OLDEST_CODE = "schema.oldest_code"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaVersion:
    """The schema of a database."""

    #: The newest step that it has seen; None for an empty database. Later steps compare greater.
    step: str | None
    #: The oldest step whose code may run on it; None where nothing is said of that.
    oldest_code: str | None = None

    @property
    def is_due(self) -> bool:
        """Whether this version has steps that the database has not seen."""
        return self.step is None or self.step < HEAD

    @property
    def is_too_new(self) -> bool:
        """Whether a newer version has made it that leaves no room for this one."""
        if self.step is None or self.step <= HEAD:
            return False
        return self.oldest_code is None or self.oldest_code > HEAD

    @property
    def fits(self) -> bool:
        """Whether this version can run on it."""
        return not (self.is_due or self.is_too_new)

    def require_known(self, where: str) -> None:
        """Refuse a schema that this version must not touch.

        Args:
            where: the database, as it is named to people.

        Raises:
            SchemaTooNew: a newer version of Pulpit has made it.
        """
        if self.is_too_new:
            raise SchemaTooNew(
                f"The database {where} was made by a newer version of Pulpit (schema {self.step}), "
                f"and this one (schema {HEAD}) can't share it: start that version, "
                "or choose another database.",
            )

    def require(self, where: str) -> None:
        """Refuse a schema that this version can't run on.

        Raises:
            SchemaDue: it must be upgraded first.
            SchemaTooNew: a newer version of Pulpit has made it.
        """
        self.require_known(where)
        if self.is_due:
            raise SchemaDue(
                f"The database {where} is {f'at schema {self.step}' if self.step else 'empty'}, "
                f"and this version of Pulpit needs schema {HEAD}: run `pulpit db upgrade`.",
            )


def read_version(connection: Connection) -> SchemaVersion:
    """Return what the database says of its schema."""
    if not inspect(connection).has_table("alembic_version"):
        return SchemaVersion(step=None)
    step = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    oldest = connection.execute(
        text("SELECT value FROM settings WHERE name = :name"), {"name": OLDEST_CODE}
    ).scalar()
    return SchemaVersion(step=step, oldest_code=oldest)
