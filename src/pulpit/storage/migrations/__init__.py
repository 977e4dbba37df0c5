"""How the schema came to be, step by step."""

from __future__ import annotations

__all__ = ["HEAD"]

#: The newest step: a database there needs nothing done, not even the import of Alembic.
HEAD = "0004"
