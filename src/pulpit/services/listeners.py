"""Event listeners: create, read, change, delete."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pulpit.domain.clock import new_oid
from pulpit.domain.deliveries import REASON_KEPT, DeliveryState
from pulpit.domain.events import listener_event
from pulpit.domain.listeners import (
    Listener,
    NotifierType,
    OpenListener,
    Secrets,
)
from pulpit.errors import (
    InvalidValue,
    SecretsUnreadable,
    TooManyListeners,
)
from pulpit.ports import Clock, Notifier, Storage, Transaction, Vault
from pulpit.services import listener_values as values
from pulpit.services.documents import as_object, optional, refuse_unknown, required

__all__ = ["ListenerView", "Listeners", "Rotated", "opened", "unheard"]

#: Listeners that there may be.
_MOST = 1_000
#: Deliveries of a listener that are deleted in one transaction.
_DISCARDED = 2_000
#: Hours for which an old secret signs beside a new one, unless told otherwise and at the most.
_OVERLAP, _LONGEST_OVERLAP = 24, 168
_BY_OPERATOR = "disabled by an operator"
_WANTED_KEYS = ("notifier_config", "event_types", "filters")
_FIXED_KEYS = ("id", "notifier_type_id")
#: What a client may send back as it got it.
_LINK_KEYS = ("_href", "_id", "_ns")


def unheard() -> None:
    """Tell nobody of a change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerView:
    """A listener with those of its secrets that are in use."""

    listener: Listener
    #: None if they can't be read here.
    secrets: Secrets | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """A new secret."""

    secret: str = field(repr=False)
    #: Until when the old one is used beside it; None if it is not.
    until: datetime | None


