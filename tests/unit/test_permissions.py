"""What a right holds for, and what a request needs one to."""

from __future__ import annotations

import pytest

from pulpit.api.rights import needed_operation, needed_resource, resource_at
from pulpit.domain.permissions import ALL, EVERYTHING, Access, Operation, normalized

_CREATE, _READ, _UPDATE, _DELETE, _EXECUTE = ALL


@pytest.mark.parametrize(
    ("resource", "operation", "allowed"),
    [
        ("/v2/repositories/zoo/", _READ, True),
        ("/v2/repositories/zoo/actions/sync/", _READ, True),
        ("/v2/repositories/", _READ, False),
        ("/v2/repositories/zoo2/", _READ, False),
        ("/v2/repositories/zo/", _READ, False),
        ("/v2/repositories/zoo/", _UPDATE, False),
        ("/v2/tasks/", _DELETE, True),
        ("/v2/tasks/1/", _DELETE, True),
        ("/", _READ, False),
    ],
)
def test_a_right_holds_for_all_that_is_below(
    resource: str, operation: Operation, *, allowed: bool
) -> None:
    """And for nothing beside or above it, nor for other operations."""
    rights = {"/v2/repositories/zoo/": (_READ,), "/v2/tasks/": (_DELETE,)}
    assert Access(login="ann", rights=rights).allows(operation, resource) is allowed


@pytest.mark.parametrize("operation", ALL)
def test_the_root_is_everything(operation: Operation) -> None:
    """A super-user may do all, anywhere; by a token that only reads, they read."""
    access = Access(login="admin", rights=EVERYTHING)
    assert access.is_unlimited
    assert access.allows(operation, "/pulpit/v1/events/")
    assert access.covers(EVERYTHING)
    reader = Access(login="admin", rights=EVERYTHING, read_only=True)
    assert not reader.is_unlimited
    assert reader.allows(operation, "/metrics/") is (operation is _READ)


@pytest.mark.parametrize(
    ("resource", "operations"),
    [
        ("/v2/users/ann/", {_READ, _UPDATE}),
        ("/v2/users/ann/tokens/", set(ALL)),
        ("/v2/users/ann/tokens/1/", set(ALL)),
        ("/v2/users/ann/other/", set()),
        ("/v2/users/anna/", set()),
        ("/v2/users/anna/tokens/", set()),
        ("/v2/users/", set()),
        ("/v2/actions/login/", {_EXECUTE}),
        ("/v2/actions/", set()),
    ],
)
def test_everybody_looks_after_themselves(resource: str, operations: set[Operation]) -> None:
    """Without any right, that is all there is."""
    access = Access(login="ann")
    assert {each for each in ALL if access.allows(each, resource)} == operations


@pytest.mark.parametrize(
    ("rights", "covered"),
    [
        ({}, True),
        ({"/v2/a/": (_READ,)}, True),
        ({"/v2/a/b/": (_READ, _UPDATE), "/v2/c/": (_READ,)}, True),
        ({"/v2/a/": (_READ, _DELETE)}, False),
        ({"/v2/c/": (_UPDATE,)}, False),
        ({"/": (_READ,)}, False),
    ],
)
def test_nobody_gives_what_they_lack(
    rights: dict[str, tuple[Operation, ...]], *, covered: bool
) -> None:
    """Every operation on every resource must be allowed to whoever gives it."""
    own = {"/v2/": (_READ,), "/v2/a/": (_UPDATE,)}
    assert Access(login="ann", rights=own).covers(rights) is covered


@pytest.mark.parametrize(
    ("sent", "resource"),
    [
        ("/", "/"),
        ("/v2/repositories/", "/v2/repositories/"),
        ("/v2/repositories", "/v2/repositories/"),
        ("/pulp/api/v2/repositories/zoo/", "/v2/repositories/zoo/"),
        ("/pulp/api/", "/"),
        ("/metrics", "/metrics/"),
    ],
)
def test_resources_have_one_form(sent: str, resource: str) -> None:
    """Whatever a client calls it."""
    assert normalized(sent) == resource


@pytest.mark.parametrize("sent", ["", "v2/", "//", "/v2//a/", f"/{'x' * 1024}"])
def test_what_is_no_path_is_no_resource(sent: str) -> None:
    """It is refused."""
    with pytest.raises(ValueError, match="must be a path"):
        normalized(sent)


@pytest.mark.parametrize(
    ("method", "template", "parameters", "operation", "resource"),
    [
        ("GET", "/pulp/api/v2/repositories/", {}, _READ, "/v2/repositories/"),
        ("HEAD", "/metrics", {}, _READ, "/metrics/"),
        ("POST", "/pulp/api/v2/repositories/", {}, _CREATE, "/v2/repositories/"),
        ("POST", "/pulp/api/v2/repositories/search/", {}, _READ, "/v2/repositories/"),
        ("GET", "/pulp/api/v2/repositories/search/", {}, _READ, "/v2/repositories/"),
        ("PUT", "/pulp/api/v2/users/{login}/", {"login": "search"}, _UPDATE, "/v2/users/search/"),
        (
            "POST",
            "/pulp/api/v2/repositories/{id}/search/units/",
            {"id": "zoo"},
            _READ,
            "/v2/repositories/zoo/",
        ),
        (
            "POST",
            "/pulp/api/v2/repositories/{id}/actions/sync/",
            {"id": "actions"},
            _EXECUTE,
            "/v2/repositories/actions/actions/sync/",
        ),
        (
            "POST",
            "/pulp/api/v2/repositories/{id}/actions/associate/",
            {"id": "zoo"},
            _UPDATE,
            "/v2/repositories/zoo/actions/associate/",
        ),
        (
            "POST",
            "/pulp/api/v2/content/actions/delete_orphans/",
            {},
            _DELETE,
            "/v2/content/actions/delete_orphans/",
        ),
        ("DELETE", "/pulp/api/v2/tasks/{id}/", {"id": "1"}, _DELETE, "/v2/tasks/1/"),
        ("GET", "/pulpit/v1/listeners/{id}/", {"id": "a"}, _READ, "/v2/events/a/"),
        ("PATCH", "/pulpit/v1/x/{path:path}", {"path": "a/b"}, _UPDATE, "/pulpit/v1/x/a/b/"),
    ],
)
def test_a_request_needs_a_right(
    method: str, template: str, parameters: dict[str, str], operation: Operation, resource: str
) -> None:
    """It follows from the method and from the route, whatever things are called."""
    assert needed_operation(method, template) is operation
    assert needed_resource(template, parameters) == resource


def test_what_no_grant_can_name_is_a_resource_too() -> None:
    """Nobody but a super-user has a right to it."""
    resource = resource_at("/pulp/api/v2//x")
    assert not Access(login="ann", rights={"/v2/": ALL}).allows(_READ, resource)
    assert Access(login="admin", rights=EVERYTHING).allows(_READ, resource)
