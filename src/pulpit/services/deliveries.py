"""Deliveries: what a listener was told and is still to be told, and telling it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pulpit.domain.clock import parse_time
from pulpit.domain.deliveries import Delivery, DeliveryState
from pulpit.errors import InvalidValue, MissingResource, MissingValue
from pulpit.ports import Clock, Storage, Transaction
from pulpit.services.documents import as_object, optional, refuse_unknown, required
from pulpit.services.listeners import unheard

__all__ = ["Deliveries", "DeliveryPage", "moment"]

#: Deliveries resent in one transaction, so that writers get their turn.
_BATCH = 500
_RESEND_KEYS = ("delivery", "since", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPage:
    """Some deliveries of a listener, the newest first."""

    deliveries: Sequence[Delivery]
    #: ``before`` of the next page; None on the last one.
    next: int | None


class Deliveries:
    """What users do with deliveries.

    Args:
        storage: where they are kept.
        clock: the present time.
        changed: called after each change that who delivers must heed, in some thread.
    """

    def __init__(
        self, storage: Storage, *, clock: Clock, changed: Callable[[], None] = unheard
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._changed = changed

    def page(
        self,
        listener_id: str,
        *,
        states: Collection[DeliveryState],
        since: datetime | None,
        before: int | None,
        limit: int,
    ) -> DeliveryPage:
        """Return deliveries of a listener, the newest first.

        Args:
            listener_id: whose.
            states: those in one of these states; any for none.
            since: those created then or later.
            before: ``next`` of the page before; None for the first one.
            limit: how many at the most.

        Raises:
            MissingResource: there is no such listener.
        """
        with self._storage.read() as transaction:
            transaction.listeners.get(listener_id)
            # one more than fits tells whether there is another page
            found = transaction.deliveries.page(
                listener_id=listener_id, states=states, since=since, before=before, limit=limit + 1
            )
        shown = found[:limit]
        return DeliveryPage(deliveries=shown, next=shown[-1].number if len(found) > limit else None)

    def get(self, listener_id: str, delivery_id: str) -> Delivery:
        """Return a delivery of the listener, or raise MissingResource."""
        with self._storage.read() as transaction:
            transaction.listeners.get(listener_id)
            return _of(transaction, listener_id, delivery_id)

    def resend(self, listener_id: str, document: Any) -> int:
        """Have deliveries tried again from now on, under their ids; return how many.

        Args:
            listener_id: whose.
            document: ``{"delivery": id}`` for that one, however it ended; ``{"since": time}`` for
                the exhausted ones created then or later; ``{"all": true}`` for all exhausted ones.

        Raises:
            RequestError: the document is no such, or what it names does not exist.
        """
        sent = as_object(document)
        refuse_unknown(sent, _RESEND_KEYS)
        if not sent:
            raise MissingValue(*_RESEND_KEYS, why="send one of them")
        if len(sent) > 1:
            raise InvalidValue(*sent, why="send one of them")
        if "delivery" in sent:
            return self._resend_one(listener_id, required(sent, "delivery", str))
        since = moment(required(sent, "since", str), "since") if "since" in sent else None
        if since is None and optional(sent, "all", bool) is not True:
            raise InvalidValue("all", why="must be true")
        return self._resend_all(listener_id, since)

    def _resend_one(self, listener_id: str, delivery_id: str) -> int:
        now = self._clock()
        with self._storage.write() as transaction:
            self._heed(transaction, listener_id)
            _of(transaction, listener_id, delivery_id)
            return transaction.deliveries.resend(
                listener_id, now=now, delivery_id=delivery_id, limit=1
            )

    def _resend_all(self, listener_id: str, since: datetime | None) -> int:
        """Resend what is exhausted now, and not what comes to that again meanwhile."""
        with self._storage.read() as transaction:
            counts = transaction.deliveries.counts().get(listener_id, {})
        most, resent, now = counts.get(DeliveryState.EXHAUSTED, 0), 0, self._clock()
        while True:
            limit = min(_BATCH, max(most - resent, 1))
            with self._storage.write() as transaction:
                self._heed(transaction, listener_id)
                count = transaction.deliveries.resend(
                    listener_id, now=now, since=since, limit=limit
                )
            resent += count
            if count < limit or resent >= most:
                return resent

    def _heed(self, transaction: Transaction, listener_id: str) -> None:
        """Let who delivers see that there is something new, or raise MissingResource."""
        listener = transaction.listeners.get(listener_id)
        transaction.listeners.update(dataclasses.replace(listener, revision=listener.revision + 1))
        transaction.after_commit(self._changed)


def _of(transaction: Transaction, listener_id: str, delivery_id: str) -> Delivery:
    """Return a delivery of the listener, or raise MissingResource."""
    delivery = transaction.deliveries.get(delivery_id)
    if delivery.listener_id != listener_id:
        raise MissingResource(delivery_id=delivery_id)
    return delivery


def moment(text: str, name: str) -> datetime:
    """Return the time that a client has sent.

    Raises:
        InvalidValue: it is none.
    """
    try:
        return parse_time(text)
    except (ValueError, OverflowError):
        raise InvalidValue(name, why="must be a time, such as 2026-01-02T03:04:05Z") from None
