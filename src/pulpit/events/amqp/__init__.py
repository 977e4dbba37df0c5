"""The channel to an AMQP broker: one thread that publishes the journal, with confirms."""

from __future__ import annotations

from pulpit.events.amqp.publisher import Publisher
from pulpit.events.amqp.reasons import Reason
from pulpit.events.amqp.settings import CURSOR, PublisherSettings, PublisherStatus

__all__ = ["CURSOR", "Publisher", "PublisherSettings", "PublisherStatus", "Reason"]
