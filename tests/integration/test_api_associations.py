"""Copying units between repositories, and removing them, over REST."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api_site import Site, assert_error, copy_of, spawned
from tests.copied import Zoo, document, module, names_in, package
from tests.primaries import Sketch

_MANAGER = "pulp.server.managers.repo.unit_association"


@pytest.fixture
def zoo(site: Site) -> Zoo:
    """Return a site with a repository of packages, and an empty one."""
    return _filled(site)


@pytest.fixture(scope="module")
def unchanged(new_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    """Yield the same for those who change nothing."""
    folder = tmp_path_factory.mktemp("unchanged")
    with Site(copy_of(new_database, folder), folder / "data") as site:
        yield _filled(site)
        assert site.log.told == []


def _filled(site: Site) -> Zoo:
    made = Zoo(site)
    made.make(
        "zoo",
        [
            package(Sketch(name="bear", requires=["honey"])),
            package(Sketch(name="honey", version="1")),
            package(Sketch(name="honey", version="2")),
            package(Sketch(name="bear", arch="src")),
            document("erratum", {"id": "E1"}, title="E1"),
        ],
    )
    made.make("den")
    return made


def test_a_copy_is_a_task(zoo: Zoo) -> None:
    """A copy is a task that reserves both repositories, and tells what was copied."""
    criteria = {"type_ids": ["rpm"], "filters": {"unit": {"name": "bear"}}}
    answer = zoo.ask("den", "associate", source_repo_id="zoo", criteria=criteria)
    [task] = spawned(zoo.site, answer)
    assert task["task_type"] == f"{_MANAGER}.associate_from_repo"
    tags = {"pulp:repository:den", "pulp:repository:zoo", "pulp:action:associate"}
    assert {*task["tags"]} == tags
    with zoo.site.storage.read() as transaction:
        [waiting] = transaction.tasks.holding()
    assert waiting.resources == ("repository:den", "repository:zoo")
    report = zoo.done(answer)
    assert (report["state"], report["error"]) == ("finished", None)
    [copied] = report["result"]["units_successful"]
    assert copied["type_id"] == "rpm"
    names = {"name", "epoch", "version", "release", "arch", "checksumtype", "checksum"}
    assert copied["unit_key"].keys() == names
    assert report["result"]["units_failed_signature_filter"] == []
    assert zoo.names("den") == {"bear-1.x86_64"}
    repository = zoo.site.ask("GET", "repositories/den/").json()
    assert repository["content_unit_counts"] == {"rpm": 1}
    assert repository["last_unit_added"] is not None


def test_all_is_copied_without_criteria(zoo: Zoo) -> None:
    """Without criteria all is copied, and a second copy changes nothing but tells the same."""
    first = zoo.copy("zoo", "den")["result"]["units_successful"]
    assert names_in(first) == zoo.names("den") == zoo.names("zoo")
    before = zoo.site.ask("GET", "repositories/den/").json()
    assert zoo.copy("zoo", "den", criteria={})["result"]["units_successful"] == first
    assert zoo.site.ask("GET", "repositories/den/").json() == before


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"filters": {"unit": {"name": "bear"}}}, {"bear-1.x86_64", "bear-1.src"}),
        ({"filters": {"association": {"unit_type_id": "erratum"}}}, {"erratum E1"}),
        (
            {"type_ids": ["rpm"], "sort": {"unit": [["version", "descending"]]}, "limit": 1},
            {"honey-2.x86_64"},
        ),
        ({"type_ids": ["rpm"], "filters": {"unit": {"name": "wolf"}}}, set()),
        ({"type_ids": ["iso"]}, set()),
    ],
)
def test_criteria_select(zoo: Zoo, criteria: dict[str, Any], expected: set[str]) -> None:
    """The criteria, their order and limit say what is copied, and what is removed."""
    assert names_in(zoo.copy("zoo", "den", criteria=criteria)["result"]["units_successful"]) == (
        expected
    )
    assert zoo.names("den") == expected
    everything = zoo.names("zoo")
    report = zoo.done(zoo.ask("zoo", "unassociate", criteria=criteria))
    assert names_in(report["result"]["units_successful"]) == expected
    assert zoo.names("zoo") == everything - expected


def test_a_removal_is_a_task(zoo: Zoo) -> None:
    """A removal is a task, after which the repository knows when it was."""
    answer = zoo.ask("zoo", "unassociate", criteria={"type_ids": ["erratum"]})
    [task] = spawned(zoo.site, answer)
    assert task["task_type"] == f"{_MANAGER}.unassociate_by_criteria"
    assert {*task["tags"]} == {"pulp:repository:zoo", "pulp:action:unassociate"}
    assert zoo.done(answer)["result"] == {
        "units_successful": [{"type_id": "erratum", "unit_key": {"id": "E1"}}]
    }
    repository = zoo.site.ask("GET", "repositories/zoo/").json()
    assert repository["content_unit_counts"] == {"rpm": 3, "srpm": 1}
    assert repository["last_unit_removed"] is not None
    assert zoo.done(zoo.ask("zoo", "unassociate"))["state"] == "finished"
    assert zoo.names("zoo") == set()


@pytest.mark.parametrize(
    ("sent", "code", "names"),
    [
        ({}, "PLP0016", ["source_repo_id"]),
        ({"source_repo_id": 5}, "PLP0015", ["source_repo_id"]),
        ({"source_repo_id": "nowhere"}, "PLP0015", ["source_repo_id"]),
        ({"source_repo_id": "zoo", "criteria": []}, "PLP1015", None),
        (
            {"source_repo_id": "zoo", "criteria": {"filters": {"unit": {"a": {"$x": 1}}}}},
            "PLP0017",
            ["$x"],
        ),
        ({"source_repo_id": "zoo", "criteria": {"limit": 0}}, "PLP0015", ["limit"]),
        ({"source_repo_id": "zoo", "units": []}, "PLP0017", ["units"]),
        (
            {"source_repo_id": "zoo", "override_config": {"recursive": "maybe"}},
            "PLP0015",
            ["recursive"],
        ),
        (
            {"source_repo_id": "zoo", "override_config": {"allowed_keys": ["x"]}},
            "PLP0015",
            ["allowed_keys"],
        ),
        *(
            (
                {"source_repo_id": "zoo", "override_config": {"additional_repos": further} | more},
                "PLP0015",
                ["additional_repos"],
            )
            for further, more in [
                ({"zoo": "den"}, {}),
                ({"zoo": 1}, {"recursive": True}),
                ({"nowhere": "den"}, {"recursive": True}),
                ({"zoo": "nowhere"}, {"recursive": True}),
                (["zoo"], {"recursive": True}),
                ({f"r{each}": "den" for each in range(101)}, {"recursive": True}),
            ]
        ),
    ],
)
def test_bad_copies(
    unchanged: Zoo, sent: dict[str, Any], code: str, names: list[str] | None
) -> None:
    """What can't be copied is refused at once, and says what is wrong."""
    body = assert_error(unchanged.ask("den", "associate", **sent), 400, code)
    assert names is None or names in body.values()


