"""Texts on their way into the log: one line each, harmless on a terminal, and without secrets."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

__all__ = ["clean", "cleaned", "indented"]

_MASK = "***"
#: Characters of one value, of a traceback, items of a list, and how deep lists may lie.
_LONGEST, _LONGEST_TRACE, _MOST_ITEMS, _DEEPEST = 2_000, 20_000, 100, 4
#: What could end a line, move a cursor, or turn text around: controls, formats, surrogates.
_CONTROLS = (
    r"\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_UNSAFE = re.compile(f"[{_CONTROLS}]")
_UNSAFE_BUT_LINES = re.compile(rf"(?![\n\t])[{_CONTROLS}]")
#: The password in a URL; it may hold anything but space, so the last @ is taken.
_URL_PASSWORD = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/@:]*):\S*@")
_WORDS = r"password|passwd|passphrase|secret|token|api_?key|authorization|credentials?|signature"
_SECRET_PARAMETER = re.compile(rf"(?i)\b([\w-]*(?:{_WORDS})[\w-]*)=[^&\s]+")
_SECRET_HEADER = re.compile(r"(?i)\b(basic|bearer)\s+[A-Za-z0-9+/=._~-]{6,}")
_SECRET_NAME = re.compile(rf"(?i)(^|_)({_WORDS})$")
#: Fields whose text has lines of its own.
_TRACES = frozenset({"exception", "stack"})


def clean(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Make every field of an event harmless; a processor of structlog's."""
    return {
        cleaned(name): _trace(value) if name in _TRACES else _value(name, value, _DEEPEST)
        for name, value in event.items()
        if not name.startswith("_")
    } | {name: value for name, value in event.items() if name.startswith("_")}


def indented(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Let no line of a traceback begin as a line of the log does; for people's eyes."""
    for name in _TRACES & event.keys():
        event[name] = "\n".join(f"    {line}" for line in str(event[name]).split("\n"))
    return event


def cleaned(text: str) -> str:
    """Return text as one line without secrets, and not too long."""
    text = _masked(text[: _LONGEST + 1])
    safe = _UNSAFE.sub(_escaped, text)
    return safe if len(safe) <= _LONGEST else f"{safe[: _LONGEST - 1]}…"


def _trace(value: Any) -> str:
    """Return a traceback without secrets, its lines kept, and of a long one the end."""
    text = str(value)
    if len(text) > _LONGEST_TRACE:
        text = f"…{text[-_LONGEST_TRACE:]}"
    return _UNSAFE_BUT_LINES.sub(_escaped, _masked(text))


def _value(name: str, value: Any, deep: int) -> Any:
    """Return a field's value as JSON can tell it."""
    if isinstance(name, str) and _SECRET_NAME.search(name) and value:
        return _MASK
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return cleaned(value)
    if deep and isinstance(value, Mapping):
        items = list(value.items())[:_MOST_ITEMS]
        return {cleaned(str(key)): _value(str(key), each, deep - 1) for key, each in items}
    if deep and isinstance(value, list | tuple | set | frozenset):
        return [_value("", each, deep - 1) for each in list(value)[:_MOST_ITEMS]]
    return cleaned(str(value))


def _masked(text: str) -> str:
    """Return text without what looks like a secret."""
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1:{_MASK}@", text)
    if "=" in text:
        text = _SECRET_PARAMETER.sub(rf"\1={_MASK}", text)
    return _SECRET_HEADER.sub(rf"\1 {_MASK}", text)


def _escaped(found: re.Match[str]) -> str:
    """Return a character as Python would write it."""
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")
