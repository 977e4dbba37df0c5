"""The schemas of what the API takes and answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from pulpit.api.openapi.operations import Schema, array, or_null, ref
from pulpit.domain.criteria import MAX_COUNT, MAX_SORT
from pulpit.domain.repositories import DISTRIBUTOR_ID, REPOSITORY_ID
from pulpit.events.schemas import components as event_components

__all__ = ["SORT", "components", "document_of", "sent"]

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_NUMBER: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_ANY_OBJECT: Schema = {"type": "object"}
_TEXTS = array(_TEXT)
_TIME: Schema = {"type": ["string", "null"], "description": "UTC, such as 2026-01-02T03:04:05Z."}
_OID: Schema = {
    "type": "object",
    "required": ["$oid"],
    "properties": {"$oid": {"type": "string", "pattern": "^[0-9a-f]{24}$"}},
}


def document_of(required: Sequence[str] | None = None, /, **properties: Schema) -> Schema:
    """Return the schema of an object that is answered; all of it is there if nothing else is said.

    More keys may come with later versions.
    """
    return {
        "type": "object",
        "required": sorted(properties) if required is None else sorted(required),
        "properties": properties,
    }


def sent(*required: str, **properties: Schema) -> Schema:
    """Return the schema of an object that is sent; keys that are not known are refused.

    What need not be there may be null, too.
    """
    return {
        "type": "object",
        "properties": {
            name: schema if name in required else or_null(schema)
            for name, schema in properties.items()
        },
        "additionalProperties": False,
        **({"required": sorted(required)} if required else {}),
    }


def _pattern(pattern: str) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": 255, "pattern": f"^{pattern}$"}


_CONFIG: Schema = {
    "type": "object",
    "description": "The plugin's configuration; see the reference for its keys.",
}
#: The order of what a search finds.
SORT: Schema = {
    "type": ["array", "null"],
    "maxItems": MAX_SORT,
    "items": {
        "type": "array",
        "prefixItems": [_TEXT, {"enum": ["ascending", "descending"]}],
        "minItems": 2,
        "maxItems": 2,
    },
}
_CRITERIA: dict[str, Schema] = {
    "filters": {"type": ["object", "null"], "description": "Fields and what they must be."},
    "sort": SORT,
    "limit": {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_COUNT},
    "skip": {"type": ["integer", "null"], "minimum": 0, "maximum": MAX_COUNT},
    "fields": {"type": ["array", "null"], "items": _TEXT},
}
_OVERRIDE: Schema = {
    "type": ["object", "null"],
    "description": "Configuration on top of the plugin's own.",
}
_BY_PART = {"type": "object", "properties": {"unit": {}, "association": {}}}


def _answers() -> dict[str, Schema]:
    """Return the schemas of what is answered."""
    href = _TEXT
    return {
        "Error": document_of(
            _href=_TEXT,
            http_status={"type": "integer"},
            http_request_method=_TEXT,
            error_message=_TEXT,
            exception={"type": ["array", "null"]},
            traceback={"type": ["array", "null"]},
            error=document_of(
                code=_TEXT, description=_TEXT, data=_ANY_OBJECT, sub_errors={"type": "array"}
            ),
        ),
        "CallReport": document_of(
            result={},
            error={"type": ["object", "null"]},
            spawned_tasks=array(document_of(_href=_TEXT, task_id=_TEXT)),
        ),
        "Plugin": document_of(["id", "_href"], id=_TEXT, _href=href, display_name=_TEXT),
        "Repository": document_of(
            ["id", "_id", "_href"],
            _id=_OID,
            _ns=_TEXT,
            _href=href,
            id=_TEXT,
            display_name=_TEXT,
            description=_TEXT_OR_NULL,
            notes=_ANY_OBJECT,
            scratchpad=_ANY_OBJECT,
            content_unit_counts={"type": "object", "additionalProperties": _NUMBER},
            last_unit_added=_TIME,
            last_unit_removed=_TIME,
            importers=array(ref("Importer")),
            distributors=array(ref("Distributor")),
            total_repository_units=_NUMBER,
            locally_stored_units=_NUMBER,
        ),
        "Importer": document_of(
            _id=_OID,
            _ns=_TEXT,
            _href=href,
            id=_TEXT,
            importer_type_id=_TEXT,
            repo_id=_TEXT,
            config=_ANY_OBJECT,
            scratchpad=_ANY_OBJECT,
            last_sync=_TIME,
            last_updated=_TIME,
            last_override_config=_ANY_OBJECT,
        ),
        "Distributor": document_of(
            _id=_OID,
            _ns=_TEXT,
            _href=href,
            id=_TEXT,
            distributor_type_id=_TEXT,
            repo_id=_TEXT,
            config=_ANY_OBJECT,
            auto_publish=_FLAG,
            scratchpad=_ANY_OBJECT,
            last_publish=_TIME,
            last_updated=_TIME,
            last_override_config=_ANY_OBJECT,
        ),
        "Schedule": document_of(
            _id=_TEXT,
            _href=href,
            schedule=_TEXT,
            enabled=_FLAG,
            failure_threshold={"type": ["integer", "null"]},
            consecutive_failures=_NUMBER,
            first_run=_TIME,
            next_run=_TIME,
            last_run_at=_TIME,
            last_updated={"type": "number"},
            remaining_runs={"type": ["integer", "null"]},
            total_run_count=_NUMBER,
            args={"type": "array"},
            kwargs=_ANY_OBJECT,
            resource=_TEXT,
            task=_TEXT,
        ),
        "Unit": {"type": "object", "description": "A unit's document, or the fields of it."},
        "Association": {"type": "object", "description": "That a unit is in a repository."},
        "Part": {"type": "object", "description": "A document, or the fields of it asked for."},
        "Upload": document_of(
            ["_href", "upload_id"],
            _href=href,
            upload_id=_TEXT,
            received=array(document_of(start=_NUMBER, end=_NUMBER)),
        ),
        "User": document_of(_id=_OID, _ns=_TEXT, _href=href, login=_TEXT, name=_TEXT, roles=_TEXTS),
        "Role": document_of(["id", "_href"], id=_TEXT, _href=href, display_name=_TEXT),
        "Token": document_of(["_href", "name"], _href=href, name=_TEXT),
        "Permission": document_of(["resource"], resource=_TEXT),
        "Certificate": document_of(certificate=_TEXT, key=_TEXT),
        "Listener": document_of(
            ["_href", "id", "notifier_type_id"],
            _href=href,
            id=_TEXT,
            notifier_type_id={"enum": ["http", "email", "amqp"]},
            notifier_config=_ANY_OBJECT,
            event_types=_TEXTS,
        ),
        "Object": _ANY_OBJECT,
    }


def _requests() -> dict[str, Schema]:
    """Return the schemas of what is sent."""
    distributor = {
        "distributor_id": _pattern(DISTRIBUTOR_ID.pattern),
        "distributor_type_id": _TEXT,
        "auto_publish": _FLAG,
        "distributor_config": _CONFIG,
    }
    listener = {
        "notifier_config": _ANY_OBJECT,
        "event_types": {"type": "array", "items": _TEXT, "minItems": 1},
    }
    schedule = {
        "enabled": _FLAG,
        "failure_threshold": {"type": ["integer", "null"], "minimum": 1},
        "override_config": _OVERRIDE,
    }
    criteria = sent(**_CRITERIA)
    in_repository = sent(
        type_ids={"anyOf": [_TEXTS, _TEXT]},
        filters=_BY_PART,
        sort={},
        fields=_BY_PART,
        limit=_CRITERIA["limit"],
        skip=_CRITERIA["skip"],
        remove_duplicates={},
    )
    return {
        "Criteria": criteria,
        "UnitCriteria": in_repository,
        "Search": sent("criteria", criteria=ref("Criteria")),
        "RepositorySearch": sent(
            "criteria", criteria=ref("Criteria"), importers=_FLAG, distributors=_FLAG
        ),
        "UnitSearch": sent("criteria", criteria=ref("Criteria"), include_repos=_FLAG),
        "AssociationSearch": sent("criteria", criteria=ref("UnitCriteria")),
        "NewRepository": sent(
            "id",
            id=_pattern(REPOSITORY_ID.pattern),
            display_name=_TEXT_OR_NULL,
            description=_TEXT_OR_NULL,
            notes=_ANY_OBJECT,
            importer_type_id=_TEXT_OR_NULL,
            importer_config={"type": ["object", "null"]},
            distributors=array({"type": "object", "required": ["distributor_type_id"]}),
        ),
        "RepositoryUpdate": sent(
            delta=_ANY_OBJECT, importer_config=_CONFIG, distributor_configs=_ANY_OBJECT
        ),
        "NewImporter": sent("importer_type_id", importer_type_id=_TEXT, importer_config=_CONFIG),
        "ImporterUpdate": sent("importer_config", importer_config=_CONFIG),
        "NewDistributor": sent("distributor_type_id", **distributor),
        "DistributorUpdate": sent(distributor_config=_CONFIG, delta=_ANY_OBJECT),
        "Sync": sent(override_config=_OVERRIDE),
        "Publish": sent("id", id=_TEXT, override_config=_OVERRIDE),
        "Download": sent(verify_all_units=_FLAG),
        "Copy": sent(
            "source_repo_id",
            source_repo_id=_TEXT,
            criteria=ref("UnitCriteria"),
            override_config=_OVERRIDE,
        ),
        "Removal": sent(criteria=ref("UnitCriteria")),
        "ImportUpload": sent(
            "upload_id",
            "unit_type_id",
            upload_id=_TEXT,
            unit_type_id=_TEXT,
            unit_key={"type": ["object", "null"]},
            unit_metadata={"type": ["object", "null"]},
            override_config=_OVERRIDE,
        ),
        "NewSchedule": sent("schedule", schedule=_TEXT, **schedule),
        "ScheduleUpdate": sent(schedule=_TEXT, **schedule),
        "NewListener": sent(
            "notifier_type_id",
            "notifier_config",
            "event_types",
            notifier_type_id={"enum": ["http", "email", "amqp"]},
            **listener,
        ),
        "ListenerUpdate": sent(**listener),
        "NewUser": sent(
            "login",
            login=_pattern(REPOSITORY_ID.pattern),
            password=_TEXT_OR_NULL,
            name=_TEXT_OR_NULL,
            roles=_TEXTS,
        ),
        "Delta": sent("delta", delta=_ANY_OBJECT),
    }


@cache
def components() -> dict[str, Any]:
    """Return all schemas by name, those of the events' reports among them."""
    reports = event_components()
    return dict(sorted({**reports, **_answers(), **_requests()}.items()))
