"""SQLAlchemy's dialect of PostgreSQL, with transactions that are opened by one message."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

__all__ = ["OPENING_URL", "OpeningDialect"]

#: What an engine is made with to have this dialect.
OPENING_URL = "postgresql+pulpit://"


class OpeningDialect(PGDialect_psycopg):
    """Opens each transaction by statements of the engine's own; connections must be autocommit.

    psycopg would send BEGIN alone, and a lock that is taken first would be another round trip.

    Args:
        opening: what opens a transaction, such as ``BEGIN``; nothing if it is empty, and then each
            statement is a transaction of its own.
    """

    supports_statement_cache = True

    def __init__(self, opening: str = "BEGIN", **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._opening = opening.encode()

    def do_begin(self, dbapi_connection: Any) -> None:
        """Open a transaction; what goes wrong is told as of any statement."""
        if self._opening:
            # several statements can't be prepared
            dbapi_connection.execute(self._opening, prepare=False)


registry.register("postgresql.pulpit", __name__, "OpeningDialect")
