"""What the client whose calls wait asks of uploads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulpit.client import upload_requests as requests
from pulpit.client.connection import Connection
from pulpit.client.reports import CallReport
from pulpit.client.upload_requests import UploadState

__all__ = ["UploadCalls"]


class UploadCalls:
    """The calls about uploads; every one raises NotFound for an upload that is not there."""

    _connection: Connection

    def begin_upload(self) -> str:
        """Begin an upload; return its id.

        Raises:
            Conflict: there are as many as there may be.
        """
        return self._connection.ask(requests.begin())

    def upload_state(self, upload_id: str) -> UploadState:
        """Return what has come of an upload."""
        return self._connection.ask(requests.state(upload_id))

    def send_bytes(self, upload_id: str, offset: int, data: bytes) -> None:
        """Send bytes that belong at the offset; they are durable once this returns."""
        self._connection.ask(requests.send(upload_id, offset, data))

    def delete_upload(self, upload_id: str) -> None:
        """Delete an upload; what was imported of it stays."""
        self._connection.ask(requests.delete(upload_id))

    def import_upload(self, repo_id: str, document: Mapping[str, Any]) -> CallReport:
        """Have units made of an upload.

        Args:
            repo_id: the repository that they go to.
            document: ``{upload_id, unit_type_id, unit_key, unit_metadata, override_config}``, of
                which the last three may be left out.
        """
        return self._connection.ask(requests.import_upload(repo_id, document))
