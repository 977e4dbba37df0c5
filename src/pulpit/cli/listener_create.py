"""`pulpit listener create`: somebody new is told of events, by HTTP, mail or AMQP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from pulpit.cli.listener_flags import (
    CaPath,
    ClientCert,
    ClientKey,
    EventTypes,
    Json,
    PasswordStdin,
    Repositories,
    Tags,
    Username,
    filters,
    given,
    read_line,
    read_password,
)
from pulpit.cli.session import Session, session_of
from pulpit.cli.words import printable

__all__ = ["app", "show_secret"]

app = typer.Typer(
    no_args_is_help=True, help="Have somebody told of events, by HTTP, by mail or by AMQP."
)

#: What is told of without --event, as Pulp 2 has it.
_ALL_OF_REPOSITORIES = ["*"]


@app.command("http")
def create_http(
    context: typer.Context,
    *,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Where events are sent to: http or https.")
    ],
    event: EventTypes = None,
    repo: Repositories = None,
    tag: Tags = None,
    username: Username = None,
    password_stdin: PasswordStdin = False,
    secret_stdin: Annotated[
        bool,
        typer.Option(
            "--secret-stdin",
            help="Read the secret that deliveries are signed with, whsec_…, from standard input, "
            "after a password; else the server makes one.",
        ),
    ] = False,
    ca_path: CaPath = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    cloudevents: Annotated[
        bool, typer.Option("--cloudevents", help="Send structured CloudEvents 1.0.")
    ] = False,
    json: Json = False,
) -> None:
    """Send events to a URL, each by a signed POST: a webhook.

    Without --event, it is told of what Pulp 2 knew: start and finish of syncs and publishes.

    Example: pulpit listener create http https://zoo.example/ --event 'task.*'
    """
    session = session_of(context)
    password = None
    if username is not None:
        password = read_password(session, stdin=password_stdin, whose=username)
    elif password_stdin:
        raise typer.BadParameter("whose password is it? Say --username", param_hint="--username")
    secret = read_line(session, "secret", hint="--secret-stdin") if secret_stdin else None
    config = {
        "url": url,
        "username": username,
        "password": password,
        "secret": secret,
        "ca_path": ca_path,
        "client_cert": client_cert,
        "client_key": client_key,
        "cloudevents": cloudevents or None,
    }
    _create(session, "http", config, _wanted(event, repo, tag), json=json)


@app.command("email")
def create_email(
    context: typer.Context,
    *,
    addresses: Annotated[list[str], typer.Argument(metavar="ADDRESS", help="Who gets the mails.")],
    subject: Annotated[
        str, typer.Option(metavar="TEXT", help="How the subject of each mail begins.")
    ] = "Pulpit",
    event: EventTypes = None,
    repo: Repositories = None,
    tag: Tags = None,
    json: Json = False,
) -> None:
    """Send each event by mail, through the mail server of section [email].

    Example: pulpit listener create email ops@example.com --event task.error
    """
    config = {"subject": subject, "addresses": addresses}
    _create(session_of(context), "email", config, _wanted(event, repo, tag), json=json)


@app.command("amqp")
def create_amqp(
    context: typer.Context,
    *,
    exchange: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Topic exchange; else that of topic_exchange in [messaging]."
        ),
    ] = None,
    event: EventTypes = None,
    repo: Repositories = None,
    tag: Tags = None,
    json: Json = False,
) -> None:
    """Send events to a topic exchange of the broker, by the key pulp.server.<event type>.

    Example: pulpit listener create amqp --exchange pulp.events --event 'task.*'
    """
    config = {"exchange": exchange}
    _create(session_of(context), "amqp", config, _wanted(event, repo, tag), json=json)


def _wanted(
    event: list[str] | None, repo: list[str] | None, tag: list[str] | None
) -> Mapping[str, Any]:
    """Return what a listener is told of."""
    return given({"event_types": event or _ALL_OF_REPOSITORIES, "filters": filters(repo, tag)})


def _create(
    session: Session,
    kind: str,
    config: Mapping[str, Any],
    wanted: Mapping[str, Any],
    *,
    json: bool,
) -> None:
    """Create the listener and say so, with the secret that is never shown again."""
    document = {"notifier_type_id": kind, "notifier_config": given(config), **wanted}
    with session.client() as client:
        created = client.create_listener(document)
    if json:
        session.print_json(created.document)
        return
    listener_id = printable(created.id)
    session.out.print(f"Created listener {listener_id}.", soft_wrap=True)
    if created.secret is not None:
        show_secret(session, created.secret)
    session.err.print(f"Try it with: pulpit listener test {listener_id}", soft_wrap=True)


def show_secret(session: Session, secret: str) -> None:
    """Print a secret, and that it is the only time."""
    session.out.print(Text("Secret: ").append(printable(secret), style="bold"), soft_wrap=True)
    session.err.print(
        "Give it to the receiver, which verifies signatures by it. It is not shown again.",
        soft_wrap=True,
    )
