"""Repositories over REST: create, read, list, search, update, delete, sync and publish."""

from __future__ import annotations

from typing import Any

import pytest

from pulpit.domain.outcomes import Finished
from tests.api_site import API, Site, assert_error, spawned

_CREATED = "2026-01-01T00:00:00Z"
_ZOO: dict[str, Any] = {
    "id": "zoo",
    "display_name": "Zoo",
    "description": "Animals",
    "notes": {"_repo-type": "rpm-repo", "count": 3},
    "importer_type_id": "yum_importer",
    "importer_config": {"feed": "http://u%40x:p@feed.example/zoo", "remove_missing": True},
    "distributors": [
        {
            "distributor_id": "yum",
            "distributor_type_id": "yum_distributor",
            "auto_publish": True,
            "distributor_config": {"relative_url": "zoo", "http": True, "https": False},
        },
    ],
}


def _create(site: Site, **changes: Any) -> dict[str, Any]:
    document = {key: value for key, value in (_ZOO | changes).items() if value is not None}
    answer = site.ask("POST", "repositories/", json=document)
    assert answer.status_code == 201, answer.json()
    return dict(answer.json())


def _bare(site: Site, *ids: str) -> None:
    for repo_id in ids:
        assert site.ask("POST", "repositories/", json={"id": repo_id}).status_code == 201


def _ids(site: Site, path: str, **options: Any) -> list[str]:
    answer = site.ask("POST" if "json" in options else "GET", path, **options)
    assert answer.status_code == 200, answer.json()
    return [document["id"] for document in answer.json()]


def test_a_repository_is_created_whole(site: Site) -> None:
    """POST answers 201 with the document and where it is."""
    answer = site.ask("POST", "repositories/", json=_ZOO)
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{API}/repositories/zoo/"
    body = answer.json()
    assert len(body.pop("_id")["$oid"]) == 24
    assert body == {
        "_ns": "repos",
        "_href": f"{API}/repositories/zoo/",
        "id": "zoo",
        "display_name": "Zoo",
        "description": "Animals",
        "notes": {"_repo-type": "rpm-repo", "count": 3},
        "scratchpad": {},
        "content_unit_counts": {},
        "last_unit_added": None,
        "last_unit_removed": None,
    }
    assert site.ask("GET", "repositories/zoo/").json() == answer.json()


def test_an_id_is_enough(site: Site) -> None:
    """All but the id has a default; null is as good as absent."""
    nothing = dict.fromkeys(set(_ZOO) - {"id"})
    body = site.ask("POST", "repositories/", json={"id": "a.b-c_D9", **nothing}).json()
    assert (body["display_name"], body["description"], body["notes"]) == ("a.b-c_D9", None, {})
    whole = site.ask("GET", "repositories/a.b-c_D9/?details=true").json()
    assert (whole["importers"], whole["distributors"]) == ([], [])


def test_the_longest_id_is_taken(site: Site) -> None:
    """An id of 255 characters works everywhere."""
    _bare(site, "a" * 255)
    assert site.ask("GET", f"repositories/{'a' * 255}/").status_code == 200


