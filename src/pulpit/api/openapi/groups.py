"""What is said of groups of repositories and of tasks, path by path."""

from __future__ import annotations

from collections.abc import Mapping

from pulpit.api.openapi.operations import Operation, array, created, done, found, ref

__all__ = ["GROUPS"]

_TEXTS = array({"type": "string"})
_GROUP = {
    "display_name": {"type": ["string", "null"]},
    "description": {"type": ["string", "null"]},
    "notes": {"type": ["object", "null"]},
}
_NEW = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string"}, "repo_ids": _TEXTS, **_GROUP},
}
_CHOICE = {"type": "object", "properties": {"criteria": ref("Criteria")}}
_ONE = "repo_groups/{group_id}/"

#: Path below ``/pulp/api/v2/`` to method to what it does.
GROUPS: Mapping[str, Mapping[str, Operation]] = {
    "repo_groups/": {
        "GET": found("List groups of repositories.", array(ref("Object"))),
        "POST": created("Create one.", ref("Object"), body=_NEW),
    },
    _ONE: {
        "GET": found("Read it.", ref("Object")),
        "PUT": found(
            "Update it.",
            ref("Object"),
            body={"type": "object", "properties": _GROUP},
            body_is_optional=True,
        ),
        "DELETE": done("Delete it."),
    },
    f"{_ONE}actions/associate/": {
        "POST": found(
            "Put repositories into it; the ids of all in it.",
            _TEXTS,
            body=_CHOICE,
        ),
    },
    f"{_ONE}actions/unassociate/": {
        "POST": found(
            "Take repositories out of it; the ids of those that are left.",
            _TEXTS,
            body=_CHOICE,
        ),
    },
    f"{_ONE}actions/publish/": {
        "POST": done("Publish it, by a distributor that it can't have.", body=ref("Publish")),
    },
    f"{_ONE}distributors/": {
        "GET": found("Its distributors, of which there are none.", array(ref("Object"))),
        "POST": done("Add one, of a type that there is none of.", body=ref("Object")),
    },
    f"{_ONE}distributors/{{distributor_id}}/": {
        "GET": done("Read it, which is never there."),
        "PUT": done("Update it.", body=ref("Object"), body_is_optional=True),
        "DELETE": done("Remove it."),
    },
    "task_groups/{group_id}/": {
        "GET": found("The tasks of a group.", array(ref("TaskReport"))),
        "DELETE": done("Cancel them."),
    },
    "task_groups/{group_id}/state_summary/": {
        "GET": found("How many are in each state, and in all.", ref("Object")),
    },
}
