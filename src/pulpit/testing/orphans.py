"""Units in memory that nothing holds, and files that nothing names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from pulpit.domain.orphans import Orphan
from pulpit.domain.units import Unit, unit_key_digest
from pulpit.testing.state import State

__all__ = ["MemoryOrphans"]


class MemoryOrphans:
    """The part of ``pulpit.ports.ContentStore`` that is about what nobody needs any longer."""

    _state: State

    def orphan_counts(self) -> Mapping[str, int]:
        return dict(Counter(unit.type_id for unit in self._orphans()))

    def orphans(
        self,
        *,
        type_id: str | None = None,
        uids: Collection[str] | None = None,
        after: int = 0,
        limit: int,
    ) -> Sequence[Orphan]:
        found = [
            Orphan(id=unit.id, uid=unit.uid, type_id=unit.type_id, key=unit.key)
            for unit in self._orphans()
            if type_id in {None, unit.type_id}
            and (uids is None or unit.uid in uids)
            and unit.id > after
        ]
        return sorted(found, key=lambda orphan: orphan.id)[:limit]

    def remove_orphans(self, unit_ids: Collection[int] | None = None) -> tuple[int, Sequence[str]]:
        state = self._state
        orphans = [unit for unit in self._orphans() if unit_ids is None or unit.id in unit_ids]
        gone = {unit.artifact for unit in orphans}
        gone |= {
            file.artifact
            for (unit_id, _), file in state.unit_files.items()
            if unit_id in {unit.id for unit in orphans}
        }
        for unit in orphans:
            digest = unit_key_digest(unit.type_id, unit.key)
            del state.units[unit.id], state.unit_ids[unit.type_id, digest]
        self._forget_parts()
        doubtful = state.artifacts if unit_ids is None else {one for one in gone if one}
        return len(orphans), self._forget(doubtful)

    def nameless_artifacts(self, *, after: str, limit: int) -> Sequence[str]:
        found = {digest for digest in self._state.artifacts if digest > after}
        return sorted(found - self._named())[:limit]

    def drop_artifacts(self, digests: Collection[str]) -> Collection[str]:
        self._forget(digests)
        return set(digests) - self._state.artifacts.keys()

    def _orphans(self) -> Sequence[Unit]:
        state = self._state
        used = {member for _, member in state.associations} | set(state.files.values())
        return [unit for unit in state.units.values() if unit.id not in used]

    def _named(self) -> set[str | None]:
        """Return the digests that units name."""
        state = self._state
        return {unit.artifact for unit in state.units.values()} | {
            file.artifact for file in state.unit_files.values()
        }

    def _forget(self, digests: Collection[str]) -> Sequence[str]:
        """Forget those of the files that no unit names; return their digests."""
        forgotten = (set(digests) - self._named()) & self._state.artifacts.keys()
        for digest in forgotten:
            del self._state.artifacts[digest]
        return sorted(forgotten)

    def _forget_parts(self) -> None:
        """Forget what was known of units that are gone."""
        state, units = self._state, self._state.units
        state.sources = {key: url for key, url in state.sources.items() if key[0] in units}
        state.downloads = {key: it for key, it in state.downloads.items() if key[0] in units}
        state.unit_files = {key: it for key, it in state.unit_files.items() if key[0] in units}
        state.revisions = {key: it for key, it in state.revisions.items() if key in units}
