"""The copy of units of yum repositories: choose all in one snapshot, then write it at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from pulpit.content.copying import selected
from pulpit.content.importer_config import is_true
from pulpit.content.rpm.needs import Needs, Places
from pulpit.content.rpm.plan import normalized
from pulpit.content.rpm.signature_policy import SignaturePolicy, signatures_of
from pulpit.domain.copies import CopyOrder, Route, UnitKey, copy_result
from pulpit.domain.repositories import Importer
from pulpit.domain.units import RPM_TYPES, UNIT_KEYS, Unit, unit_key_digest
from pulpit.ports import ContentStore, TaskContext, Transaction

__all__ = ["Copy"]

#: Content types whose units belong to one repository, which their key names.
_BOUND = frozenset(type_id for type_id in RPM_TYPES if "repo_id" in UNIT_KEYS[type_id])


@dataclass(kw_only=True)
class _Share:
    """What goes one route."""

    route: Route
    #: Ids of units to associate.
    unit_ids: list[int] = field(default_factory=list)
    #: Units of the destination's own, to be written.
    bound: list[Unit] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """What is to be copied, and what can't be."""

    shares: Sequence[_Share]
    copied: Sequence[UnitKey]
    unsigned: Sequence[UnitKey]


class Copy:
    """One copy into the repository of an importer.

    Raises:
        InvalidValue: the configuration, overridden in parts, can't be used.
    """

    def __init__(self, context: TaskContext, *, importer: Importer, order: CopyOrder) -> None:
        config = normalized({**importer.config, **order.override})
        self._context = context
        self._order = order
        self._policy: SignaturePolicy = signatures_of(config)
        #: Whether only those needs are copied that the destination does not meet.
        self._is_conservative = is_true(config.get("recursive_conservative"), default=False)
        self._is_recursive = self._is_conservative or is_true(
            config.get("recursive"), default=False
        )

    def run(self) -> Mapping[str, Any]:
        """Copy, and return the result of the task.

        Raises:
            TypesNotTaken: units are selected that yum repositories can't hold.
            Unparsable: the metadata of a package can't be used.
        """
        with self._context.storage.read() as transaction:
            choice = self._choose(transaction)
        with self._context.write() as transaction:
            # first those that replace units: who does that must hold no repository yet, which
            # another one who does may have to touch
            for share in sorted(choice.shares, key=lambda share: not share.bound):
                self._write(transaction, share)
        return copy_result(choice.copied, choice.unsigned)

    def _choose(self, transaction: Transaction) -> _Choice:
        """Decide on everything."""
        content, order = transaction.content, self._order
        found = selected(transaction, order, types=RPM_TYPES)
        refused = self._refused(content)
        needs = Needs(content, order.route.source, refused=refused)
        wanted = {*found}
        types = {type_id for type_id, _ in found.values()}
        if self._is_recursive:
            wanted |= needs.belongings(wanted, destination=order.route.destination)
        if self._is_recursive or "modulemd" in types:
            wanted |= needs.artifacts(wanted)
        chosen = wanted - refused
        if self._is_recursive:
            chosen = needs.closure(chosen, self._places())
        return self._shared(content, [*found], chosen, [*sorted(wanted & refused)])

    def _places(self) -> Places:
        """Return where needs are looked for."""
        routes = self._order.routes
        return Places(
            sources=[route.source for route in routes],
            destinations=sorted({route.destination for route in routes})
            if self._is_conservative
            else (),
        )

    def _refused(self, content: ContentStore) -> AbstractSet[int]:
        """Return the packages of the sources that lack the signature which is asked for."""
        if not self._policy.asks:
            return frozenset()
        return {
            unit_id
            for route in self._order.routes
            for unit_id, key in content.signing_keys(route.source).items()
            if not self._policy.admits(key)
        }

    def _shared(
        self,
        content: ContentStore,
        selected_ids: Sequence[int],
        chosen: AbstractSet[int],
        unsigned: Sequence[int],
    ) -> _Choice:
        """Return what goes which way: what was asked for, and what is new of all else."""
        asked = [each for each in selected_ids if each in chosen]
        rest = sorted(chosen - {*asked})
        keys = content.unit_keys([*asked, *rest, *unsigned])
        homes = self._homes(content, {*asked})
        shares = {route: _Share(route=route) for route in self._order.routes}
        copied: list[UnitKey] = []
        for unit_id in [*asked, *(each for each in rest if each in homes)]:
            share, (type_id, key) = shares[homes[unit_id]], keys[unit_id]
            if type_id in _BOUND:
                key = {**key, "repo_id": share.route.destination}
            share.unit_ids.append(unit_id)
            copied.append((type_id, key))
        for share in shares.values():
            self._bind(content, share, keys)
        return _Choice(
            shares=[*shares.values()],
            copied=copied,
            unsigned=[keys[each] for each in unsigned],
        )

    def _homes(self, content: ContentStore, asked: AbstractSet[int]) -> Mapping[int, Route]:
        """Return which way each unit of the sources goes, if it is new or was asked for."""
        homes: dict[int, Route] = {}
        for route in self._order.routes:
            present = content.members(route.destination).keys()
            for unit_id in content.members(route.source):
                if unit_id in asked or unit_id not in present:
                    homes.setdefault(unit_id, route)
        return homes

    def _bind(self, content: ContentStore, share: _Share, keys: Mapping[int, UnitKey]) -> None:
        """Have units that belong to one repository written for the destination."""
        bound = {each for each in share.unit_ids if keys[each][0] in _BOUND}
        if not bound:
            return
        share.unit_ids = [each for each in share.unit_ids if each not in bound]
        route = share.route
        types = {keys[each][0] for each in bound}
        if route.source != route.destination:
            share.bound = [
                _bound_to(route.destination, unit)
                for unit in content.units(route.source, types)
                if unit.id in bound
            ]

    def _write(self, transaction: Transaction, share: _Share) -> None:
        """Put units into a repository."""
        content, now, repo_id = transaction.content, self._context.clock(), share.route.destination
        written: Collection[int] = ()
        if share.bound:
            before = _artifacts(content.units(repo_id, {unit.type_id for unit in share.bound}))
            ids = content.replace(share.bound)
            written = [*ids.values()]
            for unit in share.bound:
                unit_id = ids[unit_key_digest(unit.type_id, unit.key)]
                if unit.artifact:
                    # the file is known already, and so is its size
                    content.set_artifact(unit_id, unit.artifact, unit.metadata.get("size") or 0)
                if before.get(unit_id, unit.artifact) != unit.artifact:
                    # a file of its own is no chunk: only this tells that the content is another one
                    content.unassociate(repo_id, [unit_id], now=now)
        content.associate(repo_id, [*share.unit_ids, *written], now=now)


def _artifacts(units: Iterable[Unit]) -> dict[int, str | None]:
    """Return unit id to file."""
    return {unit.id: unit.artifact for unit in units}


def _bound_to(repo_id: str, unit: Unit) -> Unit:
    """Return the unit as one of another repository."""
    metadata = dict(unit.metadata)
    if "repo_id" in metadata:
        metadata["repo_id"] = repo_id
    return replace(
        unit, id=0, uid=str(uuid4()), key={**unit.key, "repo_id": repo_id}, metadata=metadata
    )
