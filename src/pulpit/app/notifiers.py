"""The notifiers that listeners are told by."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from pulpit.config import Settings
from pulpit.domain.listeners import NotifierType
from pulpit.events.notifiers.amqp import AmqpNotifier
from pulpit.events.notifiers.email import EmailNotifier
from pulpit.events.notifiers.http import HttpNotifier
from pulpit.ports import Notifier

__all__ = ["in_use", "make_notifiers"]


def make_notifiers(settings: Settings, *, log: Any) -> Mapping[NotifierType, Notifier]:
    """Return the notifiers of this server; to be used in one event loop, and closed there.

    Args:
        settings: of the server.
        log: where they tell what operators should know.
    """
    email = EmailNotifier(
        settings.email,
        timeout=settings.listeners.timeout,
        event_source=settings.event_source,
        log=log,
    )
    http = HttpNotifier(settings.listeners, event_source=settings.event_source, log=log)
    amqp = AmqpNotifier(
        settings.messaging,
        timeout=settings.listeners.timeout,
        event_source=settings.event_source,
        log=log,
    )
    return {NotifierType.HTTP: http, NotifierType.EMAIL: email, NotifierType.AMQP: amqp}


@contextlib.asynccontextmanager
async def in_use(notifiers: Mapping[NotifierType, Notifier]) -> AsyncIterator[None]:
    """Let notifiers have their connections while the block runs."""
    try:
        yield
    finally:
        for notifier in notifiers.values():
            await notifier.close()
