"""Regular expressions: like Python's where both know a form, refused where not, never slow."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulpit.domain.regex import Pattern, RegexError

PATTERNS = [
    "abc",
    "^abc",
    "abc$",
    "^abc$",
    "a.c",
    "a.*c",
    "(a|b)+c",
    "(?:ab){2,3}$",
    "a{2}",
    "a{2,}b?",
    "x*",
    "[a-c]+[^a-c]",
    r"\bab\b",
    r"\Bb",
    r"\d+\.\d*",
    r"[\w.-]+@[\w-]+",
    r"[]a]b",
    r"[a\-z]",
    r"^\s*$",
    r"\Aab",
    "(?P<name>a)b|c",
    "()*a",
    "(a*)*b",
    "a{x}",
    "",
    "|a",
    r"\x61b",
    "^a|b$",
    "(?i)AB",
    "(?s)a.b",
    "(?m)^b",
    "[^\n]b",
]


@given(
    pattern=st.sampled_from(PATTERNS), text=st.text(alphabet="abcABxz0189._-@ \n]{}é", max_size=12)
)
@settings(max_examples=700, deadline=None)
def test_matches_where_python_does(pattern: str, text: str) -> None:
    """An expression matches exactly the texts that Python's re finds it in."""
    assert Pattern(pattern).search(text) == _python_finds(pattern, text)


def _python_finds(pattern: str, text: str) -> bool:
    """Search with Python's re, whose dollar also stands before a last line break."""
    strict = pattern if "(?m)" in pattern else pattern.replace("$", r"\Z")
    return re.search(strict, text, re.ASCII) is not None


@given(
    pattern=st.from_regex(
        r"\A(?:[ab.]|\(a\|b\)|\[ab\]|\^|\$)(?:[*+?]|\{1,2\})?(?:[ab.]|\(ab?\)*)*\Z"
    ),
    text=st.text(alphabet="abc\n", max_size=10),
)
@settings(max_examples=200, deadline=None)
def test_made_up_patterns_match_where_python_does(pattern: str, text: str) -> None:
    """Any expression that both accept means the same to both."""
    try:
        expected = _python_finds(pattern, text)
        found = Pattern(pattern).search(text)
    except (RegexError, re.error):
        return
    assert found == expected


def test_options_change_what_matches() -> None:
    """The options i, m and s do what they do elsewhere."""
    assert Pattern("ZOO", "i").search("a zoo")
    assert not Pattern("ZOO").search("a zoo")
    assert Pattern("[A-C]x", "i").search("bX")
    assert Pattern("^b", "m").search("a\nb")
    assert Pattern("a.b", "s").search("a\nb")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(a", "missing )"),
        ("a)", "unexpected )"),
        ("*a", "no argument for repetition operator"),
        ("a**", "bad repetition operator"),
        ("[a", "missing ]"),
        ("a\\", "trailing \\"),
        (r"(a)\1", "invalid escape sequence"),
        ("(?=a)", "invalid perl operator"),
        ("(?<!a)b", "invalid perl operator"),
        ("[z-a]", "invalid character class range"),
        ("a{3,2}", "invalid repetition size"),
        ("a{1001}", "invalid repetition size"),
        ("(a{100}){100}", "invalid repetition size"),
        ("\udc00", "characters that are none"),
    ],
)
def test_what_is_malformed_is_refused(pattern: str, reason: str) -> None:
    """A malformed or oversized expression raises, and the message says why."""
    with pytest.raises(RegexError, match=re.escape(reason)):
        Pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|a)*$", "(a|aa)+$", "a*a*a*a*a*a*b", "(.*a){12}x", "(a?){100}a{100}b"],
)
def test_explosive_patterns_stay_quick(pattern: str) -> None:
    """What makes a backtracking matcher run for ever takes a fraction of a second."""
    started = time.perf_counter()
    Pattern(pattern).search("a" * 5_000 + "!")
    assert time.perf_counter() - started < 5


def test_unknown_option_is_refused() -> None:
    """Only the options that the API knows are taken."""
    with pytest.raises(RegexError, match="option x"):
        Pattern("a", "x")


def test_text_that_is_no_unicode_is_searched() -> None:
    """A lone surrogate in a document matches as some other character."""
    assert Pattern("^a.b$").search("a\udc00b")


@pytest.mark.parametrize(
    ("pattern", "options", "prefix", "is_prefix"),
    [
        ("^abc", "", "abc", True),
        (r"^a\.b", "", "a.b", True),
        ("^abc$", "", "abc", False),
        ("^abc*", "", "ab", False),
        ("^ab|c", "", "", False),
        ("abc", "", "", False),
        ("^abc", "i", "", False),
        ("^abc", "m", "", False),
        ("^", "", "", False),
    ],
)
def test_prefix_is_what_each_match_starts_with(
    pattern: str, options: str, prefix: str, is_prefix: bool
) -> None:
    """An anchored expression tells the literal text that it begins with."""
    compiled = Pattern(pattern, options)
    assert (compiled.prefix, compiled.is_prefix) == (prefix, is_prefix)
