"""Every error that Pulpit raises on purpose, and the one shape in which it tells them.

The tree::

    PulpitError
    ├── RequestError                 what a caller asked can't be done
    │   ├── MissingResource          404 PLP0009
    │   ├── InvalidValue             400 PLP0015
    │   ├── MissingValue             400 PLP0016
    │   ├── UnsupportedValue         400 PLP0017
    │   ├── DuplicateResource        409 PLP0018
    │   ├── TypesNotTaken            400 PLP0044
    │   ├── TooManyListeners         409 PLPIT14
    │   ├── TooManyUploads           409 PLPIT15
    │   ├── NotJson                  400 PLP1009
    │   ├── WrongJsonType            400 PLP1015
    │   ├── PurgeWithoutState        403 PLP1012
    │   ├── PurgeOfState             400 PLP1011
    │   ├── AuthenticationFailed     401 PLP0025
    │   │   └── WrongPassword        401 PLP0030
    │   ├── LastSuperUser            400 PLP0000
    │   ├── PermissionDenied         403 PLP0042
    │   ├── MethodNotAllowed         405 PLPIT11
    │   ├── SearchTooLong            400 PLPIT17
    │   ├── BodyTooSlow              408 PLPIT13
    │   ├── BodyTooLarge             413 PLPIT12
    │   ├── NotImplementedHere       501 PLP0014
    │   ├── StorageFull              507 PLPIT16
    │   ├── Unavailable              503 PLP0011
    │   └── EventsGone               410 PLPIT10
    ├── ContentError                 a feed or a package is not what it says
    │   ├── MetadataUnavailable      RPM1004
    │   ├── NoFeed                   RPM1005
    │   ├── Unparsable               RPM1006
    │   ├── NoSuchChecksum           RPM1012
    │   ├── MalformedRepository      RPM1015
    │   ├── ChecksumMismatch         PLP1013
    │   ├── UnsignedPackage          RPM1013
    │   ├── ForeignSignature         RPM1014
    │   ├── NotAnRpm                 RPM1016
    │   └── DownloadFailed           RPM1004
    ├── TaskLost                     500 PLP0049, the child process died
    ├── Fenced                       a write of an attempt that is no longer the task's
    ├── SecretsUnreadable            the key that sealed them is not in the data folder
    ├── DatabaseFailed               the database, not what was to be written, is at fault
    │   └── DatabaseUnavailable      503 PLP0011
    └── StartError                   the server or a command can't start; one clear line
        ├── ConfigurationError       names file, section, key and the nearest known key
        ├── CopyRefused              a database can't be copied to another one
        ├── DataFolderInUse
        ├── DataFolderUnusable
        ├── EngineInUse
        ├── DatabaseUnusable         the PostgreSQL database; says what is wrong with its URL
        ├── SchemaDue                the database must be upgraded first
        ├── SchemaTooNew
        ├── PortTaken
        └── WorkerNameTaken
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

__all__ = [
    "AuthenticationFailed",
    "BodyTooLarge",
    "BodyTooSlow",
    "ChecksumMismatch",
    "ConfigurationError",
    "ContentError",
    "CopyRefused",
    "DataFolderInUse",
    "DataFolderUnusable",
    "DatabaseFailed",
    "DatabaseUnavailable",
    "DatabaseUnusable",
    "DownloadFailed",
    "DuplicateResource",
    "EngineInUse",
    "EventsGone",
    "Fenced",
    "ForeignSignature",
    "InvalidValue",
    "LastSuperUser",
    "MalformedRepository",
    "MetadataUnavailable",
    "MethodNotAllowed",
    "MissingResource",
    "MissingValue",
    "NoFeed",
    "NoSuchChecksum",
    "NotAnRpm",
    "NotImplementedHere",
    "NotJson",
    "PermissionDenied",
    "PortTaken",
    "PulpitError",
    "PurgeOfState",
    "PurgeWithoutState",
    "RequestError",
    "SchemaDue",
    "SchemaTooNew",
    "SearchTooLong",
    "SecretsUnreadable",
    "StartError",
    "StorageFull",
    "TaskLost",
    "TooManyListeners",
    "TooManyUploads",
    "TypesNotTaken",
    "Unavailable",
    "Unparsable",
    "UnsignedPackage",
    "UnsupportedValue",
    "WorkerNameTaken",
    "WrongJsonType",
    "WrongPassword",
]


class PulpitError(Exception):
    """Something went wrong inside the server; the log of the server tells what."""

    #: The code that clients look at; PLPnnnn and RPMnnnn are Pulp 2's, PLPITnn our own.
    code: ClassVar[str] = "PLP0001"
    #: The status of an HTTP answer that carries this error.
    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(
        self, message: str | None = None, *, data: Mapping[str, Any] | None = None
    ) -> None:
        self.message = message or (type(self).__doc__ or "").partition("\n")[0]
        #: What the error is about, by name; becomes ``error.data``.
        self.data: dict[str, Any] = dict(data or {})
        super().__init__(self.message)

    def legacy(self) -> dict[str, Any]:
        """Return the keys that Pulp 2 put at the top of the body for this kind of error."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Return ``{code, description, data, sub_errors}``, as task reports and bodies carry it."""
        return {
            "code": self.code,
            "description": self.message,
            "data": self.data,
            "sub_errors": [],
        }


