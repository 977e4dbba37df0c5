"""Repositories in memory, with their importers and distributors."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pulpit.domain.criteria import Criteria, select
from pulpit.domain.repositories import Distributor, Importer, Repository, masked
from pulpit.errors import DuplicateResource, MissingResource
from pulpit.testing.publications import forget_publications
from pulpit.testing.state import State

__all__ = ["MemoryRepositoryStore"]


class MemoryRepositoryStore:
    """Implements ``pulpit.ports.RepositoryStore``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, repository: Repository) -> None:
        if repository.id in self._state.repositories:
            raise DuplicateResource(repository.id)
        self._state.repositories[repository.id] = repository

    def get(self, repo_id: str) -> Repository:
        if repo_id not in self._state.repositories:
            raise MissingResource(repo_id=repo_id)
        return self._state.repositories[repo_id]

    def notes(self, repo_ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        known = self._state.repositories
        return {repo_id: known[repo_id].notes for repo_id in repo_ids if repo_id in known}

    def list(self) -> Sequence[Repository]:
        return [self._state.repositories[repo_id] for repo_id in sorted(self._state.repositories)]

    def search(self, criteria: Criteria) -> Sequence[Repository]:
        return select(self.list(), criteria, _document)

    def update(self, repository: Repository) -> None:
        if present := self._state.repositories.get(repository.id):
            self._state.repositories[repository.id] = dataclasses.replace(
                present,
                display_name=repository.display_name,
                description=repository.description,
                notes=repository.notes,
                scratchpad=repository.scratchpad,
            )

    def remove(self, repo_id: str) -> None:
        state = self._state
        state.repositories.pop(repo_id, None)
        state.repo_groups = {
            group_id: dataclasses.replace(
                group, repo_ids=tuple(each for each in group.repo_ids if each != repo_id)
            )
            for group_id, group in state.repo_groups.items()
        }
        self.remove_importer(repo_id)
        for distributor in self.distributors([repo_id]):
            del state.distributors[repo_id, distributor.id]
        state.schedules = {
            key: value for key, value in state.schedules.items() if value.of.repo_id != repo_id
        }
        state.associations = {pair for pair in state.associations if pair[0] != repo_id}
        state.sources = {key: url for key, url in state.sources.items() if key[1] != repo_id}
        forget_publications(state, lambda publication: publication.repo_id == repo_id)

    def importers(self, repo_ids: Collection[str]) -> Sequence[Importer]:
        importers = self._state.importers
        return [importers[repo_id] for repo_id in sorted(set(repo_ids)) if repo_id in importers]

    def set_importer(self, importer: Importer) -> None:
        self._state.importers[importer.repo_id] = importer

    def remove_importer(self, repo_id: str) -> None:
        self._state.importers.pop(repo_id, None)

    def distributors(self, repo_ids: Collection[str]) -> Sequence[Distributor]:
        return [
            distributor
            for (repo_id, _), distributor in sorted(self._state.distributors.items())
            if repo_id in repo_ids
        ]

    def search_distributors(self, criteria: Criteria) -> Sequence[Distributor]:
        by_place = sorted(
            self._state.distributors.values(), key=lambda one: f"{one.repo_id}/{one.id}"
        )
        return select(by_place, criteria, _distributor_document)

    def set_distributor(self, distributor: Distributor) -> None:
        self._state.distributors[distributor.repo_id, distributor.id] = distributor

    def remove_distributor(self, repo_id: str, distributor_id: str) -> None:
        self._state.distributors.pop((repo_id, distributor_id), None)
        forget_publications(
            self._state,
            lambda publication: (
                (publication.repo_id, publication.distributor_id) == (repo_id, distributor_id)
            ),
        )


def _document(repository: Repository) -> Mapping[str, Any]:
    """Return the document that searches look at."""
    return {
        "_id": repository.oid,
        "id": repository.id,
        "display_name": repository.display_name,
        "description": repository.description,
        "notes": repository.notes,
        "scratchpad": repository.scratchpad,
        "content_unit_counts": repository.content_unit_counts,
        "last_unit_added": repository.last_unit_added,
        "last_unit_removed": repository.last_unit_removed,
    }


def _distributor_document(distributor: Distributor) -> Mapping[str, Any]:
    """Return the document that searches look at."""
    return {
        "_id": distributor.oid,
        "id": distributor.id,
        "repo_id": distributor.repo_id,
        "distributor_type_id": distributor.distributor_type_id,
        "config": masked(distributor.config),
        "auto_publish": distributor.auto_publish,
        "scratchpad": distributor.scratchpad,
        "last_publish": distributor.last_publish,
        "last_updated": distributor.last_updated,
    }
