"""Snapshots: pages that together are one picture, and tokens that nobody can make up."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulpit.domain.tasks import Task, TaskState
from pulpit.errors import InvalidValue
from pulpit.services.snapshot import Snapshots, TaskFilter
from pulpit.testing import MemoryStorage

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_STATES = st.sampled_from([TaskState.WAITING, TaskState.RUNNING, TaskState.FINISHED])
_TAGS = st.frozensets(st.sampled_from("abc"))
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _add(storage: MemoryStorage, number: int, state: TaskState, tags: frozenset[str]) -> None:
    with storage.write() as transaction:
        transaction.tasks.add(
            Task(
                id=str(number),
                oid="0" * 24,
                task_type="t",
                operation="t",
                created=_NOW,
                state=state,
                tags=tuple(tags),
                revision=1,
            )
        )


@given(
    tasks=st.lists(st.tuples(_STATES, _TAGS), max_size=12),
    states=st.frozensets(_STATES, min_size=1),
    tags=_TAGS,
    limit=st.integers(1, 5),
)
def test_pages_are_the_tasks_that_are_wanted(
    tasks: list[tuple[TaskState, frozenset[str]]],
    states: frozenset[TaskState],
    tags: frozenset[str],
    limit: int,
) -> None:
    """All of them, each once, in order, on full pages."""
    storage = MemoryStorage()
    for number, (state, of_task) in enumerate(tasks):
        _add(storage, number, state, of_task)
    snapshots, wanted = Snapshots(storage), TaskFilter(states=states, tags=tags)
    page = snapshots.page(wanted, limit=limit, token=None)
    found, sizes = list(page.tasks), [len(page.tasks)]
    while page.next:
        page = snapshots.page(wanted, limit=limit, token=page.next)
        found += page.tasks
        sizes.append(len(page.tasks))
    expected = [
        b'"task_id":"%d"' % number
        for number, (state, of_task) in enumerate(tasks)
        if state in states and tags <= of_task
    ]
    assert len(found) == len(expected)
    assert all(part in told.report for part, told in zip(expected, found, strict=True))
    assert sizes[:-1] == [limit] * (len(sizes) - 1)


def _first_token(storage: MemoryStorage) -> str:
    for number in range(2):
        _add(storage, number, TaskState.WAITING, frozenset())
    token = Snapshots(storage).page(TaskFilter(), limit=1, token=None).next
    assert token
    return token


@given(place=st.integers(0, 42), sign=st.sampled_from(_ALPHABET), data=st.data())
def test_a_token_that_was_changed_is_refused(place: int, sign: str, data: st.DataObject) -> None:
    """Whatever is changed, left out or added."""
    storage = MemoryStorage()
    token = _first_token(storage)
    assert len(token) == 43
    changed = data.draw(
        st.sampled_from(
            [
                token[:place] + sign + token[place + 1 :],
                token[:place] + token[place + 1 :],
                token[:place] + sign + token[place:],
                f"{token}=",
                f"{token}\n",
            ]
        )
    )
    if changed != token:
        with pytest.raises(InvalidValue):
            Snapshots(storage).page(TaskFilter(), limit=1, token=changed)


@given(token=st.text())
def test_a_token_that_was_made_up_is_refused(token: str) -> None:
    """Any text, the empty one included."""
    with pytest.raises(InvalidValue):
        Snapshots(MemoryStorage()).page(TaskFilter(), limit=1, token=token)


def test_a_token_is_of_one_server() -> None:
    """Another data folder's token is refused; a restarted server's own is taken."""
    storage, other = MemoryStorage(), MemoryStorage()
    token = _first_token(storage)
    assert Snapshots(storage).page(TaskFilter(), limit=1, token=token).next is None
    _first_token(other)
    with pytest.raises(InvalidValue):
        Snapshots(other).page(TaskFilter(), limit=1, token=token)