@pytest.mark.parametrize(
    ("change", "code", "key", "names"),
    [
        ({"id": None}, "PLP0016", "missing_property_names", ["id"]),
        ({"id": 1}, "PLP0015", "property_names", ["id"]),
        ({"id": True}, "PLP0015", "property_names", ["id"]),
        ({"id": ["zoo"]}, "PLP0015", "property_names", ["id"]),
        ({"id": ""}, "PLP0015", "property_names", ["id"]),
        ({"id": "a b"}, "PLP0015", "property_names", ["id"]),
        ({"id": "a/b"}, "PLP0015", "property_names", ["id"]),
        ({"id": "zoo\n"}, "PLP0015", "property_names", ["id"]),
        ({"id": "zoö"}, "PLP0015", "property_names", ["id"]),
        ({"id": "a" * 256}, "PLP0015", "property_names", ["id"]),
        ({"id": "a" * 100_000}, "PLP0015", "property_names", ["id"]),
        ({"display_name": 1}, "PLP0015", "property_names", ["display_name"]),
        ({"description": {}}, "PLP0015", "property_names", ["description"]),
        ({"notes": []}, "PLP0015", "property_names", ["notes"]),
        ({"notes": "a"}, "PLP0015", "property_names", ["notes"]),
        ({"notes": {"pulpit_priority": "7"}}, "PLP0015", "property_names", ["notes"]),
        ({"notes": {"pulpit_priority": 101}}, "PLP0015", "property_names", ["notes"]),
        ({"nots": {}, "xtra": 1}, "PLP0017", "unsupported_property_names", ["nots", "xtra"]),
        ({"importer_type_id": None}, "PLP0016", "missing_property_names", ["importer_type_id"]),
        ({"importer_type_id": "none"}, "PLP0015", "property_names", ["importer_type_id"]),
        ({"importer_type_id": 1}, "PLP0015", "property_names", ["importer_type_id"]),
        ({"importer_config": []}, "PLP0015", "property_names", ["importer_config"]),
        ({"importer_config": {"feed": 1}}, "PLP0015", "property_names", ["feed"]),
        ({"importer_config": {"feed": "gopher://x/"}}, "PLP0015", "property_names", ["feed"]),
        ({"distributors": {}}, "PLP0015", "property_names", ["distributors"]),
        ({"distributors": [1]}, "PLP1015", "args", None),
        ({"distributors": [{}]}, "PLP0016", "missing_property_names", ["distributor_type_id"]),
    ],
)
def test_bad_values_are_refused(
    site: Site, change: dict[str, Any], code: str, key: str, names: list[str] | None
) -> None:
    """Each bad value is named, in the legacy key of its kind, and nothing is created."""
    answer = site.ask("POST", "repositories/", json=_ZOO | change)
    body = assert_error(answer, 400, code)
    assert body[key] if names is None else body[key] == names
    assert site.ask("GET", "repositories/").json() == []


@pytest.mark.parametrize(
    ("change", "code", "names"),
    [
        ({"distributor_id": "a.b"}, "PLP0015", ["distributor_id"]),
        ({"distributor_id": ""}, "PLP0015", ["distributor_id"]),
        ({"distributor_id": 7}, "PLP0015", ["distributor_id"]),
        ({"distributor_id": "a" * 256}, "PLP0015", ["distributor_id"]),
        ({"distributor_type_id": "none"}, "PLP0015", ["distributor_type_id"]),
        ({"auto_publish": "yes"}, "PLP0015", ["auto_publish"]),
        ({"auto_publish": 1}, "PLP0015", ["auto_publish"]),
        ({"distributor_config": []}, "PLP0015", ["distributor_config"]),
        ({"distributor_config": {"relative_url": 1}}, "PLP0015", ["relative_url"]),
        ({"distributor_config": {"relative_url": "../x"}}, "PLP0015", ["relative_url"]),
        ({"distributor_config": {}}, "PLP0016", ["relative_url"]),
        ({"config": {}}, "PLP0017", ["config"]),
    ],
)
def test_bad_distributors_are_refused(
    site: Site, change: dict[str, Any], code: str, names: list[str]
) -> None:
    """A distributor that can't be used is refused, alone or with a new repository."""
    distributor = _ZOO["distributors"][0] | change
    whole = site.ask("POST", "repositories/", json=_ZOO | {"distributors": [distributor]})
    _bare(site, "bare")
    alone = site.ask("POST", "repositories/bare/distributors/", json=distributor)
    key = {
        "PLP0015": "property_names",
        "PLP0016": "missing_property_names",
        "PLP0017": "unsupported_property_names",
    }[code]
    for answer in (whole, alone):
        assert assert_error(answer, 400, code)[key] == names
    assert _ids(site, "repositories/") == ["bare"]


