"""The flags that settings of the server have, for every command that reads them as it does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ConfigFile", "DataFolder", "DoorAddress", "Events", "Host", "Port", "overrides"]

ConfigFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Configuration; else /etc/pulp/server.conf if there."),
]
DataFolder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the database and the content.")
]
Host = Annotated[str | None, typer.Option(help="Address to listen at.")]
Port = Annotated[int | None, typer.Option(help="Port to listen at; 0 takes a free one.")]
Events = Annotated[
    bool | None,
    typer.Option("--events/--no-events", help="Tell tasks' events by AMQP.", show_default=False),
]
DoorAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Where the AMQP door listens.")
]


def overrides(
    *,
    data: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    events: bool | None = None,
    door: str | None = None,
    slots: int | None = None,
) -> Mapping[tuple[str, str], str | None]:
    """Return (section, key) to what a flag says of it; None where it was left out."""
    return {
        ("storage", "data"): None if data is None else str(data),
        ("server", "host"): host,
        ("server", "port"): None if port is None else str(port),
        ("messaging", "event_notifications_enabled"): None if events is None else str(events),
        ("door", "address"): door,
        ("tasks", "workers"): None if slots is None else str(slots),
    }