class RequestError(PulpitError):
    """The request can't be served; the message says what to change."""

    status = HTTPStatus.BAD_REQUEST


class MissingResource(RequestError):
    """The resource does not exist.

    Args:
        resources: kind of resource to id, such as ``{"repo_id": "zoo"}``.
    """

    code = "PLP0009"
    status = HTTPStatus.NOT_FOUND

    def __init__(self, **resources: str) -> None:
        named = ", ".join(f"{kind}={value}" for kind, value in resources.items())
        super().__init__(f"Missing resource(s): {named}", data={"resources": resources})
        self.resources = resources

    def legacy(self) -> dict[str, Any]:
        return {"resources": self.resources}


class _NamedValues(RequestError):
    """Properties of the request that are not as they must be."""

    _key: ClassVar[str]
    _label: ClassVar[str]

    def __init__(self, *names: str, why: str | None = None) -> None:
        message = f"{self._label}: {', '.join(names)}" + (f" ({why})" if why else "")
        super().__init__(message, data={self._key: list(names)})
        self.names = names

    def legacy(self) -> dict[str, Any]:
        return {self._key: list(self.names)}


class InvalidValue(_NamedValues):
    """A property has a value that is not valid."""

    code = "PLP0015"
    _key = "property_names"
    _label = "Invalid properties"


class MissingValue(_NamedValues):
    """A property that is required is absent."""

    code = "PLP0016"
    _key = "missing_property_names"
    _label = "Missing values for"


class UnsupportedValue(_NamedValues):
    """A property is not known here."""

    code = "PLP0017"
    _key = "unsupported_property_names"
    _label = "Unsupported properties"


class DuplicateResource(RequestError):
    """A resource of that id is there already."""

    code = "PLP0018"
    status = HTTPStatus.CONFLICT

    def __init__(self, resource_id: str) -> None:
        super().__init__(f"Duplicate resource: {resource_id}", data={"resource_id": resource_id})
        self.resource_id = resource_id

    def legacy(self) -> dict[str, Any]:
        return {"resource_id": self.resource_id}


class TypesNotTaken(RequestError):
    """Content types are to be copied that the importer of the destination does not take."""

    code = "PLP0044"

    def __init__(self, repo_id: str, type_ids: Sequence[str]) -> None:
        super().__init__(
            f"The importer of {repo_id} does not take {', '.join(type_ids)}: name in type_ids the "
            "types to copy",
            data={"repo_id": repo_id, "type_ids": list(type_ids)},
        )


class TooManyListeners(RequestError):
    """There are as many listeners as there may be: delete one that nobody needs."""

    code = "PLPIT14"
    status = HTTPStatus.CONFLICT

    def __init__(self, most: int) -> None:
        super().__init__(
            f"There are {most:,} listeners, and there may be no more: delete one that nobody needs",
            data={"most": most},
        )


class TooManyUploads(RequestError):
    """There are as many uploads as there may be: delete those that were imported."""

    code = "PLPIT15"
    status = HTTPStatus.CONFLICT

    def __init__(self, most: int) -> None:
        super().__init__(
            f"There are {most:,} uploads, and there may be no more: delete those that were "
            "imported, or are not needed",
            data={"most": most},
        )


class NotJson(RequestError):
    """The body of the request is not valid JSON."""

    code = "PLP1009"


class WrongJsonType(RequestError):
    """The body of the request must be a JSON object."""

    code = "PLP1015"

    def legacy(self) -> dict[str, Any]:
        return {"args": [self.message]}


