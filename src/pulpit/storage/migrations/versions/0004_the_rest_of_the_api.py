"""Uploads, schedules, users with roles and tokens, groups, and what units are searched by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pulpit.storage.migrations.dialects import string

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
#: The oldest step whose code may run on this schema.
oldest_code = "0001"


def upgrade() -> None:
    """Go from the former schema to this one."""
    _add_to_units()
    _add_roots()


def _add_to_units() -> None:
    op.add_column("units", sa.Column("user_metadata", sa.JSON()))
    op.add_column("units", sa.Column("updated", sa.BigInteger()))


def _add_roots() -> None:
    root = sa.Column("root", string(10), server_default="repos", nullable=False)
    op.add_column("publications", root)
