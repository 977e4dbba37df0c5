"""Listeners are kept as they are told to be, and go with their deliveries."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta

import pytest

from pulpit.domain.listeners import Filters, Health, Listener, NotifierType
from pulpit.errors import MissingResource
from tests.contract.databases import NOW, Database, new_listener, new_message

_ID, _OTHER = "1" * 24, "2" * 24


def _full() -> Listener:
    """Return a listener in which nothing is as by default."""
    return new_listener(
        _ID,
        notifier_type=NotifierType.AMQP,
        config={"exchange": "é 🦒", "deep": [{"x": None}]},
        event_types=("*", "task.error"),
        filters=Filters(repositories=("zoo", "emu"), tags=("pulp:action:sync",)),
        sealed=bytes(range(256)),
        created=NOW,
        last_updated=NOW + timedelta(microseconds=1),
        revision=2**40,
        disabled_reason="gone\nfor good",
        disabled_at=NOW + timedelta(days=1),
        health=Health(
            failing_since=NOW, last_delivered=NOW, last_failed=NOW, last_reason="refused"
        ),
    )


def _listeners(database: Database) -> Sequence[Listener]:
    with database.read() as transaction:
        return transaction.listeners.list()


def test_listener_is_kept_as_it_is(database: Database) -> None:
    """Whatever it holds, or lacks."""
    with database.write() as transaction:
        transaction.listeners.add(_full())
        transaction.listeners.add(new_listener(_OTHER))
    with database.read() as transaction:
        assert transaction.listeners.get(_ID) == _full()
        assert transaction.listeners.get(_OTHER) == new_listener(_OTHER)


def test_listener_that_is_not_there_is_missing(database: Database) -> None:
    """It is named as Pulp 2 did."""
    with database.read() as transaction, pytest.raises(MissingResource) as caught:
        transaction.listeners.get(_ID)
    assert caught.value.resources == {"event_listener_id": _ID}


def test_listeners_are_listed_by_age(database: Database) -> None:
    """Those of one moment by id."""
    with database.write() as transaction:
        transaction.listeners.add(new_listener("3" * 24, created=NOW))
        transaction.listeners.add(new_listener(_OTHER, created=NOW))
        transaction.listeners.add(new_listener(_ID, created=NOW + timedelta(microseconds=1)))
    assert [each.id[0] for each in _listeners(database)] == ["2", "3", "1"]


def test_update_leaves_health_alone(database: Database) -> None:
    """Health is written by who delivers, all else by who is asked to."""
    healthy = Health(last_delivered=NOW)
    with database.write() as transaction:
        transaction.listeners.add(new_listener(_ID))
        transaction.listeners.set_health({_ID: healthy})
        transaction.listeners.update(_full())
    assert _listeners(database) == [dataclasses.replace(_full(), health=healthy)]


def test_what_is_gone_stays_gone(database: Database) -> None:
    """Neither a change nor word of its health brings it back, and removing it again is fine."""
    with database.write() as transaction:
        transaction.listeners.add(new_listener(_ID))
        transaction.listeners.remove(_ID)
        transaction.listeners.remove(_ID)
        transaction.listeners.update(_full())
        transaction.listeners.set_health({_ID: Health(last_failed=NOW)})
    assert _listeners(database) == []


def test_deliveries_go_with_their_listener(database: Database) -> None:
    """Those of others stay."""
    with database.write() as transaction:
        for listener_id in (_ID, _OTHER):
            transaction.listeners.add(new_listener(listener_id))
        transaction.deliveries.add([(new_message(1), [_ID, _OTHER])], now=NOW)
    with database.write() as transaction:
        transaction.listeners.remove(_ID)
    with database.read() as transaction:
        assert not transaction.deliveries.pending(_ID, after=0, limit=9)
        assert len(transaction.deliveries.pending(_OTHER, after=0, limit=9)) == 1