def test_two_distributors_of_one_id_are_refused(site: Site) -> None:
    """Ids of distributors are unique within a repository."""
    twice = _ZOO["distributors"] * 2
    answer = site.ask("POST", "repositories/", json=_ZOO | {"distributors": twice})
    assert assert_error(answer, 400, "PLP0015")["property_names"] == ["distributors"]


def test_a_duplicate_is_409(site: Site) -> None:
    """An id that is taken is named, and the repository stays as it is."""
    before = _create(site)
    answer = site.ask("POST", "repositories/", json={"id": "zoo", "display_name": "Other"})
    assert assert_error(answer, 409, "PLP0018")["resource_id"] == "zoo"
    assert site.ask("GET", "repositories/zoo/").json() == before


def test_of_many_at_once_one_creates(site: Site) -> None:
    """The same id sent many times at once makes one repository, and tells the others."""
    answers = site.ask_at_once(12, "POST", "repositories/", json=_ZOO)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
    distributors = site.ask("GET", "repositories/zoo/distributors/").json()
    assert [one["id"] for one in distributors] == ["yum"]


def test_of_many_at_once_one_deletes(site: Site) -> None:
    """Deletions that were all taken run one after the other: the first does it."""
    _create(site)
    answers = site.ask_at_once(6, "DELETE", "repositories/zoo/")
    reports = [report for answer in answers for report in spawned(site, answer)]
    assert len({report["task_id"] for report in reports}) == 6
    site.work()
    states = [site.ask("GET", report["_href"]).json()["state"] for report in reports]
    assert sorted(states) == ["error"] * 5 + ["finished"]


def test_updates_at_once_follow_each_other(site: Site) -> None:
    """Each of several updates builds on the one before it, and each has its task."""
    _create(site)
    sent = {"distributor_configs": {"yum": {"https": True}}}
    answers = site.ask_at_once(5, "PUT", "repositories/zoo/", json=sent)
    assert {answer.status_code for answer in answers} == {202}
    site.work()
    assert {report["state"] for answer in answers for report in spawned(site, answer)} == {
        "finished"
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "repositories/none/"),
        ("PUT", "repositories/none/"),
        ("DELETE", "repositories/none/"),
        ("POST", "repositories/none/actions/sync/"),
        ("POST", "repositories/none/actions/publish/"),
        ("POST", "repositories/none/actions/download/"),
        ("GET", "repositories/none/importers/"),
        ("POST", "repositories/none/importers/"),
        ("GET", "repositories/none/distributors/"),
        ("POST", "repositories/none/distributors/"),
    ],
)
def test_a_repository_that_is_not_there_is_404(site: Site, method: str, path: str) -> None:
    """The body names the repository; for DELETE it is what clients take for success."""
    documents: dict[str, Any] = {
        "PUT": {"delta": {}},
        "actions/sync/": {},
        "actions/publish/": {"id": "yum"},
        "importers/": {"importer_type_id": "yum_importer"},
        "distributors/": {
            "distributor_type_id": "yum_distributor",
            "distributor_config": {"relative_url": "x"},
        },
    }
    document = documents.get(path.removeprefix("repositories/none/") or method)
    answer = site.ask(method, path, json=document)
    body = assert_error(answer, 404, "PLP0009")
    assert body["resources"] == {"repo_id": "none"}
    assert body["_href"] == f"{API}/{path}"
    assert site.ask("GET", "tasks/").json() == []


@pytest.mark.parametrize("repo_id", ["%FF", "%00", "a%2Fb", "x" * 20_000, "%22", "..%2F.."])
def test_strange_paths_are_404(site: Site, repo_id: str) -> None:
    """A path that no repository can have is not there, whatever it holds."""
    for path in (f"repositories/{repo_id}/", f"tasks/{repo_id}/", f"plugins/types/{repo_id}/"):
        assert site.ask("GET", path).status_code == 404


