"""Event listeners: who is told of which events, and how; see Pulp 2's ``/pulp/api/v2/events/``.

Pulp 2 knew the four repository event types and ``*`` for all of these. Ours beside them: the
states of tasks, and word that a listener was disabled; ``*`` does not stand for them, so that
consumers of Pulp 2's events meet no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pulpit.domain.messages import Message

__all__ = [
    "DISABLED",
    "EVENT_TYPES",
    "LISTENERS_HREF",
    "PING",
    "REPOSITORY_EVENT_TYPES",
    "TASK_EVENT_STATES",
    "Filters",
    "Health",
    "Listener",
    "NotifierType",
    "OpenListener",
    "Secrets",
    "SigningSecret",
    "is_event_type",
]

LISTENERS_HREF = "/pulp/api/v2/events/"

#: All of Pulp 2's event types.
REPOSITORY_EVENT_TYPES = (
    "repo.sync.start",
    "repo.sync.finish",
    "repo.publish.start",
    "repo.publish.finish",
)
#: The states of which ``task.<state>`` tells.
TASK_EVENT_STATES = ("waiting", "running", "finished", "error", "canceled", "skipped")
_ALL = "*"
_ALL_OF_TASKS = "task.*"
#: What tells that another listener was disabled.
DISABLED = "listener.disabled"
#: What ``test`` sends; nobody asks for it.
PING = "ping"
#: All that ``event_types`` may hold.
EVENT_TYPES = (
    _ALL,
    *REPOSITORY_EVENT_TYPES,
    _ALL_OF_TASKS,
    *(f"task.{state}" for state in TASK_EVENT_STATES),
    DISABLED,
)


def is_event_type(name: str) -> bool:
    """Tell whether listeners may ask for it."""
    return name in EVENT_TYPES


class NotifierType(StrEnum):
    """How a listener is told."""

    HTTP = "http"
    EMAIL = "email"
    AMQP = "amqp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Of which repositories and tags a listener is told; empty ones let everything through."""

    #: Ids of repositories, of which a task must work on one.
    repositories: tuple[str, ...] = ()
    #: Tags, all of which a task must have.
    tags: tuple[str, ...] = ()

    def let_through(self, message: Message) -> bool:
        """Tell whether a message is let through."""
        if self.repositories and not any(each in self.repositories for each in message.repo_ids):
            return False
        return all(tag in message.tags for tag in self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a listener's deliveries go."""

    #: When the first of the attempts was that have all failed since; None while they succeed.
    failing_since: datetime | None = None
    last_delivered: datetime | None = None
    last_failed: datetime | None = None
    #: What went wrong last, in a line.
    last_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Somebody who is told of events."""

    #: 24 hexadecimal digits.
    id: str
    notifier_type: NotifierType
    #: JSON object, as sent, without what is secret.
    config: Mapping[str, Any] = field(default_factory=dict)
    event_types: tuple[str, ...] = ()
    filters: Filters = field(default_factory=Filters)
    #: What is secret, encrypted; None if there is nothing.
    sealed: bytes | None = None
    created: datetime
    last_updated: datetime
    #: Grows with every change that who delivers must heed.
    revision: int = 1
    #: Why it is told of nothing now; None: it is enabled.
    disabled_reason: str | None = None
    disabled_at: datetime | None = None
    health: Health = field(default_factory=Health)

    @property
    def is_enabled(self) -> bool:
        """Whether it is told of events."""
        return self.disabled_reason is None

    def wants(self, message: Message) -> bool:
        """Tell whether it is to be told of a message, enabled or not."""
        return self.asks_for(message.event_type) and self.filters.let_through(message)

    def asks_for(self, event_type: str) -> bool:
        """Tell whether it has asked for an event type, by name or for all of its kind."""
        if event_type in self.event_types:
            return True
        if event_type in REPOSITORY_EVENT_TYPES:
            return _ALL in self.event_types
        return event_type.startswith("task.") and _ALL_OF_TASKS in self.event_types


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSecret:
    """A secret that deliveries are signed with, as Standard Webhooks has it."""

    #: ``whsec_`` and the base64 of 24 to 64 bytes.
    value: str = field(repr=False)
    #: After a rotation: until when the old one is used beside the new one.
    until: datetime | None = None
    #: Whether who has set up the listener chose it; else it was made here.
    is_chosen: bool = False

    def holds(self, now: datetime) -> bool:
        """Tell whether deliveries are signed with it now."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What of a listener nobody may read."""

    #: For basic authentication.
    password: str | None = field(default=None, repr=False)
    #: The newest first.
    signing: tuple[SigningSecret, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenListener:
    """A listener with its secrets, for who delivers to it."""

    listener: Listener
    secrets: Secrets = field(default_factory=Secrets)
