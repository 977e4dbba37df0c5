"""Checksums as metadata name them."""

from __future__ import annotations

import hashlib
import re
from typing import Any

__all__ = ["Digest", "canonical_type", "hasher", "is_checksum"]

#: Checksum type and its lower-case hexadecimal digits.
Digest = tuple[str, str]

_LENGTHS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}


def canonical_type(name: str) -> str:
    """Return a type's name in lower case; yum wrote ``sha`` for SHA-1."""
    lower = name.lower()
    return "sha1" if lower == "sha" else lower


def is_checksum(kind: str, digits: str) -> bool:
    """Tell whether *digits* can be a checksum of a known type."""
    return len(digits) == _LENGTHS.get(kind) and bool(re.fullmatch(r"[0-9a-f]+", digits))


def hasher(kind: str) -> Any:
    """Return a new hash object.

    Raises:
        ValueError: the type is not known.
    """
    if kind not in _LENGTHS:
        raise ValueError(f"the checksum type {kind[:20]!r} is not known")
    return hashlib.new(kind, usedforsecurity=False)
