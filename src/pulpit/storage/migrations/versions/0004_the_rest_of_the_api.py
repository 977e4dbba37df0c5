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
    _add_unit_files()
    _let_publications_be_reused()
    _add_uploads()


def _add_unit_files() -> None:
    """Keep the files of units that have several."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "unit_files",
        sa.Column("unit_id", number, autoincrement=False, nullable=False),
        sa.Column("path", string(), nullable=False),
        sa.Column("size", sa.BigInteger()),
        sa.Column("checksum_type", string()),
        sa.Column("checksum", string()),
        sa.Column("artifact", string(64)),
        sa.Column("owner", string()),
        sa.Column("expires", sa.BigInteger()),
        sa.PrimaryKeyConstraint("unit_id", "path", name=op.f("pk_unit_files")),
        sa.ForeignKeyConstraint(
            ["unit_id"], ["units.id"], name=op.f("fk_unit_files_unit_id_units"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("ix_unit_files_artifact"), "unit_files", ["artifact"])


def _let_publications_be_reused() -> None:
    """Keep what the next publication may take over, and whether units are still as they were."""
    op.add_column(
        "units",
        sa.Column("revision", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    )
    op.add_column("publications", sa.Column("reusable", sa.JSON()))


def _add_to_units() -> None:
    op.add_column("units", sa.Column("user_metadata", sa.JSON()))
    op.add_column("units", sa.Column("updated", sa.BigInteger()))


def _add_roots() -> None:
    root = sa.Column("root", string(10), server_default="repos", nullable=False)
    op.add_column("publications", root)


def _add_uploads() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", string(36), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("touched", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
