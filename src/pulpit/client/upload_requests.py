"""Requests about uploads as values; both clients send the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

from pulpit.client.reports import CallReport
from pulpit.client.requests import Request

__all__ = ["UploadState", "begin", "delete", "import_upload", "send", "state"]

_UPLOADS_PATH = "/pulp/api/v2/content/uploads/"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadState:
    """What a server has of an upload."""

    upload_id: str
    #: From the first byte to the one behind the last: in order, apart from each other.
    received: tuple[tuple[int, int], ...]

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Return the state that the JSON tells.

        Raises:
            ValueError: it is no upload.
        """
        try:
            spans = tuple((int(span["start"]), int(span["end"])) for span in document["received"])
            return cls(upload_id=str(document["upload_id"]), received=spans)
        except (KeyError, TypeError) as error:
            raise ValueError("no upload") from error


def begin() -> Request[str]:
    """Return the request that begins an upload."""
    return Request(method="POST", path=_UPLOADS_PATH, read=_upload_id)


def state(upload_id: str) -> Request[UploadState]:
    """Return the request for what has come of an upload."""
    return Request(method="GET", path=_path(upload_id), read=UploadState.from_document)


def send(upload_id: str, offset: int, data: bytes) -> Request[None]:
    """Return the request that sends bytes."""
    path = f"{_path(upload_id)}{offset}/"
    return Request(method="PUT", path=path, read=_nothing, content=data)


def delete(upload_id: str) -> Request[None]:
    """Return the request that deletes an upload."""
    return Request(method="DELETE", path=_path(upload_id), read=_nothing)


def import_upload(repo_id: str, document: Mapping[str, Any]) -> Request[CallReport]:
    """Return the request that has an upload imported."""
    path = f"/pulp/api/v2/repositories/{quote(repo_id, safe='')}/actions/import_upload/"
    return Request(method="POST", path=path, read=CallReport.from_document, json=dict(document))


def _path(upload_id: str) -> str:
    return f"{_UPLOADS_PATH}{quote(upload_id, safe='')}/"


def _upload_id(answer: Any) -> str:
    upload_id = answer.get("upload_id") if isinstance(answer, dict) else None
    if not isinstance(upload_id, str):
        raise ValueError("no upload")  # noqa: TRY004 - what is wrong is a value from outside
    return upload_id


def _nothing(_answer: Any) -> None:
    """Take any answer."""
