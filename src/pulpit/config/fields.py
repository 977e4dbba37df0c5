"""A setting as a field of a dataclass: its default, kind of value and meaning in one place."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pulpit.config.values import Kind

__all__ = ["Derived", "Setting", "section_settings", "setting"]


class Derived(NamedTuple):
    """A default that depends on the machine, and the words that say how."""

    words: str
    value: Callable[[Mapping[str, str]], Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the table of settings."""

    section: str
    key: str
    #: The field in the section's class; it differs where the key is a word of the language.
    attribute: str
    kind: Kind[Any]
    meaning: str
    #: Never shown, neither in a report nor in an error.
    secret: bool
    #: The value, a Derived, or None: not set.
    preset: Any

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"PULPIT_{self.section}_{self.key}".upper()

    @property
    def default(self) -> str:
        """The default as documentation says it; empty when there is none."""
        if isinstance(self.preset, Derived):
            return self.preset.words
        return "" if self.preset is None else self.kind.render(self.preset)

    @property
    def sample(self) -> str:
        """The default as it could stand in the file; empty when no text says it."""
        return "" if isinstance(self.preset, Derived) else self.default

    def default_value(self, environ: Mapping[str, str]) -> Any:
        """Return the value that holds where nothing is set."""
        return self.preset.value(environ) if isinstance(self.preset, Derived) else self.preset

    def shown(self, value: Any) -> str:
        """Return *value* as anybody may see it."""
        if value is None:
            return ""
        return "********" if self.secret else self.kind.shown(value)


def setting(
    preset: Any, kind: Kind[Any], meaning: str, *, key: str | None = None, secret: bool = False
) -> Any:
    """Return a dataclass field that is a setting.

    Args:
        preset: the default, a Derived, or None when the setting may be absent.
        kind: how the value is read and written.
        meaning: what it does, with its unit, as the reference page says it.
        key: the key in the file, where it is not the field's own name.
        secret: whether the value must never be shown.
    """
    metadata = {"row": (preset, kind, meaning, key, secret)}
    if isinstance(preset, Derived):
        return dataclasses.field(
            default_factory=lambda: preset.value(os.environ), metadata=metadata
        )
    shown = not secret and kind.show is None
    return dataclasses.field(default=preset, metadata=metadata, repr=shown)


def section_settings(section: str, kind: type[Any]) -> Iterator[Setting]:
    """Yield the settings that a section's class holds, in the order of its fields."""
    for member in dataclasses.fields(kind):
        preset, value_kind, meaning, key, secret = member.metadata["row"]
        yield Setting(
            section=section,
            key=key or member.name,
            attribute=member.name,
            kind=value_kind,
            meaning=meaning,
            secret=secret,
            preset=preset,
        )
