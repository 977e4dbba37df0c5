"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pulpit.storage.migrations.dialects import TEXT, partial, string

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
#: The oldest step whose code may run on this schema.
oldest_code = "0001"


def upgrade() -> None:
    """Go from the former schema to this one."""
    op.create_table(
        "artifacts",
        sa.Column("digest", string(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_artifacts")),
    )
    op.create_table(
        "cursors",
        sa.Column("name", string(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cursors")),
    )
    op.create_table(
        "journal",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("kind", string(10), nullable=False),
        sa.Column("type", string(), nullable=False),
        sa.Column("task_id", string(36), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("previous", sa.Integer(), nullable=False),
        sa.Column("state", string(10), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_journal")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_journal_lasting",
        "journal",
        ["sequence", "time"],
        unique=False,
        **partial("kind != 'progress'"),
    )
    op.create_index(
        "ix_journal_progress",
        "journal",
        ["task_id", "sequence"],
        unique=False,
        **partial("kind = 'progress'"),
    )
    op.create_index("ix_journal_task_id_sequence", "journal", ["task_id", "sequence"], unique=False)
    op.create_table(
        "publications",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("repo_id", string(), nullable=False),
        sa.Column("distributor_id", string(), nullable=False),
        sa.Column("relative_url", string(), nullable=False),
        sa.Column("folder", string(), nullable=False),
        sa.Column("fingerprint", string(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publications")),
        sa.UniqueConstraint("folder", name=op.f("uq_publications_folder")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_publications_relative_url"), "publications", ["relative_url"], unique=False
    )
    op.create_index(
        "ix_publications_repo_id_distributor_id",
        "publications",
        ["repo_id", "distributor_id"],
        unique=False,
    )
    op.create_table(
        "repositories",
        sa.Column("id", string(), nullable=False),
        sa.Column("oid", string(24), nullable=False),
        sa.Column("display_name", string(), nullable=False),
        sa.Column("description", TEXT, nullable=True),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("scratchpad", sa.JSON(), nullable=False),
        sa.Column("content_unit_counts", sa.JSON(), nullable=False),
        sa.Column("last_unit_added", sa.BigInteger(), nullable=True),
        sa.Column("last_unit_removed", sa.BigInteger(), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("content_revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repositories")),
    )
    op.create_table(
        "settings",
        sa.Column("name", string(), nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_settings")),
    )
    op.create_table(
        "tasks",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", string(36), nullable=False),
        sa.Column("oid", string(24), nullable=False),
        sa.Column("task_type", string(), nullable=False),
        sa.Column("operation", string(), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("state", string(10), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("resources", sa.JSON(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=True),
        sa.Column("finish_time", sa.BigInteger(), nullable=True),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("traceback", TEXT, nullable=True),
        sa.Column("worker_name", string(), nullable=True),
        sa.Column("group_id", string(36), nullable=True),
        sa.Column("spawned", sa.JSON(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_tasks")),
        sa.UniqueConstraint("id", name=op.f("uq_tasks_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_tasks_finish_time"), "tasks", ["finish_time"], unique=False)
    op.create_index(op.f("ix_tasks_group_id"), "tasks", ["group_id"], unique=False)
    op.create_index(op.f("ix_tasks_state"), "tasks", ["state"], unique=False)
    op.create_table(
        "units",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("uid", string(36), nullable=False),
        sa.Column("type_id", string(), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("key", sa.JSON(), nullable=False),
        sa.Column("name", string(), nullable=True),
        sa.Column("epoch", string(), nullable=True),
        sa.Column("version", string(), nullable=True),
        sa.Column("release", string(), nullable=True),
        sa.Column("arch", string(), nullable=True),
        sa.Column("filename", string(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("checksum_type", string(), nullable=True),
        sa.Column("checksum", string(), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("artifact", string(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_units")),
        sa.UniqueConstraint("type_id", "key_digest", name=op.f("uq_units_type_id_key_digest")),
        sa.UniqueConstraint("uid", name=op.f("uq_units_uid")),
    )
    op.create_index(op.f("ix_units_artifact"), "units", ["artifact"], unique=False)
    op.create_index(op.f("ix_units_checksum"), "units", ["checksum"], unique=False)
    op.create_index(op.f("ix_units_filename"), "units", ["filename"], unique=False)
    op.create_index(op.f("ix_units_name"), "units", ["name"], unique=False)
    op.create_table(
        "users",
        sa.Column("login", string(), nullable=False),
        sa.Column("oid", string(24), nullable=False),
        sa.Column("name", string(), nullable=False),
        sa.Column("password_hash", string(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("login", name=op.f("pk_users")),
    )
    op.create_table(
        "distributors",
        sa.Column("repo_id", string(), nullable=False),
        sa.Column("id", string(), nullable=False),
        sa.Column("oid", string(24), nullable=False),
        sa.Column("distributor_type_id", string(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("auto_publish", sa.Boolean(), nullable=False),
        sa.Column("scratchpad", sa.JSON(), nullable=False),
        sa.Column("last_publish", sa.BigInteger(), nullable=True),
        sa.Column("last_updated", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repo_id"],
            ["repositories.id"],
            name=op.f("fk_distributors_repo_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repo_id", "id", name=op.f("pk_distributors")),
    )
    op.create_table(
        "downloads",
        sa.Column(
            "unit_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("owner", string(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["unit_id"], ["units.id"], name=op.f("fk_downloads_unit_id_units"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("unit_id", name=op.f("pk_downloads")),
    )
    op.create_table(
        "importers",
        sa.Column("repo_id", string(), nullable=False),
        sa.Column("oid", string(24), nullable=False),
        sa.Column("importer_type_id", string(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("scratchpad", sa.JSON(), nullable=False),
        sa.Column("last_sync", sa.BigInteger(), nullable=True),
        sa.Column("last_updated", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repo_id"],
            ["repositories.id"],
            name=op.f("fk_importers_repo_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repo_id", name=op.f("pk_importers")),
    )
    op.create_table(
        "published_files",
        sa.Column(
            "publication_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("path", string(), nullable=False),
        sa.Column("unit_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(
            ["publication_id"],
            ["publications.id"],
            name=op.f("fk_published_files_publication_id_publications"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["unit_id"], ["units.id"], name=op.f("fk_published_files_unit_id_units")
        ),
        sa.PrimaryKeyConstraint("publication_id", "path", name=op.f("pk_published_files")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_published_files_unit_id"), "published_files", ["unit_id"], unique=False
    )
    op.create_table(
        "repository_units",
        sa.Column("repo_id", string(), nullable=False),
        sa.Column(
            "unit_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repo_id"],
            ["repositories.id"],
            name=op.f("fk_repository_units_repo_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["unit_id"], ["units.id"], name=op.f("fk_repository_units_unit_id_units")
        ),
        sa.PrimaryKeyConstraint("repo_id", "unit_id", name=op.f("pk_repository_units")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_repository_units_unit_id"), "repository_units", ["unit_id"], unique=False
    )
    op.create_table(
        "reservations",
        sa.Column("resource", string(), nullable=False),
        sa.Column(
            "task_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["task_number"],
            ["tasks.number"],
            name=op.f("fk_reservations_task_number_tasks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("resource", "task_number", name=op.f("pk_reservations")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_reservations_task_number"), "reservations", ["task_number"], unique=False
    )
    op.create_table(
        "task_tags",
        sa.Column("tag", string(), nullable=False),
        sa.Column(
            "task_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["task_number"],
            ["tasks.number"],
            name=op.f("fk_task_tags_task_number_tasks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tag", "task_number", name=op.f("pk_task_tags")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_task_tags_task_number"), "task_tags", ["task_number"], unique=False)
    op.create_table(
        "unit_chunks",
        sa.Column(
            "unit_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("chunk_0", sa.LargeBinary(), nullable=False),
        sa.Column("chunk_1", sa.LargeBinary(), nullable=True),
        sa.Column("chunk_2", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["unit_id"], ["units.id"], name=op.f("fk_unit_chunks_unit_id_units"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("unit_id", name=op.f("pk_unit_chunks")),
    )
    op.create_table(
        "unit_sources",
        sa.Column(
            "unit_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("repo_id", string(), nullable=False),
        sa.Column("url", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["repo_id"],
            ["repositories.id"],
            name=op.f("fk_unit_sources_repo_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["unit_id"],
            ["units.id"],
            name=op.f("fk_unit_sources_unit_id_units"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("unit_id", "repo_id", name=op.f("pk_unit_sources")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_unit_sources_repo_id"), "unit_sources", ["repo_id"], unique=False)


def downgrade() -> None:
    """Go back."""
    op.drop_index(op.f("ix_unit_sources_repo_id"), table_name="unit_sources")
    op.drop_table("unit_sources")
    op.drop_table("unit_chunks")
    op.drop_index(op.f("ix_task_tags_task_number"), table_name="task_tags")
    op.drop_table("task_tags")
    op.drop_index(op.f("ix_reservations_task_number"), table_name="reservations")
    op.drop_table("reservations")
    op.drop_index(op.f("ix_repository_units_unit_id"), table_name="repository_units")
    op.drop_table("repository_units")
    op.drop_index(op.f("ix_published_files_unit_id"), table_name="published_files")
    op.drop_table("published_files")
    op.drop_table("importers")
    op.drop_table("downloads")
    op.drop_table("distributors")
    op.drop_table("users")
    op.drop_index(op.f("ix_units_name"), table_name="units")
    op.drop_index(op.f("ix_units_filename"), table_name="units")
    op.drop_index(op.f("ix_units_checksum"), table_name="units")
    op.drop_index(op.f("ix_units_artifact"), table_name="units")
    op.drop_table("units")
    op.drop_index(op.f("ix_tasks_state"), table_name="tasks")
    op.drop_index(op.f("ix_tasks_group_id"), table_name="tasks")
    op.drop_index(op.f("ix_tasks_finish_time"), table_name="tasks")
    op.drop_table("tasks")
    op.drop_table("settings")
    op.drop_table("repositories")
    op.drop_index("ix_publications_repo_id_distributor_id", table_name="publications")
    op.drop_index(op.f("ix_publications_relative_url"), table_name="publications")
    op.drop_table("publications")
    op.drop_index("ix_journal_task_id_sequence", table_name="journal")
    op.drop_index("ix_journal_progress", table_name="journal")
    op.drop_index("ix_journal_lasting", table_name="journal")
    op.drop_table("journal")
    op.drop_table("cursors")
    op.drop_table("artifacts")
