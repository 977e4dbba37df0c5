"""What listeners are told of an event; made of it once, whoever is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pulpit.domain.tasks import repository_tag

__all__ = ["Message"]


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

    def is_of(self, repo_id: str) -> bool:
        """Tell whether it is about the repository, or its task works on that beside others."""
        return repo_id == self.repo_id or repository_tag(repo_id) in self.tags

    @property
    def lane(self) -> str:
        """What a listener is told of in order: its repository, else its task."""
        if self.repo_id is not None:
            return f"repository:{self.repo_id}"
        return f"task:{self.task_id}" if self.task_id is not None else ""
