"""The tables of Procrastinate, which carries tasks to workers, beside our own."""

from __future__ import annotations

from sqlalchemy import Connection, inspect

__all__ = ["make_procrastinate_schema"]


def make_procrastinate_schema(connection: Connection) -> None:
    """Make Procrastinate's own tables and functions in the transaction, if they are not there."""
    if inspect(connection).has_table("procrastinate_jobs"):
        return
    # here, since only who changes the schema needs it
    from procrastinate.schema import SchemaManager  # noqa: PLC0415

    # on the driver's own cursor, which takes many statements at once and leaves percent signs alone
    cursor = connection.connection.cursor()
    cursor.execute(SchemaManager.get_schema())
    cursor.close()
