"""Repository zoo on a real server, and what its events tell by whichever way they go."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pulpit.client import Client
from tests.acceptance.server import PulpitServer
from tests.services import until
from tests.services.consumer import Consumer

__all__ = ["ALL", "ON", "connected", "create", "events", "on", "states", "status_changes", "sync"]

#: Configuration that turns events by AMQP on.
ON = "[messaging]\nevent_notifications_enabled: true\n"
#: The states of a task that goes well.
ALL = ["waiting", "running", "finished"]
_FEED = Path(__file__).resolve().parents[2] / "examples" / "feed" / "repo"


def create(server: PulpitServer) -> None:
    """Create the repository, of the sample feed, with distributor ``web``."""
    web = {
        "distributor_id": "web",
        "distributor_type_id": "yum_distributor",
        "distributor_config": {"relative_url": "zoo", "http": True, "https": False},
    }
    with server.client() as client:
        client.create_repository(
            {
                "id": "zoo",
                "importer_type_id": "yum_importer",
                "importer_config": {"feed": f"{_FEED.as_uri()}/"},
                "distributors": [web],
            }
        )


def sync(client: Client) -> str:
    """Sync it; return the task's id once it has ended."""
    (task,) = client.sync("zoo").spawned
    until(lambda: client.task(task).state.is_complete, "the sync ends")
    return str(task)


def on(url: str, more: str = "") -> str:
    """Return the configuration that publishes there."""
    return f"{ON}event_notification_url: {url}\n{more}"


def events(client: Client, wanted: Callable[[Any], bool]) -> Any:
    """Return the part of the status that tells of events once it is as wanted."""

    def look() -> Any:
        told = client.status()["events"]
        return told if wanted(told) else None

    return until(look, "the status document follows")


def connected(told: Any) -> bool:
    """Return whether events go to a broker."""
    return bool(told.get("publisher", {}).get("connected"))


def states(consumer: Consumer, task: str) -> list[str]:
    """Return the states of the task in order, once its last one is there."""

    def told(messages: list[Any]) -> list[str]:
        return [state for _, name, state in status_changes(messages) if name == task]

    return told(consumer.collect(lambda got: told(got)[-1:] == ["finished"]))


def status_changes(messages: list[Any]) -> list[tuple[str, str, str]]:
    """Return what the messages tell of status: number of the event, task, state."""
    return [
        (
            message.headers["cloudEvents:sequence"],
            message.delivery_info["routing_key"].removeprefix("tasks."),
            json.loads(message.body)["state"],
        )
        for message in messages
        if message.properties["delivery_mode"] == 2
    ]
