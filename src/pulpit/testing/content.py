"""Content units in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

from pulpit.domain.clock import utc_now
from pulpit.domain.units import FILE_TYPES, PACKAGE_TYPES, Unit, UnitFile, unit_key_digest
from pulpit.errors import MissingResource
from pulpit.testing.orphans import MemoryOrphans
from pulpit.testing.unit_selections import MemoryUnitSelections

__all__ = ["MemoryContentStore"]


class MemoryContentStore(MemoryOrphans, MemoryUnitSelections):
    """Implements ``pulpit.ports.ContentStore``."""

    def known(self, type_id: str, digests: Collection[bytes]) -> Mapping[bytes, int]:
        ids = self._state.unit_ids
        return {digest: ids[type_id, digest] for digest in digests if (type_id, digest) in ids}

    def add(self, units: Sequence[Unit]) -> Mapping[bytes, int]:
        return {_digest(unit): self._keep(unit, replacing=False) for unit in units}

    def replace(self, units: Sequence[Unit]) -> Mapping[bytes, int]:
        return {_digest(unit): self._keep(unit, replacing=True) for unit in units}

    def _keep(self, unit: Unit, *, replacing: bool) -> int:
        """Keep a new unit, or what is new of one that is there; return its id."""
        state, key = self._state, (unit.type_id, _digest(unit))
        if key not in state.unit_ids:
            state.last_unit += 1
            state.unit_ids[key] = state.last_unit
            state.units[state.last_unit] = replace(unit, id=state.last_unit, updated=utc_now())
            return state.last_unit
        unit_id = state.unit_ids[key]
        present = state.units[unit_id]
        merged = replace(present, artifact=present.artifact or unit.artifact)
        if replacing:
            merged = replace(merged, metadata=unit.metadata, chunks=unit.chunks, updated=utc_now())
            if unit.chunks != present.chunks:
                state.revisions[unit_id] = state.revisions.get(unit_id, 0) + 1
                self._touch(unit_id)
        state.units[unit_id] = merged
        return unit_id

    def _touch(self, unit_id: int) -> None:
        """Give the repositories of a changed unit a new revision."""
        for repo_id, member in self._state.associations:
            if member == unit_id:
                repository = self._state.repositories[repo_id]
                self._state.repositories[repo_id] = replace(
                    repository, content_revision=repository.content_revision + 1
                )

    def _members(self, repo_id: str) -> list[Unit]:
        return [
            self._state.units[member]
            for repo, member in self._state.associations
            if repo == repo_id
        ]

    def members(self, repo_id: str, type_id: str | None = None) -> Mapping[int, bytes]:
        return {
            unit.id: _digest(unit)
            for unit in self._members(repo_id)
            if type_id in {None, unit.type_id}
        }

    def revisions(self, repo_id: str, type_ids: Collection[str]) -> Mapping[int, int]:
        return {
            unit.id: self._state.revisions.get(unit.id, 0)
            for unit in self._members(repo_id)
            if unit.type_id in type_ids
        }

    def units(self, repo_id: str, type_ids: Collection[str]) -> Iterator[Unit]:
        wanted = [unit for unit in self._members(repo_id) if unit.type_id in type_ids]
        return iter(sorted(wanted, key=_order))

    def packages(self, repo_id: str, *, name: str | None = None) -> Iterator[Unit]:
        for unit in self._members(repo_id):
            if unit.type_id in PACKAGE_TYPES and (
                name is None or (unit.package and unit.package.name == name)
            ):
                yield replace(unit, metadata={}, chunks=())

    def package_chunks(self, repo_id: str, type_ids: Collection[str]) -> Iterator[Unit]:
        return (replace(unit, metadata={}) for unit in self.units(repo_id, type_ids))

    def locally_stored(self, repo_id: str) -> int:
        return sum(
            (unit.artifact is not None or unit.type_id not in FILE_TYPES)
            and all(file.artifact for file in self.unit_files(unit.id))
            for unit in self._members(repo_id)
        )

    def associate(self, repo_id: str, unit_ids: Collection[int], *, now: datetime) -> int:
        new = {(repo_id, unit_id) for unit_id in unit_ids} - self._state.associations
        self._state.associations |= new
        self._state.associated |= dict.fromkeys(new, now)
        self._recount(repo_id, new, moment="last_unit_added", now=now)
        return len(new)

    def unassociate(self, repo_id: str, unit_ids: Collection[int], *, now: datetime) -> int:
        gone = {(repo_id, unit_id) for unit_id in unit_ids} & self._state.associations
        self._state.associations -= gone
        self._recount(repo_id, gone, moment="last_unit_removed", now=now)
        return len(gone)

    def touch(self, repo_id: str, *, now: datetime) -> None:
        repository = self._state.repositories[repo_id]
        self._state.repositories[repo_id] = replace(
            repository,
            last_unit_added=max(repository.last_unit_added or now, now),
            content_revision=repository.content_revision + 1,
        )

    def _recount(
        self,
        repo_id: str,
        changed: Collection[tuple[str, int]],
        *,
        moment: Literal["last_unit_added", "last_unit_removed"],
        now: datetime,
    ) -> None:
        """Keep how many units the repository has, and when that changed."""
        if not changed:
            return
        repository = self._state.repositories[repo_id]
        changes: dict[str, Any] = {moment: max(getattr(repository, moment) or now, now)}
        self._state.repositories[repo_id] = replace(
            repository,
            content_unit_counts=dict(Counter(unit.type_id for unit in self._members(repo_id))),
            content_revision=repository.content_revision + 1,
            **changes,
        )

    def set_sources(self, repo_id: str, sources: Mapping[int, str]) -> None:
        self._state.sources |= {(unit_id, repo_id): url for unit_id, url in sources.items()}

    def sources(self, unit_id: int) -> Sequence[tuple[str, str]]:
        return sorted(
            (repo_id, url)
            for (unit, repo_id), url in self._state.sources.items()
            if unit == unit_id
        )

    def unit(self, unit_id: int) -> Unit:
        if unit_id not in self._state.units:
            raise MissingResource(unit_id=str(unit_id))
        return replace(self._state.units[unit_id], chunks=())

    def set_unit_files(self, unit_id: int, files: Sequence[UnitFile]) -> None:
        state = self._state
        present = {key: file for key, file in state.unit_files.items() if key[0] == unit_id}
        kept = {key: file for key, file in state.unit_files.items() if key[0] != unit_id}
        for file in files:
            known = present.get((unit_id, file.path))
            if known and not file.artifact and known.checksum and _sum(known) == _sum(file):
                size = known.size if file.size is None else file.size
                file = replace(file, artifact=known.artifact, size=size)  # noqa: PLW2901 - completed
            kept[unit_id, file.path] = file
        state.unit_files = kept

    def unit_files(self, unit_id: int) -> Sequence[UnitFile]:
        files = [file for (unit, _), file in self._state.unit_files.items() if unit == unit_id]
        return sorted(files, key=lambda file: file.path)

    def unit_file(self, unit_id: int, path: str) -> UnitFile | None:
        return self._state.unit_files.get((unit_id, path))

    def add_artifacts(self, artifacts: Mapping[str, int]) -> None:
        self._state.artifacts = {**artifacts, **self._state.artifacts}

    def has_artifacts(self, digests: Collection[str]) -> Collection[str]:
        return set(digests) & self._state.artifacts.keys()

    def artifacts_by_checksum(
        self, checksums: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], str]:
        return {
            (unit.package.checksum_type, unit.package.checksum): unit.artifact
            for unit in self._state.units.values()
            if unit.package
            and unit.artifact
            and (unit.package.checksum_type, unit.package.checksum) in checksums
        }

    def set_artifact(self, unit_id: int, digest: str, size: int, *, path: str = "") -> None:
        self.add_artifacts({digest: size})
        if path:
            if file := self.unit_file(unit_id, path):
                stored = replace(file, artifact=digest, size=size)
                self._state.unit_files[unit_id, path] = stored
        elif unit_id in self._state.units:
            self._state.units[unit_id] = replace(self._state.units[unit_id], artifact=digest)

    def set_signing_keys(self, keys: Mapping[int, str | None]) -> None:
        for unit_id, key in keys.items():
            if unit := self._state.units.get(unit_id):
                known = {**unit.metadata, "signing_key": key}
                self._state.units[unit_id] = replace(unit, metadata=known, updated=utc_now())

    def claim_download(
        self, unit_id: int, owner: str, *, now: datetime, seconds: float, path: str = ""
    ) -> bool:
        if path and self.unit_file(unit_id, path) is None:
            return False
        holder, expires = self._state.downloads.get((unit_id, path), (owner, now))
        if holder != owner and expires > now:
            return False
        self._state.downloads[unit_id, path] = (owner, now + timedelta(seconds=seconds))
        return True

    def release_download(self, unit_id: int, owner: str, *, path: str = "") -> None:
        if self._state.downloads.get((unit_id, path), ("",))[0] == owner:
            del self._state.downloads[unit_id, path]


def _sum(file: UnitFile) -> tuple[str | None, str | None]:
    return file.checksum_type, file.checksum


def _digest(unit: Unit) -> bytes:
    return unit_key_digest(unit.type_id, unit.key)


def _order(unit: Unit) -> tuple[Any, ...]:
    """Return what units are sorted by: what is no package comes first."""
    package = unit.package
    if package is None:
        return (False, _digest(unit))
    return (
        True,
        package.name,
        package.arch,
        package.version,
        package.release,
        package.epoch,
        package.checksum,
        _digest(unit),
    )
