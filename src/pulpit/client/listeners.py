"""Event listeners and their deliveries as the API tells of them, as values to rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from pulpit.client.reports import json_object
from pulpit.domain.deliveries import DeliveryState, Verdict
from pulpit.domain.findings import Finding, Outcome

__all__ = [
    "Delivery",
    "DeliveryPage",
    "Listener",
    "ListenerTest",
    "RotatedSecret",
    "findings",
    "resent",
]


def _text(document: Mapping[str, Any], key: str, what: str) -> str:
    """Return the text of a key.

    Raises:
        ValueError: there is none; the message names *what* should have one.
    """
    value = document.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{what} without {key}")  # noqa: TRY004 - a value from outside
    return value


def _maybe_text(document: Mapping[str, Any], key: str) -> str | None:
    """Return the text of a key, if it is one."""
    value = document.get(key)
    return value if isinstance(value, str) else None


def _count(document: Mapping[str, Any], key: str) -> int:
    """Return the number of a key; 0 for none."""
    value = document.get(key)
    return value if isinstance(value, int) else 0


def _part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the JSON object of a key; an empty one for none."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _texts(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the texts in the list of a key."""
    value = document.get(key)
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _objects(document: Mapping[str, Any], key: str, what: str) -> Sequence[Mapping[str, Any]]:
    """Return the JSON objects in the list of a key, or raise ValueError."""
    listed = document.get(key)
    if not isinstance(listed, list):
        raise ValueError(f"{what} without {key}")  # noqa: TRY004 - a value from outside
    return [json_object(item, what) for item in listed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Somebody who is told of events."""

    id: str
    #: ``http``, ``email`` or ``amqp``.
    notifier_type: str
    #: What is secret in it is ``*****``.
    config: Mapping[str, Any] = field(default_factory=dict)
    event_types: tuple[str, ...] = ()
    #: Only these repositories, and tasks with all of these tags; none: of all.
    repositories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    is_enabled: bool = True
    #: Why it is disabled; None if it is not.
    disabled_reason: str | None = None
    #: Deliveries that wait, and that were given up.
    pending: int = 0
    exhausted: int = 0
    #: What deliveries are signed with; told once, by the answer that has created the listener.
    secret: str | None = field(default=None, repr=False)
    #: The whole document, as it came.
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Return the listener that *document* is.

        Raises:
            ValueError: it is none.
        """
        known = json_object(document, "a listener")
        filters, counts = _part(known, "filters"), _part(known, "counts")
        return cls(
            id=_text(known, "id", "a listener"),
            notifier_type=_text(known, "notifier_type_id", "a listener"),
            config=_part(known, "notifier_config"),
            event_types=_texts(known, "event_types"),
            repositories=_texts(filters, "repositories"),
            tags=_texts(filters, "tags"),
            is_enabled=known.get("enabled") is not False,
            disabled_reason=_maybe_text(_part(known, "disabled"), "reason"),
            pending=_count(counts, "pending"),
            exhausted=_count(counts, "exhausted"),
            secret=_maybe_text(known, "secret"),
            document=known,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message on its way to a listener."""

    #: The same in all attempts; receivers have it as ``webhook-id``.
    id: str
    state: DeliveryState
    event_type: str
    #: How often it was tried.
    attempted: int = 0
    #: The attempts that are remembered, the oldest first; the last one alone on pages.
    attempts: tuple[Mapping[str, Any], ...] = ()
    #: ``YYYY-MM-DDTHH:MM:SSZ``.
    created: str | None = None
    #: When it is tried next; None once it is not pending.
    due: str | None = None
    finished: str | None = None
    #: The whole document, as it came.
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Return the delivery that *document* is.

        Raises:
            ValueError: it is none.
        """
        known = json_object(document, "a delivery")
        listed, last = known.get("attempts"), known.get("last_attempt")
        attempts = listed if isinstance(listed, list) else [last] if last else []
        return cls(
            id=_text(known, "id", "a delivery"),
            state=DeliveryState(_text(known, "state", "a delivery")),
            event_type=_text(known, "event_type", "a delivery"),
            attempted=_count(known, "attempted"),
            attempts=tuple(json_object(each, "an attempt") for each in attempts),
            created=_maybe_text(known, "created"),
            due=_maybe_text(known, "due"),
            finished=_maybe_text(known, "finished"),
            document=known,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPage:
    """Some deliveries of a listener, the newest first."""

    deliveries: tuple[Delivery, ...]
    #: ``before`` of the next page; None on the last one.
    next: int | None

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Return the page that *document* is.

        Raises:
            ValueError: it is none.
        """
        known = json_object(document, "a page of deliveries")
        listed = _objects(known, "deliveries", "a page of deliveries")
        following = known.get("next")
        return cls(
            deliveries=tuple(Delivery.from_document(each) for each in listed),
            next=following if isinstance(following, int) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedSecret:
    """The new secret of a listener; it is not told again."""

    secret: str = field(repr=False)
    #: Until when the old one is used beside it; None if it is not.
    until: str | None
    #: The whole document, as it came.
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Return what *document* tells of a rotation.

        Raises:
            ValueError: it is none.
        """
        known = json_object(document, "a new secret")
        secret = _text(known, "secret", "an answer")
        return cls(secret=secret, until=_maybe_text(known, "until"), document=known)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerTest:
    """How a ping to a listener went."""

    #: Whether the listener is told of no events now.
    disabled: bool
    #: ``{verdict, status, reason, response, retry_after}``.
    receipt: Mapping[str, Any]
    #: ``{peer, sent, received}``: what went over the wire; empty if nothing did.
    exchange: Mapping[str, Any]
    #: The whole document, as it came.
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Return what *document* tells of a ping.

        Raises:
            ValueError: it is none.
        """
        known = json_object(document, "a test")
        return cls(
            disabled=known.get("disabled") is True,
            receipt=json_object(known.get("receipt"), "a receipt"),
            exchange=_part(known, "exchange"),
            document=known,
        )

    @property
    def delivered(self) -> bool:
        """Whether the ping was taken."""
        return self.receipt.get("verdict") == Verdict.DELIVERED


def findings(document: Any) -> Sequence[Finding]:
    """Return what a doctor's answer holds, or raise ValueError."""
    what = "a diagnosis"
    return [
        Finding(
            group=_text(each, "group", what),
            check=_text(each, "check", what),
            title=_text(each, "title", what),
            outcome=Outcome(_text(each, "outcome", what)),
            detail=_text(each, "detail", what),
            fix=_maybe_text(each, "fix") or "",
        )
        for each in _objects(json_object(document, what), "findings", what)
    ]


def resent(document: Any) -> int:
    """Return how many deliveries an answer says are sent again, or raise ValueError."""
    count = json_object(document, "an answer").get("resent")
    if not isinstance(count, int):
        raise ValueError("an answer without resent")  # noqa: TRY004 - a value from outside
    return count
