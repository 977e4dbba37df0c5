"""Requests about event listeners as values; both clients send the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pulpit.client.listeners import (
    Delivery,
    DeliveryPage,
    Listener,
    ListenerTest,
    RotatedSecret,
    findings,
    resent,
)
from pulpit.client.requests import Request
from pulpit.domain.findings import Finding

__all__ = [
    "create",
    "delete",
    "deliveries",
    "delivery",
    "diagnose",
    "disable",
    "enable",
    "listener",
    "listeners",
    "resend",
    "rotate_secret",
    "test",
    "update",
]

_LISTENERS_PATH = "/pulpit/v1/listeners/"


def listeners() -> Request[Sequence[Listener]]:
    """Return the request for all listeners."""
    return Request(method="GET", path=_LISTENERS_PATH, read=_listeners)


def listener(listener_id: str) -> Request[Listener]:
    """Return the request for a listener."""
    return Request(method="GET", path=_path(listener_id), read=Listener.from_document)


def create(document: Mapping[str, Any]) -> Request[Listener]:
    """Return the request that creates a listener."""
    return Request(
        method="POST", path=_LISTENERS_PATH, read=Listener.from_document, json=dict(document)
    )


def update(listener_id: str, changes: Mapping[str, Any]) -> Request[Listener]:
    """Return the request that changes a listener."""
    path = _path(listener_id)
    return Request(method="PUT", path=path, read=Listener.from_document, json=dict(changes))


def delete(listener_id: str) -> Request[None]:
    """Return the request that deletes a listener."""
    return Request(method="DELETE", path=_path(listener_id), read=_nothing)


def enable(listener_id: str) -> Request[Listener]:
    """Return the request that has a listener told of events again."""
    return Request(method="POST", path=_path(listener_id, "enable"), read=Listener.from_document)


def disable(listener_id: str, reason: str | None) -> Request[Listener]:
    """Return the request that has a listener told of no events."""
    path, body = _path(listener_id, "disable"), {} if reason is None else {"reason": reason}
    return Request(method="POST", path=path, read=Listener.from_document, json=body)


def rotate_secret(listener_id: str, overlap: float | None) -> Request[RotatedSecret]:
    """Return the request for a new secret."""
    path, body = (
        _path(listener_id, "rotate-secret"),
        {} if overlap is None else {"overlap": overlap},
    )
    return Request(method="POST", path=path, read=RotatedSecret.from_document, json=body)


def test(listener_id: str) -> Request[ListenerTest]:
    """Return the request that sends a ping."""
    path = _path(listener_id, "test")
    return Request(method="POST", path=path, read=ListenerTest.from_document)


def diagnose(listener_id: str) -> Request[Sequence[Finding]]:
    """Return the request for what the doctor finds."""
    return Request(method="POST", path=_path(listener_id, "doctor"), read=findings)


def deliveries(
    listener_id: str,
    *,
    states: Sequence[str],
    since: datetime | None,
    before: int | None,
    limit: int | None,
) -> Request[DeliveryPage]:
    """Return the request for a page of deliveries."""
    asked: dict[str, Any] = {
        "state": list(states) or None,
        "since": _time(since),
        "before": before,
        "limit": limit,
    }
    params = {name: value for name, value in asked.items() if value is not None}
    path = _path(listener_id, "deliveries")
    return Request(method="GET", path=path, read=DeliveryPage.from_document, params=params)


def delivery(listener_id: str, delivery_id: str) -> Request[Delivery]:
    """Return the request for a delivery with its attempts."""
    path = _path(listener_id, "deliveries", delivery_id)
    return Request(method="GET", path=path, read=Delivery.from_document)


def resend(listener_id: str, *, delivery: str | None, since: datetime | None) -> Request[int]:
    """Return the request that has deliveries sent again."""
    body: dict[str, Any] = {"all": True}
    if delivery is not None:
        body = {"delivery": delivery}
    elif since is not None:
        body = {"since": _time(since)}
    return Request(method="POST", path=_path(listener_id, "resend"), read=resent, json=body)


def _path(*parts: str) -> str:
    """Return the path below that of all listeners, its parts quoted."""
    return _LISTENERS_PATH + "".join(f"{quote(part, safe='')}/" for part in parts)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _listeners(answer: Any) -> Sequence[Listener]:
    if not isinstance(answer, list):
        raise ValueError("no list of listeners")  # noqa: TRY004 - a value from outside
    return [Listener.from_document(document) for document in answer]


def _nothing(_answer: Any) -> None:
    """Take any answer."""
