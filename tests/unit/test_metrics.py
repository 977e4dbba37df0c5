"""The metrics' definitions, their page, and the counts behind them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as read_text

from pulpit.app.metrics import METRICS, Definition, Histogram, Kind, Page, Samples
from pulpit.app.task_counts import TaskCounts
from pulpit.domain.tasks import Task, TaskState

_ALL = [definition for group in METRICS.values() for definition in group]
#: The strict reader of the other format, which has no types.
read_openmetrics: Callable[[str], Any] = openmetrics_parser.text_string_to_metric_families
_EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "monitoring"
#: Labels whose values the code alone chooses.
_BOUNDED = {
    "lease",
    "channel",
    "file",
    "kind",
    "operation",
    "reason",
    "schema",
    "sink",
    "state",
    "type",
    "verdict",
    "version",
}
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def task(state: TaskState, task_type: str = "sync", **more: object) -> Task:
    """Return a task, handed in an hour ago."""
    created = NOW - timedelta(hours=1)
    known = Task(id="t", oid="0" * 24, task_type=task_type, operation="o", created=created)
    return Task(
        **{field: getattr(known, field) for field in known.__slots__} | {"state": state} | more
    )


def every_sample() -> Samples:
    """Return a value of every metric."""
    histogram = Histogram(buckets=[("1.0", 1), ("+Inf", 2)], total=3.5)
    return {
        each.name: {
            tuple("x" for _ in each.labels): histogram if each.kind is Kind.HISTOGRAM else 7
        }
        for each in _ALL
    }


@pytest.mark.parametrize("metric", _ALL, ids=lambda metric: metric.name)
def test_metrics_follow_the_conventions(metric: Definition) -> None:
    """Names tell the unit, counters end in _total, and no label is unbounded."""
    assert re.fullmatch(r"pulpit_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert set(metric.labels) <= _BOUNDED
    assert metric.help
    assert not metric.help.endswith(".")


def test_no_metric_is_defined_twice() -> None:
    """Each name stands once in the table."""
    names = [metric.name for metric in _ALL]
    assert len(set(names)) == len(names)


def test_page_is_read_by_prometheus() -> None:
    """Every metric stands on the page with its value, beside those of the process."""
    page = Page(every_sample).render(openmetrics=False).decode()
    found = {sample.name: sample.value for family in read_text(page) for sample in family.samples}
    for metric in _ALL:
        name = f"{metric.name}_sum" if metric.kind is Kind.HISTOGRAM else metric.name
        assert found[name] == (3.5 if metric.kind is Kind.HISTOGRAM else 7)
    assert found["process_resident_memory_bytes"] > 0


def test_page_is_openmetrics_on_request() -> None:
    """The strict parser of OpenMetrics takes the page, and it ends as it must."""
    page = Page(every_sample).render(openmetrics=True).decode()
    families = {family.name for family in read_openmetrics(page)}
    assert {metric.name.removesuffix("_total") for metric in _ALL} <= families
    assert page.endswith("# EOF\n")


def test_what_is_not_known_is_absent() -> None:
    """A metric without samples is left out, not told as 0."""
    page = Page(lambda: {"pulpit_database_up": {(): 0}}).render(openmetrics=False).decode()
    assert "pulpit_database_up 0.0" in page
    assert page.count("# HELP pulpit_") == 1


def test_tasks_are_counted_as_they_come_and_go() -> None:
    """Hand-in, wait and duration are counted by type, ends by state as well."""
    counts = TaskCounts()
    start = NOW - timedelta(minutes=30)
    counts.observe([task(TaskState.WAITING)])
    counts.observe([task(TaskState.RUNNING, start_time=start)])
    counts.observe([task(TaskState.ERROR, start_time=start, finish_time=NOW)])
    counts.observe([task(TaskState.CANCELED, finish_time=NOW)])
    told = counts.samples({})
    assert told["pulpit_tasks_submitted_total"] == {("sync",): 1}
    assert told["pulpit_tasks_ended_total"] == {("error", "sync"): 1, ("canceled", "sync"): 1}
    took = told["pulpit_task_duration_seconds"]["sync",]
    assert isinstance(took, Histogram)
    assert took.total == 1800
    assert dict(took.buckets)["900.0"] == 0
    assert dict(took.buckets)["3600.0"] == dict(took.buckets)["+Inf"] == 1
    assert told["pulpit_tasks"] == {("waiting", "sync"): 0, ("running", "sync"): 0}


def test_types_of_tasks_are_bounded() -> None:
    """However many types there are, so many series at most."""
    counts = TaskCounts()
    counts.observe([task(TaskState.WAITING, f"type-{number}") for number in range(1000)])
    submitted = counts.samples(None)["pulpit_tasks_submitted_total"]
    assert len(submitted) == 65
    assert submitted["other",] == 936


def test_example_rules_name_metrics_that_exist() -> None:
    """Every alert has an expression of known metrics and labels, and says what to do."""
    document = yaml.safe_load((_EXAMPLES / "alerts.yml").read_text(encoding="utf-8"))
    known = {metric.name: metric for metric in _ALL}
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        names = set(re.findall(r"\bpulpit_\w+", rule["expr"]))
        assert names <= set(known), rule["alert"]
        labels = {"instance"}.union(*(known[name].labels for name in names))
        told = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", told)) <= labels, rule["alert"]
        assert {"summary", "action"} <= set(rule["annotations"])
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_example_configuration_names_the_rules() -> None:
    """The scrape example loads the rules beside it."""
    document = yaml.safe_load((_EXAMPLES / "prometheus.yml").read_text(encoding="utf-8"))
    for name in document["rule_files"]:
        assert (_EXAMPLES / name).is_file()
