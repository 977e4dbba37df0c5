"""`pulpit listener`: who is told of events by HTTP, mail or AMQP, and how that goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from pulpit.cli import deliveries, listener_create
from pulpit.cli.delivery_views import exchange_lines, receipt_line
from pulpit.cli.exits import ExitCode
from pulpit.cli.findings import findings_document, is_unsound, show_finding, sum_up
from pulpit.cli.listener_create import show_secret
from pulpit.cli.listener_flags import (
    CaPath,
    ClientCert,
    ClientKey,
    EventTypes,
    Json,
    ListenerId,
    PasswordStdin,
    Repositories,
    Tags,
    given,
    read_password,
)
from pulpit.cli.listener_views import listener_details, listener_table, target
from pulpit.cli.session import Session, session_of
from pulpit.cli.words import printable

app = typer.Typer(
    no_args_is_help=True, help="Have others told of events: webhooks, mails, messages."
)
app.add_typer(listener_create.app, name="create")

#: Seconds for which an attempt, and a diagnosis, are awaited.
_TEST_SECONDS, _DOCTOR_SECONDS = 90.0, 180.0
_FILTERS = {"repo": "repositories", "tag": "tags"}


@app.command("list")
def list_listeners(context: typer.Context, json: Json = False) -> None:
    """List all listeners, and how their deliveries go.

    Example: pulpit listener list --json
    """
    session = session_of(context)
    with session.client() as client:
        found = [listener.document for listener in client.listeners()]
    if json:
        session.print_json(found)
    elif found:
        session.out.print(listener_table(found, now=session.now, width=session.out.width))
    else:
        session.err.print("No listeners. Create one with: pulpit listener create http URL")


@app.command("show")
def show(context: typer.Context, listener_id: ListenerId, json: Json = False) -> None:
    """Show one listener: what it is told, where, and how that goes.

    Example: pulpit listener show 65f0c0de4f1d2a0001a2b3c4
    """
    session = session_of(context)
    with session.client() as client:
        found = client.listener(listener_id).document
    _show(session, found, json=json)


@app.command("update")
def update(
    context: typer.Context,
    *,
    listener_id: ListenerId,
    url: Annotated[str | None, typer.Option(metavar="URL", help="http: where to send.")] = None,
    username: Annotated[str | None, typer.Option(metavar="NAME", help="http: login there.")] = None,
    ask_password: Annotated[
        bool, typer.Option("--ask-password", help="http: ask for a new password.")
    ] = False,
    password_stdin: PasswordStdin = False,
    ca_path: CaPath = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    cloudevents: Annotated[
        bool | None,
        typer.Option(
            "--cloudevents/--no-cloudevents", help="http: send CloudEvents.", show_default=False
        ),
    ] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="email: who gets the mails; may be repeated."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="TEXT", help="email: how subjects begin.")
    ] = None,
    exchange: Annotated[
        str | None, typer.Option(metavar="NAME", help="amqp: topic exchange.")
    ] = None,
    event: EventTypes = None,
    repo: Repositories = None,
    tag: Tags = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="Remove a key of the configuration, such as ca_path, or the filter by `repo` or "
            "`tag`; may be repeated.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Change a listener; what is not named stays. Event types and filters are replaced.

    Example: pulpit listener update 65f0c0de4f1d2a0001a2b3c4 --event 'task.*' --unset repo
    """
    session = session_of(context)
    config: dict[str, Any] = given(
        {
            "url": url,
            "username": username,
            "ca_path": ca_path,
            "client_cert": client_cert,
            "client_key": client_key,
            "cloudevents": cloudevents,
            "addresses": address,
            "subject": subject,
            "exchange": exchange,
        }
    )
    config |= {key: None for key in unset or () if key not in _FILTERS}
    if ask_password or password_stdin:
        whose = username or f"listener {listener_id}"
        config["password"] = read_password(session, stdin=password_stdin, whose=whose)
    wanted = given({"repositories": repo, "tags": tag})
    wanted |= {_FILTERS[key]: [] for key in unset or () if key in _FILTERS}
    _update(session, listener_id, config=config, event_types=event, wanted=wanted, json=json)


def _update(
    session: Session,
    listener_id: str,
    *,
    config: Mapping[str, Any],
    event_types: Sequence[str] | None,
    wanted: Mapping[str, Any],
    json: bool,
) -> None:
    """Send what is to be changed, and show the listener as it is then."""
    changes = given(
        {
            "notifier_config": config or None,
            "event_types": event_types or None,
            "filters": wanted or None,
        }
    )
    if not changes:
        raise typer.BadParameter("name what is to be changed, such as --url or --event")
    with session.client() as client:
        if 0 < len(wanted) < len(_FILTERS):
            # filters are replaced as a whole
            known = client.listener(listener_id).document.get("filters")
            changes["filters"] = {**(known if isinstance(known, dict) else {}), **wanted}
        found = client.update_listener(listener_id, changes).document
    _show(session, found, json=json)