def test_reading_gives_as_much_as_is_asked_for(site: Site) -> None:
    """Importers and distributors come only when asked for; details bring the counts too."""
    _create(site)
    plain = set(site.ask("GET", "repositories/zoo/").json())
    for query, more in {
        "importers=true": {"importers"},
        "importers=True&distributors=1": {"importers", "distributors"},
        "distributors=true": {"distributors"},
        "importers=false&distributors=0": set(),
        "importers=false&importers=true": {"importers"},
        "details=true": {
            "importers",
            "distributors",
            "total_repository_units",
            "locally_stored_units",
        },
    }.items():
        for path in ("repositories/zoo/", "repositories/"):
            found = site.ask("GET", f"{path}?{query}").json()
            document = found[0] if isinstance(found, list) else found
            assert set(document) == plain | more, query


def test_plugins_are_shown_without_secrets(site: Site) -> None:
    """The importer keeps its feed apart from its password, which nobody sees again."""
    _create(site)
    whole = site.ask("GET", "repositories/zoo/?details=true").json()
    (importer,), (distributor,) = whole["importers"], whole["distributors"]
    assert len(importer.pop("_id")["$oid"]) == 24
    assert importer == {
        "_ns": "repo_importers",
        "_href": f"{API}/repositories/zoo/importers/yum_importer/",
        "id": "yum_importer",
        "importer_type_id": "yum_importer",
        "repo_id": "zoo",
        "config": {
            "feed": "http://feed.example/zoo",
            "basic_auth_username": "u@x",
            "basic_auth_password": "*****",
            "remove_missing": True,
        },
        "scratchpad": {},
        "last_sync": None,
        "last_updated": _CREATED,
        "last_override_config": {},
    }
    assert len(distributor.pop("_id")["$oid"]) == 24
    assert distributor == {
        "_ns": "repo_distributors",
        "_href": f"{API}/repositories/zoo/distributors/yum/",
        "id": "yum",
        "distributor_type_id": "yum_distributor",
        "repo_id": "zoo",
        "config": {"relative_url": "zoo", "http": True, "https": False},
        "auto_publish": True,
        "scratchpad": {},
        "last_publish": None,
        "last_updated": _CREATED,
        "last_override_config": {},
    }


def test_all_repositories_are_listed(site: Site) -> None:
    """The list is sorted by id."""
    _bare(site, "b", "a", "c")
    assert _ids(site, "repositories/") == ["a", "b", "c"]


def test_search_selects_sorts_and_pages(site: Site) -> None:
    """A search by POST does as its criteria say."""
    for number, name in enumerate("abcde"):
        document = {"id": name, "notes": {"n": number, "even": number % 2 == 0}}
        assert site.ask("POST", "repositories/", json=document).status_code == 201
    for criteria, found in [
        ({}, "abcde"),
        ({"filters": None}, "abcde"),
        ({"filters": {"id": {"$in": ["a", "e", "x"]}}}, "ae"),
        ({"filters": {"notes.even": True}, "sort": [["id", "descending"]]}, "eca"),
        ({"filters": {"notes.n": {"$gt": 1}}, "limit": 2}, "cd"),
        ({"skip": 3}, "de"),
        ({"filters": {"$or": [{"id": "b"}, {"notes.n": 3}]}}, "bd"),
        ({"filters": {"display_name": {"$regex": "^[cd]$"}}}, "cd"),
        ({"filters": {"created": {"$exists": False}, "id": "a"}}, "a"),
        ({"filters": {"id": {"$nin": list("abcd")}}}, "e"),
    ]:
        assert _ids(site, "repositories/search/", json={"criteria": criteria}) == list(found)
    assert _ids(site, "repositories/search/?id=b&id=d") == ["b", "d"]
    assert _ids(site, "repositories/search/?limit=2&skip=1") == ["b", "c"]
    assert _ids(site, "repositories/search/?display_name=c&importers=true") == ["c"]


