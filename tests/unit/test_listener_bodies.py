"""The messages that are held for deliveries: so many bytes, and no more."""

from __future__ import annotations

from pulpit.domain.messages import Message
from pulpit.events.listeners.bodies import Bodies
from pulpit.testing import FrozenClock


def _message(number: int, size: int) -> Message:
    return Message(
        number=number,
        sequence=number,
        event_id="e",
        event_type="task.error",
        repo_id=None,
        task_id=None,
        tags=(),
        time=FrozenClock()(),
        body=b"x" * size,
    )


def test_what_was_used_longest_ago_goes_first() -> None:
    bodies = Bodies(100)
    bodies.add({number: _message(number, 40) for number in (1, 2)})
    assert bodies.get(1) is not None
    bodies.add({3: _message(3, 40)})
    assert bodies.size == 80
    assert bodies.lacking([1, 2, 3]) == {2}


def test_one_message_is_held_however_large_it_is() -> None:
    bodies = Bodies(100)
    bodies.add({1: _message(1, 40), 2: _message(2, 1_000)})
    assert bodies.lacking([1, 2]) == {1}
    assert bodies.size == 1_000


def test_a_message_that_is_added_again_counts_once() -> None:
    bodies = Bodies(100)
    for _ in range(3):
        bodies.add({1: _message(1, 40)})
    assert bodies.size == 40
