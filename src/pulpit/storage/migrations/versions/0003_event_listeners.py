"""Listeners, and what they are told; and tasks that may run are found at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pulpit.storage.migrations.dialects import TEXT, partial, string

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
#: The oldest step whose code may run on this schema.
oldest_code = "0001"


def upgrade() -> None:
    """Go from the former schema to this one."""
    _add_listeners()
    _add_messages()
    _add_deliveries()
    _find_ready_tasks()


def _number() -> sa.Column[int]:
    """Return the number of a row, which the database gives."""
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("number", kind, autoincrement=True, nullable=False)


def _add_listeners() -> None:
    op.create_table(
        "listeners",
        sa.Column("id", string(24), nullable=False),
        sa.Column("notifier_type", string(10), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("event_types", sa.JSON(), nullable=False),
        sa.Column("repositories", sa.JSON(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_updated", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("disabled_reason", TEXT),
        sa.Column("disabled_at", sa.BigInteger()),
        sa.Column("failing_since", sa.BigInteger()),
        sa.Column("last_delivered", sa.BigInteger()),
        sa.Column("last_failed", sa.BigInteger()),
        sa.Column("last_reason", TEXT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listeners")),
    )


def _add_messages() -> None:
    op.create_table(
        "messages",
        _number(),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("event_id", string(), nullable=False),
        sa.Column("event_type", string(), nullable=False),
        sa.Column("repo_id", string()),
        sa.Column("task_id", string(36)),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_messages")),
        sa.UniqueConstraint("sequence", "event_type", name=op.f("uq_messages_sequence_event_type")),
        sqlite_autoincrement=True,
    )


def _add_deliveries() -> None:
    op.create_table(
        "deliveries",
        _number(),
        sa.Column("id", string(36), nullable=False),
        sa.Column("listener_id", string(24), nullable=False),
        sa.Column("message", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("event_type", string(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("lane", string(), nullable=False),
        sa.Column("state", string(10), nullable=False),
        sa.Column("attempts", sa.JSON(), nullable=False),
        sa.Column("attempted", sa.Integer(), nullable=False),
        sa.Column("attempted_before", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger()),
        sa.Column("finished", sa.BigInteger()),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("id", name=op.f("uq_deliveries_id")),
        sa.UniqueConstraint(
            "message", "listener_id", name=op.f("uq_deliveries_message_listener_id")
        ),
        sa.ForeignKeyConstraint(
            ["listener_id"],
            ["listeners.id"],
            name=op.f("fk_deliveries_listener_id_listeners"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["message"], ["messages.number"], name=op.f("fk_deliveries_message_messages")
        ),
        sqlite_autoincrement=True,
    )
    _add_index("ix_deliveries_listener_id_number", "listener_id", "number")
    _add_index("ix_deliveries_pending", "listener_id", "number", over="state = 'pending'")
    _add_index(
        "ix_deliveries_pending_lane", "listener_id", "lane", "number", over="state = 'pending'"
    )
    _add_index("ix_deliveries_exhausted", "listener_id", "number", over="state = 'exhausted'")
    _add_index("ix_deliveries_finished", "finished", over="finished IS NOT NULL")


def _add_index(name: str, *columns: str, over: str | None = None) -> None:
    """Make an index of the deliveries, of all or of some."""
    op.create_index(name, "deliveries", [*columns], **(partial(over) if over else {}))


def _find_ready_tasks() -> None:
    """Let tasks that may run be found without a look at those that wait behind them."""
    # for the distributed engine, which SQLite is not for
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE INDEX ix_tasks_ready ON tasks (priority DESC, number) "
            "WHERE state = 'waiting' AND job_id IS NOT NULL"
        )