def test_search_gives_the_fields_that_are_asked_for(site: Site) -> None:
    """Only those come, and beside them the plugins if they are asked for."""
    _create(site)
    answer = site.ask("POST", "repositories/search/", json={"criteria": {"fields": ["id"]}})
    assert answer.json() == [{"id": "zoo"}]
    assert site.ask("GET", "repositories/search/?field=notes.count").json() == [
        {"notes": {"count": 3}}
    ]
    sent = {"criteria": {"fields": ["id"]}, "importers": True, "distributors": False}
    (found,) = site.ask("POST", "repositories/search/", json=sent).json()
    assert set(found) == {"id", "importers"}
    (found,) = site.ask("GET", "repositories/search/?field=id&distributors=true").json()
    assert set(found) == {"id", "distributors"}
    assert found["distributors"][0]["id"] == "yum"


def test_bare_criteria_are_400(site: Site) -> None:
    """Searches refuse what they do not understand, and say what."""
    bad: list[tuple[dict[str, Any], str]] = [
        ({}, "PLP0016"),
        ({"criteria": []}, "PLP1015"),
        ({"criteria": "x"}, "PLP1015"),
        ({"criteria": None}, "PLP1015"),
        ({"criteria": {"filter": {}}}, "PLP0017"),
        ({"criteria": {}, "page": 1}, "PLP0017"),
        ({"criteria": {}, "importers": "x"}, "PLP0015"),
        ({"criteria": {"filters": []}}, "PLP0015"),
        ({"criteria": {"filters": {"id": {"$where": "1"}}}}, "PLP0017"),
        ({"criteria": {"filters": {"$where": "1"}}}, "PLP0017"),
        ({"criteria": {"filters": {"id": {"$regex": "("}}}}, "PLP0015"),
        ({"criteria": {"filters": {"id": {"$in": "x"}}}}, "PLP0015"),
        ({"criteria": {"filters": {"a": 10**40}}}, "PLP0015"),
        ({"criteria": {"filters": {"$and": []}}}, "PLP0015"),
        ({"criteria": {"filters": {"last_unit_added": {"$gt": {"$date": "x"}}}}}, "PLP0015"),
        ({"criteria": {"sort": "id"}}, "PLP0015"),
        ({"criteria": {"sort": [["id", "up"]]}}, "PLP0015"),
        ({"criteria": {"limit": -1}}, "PLP0015"),
        ({"criteria": {"limit": 10**30}}, "PLP0015"),
        ({"criteria": {"skip": "x"}}, "PLP0015"),
        ({"criteria": {"fields": "id"}}, "PLP0015"),
        ({"criteria": {"fields": [1]}}, "PLP0015"),
    ]
    for sent, code in bad:
        for path in ("repositories/search/", "tasks/search/", "distributors/search/"):
            if sent.get("importers") and not path.startswith("repositories"):
                continue
            answer = site.ask("POST", path, json=sent)
            assert answer.status_code == 400, (path, sent)
            assert_error(answer, 400, code)
    for query in ("limit=x", "skip=-1", "sort=[", "filters={", "filters=[1]", "$where=1", "a..b=1"):
        assert site.ask("GET", f"repositories/search/?{query}").status_code == 400, query


def test_update_merges(site: Site) -> None:
    """Notes merge, null takes a note away, and the answer is a call report with the result."""
    _create(site)
    delta = {"display_name": "New", "description": None, "notes": {"count": None, "more": [1]}}
    answer = site.ask("PUT", "repositories/zoo/", json={"delta": delta})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["error"], body["spawned_tasks"]) == (None, [])
    assert body["result"] == site.ask("GET", "repositories/zoo/").json()
    assert body["result"]["display_name"] == "New"
    assert body["result"]["description"] is None
    assert body["result"]["notes"] == {"_repo-type": "rpm-repo", "more": [1]}


