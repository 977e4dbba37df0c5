"""The shapes in which things are shown."""

from __future__ import annotations

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pulpit.cli.words import printable

__all__ = ["facts", "indented", "listing"]


def listing(*headings: str, shrink: str) -> Table:
    """Return an empty table; *shrink* is the column that gives way on a narrow terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != shrink, overflow="fold")
    return table


def facts(*known: tuple[str, object]) -> Table:
    """Return names and values in two columns, without those that have no value."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in known:
        if value not in (None, ""):
            table.add_row(name, value if isinstance(value, Text) else printable(value))
    return table


def indented(shown: RenderableType) -> Padding:
    """Return what is shown two columns further in, without blanks up to the terminal's edge."""
    return Padding(shown, (0, 0, 0, 2), expand=False)
