"""Versions as RPM orders them."""

from __future__ import annotations

import re
from functools import cmp_to_key

__all__ = ["compare_evr", "compare_versions", "evr_key"]

#: The segments that count: tilde, caret, digits, letters; all else only separates.
_SEGMENT = re.compile(r"[~^]|[0-9]+|[a-zA-Z]+")


def compare_versions(left: str, right: str) -> int:
    """Return -1, 0 or 1 as *left* is older than, equal to or newer than *right*.

    The rules of rpm: a tilde sorts before anything, the end included; a caret sorts after the end
    and before anything else; numbers are newer than letters.
    """
    if left == right:
        return 0
    ours, theirs = _SEGMENT.findall(left), _SEGMENT.findall(right)
    for one, other in zip(ours, theirs, strict=False):
        order = _compare_segments(one, other)
        if order:
            return order
    if len(ours) == len(theirs):
        return 0
    longer = 1 if len(ours) > len(theirs) else -1
    following = (ours if longer > 0 else theirs)[min(len(ours), len(theirs))]
    return -longer if following == "~" else longer


def _compare_segments(one: str, other: str) -> int:
    """Compare two segments at the same place."""
    if one == other:
        return 0
    for mark in "~^":
        if mark in (one, other):
            return -1 if one == mark else 1
    if one.isdigit() != other.isdigit():
        return 1 if one.isdigit() else -1
    if one.isdigit():
        # compared as text of the same length: int() refuses numbers of thousands of digits
        one, other = one.lstrip("0"), other.lstrip("0")
        if len(one) != len(other):
            return 1 if len(one) > len(other) else -1
    return (one > other) - (one < other)


def compare_evr(left: tuple[str, str, str], right: tuple[str, str, str]) -> int:
    """Compare (epoch, version, release); an empty epoch is 0."""
    return (
        compare_versions(left[0] or "0", right[0] or "0")
        or compare_versions(left[1], right[1])
        or compare_versions(left[2], right[2])
    )


#: Makes a sort key of (epoch, version, release), the oldest first.
evr_key = cmp_to_key(compare_evr)
