"""The slots of a worker: none counts twice, and none is forgotten."""

from __future__ import annotations

import pytest

from pulpit.domain.clock import utc_now
from pulpit.domain.workers import Vacancy, new_worker
from pulpit.engine.places import Places

WORKER = new_worker("w1", slots=2, timeout=30.0, now=utc_now())


@pytest.fixture
def places() -> Places:
    """Return two slots, in which nothing runs."""
    places = Places(2)
    places.open()
    return places


def _fetch(places: Places, task_id: str) -> None:
    """Let the job of a task come."""
    assert places.reserve()
    places.hand(task_id)


def _run(places: Places, *task_ids: str) -> None:
    """Let tasks begin that were handed on."""
    for task_id in task_ids:
        _fetch(places, task_id)
    assert list(places.begin_handed(2)) == list(task_ids)
    places.settle(begun=task_ids, dropped=task_ids)


def _slots(vacancy: Vacancy | None) -> int:
    """Return how many tasks may begin."""
    return vacancy.slots if vacancy else 0


def test_a_slot_is_for_a_job_that_comes_or_for_a_task(places: Places) -> None:
    """No job is fetched for a slot that another one has, whatever became of that so far."""
    assert places.reserve()
    _fetch(places, "a")
    assert not places.reserve()
    places.give_back()
    assert places.reserve()
    places.give_back()
    assert places.begin_handed(2) == ["a"]
    assert not places.reserve(), "what begins may need the room"
    places.settle(begun=["a"], dropped=["a"])
    assert places.reserve()
    assert not places.reserve()


def test_jobs_that_were_lost_on_their_way_have_no_slot(places: Places) -> None:
    """The feed that is run anew expects none."""
    assert places.reserve()
    assert places.reserve()
    places.give_back(all_of_them=True)
    _run(places, "a", "b")


def test_room_is_told_of_once_to_who_found_none(places: Places) -> None:
    """And only when there is some again."""
    _run(places, "a", "b")
    assert not places.look_again()
    assert not places.reserve()
    assert not places.look_again()
    places.settle(ended=["a"])
    assert places.look_again()
    assert not places.look_again()


def test_ended_tasks_make_room_for_the_next(places: Places) -> None:
    """As many as there are slots that nobody has been promised."""
    _run(places, "a", "b")
    assert places.begin_others(WORKER, 0, ending=[]) is None
    vacancy = places.begin_others(WORKER, 2, ending=["a", "b"])
    assert vacancy == Vacancy(worker=WORKER, slots=2)
    assert not places.reserve()
    places.settle(begun=["c"], ended=["a", "b"], is_sure=True)
    _fetch(places, "d")
    assert not places.reserve()
    assert _slots(places.begin_others(WORKER, 1, ending=["c"])) == 0
    places.settle(ended=["c"])
    assert places.reserve()
    assert _slots(places.begin_others(WORKER, 2, ending=["e"])) == 0, "one is handed on, one comes"


def test_a_job_that_comes_for_a_task_that_runs_here_needs_no_slot(places: Places) -> None:
    """Whether the task began before or after the job was fetched."""
    _run(places, "a")
    _fetch(places, "a")
    assert not places.is_more
    assert places.reserve()
    places.hand("b")
    places.begin_others(WORKER, 1, ending=["a"])
    places.settle(begun=["b"], ended=["a"], is_sure=True)
    assert not places.is_more


def test_while_it_is_not_known_what_began_nothing_else_does(places: Places) -> None:
    """The next write asks for it, whether there is room or not, until there is an answer."""
    _run(places, "a")
    assert _slots(places.begin_others(WORKER, 2, ending=["a"])) == 2
    places.fail()
    _fetch(places, "b")
    assert places.begin_handed(2) == []
    vacancy = places.begin_others(WORKER, 0, ending=["a"])
    assert vacancy == Vacancy(worker=WORKER, slots=0, begun={"a"})
    places.settle(begun=["c"], ended=["a"], is_sure=True)
    assert places.begin_handed(1) == ["b"]


def test_what_began_for_a_worker_that_was_given_up_is_over(places: Places) -> None:
    """It begins nothing until it is known again, and then asks for nothing of before."""
    _run(places, "a")
    places.begin_others(WORKER, 2, ending=["a"])
    places.fail()
    places.close()
    assert not places.reserve()
    was_empty = places.is_empty
    assert places.begin_others(WORKER, 2, ending=["a"]) is None
    places.settle(ended=["a"])
    assert (was_empty, places.is_empty) == (False, True)
    places.open()
    assert places.begin_others(WORKER, 2, ending=[]) is None
    _run(places, "b")
