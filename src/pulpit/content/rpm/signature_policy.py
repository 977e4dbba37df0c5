"""Which signatures an importer asks of packages: ``require_signature`` and ``allowed_keys``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulpit.errors import ForeignSignature, UnsignedPackage

__all__ = ["SignaturePolicy", "are_keys", "signatures_of"]

#: Id of a key, short or long, or its fingerprint.
_KEY = re.compile(r"(0x)?[0-9a-fA-F]{8,64}")
_SHORT_ID = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SignaturePolicy:
    """What a package must be signed with to come into a repository.

    As in Pulp 2, keys are told by the last 8 digits of their ids, and no signature is verified.
    """

    #: Whether packages must be signed at all.
    required: bool = False
    #: Short ids of the keys that signed packages may be signed with; any for none.
    allowed: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether some packages may be refused."""
        return self.required or bool(self.allowed)

    def check(self, package: str, key: str | None) -> None:
        """Return if the package may come in.

        Args:
            package: its name, for the message.
            key: short id of the key that it is signed with; None for an unsigned one.

        Raises:
            UnsignedPackage: it is not signed, and must be.
            ForeignSignature: it is signed with a key that is not allowed.
        """
        if self.admits(key):
            return
        if key is None:
            raise UnsignedPackage(package)
        raise ForeignSignature(package, key=key, allowed=self.allowed)

    def admits(self, key: str | None) -> bool:
        """Tell whether a package that is signed with the key, or None, may come in."""
        if key is None:
            return not self.required
        return not self.allowed or key in self.allowed


def are_keys(value: Any) -> bool:
    """Tell whether a value of ``allowed_keys`` can be used: a list, or one text with commas."""
    listed = _listed(value)
    return listed is not None and all(_KEY.fullmatch(key) for key in listed)


def signatures_of(config: Mapping[str, Any]) -> SignaturePolicy:
    """Return what an importer's configuration, which was checked, asks of packages."""
    keys = _listed(config.get("allowed_keys")) or []
    return SignaturePolicy(
        required=str(config.get("require_signature") or "").lower() == "true",
        allowed=tuple(key[-_SHORT_ID:].lower() for key in keys),
    )


def _listed(value: Any) -> list[str] | None:
    """Return the keys that a value names; None if it is something else."""
    if isinstance(value, str):
        return [key.strip() for key in value.split(",") if key.strip()]
    if isinstance(value, list | tuple) and all(isinstance(key, str) for key in value):
        return [key.strip() for key in value]
    return None
