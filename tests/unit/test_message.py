"""The message on the wire, as consumers know it."""

from __future__ import annotations

import re

from pulpit.domain.events import EventKind
from pulpit.events.message import EXCHANGE, message_of
from tests.services.journal import make_event

SOURCE = "https://pulp.example.com/"


def test_the_exchange_is_the_documented_one() -> None:
    """Old consumers bind to this name."""
    assert EXCHANGE == "pulp.api.v2"


def test_a_status_event_in_full() -> None:
    """Key, body and each property and header of a status change."""
    message = message_of(make_event(12, task=3, revision=2, body=b"{}"), source=SOURCE)
    assert message.routing_key == "tasks.00000000-0000-4000-8000-000000000003"
    assert message.body == b"{}"
    assert (message.content_type, message.content_encoding) == ("application/json", "utf-8")
    assert message.delivery_mode == 2
    assert message.message_id == "event-12"
    assert message.timestamp == 1767323057
    assert (message.type, message.app_id) == ("pulpit.task.status.v1", "pulpit")
    assert message.headers == {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": "event-12",
        "cloudEvents:source": SOURCE,
        "cloudEvents:type": "pulpit.task.status.v1",
        "cloudEvents:subject": "00000000-0000-4000-8000-000000000003",
        "cloudEvents:time": "2026-01-02T03:04:17Z",
        "cloudEvents:dataschema": (
            "https://pulp.example.com/pulpit/v1/schemas/pulpit.task.status.v1.json"
        ),
        "cloudEvents:sequence": "00000000000000000012",
        "pulpit-revision": 2,
        "pulpit-previous": 1,
        "pulpit-folded": 0,
    }


def test_progress_is_transient() -> None:
    """A broker need not write progress to disk."""
    assert message_of(make_event(1, kind=EventKind.PROGRESS), source=SOURCE).delivery_mode == 1


def test_sequences_sort_as_text() -> None:
    """Consumers may compare the sequence header as a string."""
    texts = [
        str(message_of(make_event(number), source=SOURCE).headers["cloudEvents:sequence"])
        for number in (9, 10, 999_999)
    ]
    assert texts == sorted(texts)
    assert all(re.fullmatch(r"\d{20}", text) for text in texts)


def test_equal_events_make_equal_messages() -> None:
    """A resend is the same message."""
    assert message_of(make_event(5), source=SOURCE) == message_of(make_event(5), source=SOURCE)
