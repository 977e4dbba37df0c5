"""Regular expressions from outside, matched in time that grows only with the length of the text.

Python's ``re`` backtracks: a pattern of ten characters can hold the whole server for hours. Here
a pattern becomes a nondeterministic automaton, whose state sets are kept as they are met. What
such an automaton can't do (backreferences, looking around) is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from pulpit.domain.regex_syntax import (
    Alternatives,
    Boundary,
    Characters,
    Flags,
    Node,
    Place,
    RegexError,
    Repeat,
    Sequence_,
    parse_regex,
)

__all__ = ["Pattern", "RegexError", "compile_regex"]

#: States of the automaton; a counted repetition takes as many as it counts.
MAX_STATES = 500
#: Transitions that are remembered before all of them are forgotten.
_KEPT_TRANSITIONS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """One state: takes a character, checks a boundary, or goes on to each of its targets."""

    takes: Characters | None = None
    checks: Boundary | None = None
    targets: tuple[int, ...] = ()


#: What is left to look for, and whether the pattern matched before this character.
_Step = tuple[frozenset[int], bool]


@dataclass(frozen=True)
class Pattern:
    """A compiled regular expression.

    Raises:
        RegexError: it is malformed, too large, or beyond what an automaton can do.
    """

    source: str
    #: Letters out of ``ims``.
    options: str = ""
    _steps: dict[tuple[frozenset[int], int, str], _Step] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Refuse at once what can't be compiled."""
        _ = self._states

    @cached_property
    def _parsed(self) -> tuple[Node, Flags]:
        return parse_regex(self.source, self.options)

    @cached_property
    def _states(self) -> tuple[_State, ...]:
        """The automaton; its first state is the one that means a match."""
        return _Automaton(self._parsed[0]).states

    @cached_property
    def prefix(self) -> str:
        """The literal text that every match must start the subject with; empty for none."""
        node, flags = self._parsed
        items = node.items if isinstance(node, Sequence_) else (node,)
        if flags.ignore_case or flags.multiline or items[:1] != (Boundary(place=Place.START),):
            return ""
        return _leading_literal(items[1:])

    @property
    def is_prefix(self) -> bool:
        """True if starting with the prefix is all that the pattern asks for."""
        node, _ = self._parsed
        return (
            bool(self.prefix)
            and isinstance(node, Sequence_)
            and len(node.items) == (len(self.prefix) + 1)
        )

    @cached_property
    def _asks_everywhere(self) -> bool:
        """True if a boundary of the pattern may lie between its first and last character."""
        edges = Place.WORD_EDGE | Place.NO_WORD_EDGE
        return self._parsed[1].multiline or any(
            state.checks and state.checks.place & edges for state in self._states
        )

    def search(self, text: str) -> bool:
        """Return whether the pattern matches anywhere in *text*."""
        start = frozenset({len(self._states) - 1})
        alive = start
        inside = range(0) if self._asks_everywhere else range(1, len(text) - 1)
        for position, character in enumerate(text):
            places = 0 if position in inside else self._places(text, position)
            alive, matched = self._step(alive, places, character)
            if matched:
                return True
            alive |= start
        return self._step(alive, self._places(text, len(text)), "")[1]

    def _places(self, text: str, position: int) -> int:
        """Return the places, as bits, that the position before *position* is."""
        _, flags = self._parsed
        before = text[position - 1] if position else ""
        after = text[position] if position < len(text) else ""
        places = 0
        if not before or (flags.multiline and before == "\n"):
            places |= Place.START
        if not after or (after == "\n" and (flags.multiline or position == len(text) - 1)):
            places |= Place.END
        if not after:
            places |= Place.VERY_END
        if not before:
            places |= Place.VERY_START
        edge = _is_word(before) != _is_word(after)
        return places | (Place.WORD_EDGE if edge else Place.NO_WORD_EDGE)

    def _step(self, alive: frozenset[int], places: int, character: str) -> _Step:
        """Return what is alive after *character*; each answer is worked out once."""
        key = (alive, places, character)
        found = self._steps.get(key)
        if found is None:
            reached = self._reach(alive, places)
            following = frozenset(
                state.targets[0]
                for state in map(self._states.__getitem__, reached)
                if state.takes is not None and character and state.takes.contains(character)
            )
            found = (following, 0 in reached)
            if len(self._steps) >= _KEPT_TRANSITIONS:
                self._steps.clear()
            self._steps[key] = found
        return found

    def _reach(self, alive: Iterable[int], places: int) -> set[int]:
        """Return the states that can be reached from *alive* without taking a character."""
        reached: set[int] = set()
        waiting = list(alive)
        while waiting:
            number = waiting.pop()
            if number in reached:
                continue
            reached.add(number)
            state = self._states[number]
            if state.takes is None and (
                state.checks is None or state.checks.place & places == state.checks.place
            ):
                waiting.extend(state.targets)
        return reached


def compile_regex(source: str, options: str = "") -> Pattern:
    """Return *source* as a pattern.

    Args:
        source: a regular expression.
        options: letters out of ``ims``: ignore case, multiline, dot takes newlines.

    Raises:
        RegexError: it is malformed, too large, or beyond what an automaton can do.
    """
    return Pattern(source, options)


class _Automaton:
    """Turns a parsed expression into states, built from the end to the start."""

    def __init__(self, node: Node) -> None:
        self._states: list[_State] = [_State()]
        entry = self._build(node, 0)
        self._states.append(_State(targets=(entry,)))

    @property
    def states(self) -> tuple[_State, ...]:
        """The states: the first means a match, the last is where to start."""
        return tuple(self._states)

    def _add(self, state: _State) -> int:
        if len(self._states) >= MAX_STATES:
            raise RegexError("it is too large")
        self._states.append(state)
        return len(self._states) - 1

    def _build(self, node: Node, following: int) -> int:
        """Add states for *node* that lead to *following*; return where they are entered."""
        match node:
            case Characters():
                return self._add(_State(takes=node, targets=(following,)))
            case Boundary():
                return self._add(_State(checks=node, targets=(following,)))
            case Sequence_(items=items):
                for item in reversed(items):
                    following = self._build(item, following)
                return following
            case Alternatives(items=items):
                targets = tuple(self._build(item, following) for item in items)
                return self._add(_State(targets=targets))
            case Repeat():
                return self._build_repeat(node, following)

    def _build_repeat(self, node: Repeat, following: int) -> int:
        if node.most is None:
            entry = self._add(_State())
            body = self._build(node.item, entry)
            self._states[entry] = _State(targets=(body, following))
        else:
            entry = following
            for _ in range(node.most - node.least):
                body = self._build(node.item, entry)
                entry = self._add(_State(targets=(body, following)))
        for _ in range(node.least):
            body = self._build(node.item, entry)
            if body == entry:  # an empty item, which may be repeated a million times
                break
            entry = body
        return entry


def _leading_literal(items: Iterable[Node]) -> str:
    """Return the text of the single characters that *items* start with."""
    literal = ""
    for item in items:
        single = item.single if isinstance(item, Characters) else None
        if single is None:
            break
        literal += single
    return literal


def _is_word(character: str) -> bool:
    """Return whether the character may belong to a word."""
    return character == "_" or character.isalnum()
