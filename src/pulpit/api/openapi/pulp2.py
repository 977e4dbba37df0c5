"""What the paths of Pulp 2's API do, below ``/pulp/api/v2/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from pulpit.api.openapi.components import SORT, sent
from pulpit.api.openapi.groups import GROUPS
from pulpit.api.openapi.operations import (
    BINARY,
    Operation,
    Parameter,
    accepted,
    array,
    created,
    done,
    found,
    query,
    ref,
)
from pulpit.domain.criteria import MAX_COUNT

__all__ = ["PULP2"]

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 1, "maximum": MAX_COUNT}
_SKIP = {"type": "integer", "minimum": 0, "maximum": MAX_COUNT}
_PAGE = (
    query("limit", "How many at the most.", _COUNT),
    query("skip", "How many to leave out before.", _SKIP),
)
_BY_QUERY = (
    *_PAGE,
    query("field", "A field to return.", repeated=True),
    query("filters", "The filters as JSON.", {"type": ["object", "null"]}, is_json=True),
    query("sort", "The order as JSON.", SORT, is_json=True),
)
#: Flags of a query: "true" says yes, and whatever else is there says no.
_DETAILS = (
    query("importers", "Whether importers are told: true."),
    query("distributors", "Whether distributors are told: true."),
    query("details", "Whether all is told: true."),
)
_MEMBERSHIPS = (query("include_repos", "Whether the repositories of each unit are told: true."),)


def _listed(what: str, schema: str, **more: object) -> Operation:
    return found(f"All {what}.", array(ref(schema)), **more)


def _search(
    what: str, body: str = "Search", *, flags: Sequence[Parameter] = ()
) -> Mapping[str, Operation]:
    """Return both ways to search; what is found may have but the fields that were asked for."""
    answer = array(ref("Part"))
    by_query = f"Search {what} by the query; any other name is a field that must have the value."
    return {
        "GET": found(by_query, answer, parameters=[*_BY_QUERY, *flags]),
        "POST": found(f"Search {what} by criteria.", answer, body=ref(body)),
    }


def _grants(name: str) -> Operation:
    body = sent(
        name,
        "resource",
        "operations",
        **{name: _TEXT, "resource": _TEXT},
        operations=array({"enum": ["CREATE", "READ", "UPDATE", "DELETE", "EXECUTE"]}),
    )
    return done("Change what they may do to a resource.", body=body)


_PLUGINS = {
    f"plugins/{kind}/": {"GET": _listed(what, "Plugin")}
    for kind, what in (
        ("types", "content types"),
        ("importers", "importer types"),
        ("distributors", "distributor types"),
    )
} | {
    f"plugins/{kind}/{{plugin_id}}/": {"GET": found("One of them.", ref("Plugin"))}
    for kind in ("types", "importers", "distributors")
}

_REPO = "repositories/{repo_id}/"
_REPOSITORIES: Mapping[str, Mapping[str, Operation]] = {
    "repositories/": {
        "GET": _listed("repositories", "Repository", parameters=_DETAILS),
        "POST": created(
            "Create one, with importer and distributors.",
            ref("Repository"),
            body=ref("NewRepository"),
        ),
    },
    "repositories/search/": _search("repositories", "RepositorySearch", flags=_DETAILS[:2]),
    _REPO: {
        "GET": found("Read it.", ref("Repository"), parameters=_DETAILS),
        "PUT": Operation(
            summary="Update it; its distributors by tasks.",
            answers={
                HTTPStatus.OK: ref("CallReport"),
                HTTPStatus.ACCEPTED: ref("CallReport"),
            },
            body=ref("RepositoryUpdate"),
        ),
        "DELETE": accepted("Delete it."),
    },
    f"{_REPO}importers/": {
        "GET": _listed("importers", "Importer"),
        "POST": accepted("Set the importer.", body=ref("NewImporter")),
    },
    f"{_REPO}importers/{{importer_id}}/": {
        "GET": found("Read it.", ref("Importer")),
        "PUT": accepted("Update it.", body=ref("ImporterUpdate")),
        "DELETE": accepted("Remove it."),
    },
    f"{_REPO}distributors/": {
        "GET": _listed("distributors", "Distributor"),
        "POST": created("Add one.", ref("Distributor"), body=ref("NewDistributor")),
    },
    f"{_REPO}distributors/{{distributor_id}}/": {
        "GET": found("Read it.", ref("Distributor")),
        "PUT": accepted("Update it.", body=ref("DistributorUpdate")),
        "DELETE": accepted("Remove it."),
    },
    f"{_REPO}actions/sync/": {
        "POST": accepted("Sync.", body=ref("Sync"), body_is_optional=True),
    },
    f"{_REPO}actions/publish/": {"POST": accepted("Publish.", body=ref("Publish"))},
    f"{_REPO}actions/download/": {
        "POST": accepted("Download what is missing.", body=ref("Download"), body_is_optional=True),
    },
    f"{_REPO}actions/associate/": {"POST": accepted("Copy units into it.", body=ref("Copy"))},
    f"{_REPO}actions/unassociate/": {
        "POST": accepted("Remove units.", body=ref("Removal")),
    },
    f"{_REPO}actions/import_upload/": {
        "POST": accepted("Make units of an upload.", body=ref("ImportUpload")),
    },
    f"{_REPO}search/units/": {
        "POST": found(
            "Search its units.", array(ref("Association")), body=ref("AssociationSearch")
        ),
    },
    "distributors/search/": _search("distributors"),
}

_SCHEDULES = {
    path: {
        "": {
            "GET": _listed("schedules", "Schedule"),
            "POST": created("Create one.", ref("Schedule"), body=ref("NewSchedule")),
        },
        "{schedule_id}/": {
            "GET": found("Read it.", ref("Schedule")),
            "PUT": found("Update it.", ref("Schedule"), body=ref("ScheduleUpdate")),
            "DELETE": done("Delete it."),
        },
    }
    for path in (
        f"{_REPO}importers/{{importer_id}}/schedules/sync/",
        f"{_REPO}distributors/{{distributor_id}}/schedules/publish/",
    )
}

_UNITS = "content/units/{type_id}/"
_ORPHANS = "content/orphans/"
_CONTENT: Mapping[str, Mapping[str, Operation]] = {
    _UNITS: {"GET": _listed("units of a type", "Unit", parameters=_PAGE)},
    f"{_UNITS}search/": _search("units of a type", "UnitSearch", flags=_MEMBERSHIPS),
    f"{_UNITS}{{uid}}/": {"GET": found("One of them.", ref("Unit"))},
    f"{_UNITS}{{uid}}/pulp_user_metadata/": {
        "GET": found("What users note of it.", {"type": ["object", "null"]}),
        "PUT": done("Note something else.", body=ref("Object")),
    },
    "content/sources/": {"GET": _listed("alternate sources", "Object")},
    "content/sources/{source_id}/": {"GET": found("One of them.", ref("Object"))},
    "content/catalog/{source_id}/": {
        "DELETE": found("Forget what is known of such a source.", ref("Object")),
    },
    "content/uploads/": {
        "GET": found("The ids of all uploads.", ref("Object")),
        "POST": created("Begin one.", ref("Upload")),
    },
    "content/uploads/{upload_id}/": {
        "GET": found("What has come of it.", ref("Upload")),
        "DELETE": done("Delete it."),
    },
    "content/uploads/{upload_id}/{offset}/": {
        "PUT": done("Send bytes that belong there.", body=_TEXT, takes=BINARY),
    },
    _ORPHANS: {
        "GET": found("How many orphans there are of each type.", ref("Object")),
        "DELETE": accepted("Remove all."),
    },
    f"{_ORPHANS}{{type_id}}/": {
        "GET": _listed("orphans of a type", "Unit"),
        "DELETE": accepted("Remove these."),
    },
    f"{_ORPHANS}{{type_id}}/{{unit_id}}/": {
        "GET": found("One of them.", ref("Unit")),
        "DELETE": accepted("Remove it."),
    },
    "content/actions/delete_orphans/": {
        "POST": accepted(
            "Remove these orphans.",
            body=array(
                sent("content_type_id", "unit_id", content_type_id=_TEXT, unit_id=_TEXT),
            ),
        ),
    },
}

_TASKS: Mapping[str, Mapping[str, Operation]] = {
    "tasks/": {
        "GET": _listed(
            "tasks",
            "TaskReport",
            parameters=[query("tag", "A tag that they have.", repeated=True)],
        ),
        "DELETE": Operation(
            summary="Purge the tasks in these states.",
            answers={HTTPStatus.NO_CONTENT: None},
            parameters=[
                query(
                    "state", "A state.", {"enum": ["finished", "error", "skipped"]}, repeated=True
                )
            ],
        ),
    },
    "tasks/search/": _search("tasks"),
    "tasks/{task_id}/": {
        "GET": found("The Task Report.", ref("TaskReport")),
        "DELETE": done("Cancel it."),
    },
}

_LISTENERS: Mapping[str, Mapping[str, Operation]] = {
    "events/": {
        "GET": _listed("event listeners", "Listener"),
        "POST": created("Create one.", ref("Listener"), body=ref("NewListener")),
    },
    "events/{listener_id}/": {
        "GET": found("Read it.", ref("Listener")),
        "PUT": found("Update it.", ref("Listener"), body=ref("ListenerUpdate")),
        "DELETE": done("Delete it."),
    },
}

_ROLE_TEXTS = {name: {"type": ["string", "null"]} for name in ("display_name", "description")}
_USERS: Mapping[str, Mapping[str, Operation]] = {
    "users/": {
        "GET": _listed("users", "User"),
        "POST": created("Create one.", ref("User"), body=ref("NewUser")),
    },
    "users/search/": _search("users"),
    "users/{login}/": {
        "GET": found("Read it.", ref("User")),
        "PUT": found("Update it.", ref("User"), body=ref("Delta")),
        "DELETE": done("Delete it."),
    },
    "users/{login}/tokens/": {
        "GET": _listed("tokens", "Token"),
        "POST": created(
            "Make one; the answer alone has it.",
            ref("Token"),
            body=sent("name", name=_TEXT, expires={"type": ["string", "null"]}, read_only=_FLAG),
        ),
    },
    "users/{login}/tokens/{token_id}/": {"DELETE": done("Revoke it.")},
    "actions/login/": {
        "POST": found("A new client certificate and its key.", ref("Certificate")),
    },
    "roles/": {
        "GET": _listed("roles", "Role"),
        "POST": created(
            "Create one.", ref("Role"), body=sent("role_id", role_id=_TEXT, **_ROLE_TEXTS)
        ),
    },
    "roles/{role_id}/": {
        "GET": found("Read it.", ref("Role")),
        "PUT": found("Update it.", ref("Role"), body=ref("Delta")),
        "DELETE": done("Delete it."),
    },
    "roles/{role_id}/users/": {
        "GET": _listed("users who have it", "User"),
        "POST": done("Give it to a user.", body=sent("login", login=_TEXT)),
    },
    "roles/{role_id}/users/{login}/": {"DELETE": done("Take it from a user.")},
    "permissions/": {
        "GET": _listed(
            "permissions", "Permission", parameters=[query("resource", "Of this resource.")]
        ),
    },
    "permissions/actions/grant_to_user/": {"POST": _grants("login")},
    "permissions/actions/revoke_from_user/": {"POST": _grants("login")},
    "permissions/actions/grant_to_role/": {"POST": _grants("role_id")},
    "permissions/actions/revoke_from_role/": {"POST": _grants("role_id")},
}

#: Path below ``/pulp/api/v2/`` to method to what it does.
PULP2: Mapping[str, Mapping[str, Operation]] = {
    "status/": {
        "GET": found("Versions, connections, workers.", ref("Object"), public=True),
    },
    **_PLUGINS,
    **_REPOSITORIES,
    **{f"{path}{rest}": of for path, below in _SCHEDULES.items() for rest, of in below.items()},
    **_CONTENT,
    **GROUPS,
    "repo_groups/search/": _search("groups of repositories"),
    **_TASKS,
    **_LISTENERS,
    **_USERS,
}