class Listeners:
    """What users do with listeners.

    Args:
        storage: where they are kept.
        clock: the present time.
        vault: seals what is secret.
        notifiers: by type; what is not among them can't be used.
        changed: called after each change that who delivers must heed, in some thread.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Clock,
        vault: Vault,
        notifiers: Mapping[NotifierType, Notifier],
        changed: Callable[[], None] = unheard,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._vault = vault
        self._notifiers = notifiers
        self._changed = changed

    def create(self, document: Any) -> ListenerView:
        """Create a listener; one of type http gets a secret if it brings none.

        Args:
            document: ``{notifier_type_id, notifier_config, event_types, filters}``.

        Raises:
            RequestError: a value is missing, invalid or unknown, or there are too many listeners.
            SecretsUnreadable: secrets can't be sealed.
        """
        sent = as_object(document)
        refuse_unknown(sent, ("notifier_type_id", *_WANTED_KEYS))
        now, kind = self._clock(), values.notifier_type(sent, self._notifiers)
        types = values.event_types(required(sent, "event_types", list))
        plain, secret = values.split_config(optional(sent, "notifier_config", dict) or {})
        config = values.merged_config({}, plain)
        self._notifiers[kind].check(config)
        listener = Listener(
            id=new_oid(now),
            notifier_type=kind,
            config=config,
            event_types=types,
            filters=values.filters(sent),
            created=now,
            last_updated=now,
        )
        listener = self._sealed(listener, values.merged_secrets(kind, Secrets(), secret))
        with self._storage.write() as transaction:
            if len(transaction.listeners.list()) >= _MOST:
                raise TooManyListeners(_MOST)
            transaction.listeners.add(listener)
            transaction.after_commit(self._changed)
        return self._view(listener, now)

    def list(self) -> Sequence[ListenerView]:
        """Return all listeners, by the time they were created."""
        now = self._clock()
        with self._storage.read() as transaction:
            found = transaction.listeners.list()
        return [self._view(listener, now) for listener in found]

    def get(self, listener_id: str) -> ListenerView:
        """Return the listener, or raise MissingResource."""
        with self._storage.read() as transaction:
            listener = transaction.listeners.get(listener_id)
        return self._view(listener, self._clock())

    def counts(self) -> Mapping[str, Mapping[DeliveryState, int]]:
        """Return by listener how many deliveries are pending and exhausted; no zeros."""
        with self._storage.read() as transaction:
            return transaction.deliveries.counts()

    def update(self, listener_id: str, document: Any) -> ListenerView:
        """Change a listener: its configuration merges, event types and filters are replaced.

        Args:
            listener_id: which.
            document: what is to change of ``{notifier_config, event_types, filters}``; null takes
                a key of the configuration away.

        Raises:
            RequestError: a value is invalid or unknown, or the listener does not exist.
            SecretsUnreadable: secrets can't be sealed.
        """
        sent = as_object(document)
        refuse_unknown(sent, (*_WANTED_KEYS, *_FIXED_KEYS, *_LINK_KEYS))
        types = optional(sent, "event_types", list)
        config = optional(sent, "notifier_config", dict)
        wanted = values.event_types(types) if types is not None else None
        through = values.filters(sent) if "filters" in sent else None

        def change(listener: Listener, _transaction: Transaction) -> Listener:
            _refuse_other(sent, id=listener.id, notifier_type_id=listener.notifier_type.value)
            configured = self._configured(listener, config) if config is not None else listener
            return dataclasses.replace(
                configured,
                event_types=listener.event_types if wanted is None else wanted,
                filters=listener.filters if through is None else through,
            )

        return self._change(listener_id, change)

    def _configured(self, listener: Listener, sent: Mapping[str, Any]) -> Listener:
        """Return the listener with the configuration that was sent merged into its own."""
        plain, secret = values.split_config(sent)
        config = values.merged_config(listener.config, plain)
        self._notifiers[listener.notifier_type].check(config)
        configured = dataclasses.replace(listener, config=config)
        kept = self._open(listener)
        if kept is None and not values.changes_secrets(secret):
            # what nobody can read here stays for who finds the key
            return configured
        secrets = values.merged_secrets(listener.notifier_type, kept or Secrets(), secret)
        return configured if secrets == kept else self._sealed(configured, secrets)

    def delete(self, listener_id: str) -> None:
        """Delete the listener with its deliveries, or raise MissingResource."""
        while self._discard(listener_id) == _DISCARDED:
            # others get their turn between two portions
            continue
        with self._storage.write_beside() as transaction:
            transaction.listeners.remove(listener_id)
            transaction.after_commit(self._changed)

    def _discard(self, listener_id: str) -> int:
        """Delete a portion of a listener's deliveries; return how many."""
        with self._storage.write_beside() as transaction:
            transaction.listeners.get(listener_id)
            return transaction.deliveries.discard(listener_id, limit=_DISCARDED)

    def enable(self, listener_id: str) -> ListenerView:
        """Tell the listener of events again; it counts as healthy until it fails.

        What is pending is due now; so it is with one that is enabled and fails.
        """
        now = self._clock()

        def change(listener: Listener, transaction: Transaction) -> Listener:
            hurried = transaction.deliveries.hurry(listener.id, now=now)
            if listener.is_enabled:
                # a change, if there is one, so that who delivers reads again what is due
                return dataclasses.replace(listener, last_updated=now) if hurried else listener
            health = dataclasses.replace(listener.health, failing_since=None)
            transaction.listeners.set_health({listener.id: health})
            return dataclasses.replace(
                listener, disabled_reason=None, disabled_at=None, health=health
            )

        return self._change(listener_id, change)

    def disable(self, listener_id: str, document: Any) -> ListenerView:
        """Tell the listener of no new events; what is pending waits. The journal tells of it.

        Args:
            listener_id: which; one that is disabled already stays as it is.
            document: ``{"reason"}``, or None.
        """
        sent = as_object({} if document is None else document)
        refuse_unknown(sent, ("reason",))
        reason = _line(optional(sent, "reason", str) or "") or _BY_OPERATOR
        now = self._clock()

        def change(listener: Listener, _transaction: Transaction) -> Listener:
            if not listener.is_enabled:
                return listener
            return dataclasses.replace(listener, disabled_reason=reason, disabled_at=now)

        return self._change(listener_id, change)

    def rotate_secret(self, listener_id: str, document: Any) -> Rotated:
        """Give the listener a new secret; the newest old one signs beside it for a while.

        Args:
            listener_id: which; of type http.
            document: ``{"overlap"}``, hours from 0 to 168, or None for 24.

        Raises:
            RequestError: the document is no such, or the listener signs nothing or is not there.
            SecretsUnreadable: secrets can't be sealed.
        """
        overlap, now = _overlap({} if document is None else document), self._clock()
        fresh = values.new_signing_secret()
        until = now + overlap if overlap else None

        def change(listener: Listener, _transaction: Transaction) -> Listener:
            if listener.notifier_type is not NotifierType.HTTP:
                raise InvalidValue("notifier_type_id", why="only deliveries by http are signed")
            kept = self._open(listener) or Secrets()
            former = [dataclasses.replace(old, until=until) for old in kept.signing[:1] if until]
            return self._sealed(listener, dataclasses.replace(kept, signing=(fresh, *former)))

        secrets = self._change(listener_id, change).secrets
        is_beside = secrets is not None and len(secrets.signing) > 1
        return Rotated(secret=fresh.value, until=until if is_beside else None)

    def _change(
        self, listener_id: str, change: Callable[[Listener, Transaction], Listener]
    ) -> ListenerView:
        """Let a listener become another one, unless nothing of it changes.

        Writers take turns, so that of two changes at once none is lost.
        """
        now = self._clock()
        with self._storage.write() as transaction:
            listener = transaction.listeners.get(listener_id)
            changed = change(listener, transaction)
            if changed == listener:
                return self._view(listener, now)
            changed = dataclasses.replace(changed, revision=listener.revision + 1, last_updated=now)
            transaction.listeners.update(changed)
            if listener.is_enabled and changed.disabled_reason is not None:
                event = listener_event(changed, changed.disabled_reason, now=now)
                transaction.journal.append([event])
            transaction.after_commit(self._changed)
        return self._view(changed, now)

    def _sealed(self, listener: Listener, secrets: Secrets) -> Listener:
        """Return the listener with these secrets."""
        sealed = None if secrets == Secrets() else self._vault.seal(secrets)
        return dataclasses.replace(listener, sealed=sealed)

    def _open(self, listener: Listener) -> Secrets | None:
        """Return the secrets of the listener; None if they can't be read here."""
        try:
            return opened(listener, self._vault).secrets
        except SecretsUnreadable:
            return None

    def _view(self, listener: Listener, now: datetime) -> ListenerView:
        secrets = self._open(listener)
        if secrets is not None:
            used = tuple(secret for secret in secrets.signing if secret.holds(now))
            secrets = dataclasses.replace(secrets, signing=used)
        return ListenerView(listener=listener, secrets=secrets)


def opened(listener: Listener, vault: Vault) -> OpenListener:
    """Return the listener with its secrets, or raise SecretsUnreadable."""
    secrets = Secrets() if listener.sealed is None else vault.open(listener.sealed)
    return OpenListener(listener=listener, secrets=secrets)


def _refuse_other(sent: Mapping[str, Any], **fixed: str) -> None:
    """Raise InvalidValue if what can't change is sent with another value."""
    for key, value in fixed.items():
        if sent.get(key, value) != value:
            raise InvalidValue(key, why="it can't change; create another listener")


def _line(text: str) -> str:
    """Return a text as one line without control characters, within the bounds of a reason."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(plain.split())[:REASON_KEPT]


def _overlap(document: Any) -> timedelta:
    """Return for how long the document says that an old secret signs beside a new one."""
    sent = as_object(document)
    refuse_unknown(sent, ("overlap",))
    hours = sent.get("overlap")
    if hours is None:
        hours = _OVERLAP
    if type(hours) not in {int, float} or not 0 <= hours <= _LONGEST_OVERLAP:
        raise InvalidValue("overlap", why=f"must be hours, from 0 to {_LONGEST_OVERLAP}")
    return timedelta(hours=hours)
