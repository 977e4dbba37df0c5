"""The error tree: codes, statuses and legacy keys, as clients know them."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
import pytest

from pulpit import errors
from pulpit.errors import PulpitError, RequestError

_CASES: list[tuple[PulpitError, int, str, dict[str, Any]]] = [
    (errors.MissingResource(repo_id="zoo"), 404, "PLP0009", {"resources": {"repo_id": "zoo"}}),
    (errors.InvalidValue("a", "b", why="x"), 400, "PLP0015", {"property_names": ["a", "b"]}),
    (errors.MissingValue("a"), 400, "PLP0016", {"missing_property_names": ["a"]}),
    (errors.UnsupportedValue("a"), 400, "PLP0017", {"unsupported_property_names": ["a"]}),
    (errors.DuplicateResource("zoo"), 409, "PLP0018", {"resource_id": "zoo"}),
    (errors.TypesNotTaken("zoo", ["iso"]), 400, "PLP0044", {}),
    (errors.TooManyListeners(1_000), 409, "PLPIT14", {}),
    (errors.TooManyUploads(1_000), 409, "PLPIT15", {}),
    (errors.StorageFull(), 507, "PLPIT16", {}),
    (errors.NotJson(), 400, "PLP1009", {}),
    (errors.WrongJsonType("x"), 400, "PLP1015", {"args": ["x"]}),
    (errors.AuthenticationFailed(), 401, "PLP0025", {"auth_error_code": "PLP0025"}),
    (errors.WrongPassword(), 401, "PLP0030", {"auth_error_code": "PLP0030"}),
    (errors.LastSuperUser(), 400, "PLP0000", {}),
    (errors.PermissionDenied(), 403, "PLP0042", {}),
    (errors.PurgeWithoutState(), 403, "PLP1012", {}),
    (errors.PurgeOfState(), 400, "PLP1011", {}),
    (errors.NotImplementedHere(), 501, "PLP0014", {}),
    (errors.Unavailable(), 503, "PLP0011", {}),
    (errors.EventsGone(since=1, oldest=3, head=9), 410, "PLPIT10", {}),
    (errors.MethodNotAllowed(), 405, "PLPIT11", {}),
    (errors.BodyTooLarge(), 413, "PLPIT12", {}),
    (errors.SearchTooLong(10.0), 400, "PLPIT17", {}),
    (errors.BodyTooSlow(), 408, "PLPIT13", {}),
]


@pytest.mark.parametrize(
    ("error", "status", "code", "legacy"), _CASES, ids=lambda case: type(case).__name__
)
def test_errors_of_requests(
    error: PulpitError, status: int, code: str, legacy: dict[str, Any]
) -> None:
    """Each has its status and code, and the key that Pulp 2 put beside them."""
    assert (error.status, error.code, error.legacy()) == (status, code, legacy)
    document = error.to_dict()
    assert set(document) == {"code", "description", "data", "sub_errors"}
    assert document["description"] == error.message == str(error) != ""
    assert msgspec.json.decode(msgspec.json.encode(document)) == document


def test_every_error_of_requests_is_known_here() -> None:
    """A new kind of error is added to the cases above."""
    kinds = {
        kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, RequestError) and not name.startswith("_") and kind is not RequestError
    }
    assert {type(error) for error, *_ in _CASES} == kinds
    codes = [error.code for error, *_ in _CASES]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize(
    ("error", "code", "description"),
    [
        (
            errors.MetadataUnavailable("Not Found", url="http://x/"),
            "RPM1004",
            "Error retrieving metadata: Not Found",
        ),
        (
            errors.MalformedRepository("no filelists"),
            "RPM1015",
            "Malformed repository: no filelists",
        ),
        (
            errors.DownloadFailed("http://x/a", "cut off", error_code="size_mismatch"),
            "RPM1004",
            "Could not download http://x/a: cut off",
        ),
        (
            errors.NoFeed(),
            "RPM1005",
            "The importer has no feed: set importer_config.feed, then sync again.",
        ),
        (errors.Unparsable("x"), "RPM1006", "Could not parse the metadata: x"),
        (errors.NotAnRpm(), "RPM1016", "The file is not a valid RPM package."),
    ],
)
def test_errors_of_content(error: PulpitError, code: str, description: str) -> None:
    """Each has the code of Pulp 2's RPM plugin, and says what was wrong."""
    assert (error.code, error.to_dict()["description"]) == (code, description)


def test_a_configuration_error_says_where() -> None:
    """Source, section and key come first, as far as they are known."""
    error = errors.ConfigurationError("is odd", source="/etc/x", section="server", key="port")
    assert str(error) == "/etc/x [server] port: is odd"
    assert str(errors.ConfigurationError("is odd")) == "is odd"