class PurgeWithoutState(RequestError):
    """Name the states to purge, as in ?state=finished; all tasks at once can't be purged."""

    code = "PLP1012"
    status = HTTPStatus.FORBIDDEN


class PurgeOfState(RequestError):
    """Tasks in that state can't be purged; purge finished, error or skipped."""

    code = "PLP1011"


class AuthenticationFailed(RequestError):
    """Authentication failed: send a user's login and password, a token, or a client certificate."""

    code = "PLP0025"
    status = HTTPStatus.UNAUTHORIZED

    def legacy(self) -> dict[str, Any]:
        return {"auth_error_code": self.code}


class WrongPassword(AuthenticationFailed):
    """Authentication failed: there is no user of that login and password."""

    code = "PLP0030"


class LastSuperUser(RequestError):
    """There must be a super-user: make another user one first."""

    code = "PLP0000"


class PermissionDenied(RequestError):
    """This user may not do that."""

    code = "PLP0042"
    status = HTTPStatus.FORBIDDEN


class MethodNotAllowed(RequestError):
    """That method can't be used here; the header Allow names those that can."""

    code = "PLPIT11"
    status = HTTPStatus.METHOD_NOT_ALLOWED


class BodyTooLarge(RequestError):
    """The body of the request is too large; send less at a time."""

    code = "PLPIT12"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class SearchTooLong(RequestError):
    """The search takes too long: narrow it by what has an index, or page by limit."""

    code = "PLPIT17"
    status = HTTPStatus.BAD_REQUEST

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The search took longer than {seconds:g} seconds and was broken off: narrow it by "
            "an id, a name, a tag, a state or a time, or ask for less by limit",
            data={"seconds": seconds},
        )


class BodyTooSlow(RequestError):
    """The body of the request did not come in time; send it again."""

    code = "PLPIT13"
    status = HTTPStatus.REQUEST_TIMEOUT


class NotImplementedHere(RequestError):
    """This server does not offer that."""

    code = "PLP0014"
    status = HTTPStatus.NOT_IMPLEMENTED


class StorageFull(RequestError):
    """The disk of the data folder is full; make room there, then send it again."""

    code = "PLPIT16"
    status = HTTPStatus.INSUFFICIENT_STORAGE


class Unavailable(RequestError):
    """The server can't do that now; try again later."""

    code = "PLP0011"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class EventsGone(RequestError):
    """The events asked for are past retention (or the number is ahead of the journal).

    Args:
        oldest: the oldest sequence number that can be read.
        head: the newest one.
    """

    code = "PLPIT10"
    status = HTTPStatus.GONE

    def __init__(self, *, since: int, oldest: int, head: int) -> None:
        super().__init__(
            f"No events can be read after {since}: the journal holds {oldest} to {head}; "
            "read /pulpit/v1/snapshot/ for the present state and go on from its sequence.",
            data={
                "since": since,
                "oldest": oldest,
                "head": head,
                # a number ahead of the head is of another journal: what was missed is not known
                "missed": oldest - 1 - since if since < oldest else None,
                "snapshot": "/pulpit/v1/snapshot/",
            },
        )
        self.since, self.oldest, self.head = since, oldest, head

    @property
    def resume(self) -> int:
        """The number after which reading can go on."""
        return self.head if self.since > self.head else self.oldest - 1


class ContentError(PulpitError):
    """The content is not what it says it is."""

    code = "RPM1000"


class MetadataUnavailable(ContentError):
    """Error retrieving metadata."""

    code = "RPM1004"

    def __init__(self, reason: str, *, url: str | None = None) -> None:
        super().__init__(
            f"Error retrieving metadata: {reason}",
            data={"reason": reason} | ({"url": url} if url else {}),
        )


class NoFeed(ContentError):
    """The importer has no feed: set importer_config.feed, then sync again."""

    code = "RPM1005"


class Unparsable(ContentError):
    """The metadata could not be parsed."""

    code = "RPM1006"

    def __init__(self, reason: str, *, url: str | None = None) -> None:
        super().__init__(
            f"Could not parse the metadata: {reason}",
            data={"reason": reason} | ({"url": url} if url else {}),
        )


class NoSuchChecksum(ContentError):
    """An erratum lacks checksums of the type that it must be published with.

    Args:
        erratum: its id.
        package: the file that has none.
        kind: the type that is asked for.
    """

    code = "RPM1012"

    def __init__(self, erratum: str, *, package: str, kind: str) -> None:
        super().__init__(
            f"Erratum {erratum} has no {kind} checksum of {package}: "
            "choose another updateinfo_checksum_type, or none",
            data={"erratum": erratum, "package": package, "checksumtype": kind},
        )


