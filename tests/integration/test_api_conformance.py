"""schemathesis asks whatever the OpenAPI document allows, and what it does not: answers conform."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from pulpit.api.openapi import openapi
from tests.api_site import AUTH, Site, copy_of

#: Requests for each operation; more by hand: ``SCHEMATHESIS_EXAMPLES=500``.
_EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "2"))
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_SCHEMA = schemathesis.openapi.from_dict(openapi())


def _described(result: Any) -> Any:
    """Return the operation; one that schemathesis can't read raises why."""
    return result.ok()


_OPERATIONS = {
    f"{operation.method} {operation.path}": operation
    for operation in (_described(result) for result in _SCHEMA.get_all_operations())
}
#: What goes on for as long as its reader listens, or is told by something that the site lacks.
_APART = {"get /metrics"}


def _may_be_wrong(operation: Any) -> bool:
    """Tell whether something can be sent that is not as described: bytes can't."""
    kinds = {body.media_type for body in operation.body}
    return "application/json" in kinds or len(operation.query) > 0


#: Each operation with what is as described, and with what is not where it takes a query or a body:
#: a path that is not as described is another path. What deletes comes last, as there is only one
#: of everything.
_ASKED = [
    (name, mode)
    for name, operation in sorted(
        _OPERATIONS.items(), key=lambda item: (item[0].startswith("delete"), item[0])
    )
    for mode in GenerationMode
    if name not in _APART and (mode is GenerationMode.POSITIVE or _may_be_wrong(operation))
]


@pytest.fixture(scope="module")
def known(new_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Known]:
    """Yield a site with one of everything."""
    folder = tmp_path_factory.mktemp("conformance")
    with Site(copy_of(new_database, folder), folder / "data") as site:
        yield _Known(site)
        assert site.log.told == []


class _Known:
    """A site, and the names of what is there."""

    def __init__(self, site: Site) -> None:
        self.site = site
        web = {
            "distributor_id": "web",
            "distributor_type_id": "yum_distributor",
            "distributor_config": {"relative_url": "zoo"},
        }
        self._make(
            "repositories/",
            {"id": "zoo", "importer_type_id": "yum_importer", "distributors": [web]},
        )
        importer, distributor = "importers/yum_importer", "distributors/web"
        schedules = {
            kind: self._make(f"repositories/zoo/{plugin}/schedules/{kind}/", {"schedule": "P1D"})
            for kind, plugin in (("sync", importer), ("publish", distributor))
        }
        listener = self._make(
            "events/",
            {
                "notifier_type_id": "http",
                "notifier_config": {"url": "http://receiver.example/"},
                "event_types": ["*"],
            },
        )
        sync = site.ask("POST", "repositories/zoo/actions/sync/", json={})
        upload = self._make("content/uploads/", None)
        unit_id = self._import(self._make("content/uploads/", None)["upload_id"])
        self._make("roles/", {"role_id": "keepers"})
        self._make("users/", {"login": "ann", "password": "hush"})
        self._make("repo_groups/", {"id": "keepers", "repo_ids": ["zoo"]})
        self.names: dict[str, Any] = {
            "repo_id": "zoo",
            "importer_id": "yum_importer",
            "distributor_id": "web",
            "schedule_id": schedules["sync"]["_id"],
            "listener_id": listener["id"],
            "task_id": sync.json()["spawned_tasks"][0]["task_id"],
            "upload_id": upload["upload_id"],
            "role_id": "keepers",
            "login": "ann",
            "type_id": "erratum",
            "uid": unit_id,
            "unit_id": unit_id,
            "group_id": "keepers",
            "token_id": self._make("users/ann/tokens/", {"name": "ci"})["id"],
            "plugin_id": "rpm",
            "offset": 0,
        }

    def _import(self, upload_id: str) -> str:
        """Put an erratum into the repository, and return its id."""
        imported = {
            "upload_id": upload_id,
            "unit_type_id": "erratum",
            "unit_key": {"id": "ZOO-1"},
            "unit_metadata": {"title": "A bear", "pkglist": [], "references": []},
        }
        self.site.ask("POST", "repositories/zoo/actions/import_upload/", json=imported)
        self.site.work()
        (unit,) = self.site.ask("GET", "content/units/erratum/").json()
        return str(unit["_id"])

    def _make(self, path: str, document: Any) -> Any:
        answer = self.site.ask("POST", path, **({} if document is None else {"json": document}))
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.mark.parametrize(("name", "mode"), _ASKED)
def test_answers_conform(known: _Known, name: str, mode: GenerationMode) -> None:
    """Whatever is asked, of what is there or not: no 5xx, and no answer but those described."""
    operation = _OPERATIONS[name]
    checks = [*_CHECKS, negative_data_rejection] if mode is GenerationMode.NEGATIVE else _CHECKS
    # in turns, so that few examples have both: what is there, and what is not
    names = cycle([known.names, {}])

    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        there = next(names)
        case.path_parameters = {
            key: there.get(key, value) for key, value in (case.path_parameters or {}).items()
        }
        sent = case.as_transport_kwargs(base_url="http://site")
        path = sent.pop("url").removeprefix("http://site")
        wanted = {key: sent[key] for key in ("params", "json", "data", "headers") if key in sent}
        if isinstance(wanted.get("data"), bytes | str):
            wanted["content"] = wanted.pop("data")
        answer = known.site.ask(sent["method"], path, auth=AUTH, **wanted)
        case.validate_response(answer, checks=checks)

    # of some operations nothing can be sent that is wrong
    with contextlib.suppress(Unsatisfiable):
        ask()