@app.command("delete")
def delete(
    context: typer.Context,
    listener_id: ListenerId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a listener with its deliveries; what waits is not sent any more.

    Example: pulpit listener delete 65f0c0de4f1d2a0001a2b3c4 --yes
    """
    session = session_of(context)
    if not yes:
        if not session.outside.stdin.isatty():
            raise typer.BadParameter("nobody is there to ask: say --yes", param_hint="--yes")
        typer.confirm(f"Delete listener {printable(listener_id)}?", abort=True, err=True)
    with session.client() as client:
        client.delete_listener(listener_id)
    session.out.print(f"Deleted listener {printable(listener_id)}.", soft_wrap=True)


@app.command("enable")
def enable(context: typer.Context, listener_id: ListenerId, json: Json = False) -> None:
    """Tell a listener of events again; what waits for it is sent at once.

    Example: pulpit listener enable 65f0c0de4f1d2a0001a2b3c4
    """
    session = session_of(context)
    with session.client() as client:
        found = client.enable_listener(listener_id).document
    _show(session, found, json=json)


@app.command("disable")
def disable(
    context: typer.Context,
    listener_id: ListenerId,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why, for those who look at it later.")
    ] = "disabled by an operator",
    json: Json = False,
) -> None:
    """Tell a listener of no new events; deliveries that wait go on waiting.

    Example: pulpit listener disable 65f0c0de4f1d2a0001a2b3c4 --reason "moves on Monday"
    """
    session = session_of(context)
    with session.client() as client:
        found = client.disable_listener(listener_id, reason=reason).document
    _show(session, found, json=json)


def _show(session: Session, document: Mapping[str, Any], *, json: bool) -> None:
    """Print a listener."""
    if json:
        session.print_json(document)
    else:
        session.out.print(listener_details(document, now=session.now))


@app.command("rotate-secret")
def rotate_secret(
    context: typer.Context,
    listener_id: ListenerId,
    overlap: Annotated[
        int,
        typer.Option(
            min=0, max=168, metavar="HOURS", help="For which the old secret signs beside it."
        ),
    ] = 24,
    json: Json = False,
) -> None:
    """Make a new secret for signatures, and show it this once.

    Deliveries are signed with both until the old one has run out, so that the receiver can change
    over without missing any.

    Example: pulpit listener rotate-secret 65f0c0de4f1d2a0001a2b3c4 --overlap 48
    """
    session = session_of(context)
    with session.client() as client:
        rotated = client.rotate_listener_secret(listener_id, overlap=overlap)
    if json:
        session.print_json(rotated.document)
        return
    show_secret(session, rotated.secret)
    if rotated.until:
        words = f"The old secret signs beside it until {printable(rotated.until)}."
    else:
        words = "The old secret signs no longer."
    session.out.print(words, soft_wrap=True)


@app.command("test")
def ping(context: typer.Context, listener_id: ListenerId, json: Json = False) -> None:
    """Send a ping to a listener, and show all that goes over the wire.

    Changes nothing, and works for a disabled listener, too. Exits with 10 when the ping is not
    taken.

    Example: pulpit listener test 65f0c0de4f1d2a0001a2b3c4
    """
    session = session_of(context)
    with session.client(timeout=_TEST_SECONDS) as client:
        to = printable(target(client.listener(listener_id).document), limit=80)
        tested = client.test_listener(listener_id)
    if json:
        session.print_json(tested.document)
    else:
        for line in exchange_lines(tested.exchange, taken=tested.delivered):
            session.out.print(line, soft_wrap=True)
        session.out.print(receipt_line(tested.receipt, to=to), soft_wrap=True)
        if tested.disabled:
            told = Text("It is disabled: it is told of no events until it is enabled again.")
            session.err.print(told, style="yellow", soft_wrap=True)
    if not tested.delivered:
        raise typer.Exit(ExitCode.UNSOUND)


@app.command("doctor")
def doctor(context: typer.Context, listener_id: ListenerId, json: Json = False) -> None:
    """Look from the server at all that lies on the way to a listener, and say what to mend.

    It looks at the listener and its deliveries; of a receiver at URL, host name and whether its
    network is allowed, TCP, TLS, certificates, HTTP, clock, signature; of a mail server at
    STARTTLS, login, addresses; of a broker at login and exchange. Nothing is sent or changed.

    Example: pulpit listener doctor 65f0c0de4f1d2a0001a2b3c4
    """
    session = session_of(context)
    with session.client(timeout=_DOCTOR_SECONDS) as client:
        findings = client.diagnose_listener(listener_id)
    if json:
        session.print_json(findings_document(findings))
    else:
        group = None
        for finding in findings:
            show_finding(session, finding, heading=finding.group != group)
            group = finding.group
        sum_up(session, findings)
    if is_unsound(findings):
        raise typer.Exit(ExitCode.UNSOUND)


deliveries.add_commands(app)
