"""What the harness makes of what it receives."""

from __future__ import annotations

from tests.faults.consumers import StreamConsumer, sse_events
from tests.faults.records import Channel, digest

_DATA = '{"id":"j:7","sequence":"7","subject":"a","pulpitkind":"status","pulpitrevision":3,'
_DATA += '"pulpitprevious":1,"data":{"state":"running"}}'


def test_events_are_read_however_they_are_cut() -> None:
    """Heartbeats are passed over, and an event that is not whole is not there."""
    wire = f": alive\n\nid: 7\nevent: x\ndata: {_DATA}\n\nid: 8\nevent: x\nda".encode()
    for size in (1, 7, len(wire)):
        chunks = [wire[start : start + size] for start in range(0, len(wire), size)]
        assert [*sse_events(iter(chunks))] == [("7", "x", _DATA)]


def test_the_body_is_taken_as_it_stands() -> None:
    """The digest of an event's body is that of the journal's bytes."""
    consumer = StreamConsumer(Channel(name="stream"), urls=["http://127.0.0.1:1"], auth=("", ""))
    consumer.note_event(_DATA)
    (arrival,) = consumer.channel.arrivals
    assert arrival.body == digest(b'{"state":"running"}')
    assert (arrival.sequence, arrival.previous, arrival.revision) == (7, 1, 3)
    assert consumer.newest == 7
    consumer.close()
