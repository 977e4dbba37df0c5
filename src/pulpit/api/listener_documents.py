"""Listeners and their deliveries as JSON documents, without anything secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulpit.domain.clock import render_time
from pulpit.domain.deliveries import Attempt, Delivery, DeliveryState, Exchange, Receipt
from pulpit.domain.findings import Finding
from pulpit.domain.listeners import LISTENERS_HREF, Filters, Listener, Secrets
from pulpit.domain.repositories import MASK
from pulpit.services.listeners import ListenerView

__all__ = [
    "LISTENERS",
    "delivery_details",
    "delivery_document",
    "exchange_document",
    "finding_document",
    "full_document",
    "pulp2_document",
    "receipt_document",
]

#: Where listeners are with all that Pulp 2 did not have.
LISTENERS = "/pulpit/v1/listeners/"


def pulp2_document(view: ListenerView) -> dict[str, Any]:
    """Return the document of ``GET /pulp/api/v2/events/<id>/``; filters only if there are some."""
    filters = view.listener.filters
    told = {} if filters == Filters() else {"filters": _filters(filters)}
    return {"_href": f"{LISTENERS_HREF}{view.listener.id}/", **_common(view), **told}


def full_document(view: ListenerView, counts: Mapping[DeliveryState, int]) -> dict[str, Any]:
    """Return the document of ``GET /pulpit/v1/listeners/<id>/``.

    Args:
        view: the listener.
        counts: of its deliveries.
    """
    listener = view.listener
    return {
        "_href": f"{LISTENERS}{listener.id}/",
        **_common(view),
        "filters": _filters(listener.filters),
        "enabled": listener.is_enabled,
        "disabled": _disabled(listener),
        "health": {
            "failing_since": render_time(listener.health.failing_since),
            "last_delivered": render_time(listener.health.last_delivered),
            "last_failed": render_time(listener.health.last_failed),
            "last_reason": listener.health.last_reason,
        },
        "counts": {
            "pending": counts.get(DeliveryState.PENDING, 0),
            "exhausted": counts.get(DeliveryState.EXHAUSTED, 0),
        },
        "created": render_time(listener.created),
        "last_updated": render_time(listener.last_updated),
        "signing": None if view.secrets is None else _signing(view.secrets),
    }


def _common(view: ListenerView) -> dict[str, Any]:
    """Return what both documents of a listener hold."""
    listener = view.listener
    return {
        "_id": {"$oid": listener.id},
        "_ns": "event_listeners",
        "id": listener.id,
        "notifier_type_id": listener.notifier_type.value,
        "notifier_config": {**listener.config, **_masks(view.secrets)},
        "event_types": listener.event_types,
    }


def _masks(secrets: Secrets | None) -> dict[str, str]:
    """Return what stands for the secrets that were sent; one that was made here has no key."""
    masks: dict[str, str] = {}
    if secrets is not None and secrets.password is not None:
        masks["password"] = MASK
    if secrets is not None and any(secret.is_chosen for secret in secrets.signing[:1]):
        masks["secret"] = MASK
    return masks


def _filters(filters: Filters) -> dict[str, Any]:
    return {"repositories": filters.repositories, "tags": filters.tags}


def _disabled(listener: Listener) -> dict[str, Any] | None:
    if listener.is_enabled:
        return None
    return {"reason": listener.disabled_reason, "time": render_time(listener.disabled_at)}


def _signing(secrets: Secrets) -> dict[str, Any]:
    """Return with how many secrets deliveries are signed, and until when the old one is used."""
    ends = [secret.until for secret in secrets.signing if secret.until is not None]
    return {"secrets": len(secrets.signing), "until": render_time(min(ends, default=None))}


def delivery_document(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery as pages have it, with its last attempt."""
    last = delivery.attempts[-1:]
    return {
        **_delivery(delivery),
        "last_attempt": _attempt(last[0]) if last else None,
    }


def delivery_details(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery with all attempts that are remembered, the oldest first."""
    return {**_delivery(delivery), "attempts": [_attempt(each) for each in delivery.attempts]}


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "_href": f"{LISTENERS}{delivery.listener_id}/deliveries/{delivery.id}/",
        "id": delivery.id,
        "listener_id": delivery.listener_id,
        "event_type": delivery.event_type,
        "sequence": delivery.sequence,
        "lane": delivery.lane,
        "state": delivery.state.value,
        "attempted": delivery.attempted,
        "created": render_time(delivery.created),
        "due": render_time(delivery.due),
        "finished": render_time(delivery.finished),
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "time": render_time(attempt.time),
        "duration": round(attempt.duration, 3),
        "verdict": attempt.verdict.value,
        "status": attempt.status,
        "reason": attempt.reason,
        "response": attempt.response,
    }


def receipt_document(receipt: Receipt) -> dict[str, Any]:
    """Return how one attempt went."""
    return {
        "verdict": receipt.verdict.value,
        "status": receipt.status,
        "reason": receipt.reason,
        "response": receipt.response,
        "retry_after": receipt.retry_after,
    }


def exchange_document(exchange: Exchange | None) -> dict[str, Any] | None:
    """Return what went over the wire; None for nothing."""
    if exchange is None:
        return None
    return {"peer": exchange.peer, "sent": exchange.sent, "received": exchange.received}


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return what a check of the doctor's came to."""
    return {
        "group": finding.group,
        "check": finding.check,
        "title": finding.title,
        "outcome": finding.outcome.value,
        "detail": finding.detail,
        "fix": finding.fix,
    }
