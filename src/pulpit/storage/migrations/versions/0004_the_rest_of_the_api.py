"""Uploads, schedules, users with roles and tokens, groups, and what units are searched by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pulpit.storage.migrations.dialects import TEXT, string

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
#: The oldest step whose code may run on this schema.
oldest_code = "0001"


def upgrade() -> None:
    """Go from the former schema to this one."""
    _add_roles()
    _add_permissions()
    _add_tokens()
    _add_to_units()
    _add_to_tasks()
    _add_roots()
    _add_unit_files()
    _let_publications_be_reused()
    _add_uploads()
    _add_schedules()
    _add_repo_groups()


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
    op.create_index("ix_units_type_id_id", "units", ["type_id", "id"])
    op.create_index("ix_units_type_id_name", "units", ["type_id", "name"])
    # of units that are no packages; their size has no index that could be taken instead
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for name in ("id", "name"):
        member = f"json_extract(\"key\", '$.{name}')"
        if not is_sqlite:
            member = f"((key ->> '{name}') COLLATE \"C\")"
        op.execute(f"CREATE INDEX ix_units_key_{name} ON units ({member}) WHERE size IS NULL")


def _add_to_tasks() -> None:
    op.create_index(op.f("ix_tasks_oid"), "tasks", ["oid"])
    op.create_index(op.f("ix_tasks_start_time"), "tasks", ["start_time"])
    op.create_index(op.f("ix_tasks_task_type"), "tasks", ["task_type"])
    if op.get_bind().dialect.name == "sqlite":
        op.create_index(op.f("ix_tasks_number"), "tasks", ["number"])


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


def _add_roles() -> None:
    """Add roles; who is there already is a super-user, since until now everybody was."""
    super_users = sa.text("'[\"super-users\"]'")
    op.add_column(
        "users", sa.Column("roles", sa.JSON(), nullable=False, server_default=super_users)
    )
    op.create_table(
        "roles",
        sa.Column("id", string(), nullable=False),
        sa.Column("oid", string(24), nullable=False),
        sa.Column("display_name", string(), nullable=False),
        sa.Column("description", TEXT),
        sa.Column("permissions", sa.JSON(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
    )


def _login_of(table: str) -> sa.ForeignKeyConstraint:
    """Return what ties the rows of a table to their user."""
    name = op.f(f"fk_{table}_login_users")
    return sa.ForeignKeyConstraint(["login"], ["users.login"], name=name, ondelete="CASCADE")


def _add_permissions() -> None:
    op.create_table(
        "permissions",
        sa.Column("resource", string(), nullable=False),
        sa.Column("login", string(), nullable=False),
        sa.Column("operations", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("resource", "login", name=op.f("pk_permissions")),
        _login_of("permissions"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_permissions_login"), "permissions", ["login"])


def _add_tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", string(24), nullable=False),
        sa.Column("login", string(), nullable=False),
        sa.Column("name", string(), nullable=False),
        sa.Column("digest", string(64), nullable=False),
        sa.Column("read_only", sa.Boolean(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger()),
        sa.Column("last_used", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
        sa.UniqueConstraint("login", "name", name=op.f("uq_tokens_login_name")),
        _login_of("tokens"),
    )


def _add_schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("id", string(24), nullable=False),
        sa.Column("kind", string(10), nullable=False),
        sa.Column("repo_id", string(), nullable=False),
        sa.Column("plugin_id", string(), nullable=False),
        sa.Column("text", string(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("failure_threshold", sa.Integer()),
        sa.Column("consecutive_failures", sa.Integer(), nullable=False),
        sa.Column("override", sa.JSON(), nullable=False),
        sa.Column("first_run", sa.BigInteger(), nullable=False),
        sa.Column("next_run", sa.BigInteger()),
        sa.Column("last_run_at", sa.BigInteger()),
        sa.Column("last_updated", sa.BigInteger(), nullable=False),
        sa.Column("remaining_runs", sa.Integer()),
        sa.Column("total_run_count", sa.Integer(), nullable=False),
        sa.Column("last_task_id", string(36)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
        sa.ForeignKeyConstraint(
            ["repo_id"],
            ["repositories.id"],
            name=op.f("fk_schedules_repo_id_repositories"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(op.f("ix_schedules_next_run"), "schedules", ["next_run"])
    op.create_index(
        "ix_schedules_repo_id_kind_plugin_id", "schedules", ["repo_id", "kind", "plugin_id"]
    )


def _add_repo_groups() -> None:
    op.create_table(
        "repo_groups",
        sa.Column("id", string(), nullable=False),
        sa.Column("oid", string(24), nullable=False),
        sa.Column("display_name", string(), nullable=False),
        sa.Column("description", TEXT),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repo_groups")),
    )
    op.create_table(
        "repo_group_members",
        sa.Column("group_id", string(), nullable=False),
        sa.Column("repo_id", string(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "repo_id", name=op.f("pk_repo_group_members")),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["repo_groups.id"],
            name=op.f("fk_repo_group_members_group_id_repo_groups"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["repo_id"],
            ["repositories.id"],
            name=op.f("fk_repo_group_members_repo_id_repositories"),
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_repo_group_members_repo_id"), "repo_group_members", ["repo_id"])
