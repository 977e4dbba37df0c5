"""By which keys the package files of one sync are signed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pulpit.content.rpm.signature_policy import SignaturePolicy
from pulpit.content.rpm.signatures import signing_key
from pulpit.domain.units import Unit
from pulpit.errors import ContentError, NotAnRpm
from pulpit.ports import ContentStore, FileStore

__all__ = ["SignedFiles", "key_of_file"]


def key_of_file(path: Path) -> str | None:
    """Return the id of the key that a package is signed with, of which 8 digits count; else None.

    A file that is no package has none either: its checksum is what its feed says.
    """
    try:
        return signing_key(path)
    except NotAnRpm:
        return None


class SignedFiles:
    """Knows the keys of files in the store, and which packages are not to come in.

    Args:
        files: the store.
        policy: what the importer asks of signatures.
    """

    def __init__(self, files: FileStore, policy: SignaturePolicy) -> None:
        self._files = files
        self._policy = policy
        #: Unit id to key, where somebody asks for it.
        self._keys: dict[int, str | None] = {}

    def told(self, unit: Unit) -> Unit:
        """Return a unit that tells its key, if it has a file that is signed."""
        key = self._key(unit.artifact)
        return replace(unit, metadata={**unit.metadata, "signing_key": key}) if key else unit

    def keep(self, content: ContentStore, units: Sequence[Unit]) -> None:
        """Keep the keys of units that are stored already, and have files now."""
        keys = {unit.id: self._key(unit.artifact) for unit in units}
        # most packages have one, or none of a feed has
        content.set_signing_keys({unit_id: key for unit_id, key in keys.items() if key})

    def note(self, files: Mapping[int, str]) -> None:
        """Remember which files packages have: unit id to SHA-256."""
        if self._policy.asks:
            self._keys.update((unit_id, self._key(digest)) for unit_id, digest in files.items())

    def refused(self, unit_ids: Collection[int]) -> set[int]:
        """Return which of these packages must not come in."""
        return {one for one in self._keys.keys() & unit_ids if not self._is_fine(self._keys[one])}

    def _is_fine(self, key: str | None) -> bool:
        try:
            self._policy.check("", key)
        except ContentError:
            return False
        return True

    def _key(self, digest: str | None) -> str | None:
        """Return the key of a file of the store."""
        if digest is None:
            return None
        try:
            return key_of_file(self._files.path(digest))
        except FileNotFoundError:
            return None
