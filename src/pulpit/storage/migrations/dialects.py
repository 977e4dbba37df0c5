"""What steps spell otherwise on PostgreSQL; what is here must never change."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

__all__ = ["TEXT", "partial", "string"]

#: Text of any length, compared by code point.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def string(length: int | None = None) -> sa.String:
    """Return the type of a text that is compared by code point, as SQLite does."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def partial(condition: str) -> dict[str, Any]:
    """Return the arguments of an index over the rows that meet the condition."""
    # to name the other dialect would load it
    return {f"{op.get_bind().dialect.name}_where": sa.text(condition)}
