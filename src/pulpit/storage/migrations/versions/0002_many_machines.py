"""Workers on other machines, leases, and priorities."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pulpit.storage.migrations.dialects import string

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
#: The oldest step whose code may run on this schema.
oldest_code = "0001"


def upgrade() -> None:
    """Go from the former schema to this one."""
    op.add_column("tasks", sa.Column("priority", sa.Integer(), server_default="0", nullable=False))
    op.add_column("tasks", sa.Column("job_id", sa.BigInteger()))
    op.create_table(
        "workers",
        sa.Column("name", string(), nullable=False),
        sa.Column("incarnation", string(36), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("timeout", sa.Float(), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
    )
    op.create_table(
        "leases",
        sa.Column("name", string(), nullable=False),
        sa.Column("holder", string(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
