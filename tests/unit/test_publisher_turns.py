"""Which broker is tried next, and when."""

from __future__ import annotations

from pulpit.events.amqp.addresses import parse_addresses
from pulpit.events.amqp.settings import PublisherSettings
from pulpit.events.amqp.turns import Turns


def _turns(*hosts: str) -> Turns:
    """Return turns of these brokers with rests of 0.5 to 1, then 1 to 2 seconds and so on."""
    urls = ";".join(f"amqp://{host}" for host in hosts)
    settings = PublisherSettings(urls=urls, retry_first=1, retry_longest=4, retry_refused=30)
    return Turns(parse_addresses(urls), settings)


def test_the_next_broker_is_tried_at_once_and_all_rest_together() -> None:
    """A rest comes when each has failed since the last one."""
    turns = _turns("a", "b", "c")
    rests = [turns.failed(refused=False) for _ in range(6)]
    assert [bool(rest) for rest in rests] == [False, False, True] * 2
    assert rests[5] >= rests[2]
    assert turns.address.host == "a"


def test_a_broker_that_served_well_is_followed_by_the_next_without_rest() -> None:
    """Failures before a success count no more, wherever the turn stands."""
    turns = _turns("a", "b")
    assert turns.failed(refused=False) == 0
    turns.succeeded()
    assert turns.address.host == "b"
    assert turns.failed(refused=False) == 0
    assert turns.address.host == "a"


def test_refusals_rest_longer_only_where_all_refuse() -> None:
    """One broker that is merely away may be back soon."""
    turns = _turns("a", "b")
    assert turns.failed(refused=True) == 0
    assert turns.failed(refused=False) <= 1
    turns.failed(refused=True)
    assert turns.failed(refused=True) == 30


def test_one_broker_rests_after_each_failure_and_shortly_after_a_success() -> None:
    """The rests double, and begin again."""
    turns = _turns("a")
    assert [0.5 <= turns.failed(refused=False) / 2**step <= 1 for step in range(3)] == [True] * 3
    turns.succeeded()
    assert turns.failed(refused=False) <= 1


def test_a_dropped_broker_is_tried_no_more() -> None:
    """The others go on in their order; the last one can't be dropped."""
    turns = _turns("a", "b", "c")
    turns.failed(refused=False)
    assert turns.drop()
    assert turns.address.host == "c"
    turns.failed(refused=False)
    assert turns.address.host == "a"
    assert turns.drop()
    assert not turns.drop()
    assert turns.address.host == "c"
