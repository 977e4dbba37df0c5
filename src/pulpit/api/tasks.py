"""``/pulp/api/v2/tasks/``: reading, canceling and purging tasks."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.web import API, Call, Gate, json_response
from pulpit.domain.criteria import project
from pulpit.domain.tasks import Task, call_report, task_report
from pulpit.services.tasks import Tasks

__all__ = ["accepted", "routes"]


def accepted(task: Task) -> Response:
    """Return the 202 that names the task which will do what was asked."""
    return json_response(call_report(task.id), HTTPStatus.ACCEPTED)


def routes(gate: Gate, tasks: Tasks) -> Sequence[Route]:
    """Return the routes of tasks."""

    def listing(call: Call) -> Response:
        found = tasks.tagged(call.request.query_params.getlist("tag"))
        return json_response([task_report(task) for task in found])

    def purge(call: Call) -> Response:
        tasks.purge(call.request.query_params.getlist("state"))
        return json_response(None, HTTPStatus.NO_CONTENT)

    def search(call: Call) -> Response:
        criteria = call.criteria()
        found = tasks.search(criteria)
        return json_response([project(task_report(task), criteria.fields) for task in found])

    def show(call: Call) -> Response:
        return json_response(task_report(tasks.get(call.path("task_id"))))

    def cancel(call: Call) -> Response:
        tasks.cancel(call.path("task_id"))
        return json_response(None)

    return [
        gate.route(f"{API}/tasks/", GET=listing, DELETE=purge),
        gate.route(f"{API}/tasks/search/", GET=search, POST=search),
        gate.route(f"{API}/tasks/{{task_id}}/", GET=show, DELETE=cancel),
    ]
