"""``pulpit worker``: runs tasks for the servers of a PostgreSQL database."""

from __future__ import annotations

import os
import re
import socket
from functools import partial
from typing import Annotated

import typer

from pulpit.cli.flags import ConfigFile, DataFolder, overrides
from pulpit.cli.words import amount
from pulpit.config import load

__all__ = ["worker"]

#: It stands in task reports, and in the names of files.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@\-]{0,199}")

Slots = Annotated[int | None, typer.Option(help="Number of tasks to run at a time.")]
Name = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What tasks say that they run on; else worker-<process>@<host>.",
    ),
]


def worker(
    config: ConfigFile = None,
    data: DataFolder = None,
    slots: Slots = None,
    name: Name = None,
) -> None:
    """Run tasks for the servers that share its PostgreSQL database, and nothing else.

    Start as many as there is work for, on any machine that has the data folder. SIGTERM cancels
    what runs; SIGHUP has it read the log's level again.

    Example: pulpit worker --config /etc/pulp/server.conf --slots 4
    """
    chosen = name or f"worker-{os.getpid()}@{socket.gethostname()}"
    if not _NAME.fullmatch(chosen):
        raise typer.BadParameter(
            "use up to 200 letters, digits, dots, hyphens, underscores and @, "
            "a letter or digit first",
            param_hint="--name",
        )
    # here, so that the other commands need not wait for the worker's libraries; first the fork
    # server, which imports those of the tasks on another processor meanwhile
    from pulpit.app import CHILD  # noqa: PLC0415
    from pulpit.engine.forking import start_fork_server  # noqa: PLC0415

    start_fork_server(CHILD)
    from pulpit.app.worker import run_worker  # noqa: PLC0415

    read = partial(load, config, overrides=overrides(data=data, slots=slots))
    settings = read()
    room = amount(settings.tasks.workers, "task")
    run_worker(
        settings,
        name=chosen,
        read=read,
        ready=lambda known: typer.echo(f"Worker {known} is ready for {room} at a time"),
    )