def test_a_note_lets_tasks_go_first(site: Site) -> None:
    """Tasks of a repository with a higher priority go before those of others that came first."""
    for repo_id, priority in (("zoo", None), ("farm", 5), ("park", -5)):
        distributor = _ZOO["distributors"][0] | {"distributor_config": {"relative_url": repo_id}}
        notes = {"pulpit_priority": priority}
        _create(site, id=repo_id, notes=notes if priority else {}, distributors=[distributor])
    delta = {"notes": {"pulpit_priority": 101}}
    refused = site.ask("PUT", "repositories/zoo/", json={"delta": delta})
    error = assert_error(refused, 400, "PLP0015")
    assert "an integer from -100 to 100" in str(error["error_message"])
    for repo_id in ("park", "zoo", "farm", "farm"):
        site.ask("POST", f"repositories/{repo_id}/actions/sync/", json={})
    first = site.lifecycle.claim("here", 9)
    assert [task.arguments["repo_id"] for task in first] == ["farm", "zoo", "park"]
    # what a task hands in itself has the priority too
    site.record(first[0], Finished(result={}))
    sync, publish = (task for task in site.tasks.tagged(["pulp:repository:farm"])[1:])
    assert [task.priority for task in (sync, publish)] == [5, 5]


def test_update_changes_the_importer_at_once(site: Site) -> None:
    """Its keys merge, null takes one away, and a masked password stays what it was."""
    _create(site)
    shown = site.ask("GET", "repositories/zoo/importers/yum_importer/").json()["config"]
    sent = shown | {"remove_missing": None, "download_policy": "on_demand"}
    answer = site.ask("PUT", "repositories/zoo/", json={"importer_config": sent})
    assert answer.status_code == 200
    with site.storage.read() as transaction:
        (importer,) = transaction.repositories.importers(["zoo"])
    assert importer.config == {
        "feed": "http://feed.example/zoo",
        "basic_auth_username": "u@x",
        "basic_auth_password": "p",
        "download_policy": "on_demand",
    }


def test_update_changes_distributors_in_tasks(site: Site) -> None:
    """With distributors the answer is 202, and the rest is done at once all the same."""
    _create(site)
    sent = {
        "delta": {"display_name": "New"},
        "distributor_configs": {"yum": {"https": True, "http": None}},
    }
    answer = site.ask("PUT", "repositories/zoo/", json=sent)
    (report,) = spawned(site, answer)
    assert answer.json()["result"]["display_name"] == "New"
    assert report["tags"] == [
        "pulp:repository:zoo",
        "pulp:repository_distributor:yum",
        "pulp:action:update_distributor",
    ]
    site.work()
    config = site.ask("GET", "repositories/zoo/distributors/yum/").json()["config"]
    assert config == {"relative_url": "zoo", "https": True}


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"delta": []}, 400, "PLP0015"),
        ({"delta": {"id": "other"}}, 400, "PLP0015"),
        ({"delta": {"display_name": 1}}, 400, "PLP0015"),
        ({"delta": {"notes": 1}}, 400, "PLP0015"),
        ({"delta": {"content_unit_counts": {}}}, 400, "PLP0017"),
        ({"detla": {}}, 400, "PLP0017"),
        ({"importer_config": 1}, 400, "PLP0015"),
        ({"importer_config": {"feed": "gopher://x"}}, 400, "PLP0015"),
        ({"distributor_configs": []}, 400, "PLP0015"),
        ({"distributor_configs": {"none": {}}}, 404, "PLP0009"),
        ({"distributor_configs": {"yum": 1}}, 400, "PLP0015"),
        ({"distributor_configs": {"yum": {"relative_url": None}}}, 400, "PLP0016"),
    ],
)
def test_a_bad_update_changes_nothing(
    site: Site, sent: dict[str, Any], status: int, code: str
) -> None:
    """An update is done whole or not at all."""
    _create(site)
    before = site.ask("GET", "repositories/zoo/?details=true").json()
    document = {"delta": {"description": "changed"}} | sent
    assert_error(site.ask("PUT", "repositories/zoo/", json=document), status, code)
    assert site.ask("GET", "repositories/zoo/?details=true").json() == before
    assert site.ask("GET", "tasks/").json() == []


