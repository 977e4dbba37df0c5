"""Whatever comes in, the API answers: no request makes an error of the server's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulpit.domain.listeners import Listener, NotifierType
from tests.api_site import API, Site, copy_of

_KEYS = st.sampled_from(
    [
        "id",
        "display_name",
        "description",
        "notes",
        "importer_type_id",
        "importer_config",
        "distributors",
        "distributor_id",
        "distributor_type_id",
        "distributor_config",
        "distributor_configs",
        "auto_publish",
        "delta",
        "override_config",
        "criteria",
        "filters",
        "sort",
        "limit",
        "skip",
        "fields",
        "importers",
        "feed",
        "relative_url",
        "notifier_type_id",
        "notifier_config",
        "event_types",
        "repositories",
        "password",
        "secret",
        "reason",
        "overlap",
        "delivery",
        "since",
        "all",
        "state",
        "tags",
        "$in",
        "$or",
        "$not",
        "$regex",
        "$gt",
        "$exists",
        "$date",
        "$oid",
        "yum",
        "a.b",
    ]
)
_WORDS = st.sampled_from(
    [
        "zoo",
        "yum",
        "yum_importer",
        "yum_distributor",
        "",
        "*",
        "http",
        "task.error",
        "*****",
        "ascending",
        "http://feed.example/",
        "http://[",
        "file:///",
        "..",
        "a/b",
        "\x7f",
        "\udcff",
        "😀",
        "2026-01-01T00:00:00Z",
        "9" * 40,
        "(a+)+$",
    ]
)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -(2**64), 10**400])
    | st.floats()
    | _WORDS
    | st.text(max_size=5)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_KEYS | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
_PATHS = st.sampled_from(
    [
        "repositories/",
        "repositories/search/",
        "repositories/zoo/",
        "repositories/zoo/actions/sync/",
        "repositories/zoo/actions/publish/",
        "repositories/zoo/actions/download/",
        "repositories/zoo/importers/",
        "repositories/zoo/importers/yum_importer/",
        "repositories/zoo/distributors/",
        "repositories/zoo/distributors/yum/",
        "distributors/search/",
        "tasks/",
        "tasks/search/",
        "plugins/types/",
        "/pulpit/v1/events/",
        "events/",
        "events/5e1f00000000000000000000/",
        "/pulpit/v1/listeners/",
        "/pulpit/v1/listeners/5e1f00000000000000000000/",
        "/pulpit/v1/listeners/5e1f00000000000000000000/disable/",
        "/pulpit/v1/listeners/5e1f00000000000000000000/rotate-secret/",
        "/pulpit/v1/listeners/5e1f00000000000000000000/resend/",
        "/pulpit/v1/listeners/5e1f00000000000000000000/deliveries/",
        "status/",
    ]
)
_QUERIES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "tag",
                "state",
                "since",
                "before",
                "limit",
                "skip",
                "sort",
                "filters",
                "field",
                "details",
                "importers",
                "kind",
                "task",
                "repository",
                "type",
                "id",
                "$or",
                "a..b",
            ]
        )
        | st.text(max_size=4),
        _WORDS | st.text(max_size=6) | st.integers().map(str) | _VALUES.map(str),
    ),
    max_size=4,
)


_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_LISTENER = Listener(
    id="5e1f00000000000000000000",
    notifier_type=NotifierType.HTTP,
    event_types=("*",),
    created=_NOW,
    last_updated=_NOW,
)


@pytest.fixture(scope="module")
def shared_site(new_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a site with a repository and a listener, that all examples work on."""
    folder = tmp_path_factory.mktemp("site")
    with Site(copy_of(new_database, folder), folder / "data") as site:
        site.ask(
            "POST",
            "repositories/",
            json={
                "id": "zoo",
                "importer_type_id": "yum_importer",
                "distributors": [
                    {
                        "distributor_id": "yum",
                        "distributor_type_id": "yum_distributor",
                        "distributor_config": {"relative_url": "zoo"},
                    }
                ],
            },
        )
        with site.storage.write() as transaction:
            transaction.listeners.add(_LISTENER)
        yield site


def _check(site: Site, method: str, path: str, **options: Any) -> None:
    """Send a request, and check that the answer is one that the API means to give."""
    answer = site.ask(method, path, **options)
    assert site.log.told == []
    assert answer.status_code < 500, answer.text
    if answer.status_code == 204:
        assert answer.content == b""
        return
    document = answer.json()
    if answer.status_code in {400, 401, 403, 405, 409, 410, 413}:
        assert document["http_status"] == answer.status_code
        assert document["error"]["code"].startswith("PLP")


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    method=st.sampled_from(["POST", "PUT"]),
    path=_PATHS,
    value=_VALUES | st.dictionaries(_KEYS, _VALUES, max_size=4),
)
def test_any_json_is_answered(shared_site: Site, method: str, path: str, value: Any) -> None:
    """Any document, sent anywhere, is done or refused; the tasks it makes end."""
    content = _encoded(value)
    _check(shared_site, method, path, content=content)
    shared_site.work()


def _encoded(value: Any) -> bytes:
    """Return JSON as careless clients write it: with NaN, and halves of surrogate pairs."""
    return json.dumps(value).encode()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(path=_PATHS, query=_QUERIES, method=st.sampled_from(["GET", "HEAD", "GET", "OPTIONS"]))
def test_any_query_is_answered(
    shared_site: Site, method: str, path: str, query: list[tuple[str, str]]
) -> None:
    """Any query, with names twice and values of any kind, is understood or refused."""
    text = "&".join(
        f"{quote(name, errors='replace')}={quote(value, errors='replace')}" for name, value in query
    )
    if method in {"HEAD", "OPTIONS"}:
        answer = shared_site.ask(method, f"{path}?{text}")
        assert answer.status_code < 500
        return
    _check(shared_site, method, f"{path}?{text}")


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(st.binary(max_size=6), min_size=1, max_size=4),
    method=st.sampled_from(["GET", "DELETE", "POST"]),
    slash=st.booleans(),
)
def test_any_path_is_answered(
    shared_site: Site, parts: list[bytes], method: str, slash: bool
) -> None:
    """Any path below the API is known, moved or not there."""
    path = "/".join(quote(part) for part in parts) + ("/" if slash else "")
    answer = shared_site.ask(method, f"{API}/{path}")
    assert shared_site.log.told == []
    assert answer.status_code in {200, 301, 400, 403, 404, 405}
