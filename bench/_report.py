"""What a benchmark measured, and how it is shown: one JSON object, or a table that explains."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Aim", "Measured", "run"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured, by name; both maps are flat."""

    #: Against floors and peers of the same run.
    ratios: Mapping[str, float]
    #: With the unit as the end of the name.
    figures: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What a number should be, and what it says."""

    text: str
    least: float | None = None
    most: float | None = None

    def verdict(self, value: float) -> str:
        """Return the aim, and whether *value* meets it."""
        if self.least is not None:
            return f"aim ≥ {self.least:g}: {'met' if value >= self.least else 'MISSED'}"
        if self.most is not None:
            return f"aim ≤ {self.most:g}: {'met' if value <= self.most else 'MISSED'}"
        return ""


def run(
    name: str,
    title: str,
    measure: Callable[[bool], Measured],
    aims: Mapping[str, Aim],
    arguments: list[str] | None = None,
) -> None:
    """Measure as the command line says, and print the outcome.

    Args:
        name: of the module, such as ``events``.
        title: what was done, above the table.
        measure: called with whether to be quick.
        aims: name of a ratio or figure to what it should be.
        arguments: of the command line; None: the process's own.
    """
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=title)
    parser.add_argument("--quick", action="store_true", help="fewer runs, within a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    measured = measure(chosen.quick)
    if chosen.json:
        print(json.dumps({"ratios": dict(measured.ratios), "figures": dict(measured.figures)}))
    else:
        print(_table(title, measured, aims))


def _table(title: str, measured: Measured, aims: Mapping[str, Aim]) -> str:
    """Return the table."""
    lines = [title, ""]
    for heading, values in (("ratios", measured.ratios), ("figures", measured.figures)):
        lines.append(heading)
        for name, value in values.items():
            aim = aims.get(name, Aim(text=""))
            lines.append(f"  {name:38} {value:>12,.2f}  {aim.verdict(value):22}  {aim.text}")
        lines.append("")
    return "\n".join(line.rstrip() for line in lines)
