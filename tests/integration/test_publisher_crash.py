"""The publisher on the real journal, killed at any point."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pulpit.domain.clock import utc_now
from pulpit.domain.events import EventKind, task_event
from pulpit.events.amqp import CURSOR
from pulpit.services.tasks import new_task
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from tests.services.consumer import Consumer
from tests.services.rabbitmq import RabbitMQ

_EVENTS = 6_000


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a database whose journal holds events of one task, from number 1."""
    now = utc_now()
    task = new_task(
        now=now, task_type="t", operation="o", arguments={}, tags=["tag"] * 40, resources=[]
    )
    path = upgrade(tmp_path)
    with SqliteStorage(path) as storage, storage.write() as transaction:
        transaction.journal.append(
            [
                task_event(
                    replace(task, revision=number),
                    EventKind.STATUS if number % 3 else EventKind.PROGRESS,
                    now=now,
                )
                for number in range(1, _EVENTS + 1)
            ]
        )
    return path


@contextmanager
def _publishing(database: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """Start the publisher in a process of its own; kill it in the end."""
    command = [sys.executable, "-m", "tests.services.publishing", str(database), url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_killed_again_and_again_it_loses_no_status(rabbitmq: RabbitMQ, database: Path) -> None:
    """Each status change arrives, in order at first arrival; repeats are the same bytes."""
    with SqliteStorage(database) as storage:
        storage.cursors.save(CURSOR, 0)
        expected = [event.id for event in storage.events.read(0, _EVENTS)]
    with Consumer(rabbitmq.host, rabbitmq.port) as consumer:
        for share in (0.1, 0.4, 0.7):
            with _publishing(database, rabbitmq.url):
                reached = expected[int(share * _EVENTS)]
                consumer.until(reached)
        with _publishing(database, rabbitmq.url) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"
            received = consumer.until(expected[-1])
            process.communicate("")
            assert process.returncode == 0
    first: dict[str, tuple[object, object]] = {}
    for message in received:
        told = (message.body, message.properties)
        assert first.setdefault(message.message_id, told) == told
    assert list(first) == expected
    with SqliteStorage(database) as storage:
        assert storage.cursors.load(CURSOR) == _EVENTS
