"""What the client whose calls wait asks of event listeners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pulpit.client import listener_requests as requests
from pulpit.client.connection import Connection
from pulpit.client.listeners import Delivery, DeliveryPage, Listener, ListenerTest, RotatedSecret
from pulpit.domain.findings import Finding

__all__ = ["ListenerCalls"]


class ListenerCalls:
    """The calls about listeners; every one raises NotFound for a listener that is not there."""

    _connection: Connection

    def listeners(self) -> Sequence[Listener]:
        """Return all listeners, by the time they were created."""
        return self._connection.ask(requests.listeners())

    def listener(self, listener_id: str) -> Listener:
        """Return a listener."""
        return self._connection.ask(requests.listener(listener_id))

    def create_listener(self, document: Mapping[str, Any]) -> Listener:
        """Create a listener; one of type http comes back with its secret, this once.

        Args:
            document: ``{notifier_type_id, notifier_config, event_types, filters}``.
        """
        return self._connection.ask(requests.create(document))

    def update_listener(self, listener_id: str, changes: Mapping[str, Any]) -> Listener:
        """Change a listener.

        Args:
            listener_id: which.
            changes: ``{notifier_config, event_types, filters}``, what is to change of it; the
                configuration is merged (null takes a key away), the others are replaced.
        """
        return self._connection.ask(requests.update(listener_id, changes))

    def delete_listener(self, listener_id: str) -> None:
        """Delete a listener with its deliveries."""
        self._connection.ask(requests.delete(listener_id))

    def enable_listener(self, listener_id: str) -> Listener:
        """Have a listener told of events again."""
        return self._connection.ask(requests.enable(listener_id))

    def disable_listener(self, listener_id: str, *, reason: str | None = None) -> Listener:
        """Have a listener told of no events; *reason* is for those who look at it later."""
        return self._connection.ask(requests.disable(listener_id, reason))

    def rotate_listener_secret(
        self, listener_id: str, *, overlap: float | None = None
    ) -> RotatedSecret:
        """Give a listener a new secret; for *overlap* hours the old one signs beside it."""
        return self._connection.ask(requests.rotate_secret(listener_id, overlap))

    def test_listener(self, listener_id: str) -> ListenerTest:
        """Send a ping to a listener, and return how that went."""
        return self._connection.ask(requests.test(listener_id))

    def diagnose_listener(self, listener_id: str) -> Sequence[Finding]:
        """Return what the server's doctor finds on the way to a listener."""
        return self._connection.ask(requests.diagnose(listener_id))

    def deliveries(
        self,
        listener_id: str,
        *,
        states: Sequence[str] = (),
        since: datetime | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> DeliveryPage:
        """Return deliveries of a listener, the newest first.

        Args:
            listener_id: whose.
            states: those in one of these states; any for none.
            since: those created then or later.
            before: ``next`` of the page before; None for the first one.
            limit: how many at the most.
        """
        asked = requests.deliveries(
            listener_id, states=states, since=since, before=before, limit=limit
        )
        return self._connection.ask(asked)

    def delivery(self, listener_id: str, delivery_id: str) -> Delivery:
        """Return a delivery with its attempts."""
        return self._connection.ask(requests.delivery(listener_id, delivery_id))

    def resend(
        self,
        listener_id: str,
        *,
        delivery: str | None = None,
        since: datetime | None = None,
    ) -> int:
        """Have deliveries sent again, and return how many.

        Args:
            listener_id: whose.
            delivery: this one, however it ended.
            since: without one: those that were given up and were created then or later (None:
                all of them).
        """
        return self._connection.ask(requests.resend(listener_id, delivery=delivery, since=since))
