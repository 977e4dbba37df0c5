"""The syntax of regular expressions: what Perl, Python and Pulp 2's database have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag

__all__ = [
    "Alternatives",
    "Boundary",
    "Characters",
    "Flags",
    "Node",
    "Place",
    "RegexError",
    "Repeat",
    "Sequence_",
    "parse_regex",
]

#: Groups within groups.
MAX_NESTING = 30
#: The highest count of a repetition.
MAX_COUNT = 500


class RegexError(ValueError):
    """The regular expression can't be used; the message says why."""


class Place(IntFlag):
    """What can be asked of the place between two characters."""

    START = 1
    END = 2
    VERY_START = 4
    VERY_END = 8
    WORD_EDGE = 16
    NO_WORD_EDGE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The options of an expression."""

    ignore_case: bool = False
    multiline: bool = False
    dot_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Characters:
    """One character out of a set."""

    #: First and last of each range.
    ranges: tuple[tuple[str, str], ...] = ()
    #: Letters out of ``dwsDWS``.
    classes: str = ""
    negated: bool = False
    ignore_case: bool = False

    @property
    def single(self) -> str | None:
        """The one character that it takes, or None if there are several."""
        if self.negated or self.classes or self.ignore_case or len(self.ranges) != 1:
            return None
        first, last = self.ranges[0]
        return first if first == last else None

    def contains(self, character: str) -> bool:
        """Return whether it takes *character*."""
        forms = {character}
        if self.ignore_case:
            forms |= {form for form in (character.lower(), character.upper()) if len(form) == 1}
        return any(map(self._has, forms)) != self.negated

    def _has(self, character: str) -> bool:
        return any(first <= character <= last for first, last in self.ranges) or any(
            _in_class(character, letter) for letter in self.classes
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """A place without length, such as the start of the text."""

    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence_:  # noqa: N801 (collections.abc has the plain name)
    """One after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternatives:
    """One or another."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """The same again."""

    item: Node
    least: int
    #: None for any number.
    most: int | None


Node = Characters | Boundary | Sequence_ | Alternatives | Repeat

_ANYTHING = Characters(negated=True)
_BOUNDARIES: Mapping[str, Place] = {
    "A": Place.VERY_START,
    "Z": Place.VERY_END,
    "z": Place.VERY_END,
    "b": Place.WORD_EDGE,
    "B": Place.NO_WORD_EDGE,
}
_CONTROLS: Mapping[str, str] = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_QUANTIFIERS: Mapping[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def parse_regex(source: str, options: str) -> tuple[Node, Flags]:
    """Return the tree of an expression, and its flags.

    Raises:
        RegexError: it is malformed, or asks for what is not known here.
    """
    if unknown := set(options) - set("ims"):
        raise RegexError(f"option {min(unknown)!r} is not known; use i, m or s")
    if source.startswith("(?") and (end := source.find(")")) > 2 and source[2:end].isalpha():  # noqa: PLR2004
        return parse_regex(source[end + 1 :], options + source[2:end])
    flags = Flags(ignore_case="i" in options, multiline="m" in options, dot_all="s" in options)
    return _Parser(source, flags).parse(), flags


class _Parser:
    """Reads an expression from left to right."""

    def __init__(self, source: str, flags: Flags) -> None:
        self._source = source
        self._flags = flags
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        """Return the tree of the whole expression."""
        node = self._alternatives()
        if self._at < len(self._source):
            raise RegexError("a ) closes nothing")
        return node

    def _peek(self, length: int = 1) -> str:
        return self._source[self._at : self._at + length]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise RegexError("it ends too early")
        self._at += 1
        return character

    def _accept(self, text: str) -> bool:
        if not self._source.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _alternatives(self) -> Node:
        items = [self._sequence()]
        while self._accept("|"):
            items.append(self._sequence())
        return items[0] if len(items) == 1 else Alternatives(items=tuple(items))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._peek() not in {"", "|", ")"}:
            items.append(self._repeated())
        return Sequence_(items=tuple(items))

    def _repeated(self) -> Node:
        item = self._atom()
        counts = self._quantifier()
        if counts is None:
            return item
        self._accept("?")  # lazy or not: whether it matches is the same
        if self._peek() in {"*", "+"} or self._quantifier() is not None:
            raise RegexError("a repetition is repeated; put it into a group")
        return Repeat(item=item, least=counts[0], most=counts[1])

    def _quantifier(self) -> tuple[int, int | None] | None:
        """Read ``*``, ``+``, ``?`` or counts in braces; None if there is none of them."""
        if self._peek() and self._peek() in _QUANTIFIERS:
            return _QUANTIFIERS[self._take()]
        if self._peek() != "{":
            return None
        end = self._source.find("}", self._at)
        least, comma, most = self._source[self._at + 1 : max(end, 0)].partition(",")
        if not _is_count(least) or not (most == "" or _is_count(most)):
            return None  # braces that count nothing stand for themselves
        self._at = end + 1
        counts = (int(least), (int(most) if most else None) if comma else int(least))
        if counts[1] is not None and counts[0] > counts[1]:
            raise RegexError("the counts in braces go down")
        if max(counts[0], counts[1] or 0) > MAX_COUNT:
            raise RegexError(f"a count in braces is above {MAX_COUNT}")
        return counts

    def _atom(self) -> Node:
        character = self._take()
        match character:
            case "(":
                return self._group()
            case "[":
                return self._set()
            case "\\":
                return self._escape()
            case ".":
                return _ANYTHING if self._flags.dot_all else _but("\n")
            case "^":
                return Boundary(place=Place.START)
            case "$":
                return Boundary(place=Place.END)
            case "*" | "+" | "?":
                raise RegexError(f"nothing is there that {character} could repeat")
        return self._literal(character)

    def _literal(self, character: str) -> Characters:
        return Characters(ranges=((character, character),), ignore_case=self._flags.ignore_case)

    def _group(self) -> Node:
        if self._accept("?") and not self._accept(":"):
            named = self._accept("P<") or (self._peek(2) not in {"<=", "<!"} and self._accept("<"))
            end = self._source.find(">", self._at)
            if not named or not self._source[self._at : max(end, 0)].isidentifier():
                raise RegexError("only plain groups are known: no looking around, no conditions")
            self._at = end + 1
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise RegexError("its groups are nested too deep")
        node = self._alternatives()
        self._depth -= 1
        if not self._accept(")"):
            raise RegexError("a ( is not closed")
        return node

    def _escape(self) -> Node:
        letter = self._take()
        if letter in _BOUNDARIES:
            return Boundary(place=_BOUNDARIES[letter])
        if letter in "dwsDWS":
            return Characters(classes=letter)
        return self._literal(self._escaped(letter))

    def _escaped(self, letter: str) -> str:
        """Return the character that a backslash and *letter* stand for."""
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter in "xu":
            digits = self._peek(2 if letter == "x" else 4)
            self._at += len(digits)
            if len(digits) not in {2, 4} or not all(d in "0123456789abcdefABCDEF" for d in digits):
                raise RegexError(f"\\{letter} wants hexadecimal digits")
            return chr(int(digits, 16))
        if letter.isalnum():
            raise RegexError(f"\\{letter} is not known here")
        return letter

    def _set(self) -> Characters:
        negated = self._accept("^")
        ranges: list[tuple[str, str]] = []
        classes = ""
        first = True
        while first or self._peek() != "]":
            first = False
            if self._peek(2) in {"[:", "[.", "[="}:
                raise RegexError("classes with a name are not known; write them out")
            member = self._member()
            if len(member) > 1:
                classes += member[1]
                continue
            last = member
            if self._peek() == "-" and self._peek(2) != "-]":
                self._take()
                last = self._member()
            if len(last) > 1 or last < member:
                raise RegexError("a range in brackets goes down")
            ranges.append((member, last))
        self._take()
        return Characters(
            ranges=tuple(ranges),
            classes=classes,
            negated=negated,
            ignore_case=self._flags.ignore_case,
        )

    def _member(self) -> str:
        """Return a character of a set, or a backslash and the letter of a class."""
        character = self._take()
        if character != "\\":
            return character
        letter = self._take()
        if letter in "dwsDWS":
            return "\\" + letter
        return "\b" if letter == "b" else self._escaped(letter)


def _but(character: str) -> Characters:
    """Return what takes every character except one."""
    return Characters(ranges=((character, character),), negated=True)


def _is_count(text: str) -> bool:
    """Return whether it is a decimal number of a sane length."""
    return text.isascii() and text.isdigit() and len(text) < 6  # noqa: PLR2004


def _in_class(character: str, letter: str) -> bool:
    """Return whether a character belongs to the class that a letter names."""
    match letter.lower():
        case "d":
            member = character.isdecimal()
        case "w":
            member = character == "_" or character.isalnum()
        case _:
            member = character.isspace()
    return member != letter.isupper()
