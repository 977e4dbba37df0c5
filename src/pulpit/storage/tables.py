"""The tables, for SQLite and PostgreSQL alike; migrations make them, see ``migrations/``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import JSON

__all__ = [
    "IS_EXHAUSTED",
    "IS_LASTING",
    "IS_PENDING",
    "IS_PROGRESS",
    "UtcTime",
    "artifacts",
    "cursors",
    "deliveries",
    "distributors",
    "downloads",
    "importers",
    "journal",
    "leases",
    "listeners",
    "messages",
    "metadata",
    "microseconds",
    "permissions",
    "publications",
    "published_files",
    "repo_group_members",
    "repo_groups",
    "repositories",
    "repository_units",
    "reservations",
    "roles",
    "schedules",
    "settings",
    "task_tags",
    "tasks",
    "time_of",
    "tokens",
    "unit_chunks",
    "unit_files",
    "unit_sources",
    "units",
    "uploads",
    "users",
    "workers",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(time: datetime) -> int:
    """Return an aware time as ``UtcTime`` keeps it."""
    return (time - _EPOCH) // _MICROSECOND


def time_of(microseconds: int) -> datetime:
    """Return the aware time that ``UtcTime`` keeps so."""
    return _EPOCH + timedelta(microseconds=microseconds)


class UtcTime(TypeDecorator[datetime]):
    """An aware time, kept as microseconds since 1970, so that it sorts and compares anywhere."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> int | None:
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else time_of(value)


#: SQLite numbers rows by itself only for INTEGER.
_BigId = BigInteger().with_variant(Integer(), "sqlite")
#: By code point, as SQLite and Python compare, whatever locale a PostgreSQL was made with.
_BY_CODE_POINT = "C"
_TEXT = Text().with_variant(Text(collation=_BY_CODE_POINT), "postgresql")


def _string(length: int | None = None) -> String:
    """Return the type of a text."""
    return String(length).with_variant(String(length, collation=_BY_CODE_POINT), "postgresql")


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    },
)

