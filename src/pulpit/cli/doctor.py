"""`pulpit doctor`: looks at all that a server needs, and says what to mend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pulpit.cli.exits import ExitCode
from pulpit.cli.findings import findings_document, is_unsound, show_finding, sum_up
from pulpit.cli.flags import ConfigFile, DataFolder, DoorAddress, Events, Host, Port, overrides
from pulpit.cli.session import Session, session_of
from pulpit.client.connection import Auth
from pulpit.config import Address, Settings, load
from pulpit.domain.findings import Finding
from pulpit.errors import ConfigurationError

if TYPE_CHECKING:
    from pulpit.app.doctor import Api

__all__ = ["doctor"]


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
            heading = not findings or findings[-1].group != finding.group
            show_finding(session, finding, heading=heading)
        findings.append(finding)
    if json:
        session.print_json(findings_document(findings))
    else:
        sum_up(session, findings)
    if is_unsound(findings):
        raise typer.Exit(ExitCode.UNSOUND)


def _api(session: Session, settings: Settings) -> Api:
    """Return where the API is to be looked for: where the user says, else where it listens."""
    from pulpit.app.doctor import Api  # noqa: PLC0415

    server = settings.server
    named = session.flags.url or session.outside.environ.get("PULPIT_URL") or None
    url = named
    if url is None and server.port:
        url = f"{server.scheme}://{Address(server.host, server.port).reached}"
    login: Auth = None
    problem = ""
    if url:
        url = url.rstrip("/")
        try:
            found = session.login_for(url, session.saved())
        except ConfigurationError as error:
            problem = error.message
        else:
            login = found.auth if found else None
    return Api(
        url=url,
        login=login,
        login_problem=problem,
        cafile=session.cafile,
        certificate=None if named else server.certificate,
        transport=session.outside.transport,
        now=session.outside.now,
    )
