"""Tasks that may run are found without a look at those that wait behind them."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
#: The oldest step whose code may run on this schema.
oldest_code = "0001"


def upgrade() -> None:
    """Go from the former schema to this one."""
    # for the distributed engine, which SQLite is not for
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE INDEX ix_tasks_ready ON tasks (priority DESC, number) "
            "WHERE state = 'waiting' AND job_id IS NOT NULL"
        )
