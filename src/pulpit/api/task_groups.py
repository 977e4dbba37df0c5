"""``/pulp/api/v2/task_groups/<id>/``: tasks that belong together."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.web import API, Call, Gate, json_response
from pulpit.domain.tasks import task_report
from pulpit.services.task_groups import TaskGroups

__all__ = ["routes"]

_ONE = f"{API}/task_groups/{{group_id}}/"


def routes(gate: Gate, groups: TaskGroups) -> Sequence[Route]:
    """Return the routes of task groups."""

    def show(call: Call) -> Response:
        return json_response([task_report(task) for task in groups.tasks(_group(call))])

    def cancel(call: Call) -> Response:
        groups.cancel(_group(call))
        return json_response(None)

    def summary(call: Call) -> Response:
        return json_response(groups.summary(_group(call)))

    return [
        gate.route(_ONE, GET=show, DELETE=cancel),
        gate.route(f"{_ONE}state_summary/", GET=summary),
    ]


def _group(call: Call) -> str:
    return call.path("group_id")
