"""A publisher whose cursor is another process's says so: nobody else would publish."""

from __future__ import annotations

import threading

import structlog

from pulpit.errors import Fenced
from pulpit.events.amqp import Publisher, PublisherSettings
from tests.services import PATIENCE, until
from tests.services.journal import MemoryCursors, MemoryJournal, make_event
from tests.unit.test_publisher import FakeBroker


class ForeignCursors(MemoryCursors):
    """Cursors that are another process's to save from the second save on."""

    def save(self, name: str, sequence: int) -> None:
        if self.load(name) is not None:
            raise Fenced
        super().save(name, sequence)


def test_who_let_it_publish_learns_that_it_does_no_longer() -> None:
    """It has ended by then, and sends nothing more."""
    broker, journal, fenced = FakeBroker(), MemoryJournal([make_event(1)]), threading.Event()
    publisher = Publisher(
        PublisherSettings(urls="amqp://a", cursor_interval=0.001),
        source=journal,
        cursors=ForeignCursors(),
        event_source_uri="urn:x",
        log=structlog.get_logger(),
        fenced=fenced.set,
        connect=broker.connect,
    )
    publisher.start()
    try:
        journal.append(make_event(2))
        assert fenced.wait(PATIENCE)
        until(lambda: broker.links[0].closed)
        sent = len(broker.received)
        journal.append(make_event(3))
        assert not publisher.status().connected
    finally:
        publisher.stop()
    assert len(broker.received) == sent
