"""The present state of tasks with the number of the journal that it belongs to.

Whoever reads all pages and then the events after that number misses nothing: the number and the
first page come from one transaction, and what changes while later pages are read has an event.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from pulpit.domain.file_progress import staged
from pulpit.domain.tasks import INCOMPLETE, Task, TaskState, task_report
from pulpit.errors import InvalidValue
from pulpit.ports import Storage

__all__ = ["SnapshotPage", "SnapshotTask", "Snapshots", "TaskFilter"]

#: Setting that holds the key of the page tokens, so that they outlive a restart.
_KEY = "snapshot.key"
#: Tasks read at once, and bytes of reports after which a page is full.
_BATCH, _PAGE_BYTES = 100, 8 << 20
#: Sequence number and number of the last task.
_PLACE = struct.Struct(">QQ")
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks are wanted; what is empty lets everything through."""

    task_ids: frozenset[str] = frozenset()
    #: A task has all of them.
    tags: frozenset[str] = frozenset()
    #: Those that are not complete unless others are named.
    states: frozenset[TaskState] = INCOMPLETE

    def canonical(self) -> bytes:
        """Return the same bytes for equal filters, other bytes for others."""
        parts = (self.task_ids, self.tags, self.states)
        return msgspec.json.encode([sorted(part) for part in parts])


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotTask:
    """One task of a snapshot."""

    #: Events of the task up to this revision tell nothing new.
    revision: int
    #: The Task Report, JSON.
    report: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPage:
    """A part of a snapshot."""

    #: Events after this number tell what the snapshot does not; the same on all pages.
    sequence: int
    tasks: Sequence[SnapshotTask]
    #: What brings the next page; None on the last one.
    next: str | None


class Snapshots:
    """Gives snapshots, page by page, and keeps nothing between two pages."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def page(self, wanted: TaskFilter, *, limit: int, token: str | None) -> SnapshotPage:
        """Return a page, in order of submission.

        Args:
            wanted: which tasks; the same for all pages.
            limit: tasks on the page; it may hold fewer when they are large.
            token: ``next`` of the page before; None for the first one.

        Raises:
            InvalidValue: the token is not of this server, or not of this filter.
        """
        place = None if token is None else self._place(token, wanted)
        with self._storage.read() as transaction:
            sequence, last = place or (transaction.journal.head(), 0)
            tasks: list[SnapshotTask] = []
            size = 0
            # one more than fits tells whether there is another page
            while batch := transaction.tasks.page(
                task_ids=wanted.task_ids,
                tags=wanted.tags,
                states=wanted.states,
                after=last,
                limit=min(limit - len(tasks) + 1, _BATCH),
            ):
                for task in batch:
                    if len(tasks) == limit or size >= _PAGE_BYTES:
                        following = self._token(sequence, last, wanted)
                        return SnapshotPage(sequence=sequence, tasks=tasks, next=following)
                    tasks.append(_told(task))
                    size += len(tasks[-1].report)
                    last = task.number
        return SnapshotPage(sequence=sequence, tasks=tasks, next=None)

    @cached_property
    def _key(self) -> bytes:
        """The key that tokens are signed with."""
        key = self._storage.get_setting(_KEY)
        # all servers of a database sign alike
        return (key or self._storage.settle(_KEY, secrets.token_hex(32))).encode()

    def _token(self, sequence: int, last: int, wanted: TaskFilter) -> str:
        """Return what brings the page after a task."""
        place = _PLACE.pack(sequence, last)
        return _text(place + self._digest(place, wanted))

    def _place(self, token: str, wanted: TaskFilter) -> tuple[int, int]:
        """Return the sequence number and the last task that a token stands for."""
        sent = _bytes(token)
        place, digest = sent[: _PLACE.size], sent[_PLACE.size :]
        if not hmac.compare_digest(digest, self._digest(place, wanted)):
            raise InvalidValue(
                "page", why="send next of the page before, with the same filters, or none to begin"
            )
        sequence, last = _PLACE.unpack(place)
        return sequence, last

    def _digest(self, place: bytes, wanted: TaskFilter) -> bytes:
        """Return the proof that this server gave the place for this filter."""
        told = hmac.new(self._key, place + wanted.canonical(), hashlib.sha256)
        return told.digest()[:_DIGEST_BYTES]


def _told(task: Task) -> SnapshotTask:
    # in stages, as its events tell it
    report = {**task_report(task), "progress_report": staged(task.progress)}
    return SnapshotTask(revision=task.revision, report=msgspec.json.encode(report))


def _text(token: bytes) -> str:
    """Return the token as it may stand in a URL."""
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """Return the bytes that a text of ``_text`` stands for; none for any other text."""
    try:
        token = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""
    return token if _text(token) == text else b""
