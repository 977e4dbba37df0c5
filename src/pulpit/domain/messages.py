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

    def is_of_any(self, repo_ids: Collection[str]) -> bool:
        """Tell whether it is about one of these, or its task works on one of them."""
        if self.repo_id in repo_ids:
            return True
        return any(
            tag.removeprefix(_REPOSITORY_TAG) in repo_ids
            for tag in self.tags
            if tag.startswith(_REPOSITORY_TAG)
        )

    @property
    def lane(self) -> str:
        """What a listener is told of in order: its repository, else its task."""
        if self.repo_id is not None:
            return f"repository:{self.repo_id}"
        return f"task:{self.task_id}" if self.task_id is not None else ""
