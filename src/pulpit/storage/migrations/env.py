"""What Alembic runs; the connection comes from ``pulpit.storage.schema``."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from pulpit.storage.tables import UtcTime, metadata


def _render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write types of our own as what they are in the database, so that steps never change."""
    return "sa.BigInteger()" if kind == "type" and isinstance(item, UtcTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_item=_render,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
