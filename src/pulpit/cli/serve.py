"""``pulpit serve``: runs the server."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pulpit.config import load

__all__ = ["serve"]


def serve(  # noqa: PLR0917 - typer makes flags of them
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Configuration; else /etc/pulp/server.conf if there."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the database and the content.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen at.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen at; 0 takes a free one.")] = None,
    events: Annotated[
        bool | None,
        typer.Option(
            "--events/--no-events", help="Tell tasks' events by AMQP.", show_default=False
        ),
    ] = None,
    door: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where the AMQP door listens."),
    ] = None,
) -> None:
    """Run the server: API, published content, tasks and events in one process.

    SIGHUP has it read its configuration again.

    Example: pulpit serve --data ./data --events
    """
    # here, so that the other commands need not wait for the server's libraries; first the fork
    # server, which imports those of the tasks on another processor meanwhile
    from pulpit.app import CHILD  # noqa: PLC0415
    from pulpit.engine.forking import start_fork_server  # noqa: PLC0415

    start_fork_server(CHILD)
    from pulpit.app.server import Ready  # noqa: PLC0415
    from pulpit.app.server import serve as run  # noqa: PLC0415

    overrides: Mapping[tuple[str, str], str | None] = {
        ("storage", "data"): None if data is None else str(data),
        ("server", "host"): host,
        ("server", "port"): None if port is None else str(port),
        ("messaging", "event_notifications_enabled"): None if events is None else str(events),
        ("door", "address"): door,
    }

    def ready(told: Ready) -> None:
        if told.password:
            typer.echo(f"First user: {told.login}, password {told.password} (shown only now)")
        if told.door:
            typer.echo("AMQP door: {}:{}".format(*told.door))
        typer.echo(f"Pulpit is ready at {told.url}/")

    read = partial(load, config, overrides=overrides)
    run(read(), read=read, ready=ready)
