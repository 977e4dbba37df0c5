"""Uploads in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pulpit.domain.uploads import Upload
from pulpit.errors import MissingResource
from pulpit.testing.state import State

__all__ = ["MemoryUploadStore"]


class MemoryUploadStore:
    """Implements ``pulpit.ports.UploadStore``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, upload: Upload) -> None:
        self._state.uploads[upload.id] = upload

    def get(self, upload_id: str) -> Upload:
        if upload_id not in self._state.uploads:
            raise MissingResource(upload_id=upload_id)
        return self._state.uploads[upload_id]

    def receive(self, upload_id: str, start: int, end: int, *, now: datetime) -> Upload:
        self._state.uploads[upload_id] = self.get(upload_id).with_span(start, end, now=now)
        return self._state.uploads[upload_id]

    def list(self) -> Sequence[Upload]:
        return sorted(self._state.uploads.values(), key=lambda upload: (upload.created, upload.id))

    def count(self) -> int:
        return len(self._state.uploads)

    def idle(self, *, before: datetime) -> Sequence[str]:
        return sorted(one.id for one in self._state.uploads.values() if one.touched < before)

    def remove(self, upload_id: str) -> None:
        self.get(upload_id)
        del self._state.uploads[upload_id]
