"""What listeners are told of an event; made of it once, whoever is told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from pulpit.domain.tasks import repository_tag

__all__ = ["Message"]

#: What the tags of repositories begin with.
_REPOSITORY_TAG = repository_tag("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What listeners are told of an event under one of the event types."""

    #: Given by the store, in the order of (sequence, place in the event); 0 until then.
    number: int = 0
    #: The number of the journal's event that it was made of.
    sequence: int
    #: That event's id.
    event_id: str
    #: Such as ``repo.sync.finish`` or ``task.error``.
    event_type: str
    #: The repository that it is about, if there is one.
    repo_id: str | None
    task_id: str | None
    tags: tuple[str, ...]
    #: When the event was.
    time: datetime
    #: ``{"event_type", "payload", "call_report"}``, JSON text, UTF-8.
    body: bytes

    @property
    def repo_ids(self) -> Collection[str]:
        """The repositories that it is about, or that its task works on."""
        named = {
            tag.removeprefix(_REPOSITORY_TAG)
            for tag in self.tags
            if tag.startswith(_REPOSITORY_TAG)
        }
        return named if self.repo_id is None else named | {self.repo_id}

    @property
    def lane(self) -> str:
        """What a listener is told of in order: its repository, else its task."""
        if self.repo_id is not None:
            return f"repository:{self.repo_id}"
        return f"task:{self.task_id}" if self.task_id is not None else ""
