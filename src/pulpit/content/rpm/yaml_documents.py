"""YAML from outside, read without recursion, tags, aliases or guesses at types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

__all__ = ["parse_document", "split_documents"]

_MAX_DEPTH = 60
#: Both marks end a document wherever they stand at the start of a line, block scalars included.
_MARK = re.compile(r"^(?:---|\.\.\.)(?=[ \t\r\n]|\Z)", re.MULTILINE)
#: A line that says something: neither blank nor comment, nor a directive such as ``%YAML 1.2``.
_SAYING = re.compile(r"^(?!%)[ \t\ufeff]*[^#\s\ufeff]", re.MULTILINE)


def split_documents(text: str) -> Iterator[str]:
    """Yield the documents of a stream as they are written, without the marks between them.

    What holds nothing but comments and directives is none.
    """
    start = 0
    for mark in [*_MARK.finditer(text), None]:
        document = text[start : mark.start() if mark else len(text)]
        if _SAYING.search(document):
            yield document
        start = mark.end() if mark else len(text)


def parse_document(text: str) -> Any:
    """Return what a document says, every scalar as a string.

    Raises:
        ValueError: it is not YAML, nests too deeply, or uses aliases.
    """
    # from events, not by the library's loaders: those recurse in C until the process dies
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.CBaseLoader):
            builder.take(event)
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML: {getattr(error, 'problem', None) or error}") from error
    return builder.result


class _Builder:
    """Puts events together to lists, dictionaries and strings."""

    def __init__(self) -> None:
        self.result: Any = None
        #: Containers that are open, each with the key that waits for its value.
        self._open: list[tuple[Any, list[str]]] = []

    def take(self, event: Any) -> None:
        """Take the next event."""
        if isinstance(event, yaml.ScalarEvent):
            self._put(event.value)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(self._open) >= _MAX_DEPTH:
                raise ValueError("nests too deeply")
            container: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            if not self._awaits_key():
                self._put(container)
            else:
                raise ValueError("has a key that is not a string")
            self._open.append((container, []))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._open.pop()
        elif isinstance(event, yaml.AliasEvent):
            raise ValueError("uses aliases")  # noqa: TRY004 - what is wrong is the feed

    def _awaits_key(self) -> bool:
        """Tell whether the innermost container is a mapping that wants a key."""
        return bool(self._open) and isinstance(self._open[-1][0], dict) and not self._open[-1][1]

    def _put(self, value: Any) -> None:
        """Put a value where it belongs; in a mapping every other one is a key."""
        if isinstance(value, str) and "\0" in value:
            # PostgreSQL reads no member of a JSON document that holds one
            raise ValueError("holds the character NUL")
        if not self._open:
            self.result = value
            return
        container, key = self._open[-1]
        if isinstance(container, list):
            container.append(value)
        elif key:
            container[key.pop()] = value
        else:
            key.append(value)
