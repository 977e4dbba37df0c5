"""What listeners are told of an event: under which event types, and with which payload."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from pulpit.content.rpm.progress import SyncProgress
from pulpit.content.rpm.steps import PublishSteps
from pulpit.domain.events import Event, EventKind, NewEvent, listener_event, task_event
from pulpit.domain.listeners import Filters, Listener, NotifierType
from pulpit.domain.notices import Known, Notice, possible_types
from pulpit.domain.payloads import PublishResult, SyncResult
from pulpit.domain.tasks import PUBLISH_TASK, SYNC_TASK, Task, TaskState, task_report
from pulpit.errors import DownloadFailed
from tests.schemas import assert_told

_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_TASK = Task(
    id="00000000-0000-4000-8000-000000000001",
    oid="5e1f00000000000000000000",
    task_type="pulp.test",
    operation="test",
    tags=("pulp:repository:zoo", "pulp:repository:ark", "pulp:action:sync"),
    created=_NOW,
    revision=1,
)
_SYNC = dataclasses.replace(_TASK, task_type=SYNC_TASK)
_PUBLISH = dataclasses.replace(_TASK, task_type=PUBLISH_TASK)
_ERROR = DownloadFailed("http://feed.example/x", "Not Found").to_dict()


def _in_journal(new: NewEvent) -> Event:
    fields = {field.name: getattr(new, field.name) for field in dataclasses.fields(new)}
    return Event(sequence=7, id="journal:7", previous=new.revision - 1, **fields)


def _event(task: Task, kind: EventKind = EventKind.STATUS) -> Event:
    return _in_journal(task_event(task, kind, now=_NOW))


def _running(task: Task) -> Task:
    return task.started(worker_name="w", now=_NOW)


def _told(task: Task, known: Known = Known()) -> dict[str, Any]:  # noqa: B008 - a frozen value
    """Return what is told of the task as it is, event type to payload; each is as promised."""
    notice = Notice.of(_event(task))
    found = {}
    for event_type in notice.event_types:
        document = json.loads(notice.body(event_type, known))
        assert_told("pulpit.notification.v1", document)
        assert document["event_type"] == event_type
        report = json.loads(msgspec.json.encode(task_report(task)))
        if "_href" not in (document["call_report"]["result"] or {}):
            assert document["call_report"] == report
        found[event_type] = document["payload"]
    return found


@pytest.mark.parametrize(
    ("task", "types"),
    [
        (_TASK, ["task.waiting"]),
        (_SYNC, ["task.waiting"]),
        (_running(_TASK), ["task.running"]),
        (_running(_SYNC), ["task.running", "repo.sync.start"]),
        (_running(_PUBLISH), ["task.running", "repo.publish.start"]),
        (
            _running(_SYNC).finished(result=None, spawned=(), now=_NOW),
            ["task.finished", "repo.sync.finish"],
        ),
        (
            _running(_PUBLISH).failed(error=_ERROR, traceback=None, now=_NOW),
            ["task.error", "repo.publish.finish"],
        ),
        (_running(_SYNC).canceled(now=_NOW), ["task.canceled", "repo.sync.finish"]),
        (_SYNC.canceled(now=_NOW), ["task.canceled"]),
        (_PUBLISH.canceled(now=_NOW), ["task.canceled"]),
        (_running(_TASK).canceled(now=_NOW), ["task.canceled"]),
    ],
)
def test_a_change_of_status_is_told_under(task: Task, types: list[str]) -> None:
    """A sync or publish has a start, and a finish if it had one; in this order."""
    event = _event(task)
    assert list(Notice.of(event).event_types) == types
    assert set(types) <= set(possible_types(event))


def test_progress_is_told_to_nobody() -> None:
    """Not even a look is taken at it."""
    assert possible_types(_event(_running(_SYNC), EventKind.PROGRESS)) == ()


def test_the_message_is_about_the_event() -> None:
    """It has the number, id, time and tags of the event, and the repository that comes first."""
    message = Notice.of(_event(_SYNC)).message("task.waiting")
    assert (message.sequence, message.event_id, message.time) == (7, "journal:7", _NOW)
    assert (message.task_id, message.tags) == (_SYNC.id, _SYNC.tags)
    assert (message.repo_id, message.lane) == ("zoo", "repository:zoo")


@pytest.mark.parametrize(
    ("repositories", "passes"),
    [((), True), (("zoo",), True), (("b", "ark"), True), (("a",), False)],
)
def test_a_task_on_several_repositories_is_told_for_each(
    repositories: tuple[str, ...], passes: bool
) -> None:
    """A filter looks at all of them, not at the first alone."""
    message = Notice.of(_event(_SYNC)).message("task.waiting")
    assert Filters(repositories=repositories).let_through(message) is passes


def test_starts() -> None:
    """Which repository, and which distributor if that is known."""
    assert _told(_running(_SYNC)) == {
        "task.running": {"task_id": _SYNC.id, "state": "running", "tags": list(_SYNC.tags)},
        "repo.sync.start": {"repo_id": "zoo"},
    }
    published = _told(_running(_PUBLISH), Known(distributor_id="web"))["repo.publish.start"]
    assert published == {"repo_id": "zoo", "distributor_id": "web"}
    published = _told(_running(_PUBLISH))["repo.publish.start"]
    assert published == {"repo_id": "zoo", "distributor_id": None}


def _sync_result(**changes: Any) -> Mapping[str, Any]:
    return {
        "_ns": "repo_sync_results",
        "id": "6957364e5d41402abc4b2a76",
        "repo_id": "zoo",
        "importer_id": "yum_importer",
        "importer_type_id": "yum_importer",
        "started": "2026-01-02T03:04:06Z",
        "completed": "2026-01-02T03:04:14Z",
        "result": "success",
        "added_count": 3,
        "updated_count": 2,
        "removed_count": 1,
        "summary": {"content": {"state": "FINISHED"}},
        "details": {"content": {"state": "FINISHED"}},
        "error_message": None,
        "exception": None,
        "traceback": None,
        **changes,
    }


def test_what_the_task_returned_is_told_as_it_is() -> None:
    """The finish of what went well holds the result of the task."""
    task = _running(_SYNC).finished(result=_sync_result(), spawned=(), now=_NOW)
    assert _told(task)["repo.sync.finish"] == _sync_result()


def test_a_result_that_the_event_has_no_room_for() -> None:
    """Is told as it is kept with the task; in part if it is too long; else by its numbers' lack."""
    long = _sync_result(details={"content": {"state": "FINISHED", "error": "x" * (1 << 20)}})
    task = _running(_SYNC).finished(result=long, spawned=(), now=_NOW)
    notice = Notice.of(_event(task))
    assert (notice.has_link, notice.has_result) == (True, False)
    assert _told(task, Known(result=long))["repo.sync.finish"] == long
    longer = _sync_result(details={"content": {"state": "FINISHED", "error": "x" * (4 << 20)}})
    told = _told(task, Known(result=longer))["repo.sync.finish"]
    assert told == {**longer, "details": None}
    gone = _told(task, Known(type_id="yum_importer"))["repo.sync.finish"]
    assert (gone["result"], gone["added_count"]) == ("success", 0)
    assert gone["importer_id"] == "yum_importer"


