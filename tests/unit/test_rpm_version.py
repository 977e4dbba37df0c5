"""Versions in the order of rpm."""

from __future__ import annotations

import re
from functools import cmp_to_key

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulpit.content.rpm.version import compare_evr, compare_versions, evr_key

#: Left, right, and how they compare; from rpm's own tests.
_KNOWN = [
    ("1.0", "1.0", 0),
    ("1.0", "2.0", -1),
    ("2.0.1", "2.0.1", 0),
    ("2.0", "2.0.1", -1),
    ("2.0.1a", "2.0.1a", 0),
    ("2.0.1a", "2.0.1", 1),
    ("5.5p1", "5.5p2", -1),
    ("5.5p10", "5.5p1", 1),
    ("10xyz", "10.1xyz", -1),
    ("xyz10", "xyz10.1", -1),
    ("xyz.4", "xyz.4", 0),
    ("xyz.4", "8", -1),
    ("xyz.4", "2", -1),
    ("5.5p2", "5.6p1", -1),
    ("5.6p1", "6.5p1", -1),
    ("6.0.rc1", "6.0", 1),
    ("10b2", "10a1", 1),
    ("1.0a", "1.0aa", -1),
    ("10.0001", "10.0001", 0),
    ("10.0001", "10.1", 0),
    ("10.0001", "10.0039", -1),
    ("4.999.9", "5.0", -1),
    ("20101121", "20101122", -1),
    ("2_0", "2.0", 0),
    ("a", "a+", 0),
    ("a+", "a_", 0),
    ("+a", "_a", 0),
    ("+_", "_+", 0),
    ("+", "_", 0),
    ("1.0~rc1", "1.0~rc1", 0),
    ("1.0~rc1", "1.0", -1),
    ("1.0~rc1", "1.0~rc2", -1),
    ("1.0~rc1~git123", "1.0~rc1", -1),
    ("1.0^", "1.0^", 0),
    ("1.0^", "1.0", 1),
    ("1.0^git1", "1.0", 1),
    ("1.0^git1", "1.0^git2", -1),
    ("1.0^git1", "1.01", -1),
    ("1.0^20160101", "1.0.1", -1),
    ("1.0^20160101^git1", "1.0^20160102", -1),
    ("1.0~rc1^git1", "1.0~rc1", 1),
    ("1.0^git1~pre", "1.0^git1", -1),
    ("1b.fc17", "1b.fc17", 0),
    ("1g.fc17", "1.fc17", 1),
    ("1.", "1", 0),
    ("9" * 5000, "1" + "0" * 5000, -1),
]
_VERSIONS = st.text("019aZ.~^+_", max_size=12)


@pytest.mark.parametrize(("left", "right", "order"), _KNOWN)
def test_known_pairs(left: str, right: str, order: int) -> None:
    """Pairs of rpm's own tests compare as rpm says, both ways round."""
    assert compare_versions(left, right) == order
    assert compare_versions(right, left) == -order


@given(_VERSIONS, _VERSIONS, _VERSIONS)
def test_is_an_order(one: str, two: str, three: str) -> None:
    """Comparing is antisymmetric and transitive, so that sorting means something."""
    assert compare_versions(one, two) == -compare_versions(two, one)
    low, middle, high = sorted([one, two, three], key=cmp_to_key(compare_versions))
    assert compare_versions(low, middle) <= 0
    assert compare_versions(middle, high) <= 0
    assert compare_versions(low, high) <= 0


@given(_VERSIONS)
def test_tilde_and_caret(version: str) -> None:
    """A tilde makes anything older, and a caret makes it newer, though not than a further part."""
    assert compare_versions(f"{version}~", version) == -1
    assert compare_versions(f"{version}^", version) == 1
    assert compare_versions(f"{version}^", f"{version}.1") == -1


def _rpm(left: str, right: str) -> int:
    """Compare as rpm's C does, character by character; the model for the test below."""
    while left or right:
        left, right = (re.sub(r"^[^a-zA-Z0-9~^]+", "", text) for text in (left, right))
        if left[:1] == "~" or right[:1] == "~":
            if left[:1] != "~":
                return 1
            if right[:1] != "~":
                return -1
            left, right = left[1:], right[1:]
            continue
        if left[:1] == "^" or right[:1] == "^":
            if not left:
                return -1
            if not right:
                return 1
            if left[0] != "^":
                return 1
            if right[0] != "^":
                return -1
            left, right = left[1:], right[1:]
            continue
        if not (left and right):
            break
        kind = r"^[0-9]+" if left[0].isdigit() else r"^[a-zA-Z]+"
        ours, theirs = re.match(kind, left), re.match(kind, right)
        assert ours is not None
        if theirs is None:
            return 1 if left[0].isdigit() else -1
        one, two = ours[0], theirs[0]
        if one[0].isdigit():
            one, two = one.lstrip("0"), two.lstrip("0")
            if len(one) != len(two):
                return 1 if len(one) > len(two) else -1
        if one != two:
            return 1 if one > two else -1
        left, right = left[len(ours[0]) :], right[len(theirs[0]) :]
    return (left > "") - (right > "")


@given(_VERSIONS, _VERSIONS)
def test_same_as_the_model(left: str, right: str) -> None:
    """The segments compare as the C code does step by step."""
    assert compare_versions(left, right) == _rpm(left, right)


def test_epoch_version_release() -> None:
    """The epoch counts first, then the version, then the release; no epoch is 0."""
    evrs = [("1", "1", "1"), ("", "2", "1"), ("0", "1", "2"), ("0", "1", "1")]
    assert sorted(evrs, key=evr_key) == [*reversed(evrs)]
    assert compare_evr(("", "1", "1"), ("0", "1", "1")) == 0
