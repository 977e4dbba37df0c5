"""Topic patterns against routing keys."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulpit.events.door.bindings import Bindings, pattern_words

TEXTS = st.lists(st.sampled_from(["", "*", "#", "a", "b"]), max_size=6).map(".".join)


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split(".")) if text else ()


def matches(pattern: tuple[str, ...], key: tuple[str, ...]) -> bool:
    """Return what the definition of a topic exchange says, word by word."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return any(matches(pattern[1:], key[n:]) for n in range(len(key) + 1))
    return bool(key) and pattern[0] in {"*", key[0]} and matches(pattern[1:], key[1:])


@given(st.lists(TEXTS, max_size=8), TEXTS)
def test_routes_as_the_definition_says(patterns: list[str], key: str) -> None:
    """The trie finds just the patterns that match."""
    bindings: Bindings[int] = Bindings()
    for number, pattern in enumerate(patterns):
        bindings.add(pattern, number)
    expected = {n for n, pattern in enumerate(patterns) if matches(words(pattern), words(key))}
    assert Counter(bindings.route(key)) == Counter(expected)


@given(TEXTS, TEXTS)
def test_the_shortest_form_means_the_same(pattern: str, key: str) -> None:
    """A pattern and its shortest form match the same keys."""
    assert matches(words(pattern), words(key)) == matches(pattern_words(pattern), words(key))


@pytest.mark.parametrize(
    ("pattern", "short"),
    [
        ("", ()),
        (".", ("", "")),
        ("#.#.#", ("#",)),
        ("#.*.#.*", ("*", "*", "#")),
        ("a.#.#.b", ("a", "#", "b")),
        ("a#.*b", ("a#", "*b")),
    ],
)
def test_runs_of_wildcards_collapse(pattern: str, short: tuple[str, ...]) -> None:
    """Of a run of wildcards the stars and one hash are left."""
    assert pattern_words(pattern) == short


@given(st.lists(st.tuples(TEXTS, st.integers(0, 2)), max_size=10), TEXTS)
def test_what_is_removed_leaves_nothing(pairs: list[tuple[str, int]], key: str) -> None:
    """After each removal the rest is bound as before, and in the end nothing is left."""
    bindings: Bindings[int] = Bindings()
    for pair in pairs:
        bindings.add(*pair)
    for position, pair in enumerate(pairs):
        bindings.remove(*pair)
        rest = pairs[position + 1 :]
        assert set(bindings.route(key)) == {
            target for pattern, target in rest if matches(words(pattern), words(key))
        }
    assert bindings._root.children == {}
    assert bindings._root.bound == {}


def test_removing_what_is_not_bound_is_an_error() -> None:
    """The caller keeps count of what is bound."""
    bindings: Bindings[int] = Bindings()
    bindings.add("a.b", 1)
    for pattern, target in (("a.c", 1), ("a.b", 2), ("a", 1)):
        with pytest.raises(KeyError):
            bindings.remove(pattern, target)


def test_patterns_made_to_hurt_cost_little() -> None:
    """Thousands of patterns full of wildcards are matched within a millisecond each."""
    bindings: Bindings[int] = Bindings()
    for number in range(1_000):
        bindings.add("#." * 20 + str(number), number)
        bindings.add(".".join(["#.a.*.#"] * 20) + str(number), number)
        bindings.add("#.a.#.tasks.#.b." * 5 + f"#.{number}", number)
    started = time.process_time()
    for number in range(100):
        bindings.route(f"tasks.{number:08}-0000-0000-0000-000000000000")
    assert time.process_time() - started < 0.1


def test_many_single_tasks_cost_nothing() -> None:
    """A key is found among many that name one task each."""
    bindings: Bindings[int] = Bindings()
    for number in range(20_000):
        bindings.add(f"tasks.{number}", number)
    started = time.process_time()
    for number in range(20_000):
        assert bindings.route(f"tasks.{number}") == (number,)
    assert time.process_time() - started < 2