@pytest.mark.parametrize("result", [None, 5, "text", [], {"a": 1}])
def test_a_small_result_is_no_link(result: Any) -> None:
    """Only an object with nothing but the link is one."""
    task = _running(_SYNC).finished(result=result, spawned=(), now=_NOW)
    notice = Notice.of(_event(task))
    assert (notice.has_link, notice.has_result) == (False, isinstance(result, dict))


def _stages() -> Mapping[str, Any]:
    """Return the progress of a sync whose metadata can't be had."""
    told: list[dict[str, Any]] = []

    def tell(report: dict[str, Any], *, boundary: bool = False) -> None:
        told.append(json.loads(json.dumps(report)) if boundary else report)

    progress = SyncProgress(tell, importer_type_id="yum_importer")
    with pytest.raises(DownloadFailed), progress.stage(next(iter(progress.stages))):  # type: ignore[arg-type]
        raise DownloadFailed("http://feed.example/x", "Not Found")
    return told[-1]


def test_the_finish_of_a_sync_that_failed() -> None:
    """Has the shape of a result, made of what the report says; so has that of a canceled one."""
    progress = _stages()
    running = _running(_SYNC).progressed(progress)
    failed = running.failed(error=_ERROR, traceback="Traceback …", now=_NOW)
    told = _told(failed)["repo.sync.finish"]
    assert told == {
        "_ns": "repo_sync_results",
        "id": _SYNC.oid,
        "repo_id": "zoo",
        "importer_id": "yum_importer",
        "importer_type_id": "yum_importer",
        "started": "2026-01-02T03:04:05Z",
        "completed": "2026-01-02T03:04:05Z",
        "result": "error",
        "added_count": 0,
        "updated_count": 0,
        "removed_count": 0,
        "summary": {
            name: {"state": stage["state"]} for name, stage in progress["yum_importer"].items()
        },
        "details": progress["yum_importer"],
        "error_message": _ERROR["description"],
        "exception": None,
        "traceback": "Traceback …",
    }
    assert "FAILED" in str(told["summary"]["metadata"])
    assert set(told) == set(SyncResult.__annotations__)
    canceled = _told(running.canceled(now=_NOW))["repo.sync.finish"]
    assert (canceled["result"], canceled["error_message"]) == ("canceled", None)
    early = _told(_running(_SYNC).canceled(now=_NOW))["repo.sync.finish"]
    assert (early["importer_id"], early["summary"], early["details"]) == (None, {}, {})


