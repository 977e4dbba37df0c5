"""The window: nothing is forgotten before it is confirmed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pulpit.domain.folding import Folded, unfolded
from pulpit.events.amqp.frames import Confirm
from pulpit.events.amqp.window import Window
from tests.services.journal import make_event


def _filled(count: int, *, messages: int = 10) -> Window:
    """Return a window with events 1 to *count* in flight."""
    window = Window(messages=messages, size=1 << 20)
    for told in unfolded(make_event(number) for number in range(1, count + 1)):
        window.sent(told)
    return window


def _sequences(window: Window) -> list[int]:
    """Return the numbers that are not confirmed."""
    return sorted(told.event.sequence for told in window)


def test_an_ack_settles_one() -> None:
    """Without the bit, an ack is for its tag only."""
    window = _filled(4)
    assert window.confirm(Confirm(tag=2, multiple=False, taken=True)) == 1
    assert _sequences(window) == [1, 3, 4]
    assert (window.lowest, window.room) == (1, 7)


def test_a_multiple_ack_settles_all_up_to_it() -> None:
    """With the bit, an ack is for all tags up to its own; 0 stands for all there are."""
    window = _filled(4)
    assert window.confirm(Confirm(tag=3, multiple=True, taken=True)) == 3
    assert _sequences(window) == [4]
    assert window.confirm(Confirm(tag=0, multiple=True, taken=True)) == 1
    assert window.lowest is None


def test_a_nack_is_sent_again() -> None:
    """What was refused stays unconfirmed and gets a new tag."""
    window = _filled(3)
    window.confirm(Confirm(tag=2, multiple=True, taken=False))
    again = window.take_again(5)
    assert [told.event.sequence for told in again] == [1, 2]
    for told in again:
        window.sent(told)
    window.confirm(Confirm(tag=5, multiple=False, taken=True))
    assert _sequences(window) == [1, 3]


def test_a_lost_connection_sends_again_in_order() -> None:
    """All that is unconfirmed goes out again in the order of the journal, tags from 1."""
    window = _filled(4)
    window.confirm(Confirm(tag=3, multiple=False, taken=False))
    window.confirm(Confirm(tag=1, multiple=False, taken=True))
    window.connection_lost()
    again = window.take_again(9)
    assert [told.event.sequence for told in again] == [2, 3, 4]
    for told in again:
        window.sent(told)
    assert window.confirm(Confirm(tag=1, multiple=False, taken=True)) == 1
    assert _sequences(window) == [3, 4]


def test_unknown_tags_settle_nothing() -> None:
    """A broker that confirms what was never sent changes nothing."""
    window = _filled(2)
    assert window.confirm(Confirm(tag=9, multiple=False, taken=True)) == 0
    assert window.confirm(Confirm(tag=9, multiple=False, taken=False)) == 0
    assert _sequences(window) == [1, 2]


def test_bytes_bound_the_window() -> None:
    """Large bodies fill it before their number does; one always fits."""
    window = Window(messages=10, size=100)
    (told,) = unfolded([make_event(1, body=b"x" * 5000)])
    assert window.room == 10
    window.sent(told)
    assert window.room == 0
    window.confirm(Confirm(tag=1, multiple=False, taken=False))
    assert window.room == 0
    window.sent(window.take_again(1)[0])
    window.confirm(Confirm(tag=2, multiple=False, taken=True))
    assert window.room == 10


def test_the_lowest_counts_what_was_folded() -> None:
    """The cursor must stay below the first event that an unconfirmed message stands for."""
    window = Window(messages=10, size=100)
    window.sent(Folded(event=make_event(9), since=4))
    assert window.lowest == 4


_CONFIRMS = st.builds(Confirm, tag=st.integers(0, 15), multiple=st.booleans(), taken=st.booleans())


@given(st.lists(_CONFIRMS | st.just("lost") | st.just("again"), max_size=30))
def test_confirmed_and_waiting_are_all_there_is(acts: list[Confirm | str]) -> None:
    """Whatever the broker does, each message is confirmed once or still known."""
    window = _filled(8)
    confirmed = 0
    for act in acts:
        if isinstance(act, Confirm):
            settled = window.confirm(act)
            confirmed += settled if act.taken else 0
        elif act == "lost":
            window.connection_lost()
        else:
            for told in window.take_again(3):
                window.sent(told)
        assert confirmed + len(window) == 8
        assert len(set(_sequences(window))) == len(window)
        assert window.room == 10 - len(window)
