"""Which queues a routing key reaches: topic patterns in a trie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

__all__ = ["Bindings", "pattern_words"]

_ANY_ONE, _ANY_MANY = "*", "#"
_CACHED_KEYS: Final = 4_096

T = TypeVar("T")


def _words(text: str) -> list[str]:
    """Return the words between the dots; an empty key has none, ``.`` has two empty ones."""
    return text.split(".") if text else []


def pattern_words(pattern: str) -> tuple[str, ...]:
    """Return the words of *pattern* in their shortest form.

    ``#.*.#`` matches what ``*.#`` matches: of each run of wildcards the ``*`` come first, then at
    most one ``#``. This keeps the number of ways to match a key small, whoever wrote the pattern.
    """
    words: list[str] = []
    many = False
    for word in _words(pattern):
        if word == _ANY_MANY:
            many = True
            continue
        if many and word != _ANY_ONE:
            words.append(_ANY_MANY)
            many = False
        words.append(word)
    if many:
        words.append(_ANY_MANY)
    return tuple(words)


class _Node(Generic[T]):
    """A word of a pattern, with the words that may follow it."""

    __slots__ = ("bound", "children", "many")

    def __init__(self, *, many: bool = False) -> None:
        self.many = many
        self.children: dict[str, _Node[T]] = {}
        # two patterns of one queue may have the same shortest form
        self.bound: dict[T, int] = {}


class Bindings(Generic[T]):
    """Patterns, and who is bound by them."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._routes: dict[str, tuple[T, ...]] = {}

    def add(self, pattern: str, target: T) -> None:
        """Bind *target*; the same pair added twice must be removed twice."""
        node = self._root
        for word in pattern_words(pattern):
            node = node.children.setdefault(word, _Node(many=word == _ANY_MANY))
        node.bound[target] = node.bound.get(target, 0) + 1
        self._routes.clear()

    def remove(self, pattern: str, target: T) -> None:
        """Undo one :meth:`add`.

        Raises:
            KeyError: the pair is not bound.
        """
        path = [self._root]
        words = pattern_words(pattern)
        for word in words:
            path.append(path[-1].children[word])
        node = path[-1]
        node.bound[target] -= 1
        if not node.bound[target]:
            del node.bound[target]
        for parent, word in zip(reversed(path[:-1]), reversed(words), strict=True):
            child = parent.children[word]
            if child.bound or child.children:
                break
            del parent.children[word]
        self._routes.clear()

    def route(self, key: str) -> tuple[T, ...]:
        """Return who is bound by a pattern that matches *key*, each once."""
        route = self._routes.get(key)
        if route is None:
            if len(self._routes) >= _CACHED_KEYS:
                self._routes.clear()
            route = self._routes[key] = tuple(self._match(key))
        return route

    def _match(self, key: str) -> Iterator[T]:
        """Walk all patterns at once, so that the work grows with the nodes, not the paths."""
        reached = self._with_empty_many((self._root,))
        for word in _words(key):
            following: dict[_Node[T], None] = {}
            for node in reached:
                if node.many:
                    following[node] = None
                for choice in {word, _ANY_ONE} - {_ANY_MANY}:
                    child = node.children.get(choice)
                    if child is not None:
                        following[child] = None
            reached = self._with_empty_many(following)
        return iter({target: None for node in reached for target in node.bound})

    @staticmethod
    def _with_empty_many(nodes: Iterable[_Node[T]]) -> dict[_Node[T], None]:
        """Return *nodes* and the ``#`` after them, which may stand for no word."""
        reached = dict.fromkeys(nodes)
        for node in tuple(reached):
            many = node.children.get(_ANY_MANY)
            if many is not None:
                reached[many] = None
        return reached
