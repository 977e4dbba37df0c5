"""``…/importers/<type>/schedules/sync/`` and ``…/distributors/<id>/schedules/publish/``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.web import API, Call, Gate, json_response
from pulpit.domain.schedules import Scheduled, ScheduleKind, schedule_document
from pulpit.services.schedules import Schedules

__all__ = ["routes"]

_REPOSITORY = f"{API}/repositories/{{repo_id}}"
_SYNC = f"{_REPOSITORY}/importers/{{importer_id}}/schedules/sync/"
_PUBLISH = f"{_REPOSITORY}/distributors/{{distributor_id}}/schedules/publish/"


def routes(gate: Gate, schedules: Schedules) -> Sequence[Route]:
    """Return the routes of schedules."""
    return [
        *_routes_of(gate, schedules, _SYNC, _of_importer),
        *_routes_of(gate, schedules, _PUBLISH, _of_distributor),
    ]


def _routes_of(
    gate: Gate, schedules: Schedules, path: str, of: Callable[[Call], Scheduled]
) -> Sequence[Route]:
    """Return the routes of the schedules of one kind."""

    def listing(call: Call) -> Response:
        return json_response([schedule_document(each) for each in schedules.list(of(call))])

    def create(call: Call) -> Response:
        document = schedule_document(schedules.create(of(call), call.document))
        return json_response(document, HTTPStatus.CREATED, {"Location": document["_href"]})

    def show(call: Call) -> Response:
        return json_response(schedule_document(schedules.get(of(call), _schedule(call))))

    def update(call: Call) -> Response:
        changed = schedules.update(of(call), _schedule(call), call.document)
        return json_response(schedule_document(changed))

    def delete(call: Call) -> Response:
        schedules.delete(of(call), _schedule(call))
        return json_response(None)

    return [
        gate.route(path, GET=listing, POST=create),
        gate.route(f"{path}{{schedule_id}}/", GET=show, PUT=update, DELETE=delete),
    ]


def _of_importer(call: Call) -> Scheduled:
    return Scheduled(
        kind=ScheduleKind.SYNC, repo_id=call.path("repo_id"), plugin_id=call.path("importer_id")
    )


def _of_distributor(call: Call) -> Scheduled:
    return Scheduled(
        kind=ScheduleKind.PUBLISH,
        repo_id=call.path("repo_id"),
        plugin_id=call.path("distributor_id"),
    )


def _schedule(call: Call) -> str:
    return call.path("schedule_id")
