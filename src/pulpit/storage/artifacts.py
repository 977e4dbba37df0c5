"""Which files are stored, where the others can be had, and who downloads them now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from pulpit.domain.clock import utc_now
from pulpit.storage.rows import batched, insert_ignoring, insert_statement, upsert
from pulpit.storage.tables import artifacts, downloads, unit_sources, units
from pulpit.storage.unit_files import UnitFileRows

__all__ = ["ArtifactRows"]

_SET_METADATA = (
    update(units)
    .where(units.c.id == bindparam("of_id"))
    .values(metadata=bindparam("changed"), updated=bindparam("now"))
)


class ArtifactRows(UnitFileRows):
    """The part of ``pulpit.ports.ContentStore`` that is about files."""

    def set_sources(self, repo_id: str, sources: Mapping[int, str]) -> None:
        rows = [
            {"unit_id": unit_id, "repo_id": repo_id, "url": url}
            for unit_id, url in sorted(sources.items())
        ]
        upsert(self._connection, unit_sources, rows)

    def sources(self, unit_id: int) -> Sequence[tuple[str, str]]:
        statement = (
            select(unit_sources.c.repo_id, unit_sources.c.url)
            .where(unit_sources.c.unit_id == unit_id)
            .order_by(unit_sources.c.repo_id)
        )
        return [(repo_id, url) for repo_id, url in self._connection.execute(statement)]

    def add_artifacts(self, artifacts: Mapping[str, int]) -> None:
        _keep_artifacts(self._connection, artifacts)

    def has_artifacts(self, digests: Collection[str]) -> Collection[str]:
        found: set[str] = set()
        for batch in batched(digests):
            statement = select(artifacts.c.digest).where(artifacts.c.digest.in_(batch))
            found.update(self._connection.execute(statement).scalars())
        return found

    def artifacts_by_checksum(
        self, checksums: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], str]:
        wanted = set(checksums)
        found: dict[tuple[str, str], str] = {}
        for batch in batched({checksum for _, checksum in wanted}):
            statement = select(units.c.checksum_type, units.c.checksum, units.c.artifact).where(
                units.c.checksum.in_(batch), units.c.artifact.is_not(None)
            )
            for kind, checksum, artifact in self._connection.execute(statement):
                if (kind, checksum) in wanted:
                    found[kind, checksum] = artifact
        return found

    def set_artifact(self, unit_id: int, digest: str, size: int, *, path: str = "") -> None:
        _keep_artifacts(self._connection, {digest: size})
        if path:
            self._set_file(unit_id, path, digest, size)
            return
        self._connection.execute(update(units).where(units.c.id == unit_id).values(artifact=digest))

    def set_signing_keys(self, keys: Mapping[int, str | None]) -> None:
        now = utc_now()
        for batch in batched(sorted(keys)):
            found = self._connection.execute(
                select(units.c.id, units.c.metadata).where(units.c.id.in_(batch))
            )
            changed = [
                {
                    "of_id": unit_id,
                    "changed": {**known, "signing_key": keys[unit_id]},
                    "now": now,
                }
                for unit_id, known in found
                if known.get("signing_key", "") != keys[unit_id]
            ]
            if changed:
                self._connection.execute(_SET_METADATA, changed)

    def claim_download(
        self, unit_id: int, owner: str, *, now: datetime, seconds: float, path: str = ""
    ) -> bool:
        until = now + timedelta(seconds=seconds)
        if path:
            return self._claim_file(unit_id, path, owner, now=now, until=until)
        statement = insert_statement(self._connection, downloads)
        taken = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=[downloads.c.unit_id],
            set_={"owner": taken.owner, "expires": taken.expires},
            where=or_(downloads.c.expires <= now, downloads.c.owner == taken.owner),
        ).values(unit_id=unit_id, owner=owner, expires=until)
        claimed = self._connection.execute(statement.returning(downloads.c.unit_id))
        return claimed.first() is not None

    def release_download(self, unit_id: int, owner: str, *, path: str = "") -> None:
        if path:
            self._release_file(unit_id, path, owner)
            return
        statement = delete(downloads).where(
            downloads.c.unit_id == unit_id, downloads.c.owner == owner
        )
        self._connection.execute(statement)


def _keep_artifacts(connection: Connection, sizes: Mapping[str, int]) -> None:
    """Keep that these files are stored: SHA-256 to bytes."""
    rows = [{"digest": digest, "size": size} for digest, size in sorted(sizes.items())]
    insert_ignoring(connection, artifacts, rows)
