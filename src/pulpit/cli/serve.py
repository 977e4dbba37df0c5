"""``pulpit serve``: runs the server."""

from __future__ import annotations

from functools import partial

import typer

from pulpit.cli.flags import ConfigFile, DataFolder, DoorAddress, Events, Host, Port, overrides
from pulpit.config import load

__all__ = ["serve"]


def serve(  # noqa: PLR0917 - typer makes flags of them
    config: ConfigFile = None,
    data: DataFolder = None,
    host: Host = None,
    port: Port = None,
    events: Events = None,
    door: DoorAddress = None,
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

    told = overrides(data=data, host=host, port=port, events=events, door=door)

    def ready(up: Ready) -> None:
        if up.password:
            typer.echo(f"First user: {up.login}, password {up.password} (shown only now)")
        if up.door:
            scheme = "amqps://" if up.door_tls else ""
            typer.echo("AMQP door: {}{}:{}".format(scheme, *up.door))
        typer.echo(f"Pulpit is ready at {up.url}/")

    read = partial(load, config, overrides=told)
    run(read(), read=read, ready=ready)