def test_bad_paths_and_removals(unchanged: Zoo) -> None:
    """A destination that is not there is a 404, and criteria of a removal are checked."""
    assert_error(unchanged.ask("nowhere", "associate", source_repo_id="zoo"), 404, "PLP0009")
    assert_error(unchanged.ask("nowhere", "unassociate"), 404, "PLP0009")
    assert_error(unchanged.ask("zoo", "unassociate", criteria={"skip": -1}), 400, "PLP0015")
    assert_error(unchanged.ask("zoo", "unassociate", filters={}), 400, "PLP0017")


@pytest.mark.parametrize("body", [b"", b"null", b"[]"])
def test_a_lost_body_removes_nothing(unchanged: Zoo, body: bytes) -> None:
    """A removal says what it removes: a request without a body does not empty a repository."""
    answer = unchanged.site.ask("POST", "repositories/zoo/actions/unassociate/", content=body)
    assert_error(answer, 400, "PLP1015")


def test_importers_are_needed(zoo: Zoo) -> None:
    """Without an importer on either side the task fails, and says which repository lacks one."""
    assert zoo.site.ask("POST", "repositories/", json={"id": "bare"}).status_code == 201
    for source, destination in [("bare", "den"), ("zoo", "bare")]:
        report = zoo.copy(source, destination)
        assert report["state"] == "error"
        assert report["error"]["code"] == "PLP0009"
        assert report["error"]["data"]["resources"]["repo_id"] == "bare"


def test_types_must_be_taken(zoo: Zoo) -> None:
    """Units that the destination can't hold are not copied, and the task says so."""
    key = {"name": "a.iso", "checksum": "0" * 64, "size": 1}
    zoo.make("discs", [document("iso", key)])
    report = zoo.copy("discs", "den")
    assert report["error"]["code"] == "PLP0044"
    assert report["error"]["data"] == {"repo_id": "den", "type_ids": ["iso"]}
    assert zoo.names("den") == set()
    assert zoo.copy("discs", "den", criteria={"type_ids": ["rpm"]})["state"] == "finished"


def test_signatures_are_asked_for(zoo: Zoo) -> None:
    """Packages that lack the signature which the destination wants are told, and not copied."""
    zoo.make(
        "signed",
        [
            package(Sketch(name="a", requires=["b", "c"]), signing_key="aaaaaaaa"),
            package(Sketch(name="b"), signing_key="bbbbbbbb"),
            package(Sketch(name="c")),
            package(Sketch(name="s", arch="src")),
        ],
    )
    zoo.make("strict", require_signature=True, allowed_keys=["0xAAAAAAAA"])
    result = zoo.copy("signed", "strict", override_config={"recursive": True})["result"]
    assert names_in(result["units_successful"]) == zoo.names("strict") == {"a-1.x86_64"}
    refused = names_in(result["units_failed_signature_filter"])
    assert refused == {"b-1.x86_64", "c-1.x86_64", "s-1.src"}
    assert zoo.copied("signed", "strict", "a", recursive=True) == {"a-1.x86_64"}
    assert zoo.copied("signed", "strict", "b", allowed_keys=["bbbbbbbb"]) == {"b-1.x86_64"}
    assert zoo.copied("signed", "strict", "c", require_signature=False) == {"c-1.x86_64"}


