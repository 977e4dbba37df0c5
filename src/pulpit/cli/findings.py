"""What a doctor has found, as a person reads it and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from pulpit.cli.session import Session
from pulpit.cli.words import amount, printable
from pulpit.domain.findings import Finding, Outcome

__all__ = ["findings_document", "is_unsound", "show_finding", "sum_up"]

#: Outcome to its mark and colour.
_MARKS = {
    Outcome.OK: ("✓", "green"),
    Outcome.NOTE: ("!", "yellow"),
    Outcome.FAILED: ("✗", "bold red"),
    Outcome.SKIPPED: ("·", "dim"),
}
#: Columns of the longest title.
_TITLE = 20


def show_finding(session: Session, finding: Finding, *, heading: bool) -> None:
    """Print a finding, below the name of its group if it is the first of it."""
    if heading:
        session.out.print(Text(printable(finding.group), style="bold"))
    mark, style = _MARKS[finding.outcome]
    skipped = finding.outcome is Outcome.SKIPPED
    told = Text(printable(finding.detail), style="dim" if skipped else "")
    if finding.fix:
        told.append(f"\n→ {printable(finding.fix)}", style=style)
    row = Table.grid(padding=(0, 1))
    row.add_column(width=3, justify="right")
    row.add_column(width=_TITLE, no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(Text(mark, style=style), Text(printable(finding.title)), told)
    session.out.print(row)


def sum_up(session: Session, findings: Sequence[Finding]) -> None:
    """Print what it comes to."""
    counts = Counter(finding.outcome for finding in findings)
    failed, notes = counts[Outcome.FAILED], counts[Outcome.NOTE]
    words = f"{amount(failed, 'thing')} to mend" if failed else "Nothing to mend"
    if notes:
        words += f", {amount(notes, 'note')}"
    session.out.print(Text(f"{words}.", style="bold red" if failed else "green"))


def is_unsound(findings: Sequence[Finding]) -> bool:
    """Return whether something must be mended."""
    return any(finding.outcome is Outcome.FAILED for finding in findings)


def findings_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return all findings as JSON."""
    return {
        "outcome": "failed" if is_unsound(findings) else "ok",
        "findings": [
            {
                "group": finding.group,
                "check": finding.check,
                "outcome": finding.outcome.value,
                "detail": finding.detail,
                "fix": finding.fix,
            }
            for finding in findings
        ],
    }
