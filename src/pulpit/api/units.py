"""``/pulp/api/v2/content/units/``: content units, and those of a repository."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.web import API, Call, Gate, json_response
from pulpit.domain.associations import parse_unit_criteria
from pulpit.domain.criteria import criteria_from_query
from pulpit.errors import MissingResource, MissingValue
from pulpit.services.documents import as_object, optional, refuse_unknown
from pulpit.services.units import Units

__all__ = ["routes"]

_TYPE = f"{API}/content/units/{{type_id}}"
_ONE = f"{_TYPE}/{{uid}}"


def routes(gate: Gate, units: Units) -> Sequence[Route]:
    """Return the routes of units."""

    def search(call: Call) -> Response:
        criteria, memberships = call.criteria(beside=("include_repos",)), _memberships(call)
        return _listed(units.search(_type(call), criteria, memberships=memberships))

    def listing(call: Call) -> Response:
        paging = {"limit", "skip"}
        pairs = [pair for pair in call.request.query_params.multi_items() if pair[0] in paging]
        return _listed(units.search(_type(call), criteria_from_query(pairs)))

    def show(call: Call) -> Response:
        return json_response(units.get(_type(call), _uid(call)))

    def notes(call: Call) -> Response:
        return json_response(units.user_metadata(_type(call), _uid(call)))

    def note(call: Call) -> Response:
        units.set_user_metadata(_type(call), _uid(call), call.document)
        return json_response(None)

    def search_in(call: Call) -> Response:
        sent = as_object(call.document)
        refuse_unknown(sent, ("criteria",))
        if sent.get("criteria") is None:
            raise MissingValue("criteria")
        criteria = parse_unit_criteria(sent["criteria"])
        return _listed(units.search_in(call.path("repo_id"), criteria))

    def sources(_call: Call) -> Response:
        return json_response([])

    def source(call: Call) -> Response:
        raise MissingResource(source_id=call.path("source_id"))

    def forget(_call: Call) -> Response:
        return json_response({"deleted": 0})

    return [
        gate.route(f"{_TYPE}/search/", GET=search, POST=search),
        gate.route(f"{_TYPE}/", GET=listing),
        gate.route(f"{_ONE}/pulp_user_metadata/", GET=notes, PUT=note),
        gate.route(f"{_ONE}/", GET=show),
        # where units are had from alternately: nowhere
        gate.route(f"{API}/content/sources/", GET=sources),
        gate.route(f"{API}/content/sources/{{source_id}}/", GET=source),
        gate.route(f"{API}/content/catalog/{{source_id}}/", DELETE=forget),
        gate.route(f"{API}/repositories/{{repo_id}}/search/units/", POST=search_in),
    ]


def _type(call: Call) -> str:
    return call.path("type_id")


def _uid(call: Call) -> str:
    return call.path("uid")


def _memberships(call: Call) -> bool:
    """Return whether a search wants the repositories of each unit."""
    if call.request.method == "POST":
        return optional(call.document, "include_repos", bool) or False
    return call.flag("include_repos")


def _listed(documents: Iterable[Mapping[str, Any]]) -> Response:
    """Return a list of documents, of which no more than one is held before it is written."""
    encode = msgspec.json.Encoder().encode
    return json_response(msgspec.Raw(b"[" + b",".join(map(encode, documents)) + b"]"))