def test_the_finish_of_a_publish_that_failed() -> None:
    """Names the distributor as far as it is known, and holds the steps."""
    steps = PublishSteps("web", protocols=1, progress=lambda *_: None)
    with pytest.raises(DownloadFailed), steps.step("initialize_repo_metadata"):
        raise DownloadFailed("http://feed.example/x", "Not Found")
    running = _running(_PUBLISH).progressed({"web": steps.documents})
    failed = running.failed(error=_ERROR, traceback=None, now=_NOW)
    known = Known(distributor_id="web", type_id="yum_distributor")
    told = _told(failed, known)["repo.publish.finish"]
    assert set(told) == set(PublishResult.__annotations__)
    assert (told["distributor_id"], told["distributor_type_id"]) == ("web", "yum_distributor")
    assert (told["result"], told["error_message"]) == ("error", _ERROR["description"])
    assert (told["summary"], told["details"]) == (steps.summary(), steps.documents)
    # of what the progress report says alone
    assert _told(failed)["repo.publish.finish"]["distributor_id"] == "web"
    early = _told(_running(_PUBLISH).canceled(now=_NOW))["repo.publish.finish"]
    assert (early["distributor_id"], early["details"]) == (None, [])


def test_a_disabled_listener_is_told_of() -> None:
    """Without a call report; of no task and no repository."""
    listener = Listener(
        id="5e1f00000000000000000000",
        notifier_type=NotifierType.AMQP,
        event_types=("*",),
        created=_NOW,
        last_updated=_NOW,
    )
    event = _in_journal(listener_event(listener, "it is gone", now=_NOW))
    notice = Notice.of(event)
    assert list(notice.event_types) == list(possible_types(event)) == ["listener.disabled"]
    message = notice.message("listener.disabled")
    assert (message.repo_id, message.task_id, message.lane) == (None, None, "")
    document = json.loads(notice.body("listener.disabled", Known()))
    assert_told("pulpit.notification.v1", document)
    assert document["call_report"] is None
    assert document["payload"] == {
        "listener": {
            "id": listener.id,
            "notifier_type_id": "amqp",
            "target": None,
            "event_types": ["*"],
        },
        "reason": "it is gone",
        "time": "2026-01-02T03:04:05Z",
    }


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"task_type": 5}'])
def test_a_body_that_is_no_report_is_refused(body: bytes) -> None:
    """With the one error that the caller expects."""
    event = dataclasses.replace(_event(_SYNC), body=body, state=TaskState.WAITING)
    with pytest.raises(msgspec.DecodeError):
        Notice.of(event)