class MalformedRepository(ContentError):
    """The repository's metadata is not complete."""

    code = "RPM1015"

    def __init__(self, reason: str, *, url: str | None = None) -> None:
        super().__init__(
            f"Malformed repository: {reason}",
            data={"reason": reason} | ({"url": url} if url else {}),
        )


class ChecksumMismatch(ContentError):
    """The file is not the one that its checksum or size belongs to; send it again."""

    code = "PLP1013"


class UnsignedPackage(ContentError):
    """The package is not signed, which the importer requires."""

    code = "RPM1013"

    def __init__(self, package: str) -> None:
        super().__init__(
            f"{package} is not signed, and the importer requires that: sign it, or take "
            "require_signature from the importer's configuration",
            data={"package": package},
        )


class ForeignSignature(ContentError):
    """The package is signed with a key that the importer does not allow."""

    code = "RPM1014"

    def __init__(self, package: str, *, key: str, allowed: Sequence[str]) -> None:
        super().__init__(
            f"{package} is signed with the key {key}, and the importer allows "
            f"{', '.join(allowed)} alone: add the key to its allowed_keys, or sign it with another",
            data={"package": package, "key": key, "allowed": list(allowed)},
        )


class NotAnRpm(ContentError):
    """The file is not a valid RPM package."""

    code = "RPM1016"


class DownloadFailed(ContentError):
    """A file could not be downloaded whole and right.

    Args:
        url: where it was asked for, without credentials.
        reason: what was wrong, as a person would say it.
        error_code: ``size_mismatch``, ``checksum_mismatch``, ``checksum_type_unknown`` or None.
    """

    code = "RPM1004"

    def __init__(self, url: str, reason: str, *, error_code: str | None = None) -> None:
        data: dict[str, Any] = {"url": url, "reason": reason}
        if error_code:
            data["error_code"] = error_code
        super().__init__(f"Could not download {url}: {reason}", data=data)
        self.url, self.reason, self.error_code = url, reason, error_code


class TaskLost(PulpitError):
    """The process that ran the task ended before the task did."""

    code = "PLP0049"


class Fenced(PulpitError):
    """This attempt of the task is over (canceled, or given to another worker)."""


class SecretsUnreadable(PulpitError):
    """The listener's secrets can't be read: the key that they were sealed with is not here."""


class DatabaseFailed(PulpitError):
    """The database can't be used for now; the same may be written later."""


class DatabaseUnavailable(DatabaseFailed):
    """The database can't be used now; try again in a few seconds.

    Args:
        reason: for the log; it may name hosts, which is nothing that clients need to know.
    """

    code = "PLP0011"
    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def __str__(self) -> str:
        return f"The database can't be used now: {self.reason}"


class StartError(PulpitError):
    """The server can't start."""


class ConfigurationError(StartError):
    """The configuration can't be used.

    Args:
        reason: what is wrong and what to do.
        source: the file, variable or flag that holds the value.
        section: the section in the file.
        key: the key in the section.
    """

    def __init__(
        self,
        reason: str,
        *,
        source: str | None = None,
        section: str | None = None,
        key: str | None = None,
    ) -> None:
        where = " ".join(
            part for part in (source, f"[{section}]" if section else None, key) if part
        )
        super().__init__(f"{where}: {reason}" if where else reason)
        self.source, self.section, self.key = source, section, key


class DataFolderInUse(StartError):
    """Another server runs on this data folder: stop it, or give this one its own with --data."""


class DataFolderUnusable(StartError):
    """The data folder can't be written."""


class CopyRefused(StartError):
    """The database can't be copied there; nothing was changed."""


class EngineInUse(StartError):
    """Another engine runs the tasks of this database: stop it, or set the same one."""


class DatabaseUnusable(StartError):
    """The PostgreSQL database can't be used: look at url in [database].

    Args:
        message: what is wrong and what to do.
        reason: what libpq or the server said, without secrets.
    """

    def __init__(self, message: str | None = None, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class SchemaDue(StartError):
    """The database is of an older version of Pulpit: run `pulpit db upgrade`."""


class SchemaTooNew(StartError):
    """The database was made by a newer version of Pulpit: start that version."""


class PortTaken(StartError):
    """The port is taken by another process: stop it, or choose another port."""


class WorkerNameTaken(StartError):
    """Another worker of this name runs: stop it, or give this one its own with --name."""