def test_an_importer_that_is_not_there_cant_be_updated(site: Site) -> None:
    """A repository without importer has none to configure."""
    _bare(site, "bare")
    answer = site.ask("PUT", "repositories/bare/", json={"importer_config": {}})
    assert_error(answer, 404, "PLP0009")


def test_delete_is_a_task(site: Site) -> None:
    """After it there is nothing, a second one is 404, and the id may be used again."""
    _create(site)
    (report,) = spawned(site, site.ask("DELETE", "repositories/zoo/"))
    assert report["task_type"] == "pulp.server.tasks.repository.delete"
    assert report["tags"] == ["pulp:repository:zoo", "pulp:action:delete"]
    assert site.ask("GET", "repositories/zoo/").status_code == 200
    site.work()
    body = assert_error(site.ask("DELETE", "repositories/zoo/"), 404, "PLP0009")
    assert body["http_request_method"] == "DELETE"
    assert site.ask("GET", report["_href"]).json()["state"] == "finished"
    _create(site)


def test_sync_and_auto_publish(site: Site) -> None:
    """The sync task names the publish task that it handed in, and both leave their times."""
    _create(site)
    (report,) = spawned(site, site.ask("POST", "repositories/zoo/actions/sync/"))
    assert report["task_type"] == "pulp.server.managers.repo.sync.sync"
    assert report["tags"] == ["pulp:repository:zoo", "pulp:action:sync"]
    assert (report["state"], report["start_time"], report["progress_report"]) == (
        "waiting",
        None,
        {},
    )
    site.clock.advance(seconds=5)
    site.work()
    done = site.ask("GET", report["_href"]).json()
    assert (done["state"], done["finish_time"]) == ("finished", "2026-01-01T00:00:05Z")
    assert done["progress_report"] == {"yum_importer": {"metadata": {"state": "FINISHED"}}}
    assert done["result"]["added_count"] == 0
    (reference,) = done["spawned_tasks"]
    publish = site.ask("GET", reference["_href"]).json()
    assert publish["state"] == "finished"
    assert publish["tags"] == ["pulp:repository:zoo", "pulp:action:publish"]
    whole = site.ask("GET", "repositories/zoo/?details=true").json()
    assert whole["importers"][0]["last_sync"] == "2026-01-01T00:00:05Z"
    assert whole["distributors"][0]["last_publish"] == "2026-01-01T00:00:05Z"


def test_download(site: Site) -> None:
    """A download says what it is about, and reserves nothing: whatever runs, it may run beside."""
    _create(site)
    sent = {"verify_all_units": True}
    (report,) = spawned(site, site.ask("POST", "repositories/zoo/actions/download/", json=sent))
    assert report["task_type"] == "pulp.server.controllers.repository.download_repo"
    assert report["tags"] == ["pulp:repository:zoo", "pulp:action:download"]
    with site.storage.read() as transaction:
        assert transaction.tasks.get(report["task_id"]).resources == ()
    site.work()
    done = site.ask("GET", report["_href"]).json()
    assert (done["state"], done["result"]) == ("finished", None)
    [step] = done["progress_report"]["on_demand_download"]
    assert (step["state"], step["items_total"]) == ("FINISHED", 0)
    spawned(site, site.ask("POST", "repositories/zoo/actions/download/"))
    refused = site.ask("POST", "repositories/zoo/actions/download/", json={"verify_all_units": 1})
    assert assert_error(refused, 400, "PLP0015")["property_names"] == ["verify_all_units"]


