"""`pulpit doctor`: looks at all that a server needs, and says what to mend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pulpit.cli.exits import ExitCode
from pulpit.cli.flags import ConfigFile, DataFolder, DoorAddress, Events, Host, Port, overrides
from pulpit.cli.session import Session, session_of
from pulpit.cli.words import amount, printable
from pulpit.config import Address, Settings, load
from pulpit.errors import ConfigurationError

if TYPE_CHECKING:
    from pulpit.app.doctor import Api, Finding

__all__ = ["doctor"]

#: Outcome to its mark and colour.
_MARKS = {
    "ok": ("✓", "green"),
    "note": ("!", "yellow"),
    "failed": ("✗", "bold red"),
    "skipped": ("·", "dim"),
}
#: Columns of the longest title.
_TITLE = 20


def doctor(  # noqa: PLR0917 - typer makes flags of them
    context: typer.Context,
    config: ConfigFile = None,
    data: DataFolder = None,
    host: Host = None,
    port: Port = None,
    events: Events = None,
    door: DoorAddress = None,
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Look at all that the server needs, and say what to mend; changes nothing.

    Reads the configuration as `pulpit serve` does, so give it the same flags, and run it as the
    server's user. It looks at configuration, data folder, disk, database, journal, API, clock,
    login, door, and of each broker at host name, TLS, login, virtual host, exchange and alarms.

    Example: pulpit doctor --config /etc/pulp/server.conf
    """
    # here, so that the other commands need not wait for the libraries
    from pulpit.app.doctor import diagnose  # noqa: PLC0415

    session = session_of(context)
    told = overrides(data=data, host=host, port=port, events=events, door=door)
    findings: list[Finding] = []
    for finding in diagnose(
        lambda: load(config, environ=session.outside.environ, overrides=told),
        api=lambda settings: _api(session, settings),
    ):
        if not json:
            _show(session, finding, heading=not findings or findings[-1].group != finding.group)
        findings.append(finding)
    counts = Counter(finding.outcome.value for finding in findings)
    if json:
        session.print_json(_document(findings, counts))
    else:
        _sum_up(session, counts)
    if counts["failed"]:
        raise typer.Exit(ExitCode.UNSOUND)


def _api(session: Session, settings: Settings) -> Api:
    """Return where the API is to be looked for: where the user says, else where it listens."""
    from pulpit.app.doctor import Api  # noqa: PLC0415

    server = settings.server
    named = session.flags.url or session.outside.environ.get("PULPIT_URL") or None
    url = named
    if url is None and server.port:
        url = f"{server.scheme}://{Address(server.host, server.port).reached}"
    login, problem = None, ""
    if url:
        url = url.rstrip("/")
        try:
            found = session.login_for(url, session.saved())
        except ConfigurationError as error:
            problem = error.message
        else:
            login = (found.user, found.password) if found else None
    return Api(
        url=url,
        login=login,
        login_problem=problem,
        cafile=session.cafile,
        certificate=None if named else server.certificate,
        transport=session.outside.transport,
        now=session.outside.now,
    )


def _show(session: Session, finding: Finding, *, heading: bool) -> None:
    """Print a finding, below the name of its group if it is the first of it."""
    if heading:
        session.out.print(Text(printable(finding.group), style="bold"))
    mark, style = _MARKS[finding.outcome.value]
    told = Text(printable(finding.detail), style="dim" if finding.outcome == "skipped" else "")
    if finding.fix:
        told.append(f"\n→ {printable(finding.fix)}", style=style)
    row = Table.grid(padding=(0, 1))
    row.add_column(width=3, justify="right")
    row.add_column(width=_TITLE, no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(Text(mark, style=style), Text(finding.title), told)
    session.out.print(row)


def _sum_up(session: Session, counts: Mapping[str, int]) -> None:
    """Print what it comes to."""
    failed, notes = counts.get("failed", 0), counts.get("note", 0)
    words = f"{amount(failed, 'thing')} to mend" if failed else "Nothing to mend"
    if notes:
        words += f", {amount(notes, 'note')}"
    session.out.print(Text(f"{words}.", style="bold red" if failed else "green"))


def _document(findings: Sequence[Finding], counts: Mapping[str, int]) -> dict[str, Any]:
    """Return all findings as JSON."""
    return {
        "outcome": "failed" if counts.get("failed") else "ok",
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
