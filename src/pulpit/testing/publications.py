"""Publications in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pulpit.domain.published import Root, refuse_rivals
from pulpit.domain.repositories import Publication
from pulpit.domain.units import Unit
from pulpit.errors import MissingResource
from pulpit.testing.state import State

__all__ = ["MemoryPublicationStore", "forget_publications"]

_NEVER = datetime.min.replace(tzinfo=UTC)


class MemoryPublicationStore:
    """Implements ``pulpit.ports.PublicationStore``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, publication: Publication) -> Publication:
        self._state.last_publication += 1
        added = replace(publication, id=self._state.last_publication)
        self._state.publications[added.id] = added
        return added

    def add_files(
        self, publication_id: int, units: Mapping[str, int], files: Collection[str]
    ) -> None:
        paths: dict[str, int | None] = {**dict.fromkeys(files), **units}
        for path, unit_id in paths.items():
            self._state.files.setdefault((publication_id, path), unit_id)

    def copy_units(self, source_id: int, target_id: int, type_ids: Collection[str]) -> None:
        for path, unit_id in self.unit_paths(source_id).items():
            if self._state.units[unit_id].type_id in type_ids:
                self._state.files[target_id, path] = unit_id

    def unit_paths(self, publication_id: int) -> Mapping[str, int]:
        return {
            path: unit_id
            for (number, path), unit_id in self._state.files.items()
            if number == publication_id and unit_id is not None
        }

    def set_reusable(self, publication_id: int, reusable: Mapping[str, Any]) -> None:
        publication = self._state.publications[publication_id]
        self._state.publications[publication_id] = replace(publication, reusable=reusable)

    def live(self, repo_id: str, distributor_id: str) -> Publication | None:
        for publication in self._of(repo_id, distributor_id):
            if publication.live:
                return publication
        return None

    def _of(self, repo_id: str, distributor_id: str) -> list[Publication]:
        return [
            publication
            for publication in self._state.publications.values()
            if (publication.repo_id, publication.distributor_id) == (repo_id, distributor_id)
        ]

    def switch(self, publication_id: int, *, now: datetime) -> None:
        if publication_id not in self._state.publications:
            raise MissingResource(publication_id=str(publication_id))
        chosen = self._state.publications[publication_id]
        refuse_rivals(
            chosen.relative_url,
            (chosen.repo_id, chosen.distributor_id),
            self.conflicting(chosen.relative_url, chosen.root),
        )
        for publication in self._of(chosen.repo_id, chosen.distributor_id):
            if publication.live and publication.id != publication_id:
                self._state.publications[publication.id] = replace(
                    publication, live=False, superseded=now
                )
        self._state.publications[publication_id] = replace(chosen, live=True, superseded=None)

    def conflicting(self, relative_url: str, root: Root = Root.REPOS) -> Sequence[tuple[str, str]]:
        return sorted(
            (publication.repo_id, publication.distributor_id)
            for publication in self._state.publications.values()
            if publication.live
            and publication.root is root
            and (
                f"{relative_url}/".startswith(f"{publication.relative_url}/")
                or publication.relative_url.startswith(f"{relative_url}/")
            )
        )

    def resolve(
        self, path: str, root: Root = Root.REPOS
    ) -> tuple[Publication, str, Unit | None] | None:
        for publication in self._serving(path, root):
            inner = path[len(publication.relative_url) + 1 :]
            if (publication.id, inner) in self._state.files:
                unit_id = self._state.files[publication.id, inner]
                unit = None if unit_id is None else self._state.units[unit_id]
                return publication, inner, unit and replace(unit, metadata={}, chunks=())
        return None

    def _serving(self, path: str, root: Root) -> list[Publication]:
        """Return the publications that may hold the path: live ones, then the newest."""
        found = [
            publication
            for publication in self._state.publications.values()
            if publication.root is root
            and f"{path}/".startswith(f"{publication.relative_url}/")
            and (publication.live or publication.superseded is not None)
        ]
        return sorted(found, key=lambda it: (it.live, it.superseded or _NEVER, it.id), reverse=True)

    def listing(self, path: str, root: Root = Root.REPOS) -> Sequence[str] | None:
        folder = path.strip("/")
        live = [publication for publication in self._serving(folder, root) if publication.live]
        if folder and live:
            inner = folder[len(live[0].relative_url) + 1 :]
            paths = [path for number, path in self._state.files if number == live[0].id]
            names = _names(paths, f"{inner}/" if inner else "")
        else:
            names = self._names_above(folder, root)
        return sorted(names) or None

    def _names_above(self, folder: str, root: Root) -> set[str]:
        """Return the folders that lead from a folder to live publications."""
        urls = [
            f"{publication.relative_url}/"
            for publication in self._state.publications.values()
            if publication.live and publication.root is root
        ]
        return _names(urls, f"{folder}/" if folder else "")

    def leading(self, path: str, root: Root = Root.REPOS) -> Sequence[str] | None:
        folder = path.strip("/")
        if folder and any(publication.live for publication in self._serving(folder, root)):
            return None
        return sorted(self._names_above(folder, root)) or None

    def folders(self) -> Collection[str]:
        return {publication.folder for publication in self._state.publications.values()}

    def expired(self, *, before: datetime) -> Sequence[Publication]:
        return [
            publication
            for publication in self._state.publications.values()
            if not publication.live and (publication.superseded or publication.created) < before
        ]

    def remove(self, publication_ids: Collection[int]) -> None:
        forget_publications(self._state, lambda publication: publication.id in publication_ids)


def forget_publications(state: State, doomed: Callable[[Publication], bool]) -> None:
    """Delete the publications that are doomed, with their files."""
    state.publications = {
        number: publication
        for number, publication in state.publications.items()
        if not doomed(publication)
    }
    state.files = {key: unit for key, unit in state.files.items() if key[0] in state.publications}


def _names(paths: Iterable[str], prefix: str) -> set[str]:
    """Return what follows the prefix up to the next slash, which is kept."""
    names = set()
    for path in paths:
        if path.startswith(prefix):
            name, slash, _ = path[len(prefix) :].partition("/")
            names.add(name + slash)
    return names