@pytest.mark.parametrize(
    ("config", "override", "actions"),
    [
        ("background", None, ["publish", "download"]),
        ("immediate", "background", ["publish", "download"]),
        ("background", "on_demand", ["publish"]),
    ],
)
def test_background_sync(site: Site, config: str, override: str | None, actions: list[str]) -> None:
    """After a sync in the background comes the download of what it left out."""
    _create(site, importer_config={"feed": "http://x/", "download_policy": config})
    sent = {"override_config": {"download_policy": override} if override else {}}
    (report,) = spawned(site, site.ask("POST", "repositories/zoo/actions/sync/", json=sent))
    site.work()
    references = site.ask("GET", report["_href"]).json()["spawned_tasks"]
    tags = [site.ask("GET", one["_href"]).json()["tags"][-1] for one in references]
    assert tags == [f"pulp:action:{action}" for action in actions]


def test_a_sync_that_fails_publishes_nothing(site: Site) -> None:
    """A repository without feed can't be synced: the task says so, and hands nothing in."""
    _create(site, importer_config={})
    sent = {"override_config": {"validate": True}}
    (report,) = spawned(site, site.ask("POST", "repositories/zoo/actions/sync/", json=sent))
    site.work()
    done = site.ask("GET", report["_href"]).json()
    assert (done["state"], done["error"]["code"]) == ("error", "RPM1005")
    assert done["spawned_tasks"] == []
    assert done["result"] is None
    assert site.ask("GET", "repositories/zoo/?importers=1").json()["importers"][0]["last_sync"] is (
        None
    )


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"override_config": null}'])
def test_sync_needs_no_document(site: Site, body: bytes) -> None:
    """Nothing to override is said in many ways."""
    _create(site)
    spawned(site, site.ask("POST", "repositories/zoo/actions/sync/", content=body))


@pytest.mark.parametrize(
    ("action", "sent", "status", "code"),
    [
        ("sync", [], 400, "PLP1015"),
        ("sync", {"override": {}}, 400, "PLP0017"),
        ("sync", {"override_config": []}, 400, "PLP0015"),
        ("sync", {"override_config": {"feed": "gopher://x"}}, 400, "PLP0015"),
        ("sync", {"override_config": {"retain_old_count": -1}}, 400, "PLP0015"),
        ("publish", {}, 400, "PLP0016"),
        ("publish", {"id": None}, 400, "PLP0016"),
        ("publish", {"id": 1}, 400, "PLP0015"),
        ("publish", {"id": "none"}, 404, "PLP0009"),
        ("publish", {"id": "yum", "override": {}}, 400, "PLP0017"),
        ("publish", {"id": "yum", "override_config": 1}, 400, "PLP0015"),
        ("publish", {"id": "yum", "override_config": {"relative_url": ".."}}, 400, "PLP0015"),
    ],
)
def test_bad_actions_hand_in_nothing(
    site: Site, action: str, sent: Any, status: int, code: str
) -> None:
    """What can be seen to be wrong is refused before there is a task."""
    _create(site)
    assert_error(site.ask("POST", f"repositories/zoo/actions/{action}/", json=sent), status, code)
    assert site.ask("GET", "tasks/").json() == []


def test_sync_without_importer_is_404(site: Site) -> None:
    """A repository without importer has nothing to sync with."""
    _bare(site, "bare")
    answer = site.ask("POST", "repositories/bare/actions/sync/", json={})
    assert assert_error(answer, 404, "PLP0009")["resources"]


def test_publish_is_a_task(site: Site) -> None:
    """Its overrides hold for this publish only."""
    _create(site)
    sent = {"id": "yum", "override_config": {"relative_url": "elsewhere"}}
    (report,) = spawned(site, site.ask("POST", "repositories/zoo/actions/publish/", json=sent))
    assert report["task_type"] == "pulp.server.managers.repo.publish.publish"
    site.work()
    assert site.ask("GET", report["_href"]).json()["state"] == "finished"
    with site.storage.read() as transaction:
        publication = transaction.publications.live("zoo", "yum")
    assert publication is not None
    assert publication.relative_url == "elsewhere"
    config = site.ask("GET", "repositories/zoo/distributors/yum/").json()["config"]
    assert config["relative_url"] == "zoo"
