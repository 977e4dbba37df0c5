"""Groups of repositories in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from pulpit.domain.repo_groups import RepoGroup
from pulpit.errors import DuplicateResource, MissingResource
from pulpit.testing.state import State

__all__ = ["MemoryRepoGroupStore"]


class MemoryRepoGroupStore:
    """Implements ``pulpit.ports.RepoGroupStore``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, group: RepoGroup) -> None:
        if group.id in self._state.repo_groups:
            raise DuplicateResource(group.id)
        self._state.repo_groups[group.id] = replace(group, repo_ids=())
        self.add_members(group.id, group.repo_ids)

    def get(self, group_id: str) -> RepoGroup:
        if group_id not in self._state.repo_groups:
            raise MissingResource(repo_group=group_id)
        return self._state.repo_groups[group_id]

    def list(self) -> Sequence[RepoGroup]:
        return [self.get(group_id) for group_id in sorted(self._state.repo_groups)]

    def update(self, group: RepoGroup) -> None:
        if present := self._state.repo_groups.get(group.id):
            self._state.repo_groups[group.id] = replace(group, repo_ids=present.repo_ids)

    def remove(self, group_id: str) -> None:
        self._state.repo_groups.pop(group_id, None)

    def add_members(self, group_id: str, repo_ids: Collection[str]) -> None:
        self._set_members(group_id, {*self.get(group_id).repo_ids, *repo_ids})

    def remove_members(self, group_id: str, repo_ids: Collection[str]) -> None:
        self._set_members(group_id, set(self.get(group_id).repo_ids).difference(repo_ids))

    def _set_members(self, group_id: str, repo_ids: Collection[str]) -> None:
        group = self._state.repo_groups[group_id]
        self._state.repo_groups[group_id] = replace(group, repo_ids=tuple(sorted(repo_ids)))
