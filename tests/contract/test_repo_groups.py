"""Groups of repositories, and of tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pulpit.domain.repo_groups import RepoGroup
from pulpit.domain.tasks import TaskState
from pulpit.errors import DuplicateResource, MissingResource
from pulpit.ports import Transaction
from tests.contract.databases import OID, Database, new_repository, new_task

GROUP = RepoGroup(id="g", oid=OID, display_name="The group", description="d", notes={"a": [1]})


@pytest.fixture
def transaction(database: Database) -> Iterator[Transaction]:
    """Yield a transaction that sees three empty repositories."""
    with database.write() as opened:
        for repo_id in ("bear", "cat", "zoo"):
            opened.repositories.add(new_repository(repo_id))
        yield opened


def test_a_group_is_kept(transaction: Transaction) -> None:
    """A group comes back whole, once, sorted among the others; an unknown one is missing."""
    groups = transaction.repo_groups
    whole = replace(GROUP, repo_ids=("bear", "zoo"))
    groups.add(replace(GROUP, id="h", notes={}, description=None))
    groups.add(replace(GROUP, repo_ids=("zoo", "bear")))
    assert groups.get("g") == whole
    assert [group.id for group in groups.list()] == ["g", "h"]
    assert groups.list()[0] == whole
    with pytest.raises(DuplicateResource):
        groups.add(GROUP)
    assert groups.get("g") == whole
    with pytest.raises(MissingResource):
        groups.get("x")


def test_a_group_changes(transaction: Transaction) -> None:
    """An update writes all but who is in it; what is removed is gone."""
    groups = transaction.repo_groups
    groups.add(replace(GROUP, repo_ids=("zoo",)))
    changed = replace(GROUP, display_name="Other", description=None, notes={})
    groups.update(changed)
    assert groups.get("g") == replace(changed, repo_ids=("zoo",))
    groups.remove("g")
    groups.remove("g")
    assert groups.list() == []


def test_members_come_and_go(transaction: Transaction) -> None:
    """Each is in it once, however often it is added; a deleted repository is in no group."""
    groups = transaction.repo_groups
    groups.add(GROUP)
    groups.add_members("g", ["zoo", "cat"])
    groups.add_members("g", ["cat", "bear"])
    assert groups.get("g").repo_ids == ("bear", "cat", "zoo")
    groups.remove_members("g", ["cat", "none"])
    assert groups.get("g").repo_ids == ("bear", "zoo")
    transaction.repositories.remove("bear")
    assert groups.get("g").repo_ids == ("zoo",)
    groups.add_members("g", [])
    groups.remove_members("g", [])
    assert groups.get("g").repo_ids == ("zoo",)


def test_states_of_a_task_group_are_counted(transaction: Transaction) -> None:
    """Tasks of the group alone, by state."""
    states = (TaskState.WAITING, TaskState.WAITING, TaskState.RUNNING)
    for state in states:
        transaction.tasks.add(new_task(group_id="g", state=state))
    transaction.tasks.add(new_task(group_id="other"))
    transaction.tasks.add(new_task())
    found = transaction.tasks.states_of_group("g")
    assert found == {TaskState.WAITING: 2, TaskState.RUNNING: 1}
    assert transaction.tasks.states_of_group("none") == {}
