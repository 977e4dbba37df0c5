"""``/pulpit/v1/snapshot/``: the present state of tasks, and the event number to go on after."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.queries import limit, members, single, tags
from pulpit.api.web import Call, Gate, json_response
from pulpit.domain.tasks import INCOMPLETE, TaskState
from pulpit.services.snapshot import Snapshots, TaskFilter

__all__ = ["SNAPSHOT", "routes"]

SNAPSHOT = "/pulpit/v1/snapshot/"
#: Tasks on one page, at the most and unless asked for otherwise.
_PAGE_MOST = 1_000


def routes(gate: Gate, snapshots: Snapshots) -> Sequence[Route]:
    """Return the route of the snapshot."""

    def show(call: Call) -> Response:
        query = call.request.query_params
        page = snapshots.page(
            _filter(query),
            limit=limit(query, default=_PAGE_MOST, most=_PAGE_MOST),
            token=single(query, "page"),
        )
        tasks = [
            {"revision": told.revision, "task": msgspec.Raw(told.report)} for told in page.tasks
        ]
        return json_response(
            {"sequence": page.sequence, "tasks": tasks, "next": page.next},
            headers={"Cache-Control": "no-store"},
        )

    return [gate.route(SNAPSHOT, GET=show)]


def _filter(query: QueryParams) -> TaskFilter:
    """Return which tasks the query asks for, or raise InvalidValue."""
    return TaskFilter(
        task_ids=frozenset(query.getlist("task")),
        tags=tags(query),
        states=members(TaskState, query, "state") or INCOMPLETE,
    )