def test_dependencies(zoo: Zoo) -> None:
    """Recursive takes the newest dependencies along, conservative those that are not met yet."""
    assert zoo.copied("zoo", "den", "bear") == {"bear-1.x86_64"}
    newest = {"bear-1.x86_64", "honey-2.x86_64"}
    assert zoo.copied("zoo", "den", "bear", recursive=True) == newest
    zoo.make("cave", [package(Sketch(name="honey", version="1"))])
    kept = zoo.copied("zoo", "cave", "bear", recursive=True, recursive_conservative=True)
    assert kept == {"bear-1.x86_64"}
    assert zoo.names("cave") == {"bear-1.x86_64", "honey-1.x86_64"}


def test_further_repositories(zoo: Zoo) -> None:
    """Dependencies that other repositories have go where the override says, each unit once."""
    zoo.make("app", [package(Sketch(name="app", requires=["lib", "bear"]))])
    zoo.make("libs", [package(Sketch(name="lib", requires=["honey < 2"]))])
    for name in ("app-copy", "libs-copy"):
        zoo.make(name)
    further = {"libs": "libs-copy", "zoo": "den"}
    answer = zoo.ask(
        "app-copy",
        "associate",
        source_repo_id="app",
        override_config={"recursive": True, "additional_repos": further},
    )
    [task] = spawned(zoo.site, answer)
    every = ("app", "app-copy", "den", "libs", "libs-copy", "zoo")
    assert {*task["tags"]} == {*(f"pulp:repository:{name}" for name in every)} | {
        "pulp:action:associate"
    }
    copied = names_in(zoo.done(answer)["result"]["units_successful"])
    assert zoo.names("app-copy") == {"app-1.x86_64"}
    assert zoo.names("libs-copy") == {"lib-1.x86_64"}
    assert zoo.names("den") == {"bear-1.x86_64", "honey-1.x86_64"}
    assert copied == zoo.names("app-copy") | zoo.names("libs-copy") | zoo.names("den")


def test_sources_outlive_a_copy(zoo: Zoo) -> None:
    """What was never downloaded can be had through the copy, even once the source let it go."""
    with zoo.site.storage.write() as transaction:
        [bear, *_] = transaction.content.members("zoo", "rpm")
        transaction.content.set_sources("zoo", {bear: "http://feed.example/bear.rpm"})
    zoo.copy("zoo", "den", criteria={"type_ids": ["rpm"]})
    zoo.done(zoo.ask("zoo", "unassociate"))
    with zoo.site.storage.read() as transaction:
        # with the importer, and so the credentials, that the URL belongs to
        assert transaction.content.sources(bear) == [("zoo", "http://feed.example/bear.rpm")]


def test_modules_leave_with_their_packages(zoo: Zoo) -> None:
    """With a module its packages leave, but for those of another module that stays."""
    zoo.make(
        "modular",
        [
            module("duck", "0", ["duck-1-1.x86_64", "pond-1-1.x86_64"]),
            module("duck", "1", ["pond-1-1.x86_64"]),
            *(package(Sketch(name=name)) for name in ("duck", "pond", "other")),
        ],
    )
    criteria = {"type_ids": ["modulemd"], "filters": {"unit": {"stream": "0"}}}
    report = zoo.done(zoo.ask("modular", "unassociate", criteria=criteria))
    assert names_in(report["result"]["units_successful"]) == {"module duck:0:1"}
    left = {"module duck:1:1", "pond-1.x86_64", "other-1.x86_64"}
    assert zoo.names("modular") == left


def test_rights_to_all_repositories(zoo: Zoo) -> None:
    """Who copies may change each destination and read each source, or else is refused."""
    zoo.make("secret")
    zoo.make("other")
    ann = ("ann", "a password of ann")
    created = {"login": ann[0], "password": ann[1]}
    assert zoo.site.ask("POST", "users/", json=created).status_code == 201

    def copy(source: str, **override: Any) -> int:
        sent = {"source_repo_id": source, "override_config": override}
        path = "repositories/den/actions/associate/"
        return zoo.site.ask("POST", path, json=sent, auth=ann).status_code

    assert copy("zoo") == 403
    for resource, operation in [("den", "UPDATE"), ("zoo", "READ"), ("other", "READ")]:
        right = {"resource": f"/v2/repositories/{resource}/", "operations": [operation]}
        answer = zoo.site.ask(
            "POST", "permissions/actions/grant_to_user/", json={"login": "ann", **right}
        )
        assert answer.status_code == 200, answer.json()
    assert copy("zoo") == 202
    assert copy("secret") == 403
    assert copy("zoo", recursive=True, additional_repos={"other": "den"}) == 202
    assert copy("zoo", recursive=True, additional_repos={"secret": "den"}) == 403
    assert copy("zoo", recursive=True, additional_repos={"zoo": "other"}) == 403