settings = Table(
    "settings",
    metadata,
    Column("name", _string(), primary_key=True),
    Column("value", _TEXT, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("login", _string(), primary_key=True),
    Column("oid", _string(24), nullable=False),
    Column("name", _string(), nullable=False),
    Column("password_hash", _string(), nullable=False),
    Column("created", UtcTime, nullable=False),
    # of users who were there before there were roles, or whom older code makes: they may do all
    Column("roles", JSON, nullable=False, server_default=text("'[\"super-users\"]'")),
)

roles = Table(
    "roles",
    metadata,
    Column("id", _string(), primary_key=True),
    Column("oid", _string(24), nullable=False),
    Column("display_name", _string(), nullable=False),
    Column("description", _TEXT),
    Column("permissions", JSON, nullable=False),
    Column("created", UtcTime, nullable=False),
)

#: What was granted to users, one by one.
permissions = Table(
    "permissions",
    metadata,
    Column("resource", _string(), primary_key=True),
    Column(
        "login",
        _string(),
        ForeignKey("users.login", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
    Column("operations", JSON, nullable=False),
    sqlite_with_rowid=False,
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", _string(24), primary_key=True),
    Column("login", _string(), ForeignKey("users.login", ondelete="CASCADE"), nullable=False),
    Column("name", _string(), nullable=False),
    Column("digest", _string(64), nullable=False, unique=True),
    Column("read_only", Boolean, nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("expires", UtcTime),
    Column("last_used", UtcTime),
    UniqueConstraint("login", "name"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("number", _BigId, primary_key=True, autoincrement=True),
    Column("id", _string(36), nullable=False, unique=True),
    Column("oid", _string(24), nullable=False, index=True),
    Column("task_type", _string(), nullable=False, index=True),
    Column("operation", _string(), nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("state", _string(10), nullable=False, index=True),
    Column("tags", JSON, nullable=False),
    Column("resources", JSON, nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("start_time", UtcTime, index=True),
    Column("finish_time", UtcTime, index=True),
    Column("progress", JSON, nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("error", JSON(none_as_null=True)),
    Column("traceback", _TEXT),
    Column("worker_name", _string()),
    Column("group_id", _string(36), index=True),
    Column("spawned", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    # added when there were rows already, hence the default; higher ones are handed out first
    Column("priority", Integer, nullable=False, server_default="0"),
    # of the distributed engine, from when all resources are free: its job for this task, or 0
    # while there is none since no worker has a free slot; PostgreSQL has an index of those that
    # wait, ix_tasks_ready, in the order in which they are handed out
    Column("job_id", BigInteger),
    # to come by a million numbers without a look at their rows; PostgreSQL's key is one already
    Index("ix_tasks_number", "number").ddl_if(dialect="sqlite"),
    # a number is never given twice, even after its row is gone
    sqlite_autoincrement=True,
)

task_tags = Table(
    "task_tags",
    metadata,
    Column("tag", _string(), primary_key=True),
    Column(
        "task_number",
        _BigId,
        ForeignKey("tasks.number", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
    sqlite_with_rowid=False,
)

#: The queue of each resource: the lowest number has it, the others wait behind.
reservations = Table(
    "reservations",
    metadata,
    Column("resource", _string(), primary_key=True),
    Column(
        "task_number",
        _BigId,
        ForeignKey("tasks.number", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
    sqlite_with_rowid=False,
)

journal = Table(
    "journal",
    metadata,
    Column("sequence", _BigId, primary_key=True, autoincrement=True),
    Column("kind", _string(10), nullable=False),
    Column("type", _string(), nullable=False),
    Column("task_id", _string(36)),
    Column("revision", Integer, nullable=False),
    Column("previous", Integer, nullable=False),
    Column("state", _string(10)),
    Column("tags", JSON, nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("ix_journal_task_id_sequence", "task_id", "sequence"),
    # retention looks for the one and the other, and must not read over the bodies; naming
    # PostgreSQL here would load its dialect into every process
    Index(
        "ix_journal_progress",
        "task_id",
        "sequence",
        sqlite_where=text("kind = 'progress'"),
    ),
    Index(
        "ix_journal_lasting",
        "sequence",
        "time",
        sqlite_where=text("kind != 'progress'"),
    ),
    sqlite_autoincrement=True,
)

#: The conditions of these two indexes, as a query must spell them for an index to be used.
IS_PROGRESS = journal.c.kind == text("'progress'")
IS_LASTING = journal.c.kind != text("'progress'")

cursors = Table(
    "cursors",
    metadata,
    Column("name", _string(), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)

listeners = Table(
    "listeners",
    metadata,
    Column("id", _string(24), primary_key=True),
    Column("notifier_type", _string(10), nullable=False),
    Column("config", JSON, nullable=False),
    Column("event_types", JSON, nullable=False),
    Column("repositories", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("sealed", LargeBinary),
    Column("created", UtcTime, nullable=False),
    Column("last_updated", UtcTime, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("disabled_reason", _TEXT),
    Column("disabled_at", UtcTime),
    Column("failing_since", UtcTime),
    Column("last_delivered", UtcTime),
    Column("last_failed", UtcTime),
    Column("last_reason", _TEXT),
)

#: What listeners are told, once for all of them.
messages = Table(
    "messages",
    metadata,
    Column("number", _BigId, primary_key=True, autoincrement=True),
    Column("sequence", BigInteger, nullable=False),
    Column("event_id", _string(), nullable=False),
    Column("event_type", _string(), nullable=False),
    Column("repo_id", _string()),
    Column("task_id", _string(36)),
    Column("tags", JSON, nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("sequence", "event_type"),
    sqlite_autoincrement=True,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("number", _BigId, primary_key=True, autoincrement=True),
    Column("id", _string(36), nullable=False, unique=True),
    Column(
        "listener_id",
        _string(24),
        ForeignKey("listeners.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("message", _BigId, ForeignKey("messages.number"), nullable=False),
    Column("event_type", _string(), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("lane", _string(), nullable=False),
    Column("state", _string(10), nullable=False),
    Column("attempts", JSON, nullable=False),
    Column("attempted", Integer, nullable=False),
    Column("attempted_before", Integer, nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("due", UtcTime),
    Column("finished", UtcTime),
    # the message first: so it finds the messages that no delivery names any more
    UniqueConstraint("message", "listener_id"),
    Index("ix_deliveries_listener_id_number", "listener_id", "number"),
    # what is over grows with time, what is looked for all the time does not
    Index(
        "ix_deliveries_pending",
        "listener_id",
        "number",
        sqlite_where=text("state = 'pending'"),
    ),
    Index(
        "ix_deliveries_pending_lane",
        "listener_id",
        "lane",
        "number",
        sqlite_where=text("state = 'pending'"),
    ),
    Index(
        "ix_deliveries_exhausted",
        "listener_id",
        "number",
        sqlite_where=text("state = 'exhausted'"),
    ),
    Index("ix_deliveries_finished", "finished", sqlite_where=text("finished IS NOT NULL")),
    sqlite_autoincrement=True,
)

#: The conditions of the indexes, as for the journal.
IS_PENDING = deliveries.c.state == text("'pending'")
IS_EXHAUSTED = deliveries.c.state == text("'exhausted'")

#: Processes on any machine that run tasks for the distributed engine.
workers = Table(
    "workers",
    metadata,
    Column("name", _string(), primary_key=True),
    # a process of its own name later is another one
    Column("incarnation", _string(36), nullable=False),
    Column("slots", Integer, nullable=False),
    # seconds after which a worker that was not heard of is lost, as it knows itself
    Column("timeout", Float, nullable=False),
    Column("started", UtcTime, nullable=False),
    # by the database's clock, the only one that all machines share
    Column("heartbeat", UtcTime, nullable=False),
)

#: What only one process does at a time, and until when it holds that if it is not heard of.
leases = Table(
    "leases",
    metadata,
    Column("name", _string(), primary_key=True),
    Column("holder", _string(), nullable=False),
    # by the database's clock
    Column("until", UtcTime, nullable=False),
)

repositories = Table(
    "repositories",
    metadata,
    Column("id", _string(), primary_key=True),
    Column("oid", _string(24), nullable=False),
    Column("display_name", _string(), nullable=False),
    Column("description", _TEXT),
    Column("notes", JSON, nullable=False),
    Column("scratchpad", JSON, nullable=False),
    Column("content_unit_counts", JSON, nullable=False),
    Column("last_unit_added", UtcTime),
    Column("last_unit_removed", UtcTime),
    Column("created", UtcTime, nullable=False),
    Column("content_revision", BigInteger, nullable=False),
)


#: Names for sets of repositories.
repo_groups = Table(
    "repo_groups",
    metadata,
    Column("id", _string(), primary_key=True),
    Column("oid", _string(24), nullable=False),
    Column("display_name", _string(), nullable=False),
    Column("description", _TEXT),
    Column("notes", JSON, nullable=False),
)

repo_group_members = Table(
    "repo_group_members",
    metadata,
    Column(
        "group_id", _string(), ForeignKey("repo_groups.id", ondelete="CASCADE"), primary_key=True
    ),
    Column(
        "repo_id",
        _string(),
        ForeignKey("repositories.id", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
    sqlite_with_rowid=False,
)


def _repository_id() -> Column[str]:
    """Return a part of the primary key that goes with the repository."""
    return Column(
        "repo_id",
        _string(),
        ForeignKey("repositories.id", ondelete="CASCADE"),
        primary_key=True,
    )


importers = Table(
    "importers",
    metadata,
    _repository_id(),
    Column("oid", _string(24), nullable=False),
    Column("importer_type_id", _string(), nullable=False),
    Column("config", JSON, nullable=False),
    Column("scratchpad", JSON, nullable=False),
    Column("last_sync", UtcTime),
    Column("last_updated", UtcTime, nullable=False),
)

distributors = Table(
    "distributors",
    metadata,
    _repository_id(),
    Column("id", _string(), primary_key=True),
    Column("oid", _string(24), nullable=False),
    Column("distributor_type_id", _string(), nullable=False),
    Column("config", JSON, nullable=False),
    Column("auto_publish", Boolean, nullable=False),
    Column("scratchpad", JSON, nullable=False),
    Column("last_publish", UtcTime),
    Column("last_updated", UtcTime, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", _string(24), primary_key=True),
    Column("kind", _string(10), nullable=False),
    Column("repo_id", _string(), ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Column("plugin_id", _string(), nullable=False),
    Column("text", _string(), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("failure_threshold", Integer),
    Column("consecutive_failures", Integer, nullable=False),
    Column("override", JSON, nullable=False),
    Column("first_run", UtcTime, nullable=False),
    Column("next_run", UtcTime, index=True),
    Column("last_run_at", UtcTime),
    Column("last_updated", UtcTime, nullable=False),
    Column("remaining_runs", Integer),
    Column("total_run_count", Integer, nullable=False),
    # that of a task which may have been purged since
    Column("last_task_id", _string(36)),
    Index("ix_schedules_repo_id_kind_plugin_id", "repo_id", "kind", "plugin_id"),
)

units = Table(
    "units",
    metadata,
    Column("id", _BigId, primary_key=True, autoincrement=True),
    Column("uid", _string(36), nullable=False, unique=True),
    Column("type_id", _string(), nullable=False),
    Column("key_digest", LargeBinary(16), nullable=False),
    Column("key", JSON, nullable=False),
    Column("name", _string(), index=True),
    Column("epoch", _string()),
    Column("version", _string()),
    Column("release", _string()),
    Column("arch", _string()),
    Column("filename", _string(), index=True),
    Column("size", BigInteger),
    Column("checksum_type", _string()),
    Column("checksum", _string(), index=True),
    Column("metadata", JSON, nullable=False),
    Column("artifact", _string(64), index=True),
    # added when there were rows already, hence without a value in some
    Column("user_metadata", JSON(none_as_null=True)),
    Column("updated", UtcTime),
    # grows whenever the chunks are replaced by others
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
    UniqueConstraint("type_id", "key_digest"),
    # members of the keys of units that are no packages have indexes of their own, whose
    # expressions stand in ``unit_fields``: ix_units_key_id, ix_units_key_name
    Index("ix_units_type_id_id", "type_id", "id"),
    Index("ix_units_type_id_name", "type_id", "name"),
)

#: The files of units that have several: their paths below a publication.
unit_files = Table(
    "unit_files",
    metadata,
    Column(
        "unit_id",
        _BigId,
        ForeignKey("units.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("path", _string(), primary_key=True),
    # None for what is not known before the file is here
    Column("size", BigInteger),
    Column("checksum_type", _string()),
    Column("checksum", _string()),
    Column("artifact", _string(64), index=True),
    # who downloads it, and until when if nothing is heard
    Column("owner", _string()),
    Column("expires", UtcTime),
)

#: Apart from the units, so that searches do not read over megabytes of XML.
unit_chunks = Table(
    "unit_chunks",
    metadata,
    Column(
        "unit_id",
        _BigId,
        ForeignKey("units.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("chunk_0", LargeBinary, nullable=False),
    Column("chunk_1", LargeBinary),
    Column("chunk_2", LargeBinary),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", _string(36), primary_key=True),
    Column("created", UtcTime, nullable=False),
    Column("touched", UtcTime, nullable=False),
    Column("received", JSON, nullable=False),
)

repository_units = Table(
    "repository_units",
    metadata,
    _repository_id(),
    Column(
        "unit_id",
        _BigId,
        ForeignKey("units.id"),
        primary_key=True,
        index=True,
        autoincrement=False,
    ),
    Column("created", UtcTime, nullable=False),
    sqlite_with_rowid=False,
)

#: Where a unit's file can be had, with the credentials of the repository's importer.
unit_sources = Table(
    "unit_sources",
    metadata,
    Column(
        "unit_id",
        _BigId,
        ForeignKey("units.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column(
        "repo_id",
        _string(),
        ForeignKey("repositories.id", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
    Column("url", _TEXT, nullable=False),
    sqlite_with_rowid=False,
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("digest", _string(64), primary_key=True),
    Column("size", BigInteger, nullable=False),
)

downloads = Table(
    "downloads",
    metadata,
    Column(
        "unit_id",
        _BigId,
        ForeignKey("units.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("owner", _string(), nullable=False),
    Column("expires", UtcTime, nullable=False),
)

publications = Table(
    "publications",
    metadata,
    Column("id", _BigId, primary_key=True, autoincrement=True),
    Column("repo_id", _string(), nullable=False),
    Column("distributor_id", _string(), nullable=False),
    # the folder of /pulp/ that it lies in; added when there were rows already
    Column("root", _string(10), nullable=False, server_default="repos"),
    Column("relative_url", _string(), nullable=False, index=True),
    Column("folder", _string(), nullable=False, unique=True),
    Column("fingerprint", _string(), nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("superseded", UtcTime),
    Column("reusable", JSON(none_as_null=True)),
    Index("ix_publications_repo_id_distributor_id", "repo_id", "distributor_id"),
    sqlite_autoincrement=True,
)

published_files = Table(
    "published_files",
    metadata,
    Column(
        "publication_id",
        _BigId,
        ForeignKey("publications.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("path", _string(), primary_key=True),
    # None: a generated file in the publication's folder
    Column("unit_id", _BigId, ForeignKey("units.id"), index=True),
    sqlite_with_rowid=False,
)
