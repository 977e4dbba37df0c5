"""The schemas of events hold what is told, and nothing else."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulpit.content.rpm.progress import STAGES, State, SyncProgress
from pulpit.content.rpm.steps import PublishSteps
from pulpit.domain.events import (
    LISTENER_DISABLED,
    TASK_EVENT_TYPES,
    Event,
    EventKind,
    NewEvent,
    task_event,
)
from pulpit.domain.tasks import Task, TaskState, task_report
from pulpit.errors import DownloadFailed, EventsGone, TaskLost
from pulpit.events.cloudevents import structured
from pulpit.events.documents import AmqpHeaders, CloudEvent
from pulpit.events.message import message_of
from pulpit.events.schemas import BODIES, SCHEMAS, TASK_BODIES, schema
from tests.schemas import SOURCE, assert_told, assert_valid, errors_in, validator_of

_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_TASK = Task(
    id="00000000-0000-4000-8000-000000000001",
    oid="0" * 24,
    task_type="pulp.server.managers.repo.sync.sync",
    operation="sync",
    created=_NOW,
    revision=1,
)
_STATUS, _PROGRESS = (TASK_EVENT_TYPES[kind] for kind in (EventKind.STATUS, EventKind.PROGRESS))

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)
_times = st.datetimes(timezones=st.just(UTC))


def _tell_nobody(report: dict[str, Any], *, boundary: bool = False) -> None:
    """Take a progress report."""


@st.composite
def _sync_reports(draw: st.DrawFn) -> Mapping[str, Any]:
    """Draw what a sync tells at some moment."""
    progress = SyncProgress(_tell_nobody, importer_type_id="yum_importer")
    files = st.tuples(st.sampled_from(["rpm", "drpm"]), st.integers(0, 2**40))
    progress.expect(draw(st.lists(files, max_size=9)))
    progress.expect_tree(draw(st.integers(0, 9)))
    for stage in STAGES:
        progress.set_state(stage, draw(st.sampled_from(State)))
        if draw(st.booleans()):
            progress.stages[stage]["error"] = draw(st.text(max_size=9))
    for number in range(draw(st.sampled_from([0, 1, 100, 101, 250]))):
        progress.failed({"url": f"http://feed/{number}"})
    return {"yum_importer": copy.deepcopy(progress.stages)}


@st.composite
def _publish_reports(draw: st.DrawFn) -> Mapping[str, Any]:
    """Draw what a publish tells at some moment."""
    steps = PublishSteps("web", protocols=2, progress=lambda _report, _boundary: None)
    for document in steps.documents:
        kind = document["step_type"]
        match draw(st.sampled_from(["skip", "act", "fail", "stop"])):
            case "skip":
                steps.skip(kind)
            case "act":
                steps.act(kind, lambda: None)
            case "fail":
                with pytest.raises(DownloadFailed), steps.step(kind, total=3):
                    raise DownloadFailed("http://feed/x", "Not Found")
            case _:
                break
    return {"web": copy.deepcopy(steps.documents)}


@st.composite
def _tasks(draw: st.DrawFn) -> Task:
    """Draw a task at some moment of its life."""
    task = dataclasses.replace(
        _TASK,
        id=str(draw(st.uuids())),
        oid=draw(st.from_regex("[0-9a-f]{24}", fullmatch=True)),
        tags=tuple(draw(st.lists(st.text(max_size=9), max_size=3))),
        group_id=draw(st.none() | st.uuids().map(str)),
        revision=draw(st.integers(1, 2**31 - 1)),
    )
    if draw(st.booleans()):
        task = task.started(worker_name="embedded@here", now=draw(_times))
    if task.state is TaskState.RUNNING and draw(st.booleans()):
        task = task.progressed(draw(_sync_reports() | _publish_reports()))
    now = draw(_times)
    ends: list[Callable[[], Task]] = [lambda: task, lambda: task.canceled(now=now)]
    if task.state is TaskState.RUNNING:
        spawned = [str(one) for one in draw(st.lists(st.uuids(), max_size=2))]
        error = draw(st.sampled_from([TaskLost("killed"), DownloadFailed("http://x", "gone")]))
        trace = draw(st.none() | st.text(max_size=9))
        ends += [
            lambda: task.finished(result=draw(_json), spawned=spawned, now=now),
            lambda: task.failed(error=error.to_dict(), traceback=trace, now=now),
        ]
    return draw(st.sampled_from(ends))()


def _in_journal(new: NewEvent, *, sequence: int = 7, previous: int | None = None) -> Event:
    """Return the event as the journal holds it."""
    fields = {field.name: getattr(new, field.name) for field in dataclasses.fields(new)}
    before = new.revision - 1 if previous is None else previous
    return Event(sequence=sequence, id=f"journal:{sequence}", previous=before, **fields)


def _kinds(task: Task) -> list[EventKind]:
    """Return the kinds of events that may tell of a task as it is."""
    running = task.state is TaskState.RUNNING
    return [EventKind.STATUS, EventKind.PROGRESS] if running else [EventKind.STATUS]


@settings(deadline=None, max_examples=200)
@given(_tasks())
def test_what_tasks_tell_is_valid(task: Task) -> None:
    """The report of any task, and its events in every form, are as their schemas say."""
    assert_told(_STATUS, msgspec.json.decode(msgspec.json.encode(task_report(task))))
    for kind in _kinds(task):
        event = _in_journal(task_event(task, kind, now=_NOW), previous=max(task.revision - 3, 0))
        assert_told(event.type, json.loads(event.body))
        envelope = json.loads(msgspec.json.encode(structured(event, source=SOURCE)))
        assert_told("pulpit.cloudevent.v1", envelope)
        assert_told("pulpit.amqp.headers.v1", dict(message_of(event, source=SOURCE).headers))


def _report(**changes: Any) -> dict[str, Any]:
    """Return a report whose progress is that of a sync, with changes."""
    stage = {"state": "FINISHED", "items_total": 3, "error_details": [{"url": "x"}]}
    task = _TASK.started(worker_name="w", now=_NOW).progressed({"yum_importer": {"content": stage}})
    body: dict[str, Any] = json.loads(task_event(task, EventKind.STATUS, now=_NOW).body)
    return body | changes


def _step(**changes: Any) -> dict[str, Any]:
    """Return a report whose progress is one step of a publish, with changes."""
    document = PublishSteps("web", protocols=0, progress=lambda *_: None).documents[0] | changes
    return _report(progress_report={"web": [document]})


_DOCTORED: dict[str, dict[str, Any]] = {
    "state": _report(state="done"),
    "no-time": _report(start_time="yesterday"),
    "other-zone": _report(start_time="2026-01-02T03:04:05+01:00"),
    "task-id": _report(task_id="1"),
    "oid": _report(_id={"$oid": "g" * 24}),
    "no-oid": _report(_id={}),
    "tags": _report(tags=None),
    "error": _report(error={"code": "PLP0001"}),
    "error-text": _report(error="it failed"),
    "exception": _report(exception=[]),
    "spawned": _report(spawned_tasks=["00000000-0000-4000-8000-000000000001"]),
    "progress": _report(progress_report=None),
    "progress-text": _report(progress_report={"yum_importer": "half"}),
    "stage-without-state": _report(progress_report={"yum_importer": {"content": {}}}),
    "stage-state": _report(progress_report={"yum_importer": {"content": {"state": "DONE"}}}),
    "step-state": _step(state="CANCELED"),
    "step-count": _step(num_processed=-1),
    "step-details": _step(error_details=["x"]),
}


@pytest.mark.parametrize("document", [_report(), _step()])
def test_what_is_doctored_was_valid(document: dict[str, Any]) -> None:
    """Or the next tests would prove nothing."""
    assert_valid(_STATUS, document)
    assert_valid(_PROGRESS, document)


@pytest.mark.parametrize("document", _DOCTORED.values(), ids=_DOCTORED)
def test_a_doctored_report_is_not_valid(document: dict[str, Any]) -> None:
    """A value that is not promised is found, at any depth."""
    assert errors_in(_STATUS, document)
    assert errors_in(_PROGRESS, document)


@pytest.mark.parametrize("key", sorted(_report()))
def test_nothing_is_missing_from_a_report(key: str) -> None:
    """Every key of a report is promised."""
    document = _report()
    del document[key]
    assert errors_in(_STATUS, document)


def test_progress_is_told_of_running_tasks_only() -> None:
    """A progress event with another state is not valid; a status event is."""
    assert errors_in(_PROGRESS, _report(state="finished"))
    assert_valid(_STATUS, _report(state="finished"))


def test_keys_may_be_added() -> None:
    """A consumer who validates is not broken by a newer server."""
    assert_valid(_STATUS, _report(newer=1, error=None))
    document = _step(newer={"a": 1})
    assert_valid(_STATUS, document)


def test_every_type_of_event_has_a_schema() -> None:
    """None dangles: each type that an event can have names one."""
    assert set(TASK_EVENT_TYPES.values()) == set(TASK_BODIES)
    assert {*TASK_BODIES, LISTENER_DISABLED} == set(BODIES) <= set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_whole(name: str) -> None:
    """It is valid, names itself by its address, tells what it is of, and needs no other one."""
    document = schema(name, source=SOURCE)
    validator_of(document)
    assert document["$id"] == f"https://pulp.example.com/pulpit/v1/schemas/{name}.json"
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["description"]
    assert document["type"] == "object"
    text = json.dumps(document)
    assert all(f'"#/$defs/{part}"' in text for part in document["$defs"])
    assert text.count('"$ref": ') == text.count('"$ref": "#/$defs/')
    for part in [document, *document["$defs"].values()]:
        assert part.get("additionalProperties", True) is not False
        assert "\n" not in part.get("description", "")


def _stale(since: int, oldest: int, head: int) -> Any:
    return json.loads(msgspec.json.encode(EventsGone(since=since, oldest=oldest, head=head).data))


def test_the_stale_notice_is_valid() -> None:
    """Whether what was missed is known or not; a doctored one is found."""
    for gone in (_stale(0, 4, 9), _stale(10, 4, 9)):
        assert_told("pulpit.events.stale.v1", gone)
        assert errors_in("pulpit.events.stale.v1", gone | {"oldest": 0})
        assert errors_in("pulpit.events.stale.v1", gone | {"missed": "3"})
        del gone["snapshot"]
        assert errors_in("pulpit.events.stale.v1", gone)


def test_the_body_in_an_envelope_is_checked_by_its_type() -> None:
    """A body that its own schema refuses is refused in the envelope; a type not known is not."""
    event = _in_journal(task_event(_TASK, EventKind.STATUS, now=_NOW))
    envelope = json.loads(msgspec.json.encode(structured(event, source=SOURCE)))
    assert_valid("pulpit.cloudevent.v1", envelope)
    doctored = envelope | {"data": envelope["data"] | {"state": "done"}}
    assert errors_in("pulpit.cloudevent.v1", doctored)
    assert_valid("pulpit.cloudevent.v1", doctored | {"type": "pulpit.task.newer.v1"})


def test_attributes_are_named_as_cloudevents_wants() -> None:
    """Lower-case letters and digits, at most 20; JSON values of its types; the same by AMQP."""
    envelope = set(CloudEvent.__annotations__)
    for name in envelope:
        assert name.isascii()
        assert name.isalnum()
        assert name == name.lower()
        assert len(name) <= 20
    in_headers = {
        name.removeprefix("cloudEvents:")
        for name in AmqpHeaders.__annotations__
        if name.startswith("cloudEvents:")
    }
    # content type and body are the message's own, the rest are plain headers
    own = {"datacontenttype", "data"} | {name for name in envelope if name.startswith("pulpit")}
    assert in_headers == envelope - own


def test_an_envelope_is_cloudevents_1_0() -> None:
    """Its attributes have the types and forms of the specification's JSON format."""
    event = _in_journal(task_event(_TASK, EventKind.STATUS, now=_NOW))
    envelope = json.loads(msgspec.json.encode(structured(event, source=SOURCE)))
    assert envelope["specversion"] == "1.0"
    for name in ("id", "source", "type", "subject", "dataschema", "datacontenttype", "time"):
        assert isinstance(envelope[name], str)
        assert envelope[name]
    assert datetime.fromisoformat(envelope["time"]).tzinfo is not None
    assert envelope["dataschema"].startswith("https://")
    for name, value in envelope.items():
        if isinstance(value, int):
            assert -(2**31) <= value < 2**31, name
    assert "data_base64" not in envelope
    # an attribute without a value is left out
    nameless = dataclasses.replace(event, task_id=None)
    assert "subject" not in structured(nameless, source=SOURCE)
