"""`pulpit repo copy` and `remove-units` against a scripted server."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulpit.cli.exits import ExitCode
from tests.unit.command import Cli, runner
from tests.unit.fake_api import TASK, FakeApi, report

ASSOCIATE = "/pulp/api/v2/repositories/den/actions/associate/"
UNASSOCIATE = "/pulp/api/v2/repositories/den/actions/unassociate/"


@pytest.fixture
def api() -> FakeApi:
    """Return a server that takes both."""
    api = FakeApi()
    api.call("POST", ASSOCIATE, TASK)
    api.call("POST", UNASSOCIATE, TASK)
    return api


@pytest.fixture
def cli(api: FakeApi, tmp_path: Path) -> Cli:
    """Return a function that runs a command in a world of its own."""
    return runner(api, tmp_path)


def test_a_copy_is_followed(api: FakeApi, cli: Cli) -> None:
    """The task's end tells how many units were copied, and how many lack a signature."""
    unit = {"type_id": "rpm", "unit_key": {}}
    result = {"units_successful": [unit, unit], "units_failed_signature_filter": [unit]}
    tags = ["pulp:repository:den", "pulp:repository:zoo", "pulp:action:associate"]
    api.told(report(tags=tags, result=result))
    ran = cli("repo", "copy", "zoo", "den")
    told = "2 units, 1 left out for want of a signature"
    assert (ran.code, ran.out) == (0, f"✓ associate of den finished in 2 s: {told}\n")
    assert api.bodies("POST", ASSOCIATE) == [{"source_repo_id": "zoo"}]


def test_a_copy_says_what_and_how(api: FakeApi, cli: Cli) -> None:
    """Options become criteria and the override configuration."""
    asked = ["--type", "rpm", "--type", "srpm", "--filter", '{"name": "bear"}', "--limit", "3"]
    more = ["--conservative", "--also", "libs=libs-copy", "--no-wait"]
    assert cli("repo", "copy", "zoo", "den", *asked, *more).out == f"{TASK}\n"
    assert api.bodies("POST", ASSOCIATE) == [
        {
            "source_repo_id": "zoo",
            "criteria": {
                "type_ids": ["rpm", "srpm"],
                "filters": {"unit": {"name": "bear"}},
                "limit": 3,
            },
            "override_config": {
                "recursive_conservative": True,
                "additional_repos": {"libs": "libs-copy"},
            },
        }
    ]


@pytest.mark.parametrize(
    "options",
    [
        ["--filter", "name=bear"],
        ["--filter", "[]"],
        ["--also", "libs=copy"],
        ["--recursive", "--also", "libs"],
        ["--recursive", "--also", "=copy"],
        ["--limit", "0"],
    ],
)
def test_bad_copies(api: FakeApi, cli: Cli, options: list[str]) -> None:
    """What makes no sense is refused before anything is asked of the server."""
    assert cli("repo", "copy", "zoo", "den", *options).code == ExitCode.USAGE
    assert not api.requests


def test_a_removal_asks_first(api: FakeApi, cli: Cli) -> None:
    """Where nobody can be asked, nothing is removed without --yes."""
    assert cli("repo", "remove-units", "den", "--type", "rpm").code == ExitCode.USAGE
    assert not api.requests
    done = cli("repo", "remove-units", "den", "--type", "rpm", "--yes", "--no-wait")
    assert done.out == f"{TASK}\n"
    assert api.bodies("POST", UNASSOCIATE) == [{"criteria": {"type_ids": ["rpm"]}}]
