"""The settings as others read them: a report of what holds, and an example file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from pulpit.config.settings import SECTIONS, Settings, all_settings

__all__ = ["DescribedSetting", "describe", "example"]


@dataclass(frozen=True, kw_only=True)
class DescribedSetting:
    """A setting and what it is now, all as text without secrets."""

    section: str
    key: str
    variable: str
    type: str
    default: str
    meaning: str
    value: str
    #: The file, variable or command line that gave the value, or ``default``.
    origin: str


def describe(settings: Settings) -> tuple[DescribedSetting, ...]:
    """Return every setting as it holds in *settings*, secrets masked."""
    return tuple(
        DescribedSetting(
            section=row.section,
            key=row.key,
            variable=row.variable,
            type=row.kind.name,
            default=row.default,
            meaning=row.meaning,
            value=row.shown(settings.value(row)),
            origin=settings.origins.get((row.section, row.key), "default"),
        )
        for row in all_settings()
    )


def example() -> str:
    """Return a configuration file with every setting, explained and commented out."""
    return "\n".join(_example_lines()) + "\n"


def _example_lines() -> Iterator[str]:
    """Yield the lines of the example."""
    yield "# Settings of Pulpit. Remove the # before a key to set it; what is shown is the default."
    for section, rows in groupby(all_settings(), key=lambda row: row.section):
        yield ""
        yield from _comment((SECTIONS[section].__doc__ or "").strip())
        yield f"[{section}]"
        for row in rows:
            yield ""
            yield from _comment(f"{row.meaning} ({row.kind.name})".replace("`", ""))
            if row.sample:
                yield f"# {row.key}: {row.sample}"
            else:
                yield from _comment(f"Default: {row.default or 'not set'}.".replace("`", ""))
                yield f"# {row.key}:"


def _comment(text: str) -> list[str]:
    """Return the text as comment lines."""
    return textwrap.wrap(text, 98, initial_indent="## ", subsequent_indent="## ")
