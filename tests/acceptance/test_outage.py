"""A broker that is away while tasks run: what a durable queue holds once it is back."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from pulpit.client import Client
from tests.acceptance.server import PulpitServer
from tests.acceptance.setups import Kind, Setup
from tests.acceptance.zoo import connected, create, events, on, sync
from tests.services import until
from tests.services.consumer import Consumer
from tests.services.rabbitmq import RabbitMQ

#: Events above which a backlog is folded.
BEHIND = 1_000


@pytest.mark.parametrize("own_setup", [Kind.SQLITE, Kind.DISTRIBUTED], indirect=True)
def test_a_backlog_is_folded_as_promised(
    own_setup: Setup, rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    """Every change of status in order, the newest progress of each task, and how many it folds."""
    with Consumer(rabbitmq.host, rabbitmq.port, queue="kept"):
        pass
    server = own_setup.server(tmp_path / "data", on(rabbitmq.url), door=False)
    with server, server.client() as client:
        create(server)
        sync(client)
        events(client, lambda told: connected(told) and told["publisher"]["lag"] == 0)
        before = client.head()
        rabbitmq.kill()
        while client.head() - before <= BEHIND * 1.1:
            # several at a time, so that nobody waits for the next one to be handed in
            ids = [publish(client) for _ in range(5)]
            until(lambda: all(client.task(one).state.is_complete for one in ids))  # noqa: B023
        head = client.head()
        rabbitmq.start()
        events(client, lambda told: connected(told) and told["publisher"]["lag"] == 0)
        last = journal(server, before)[-1]
        with Consumer(rabbitmq.host, rabbitmq.port, queue="kept") as consumer:
            received = consumer.collect(
                lambda got: bool(got) and number(got[-1]) == last["sequence"]
            )
            consumer.delete()
        rows = journal(server, before)
    check(rows, [each for each in received if number(each) > before])
    assert head - before > BEHIND


def publish(client: Client) -> str:
    """Hand in a publish that writes everything; return the task's id."""
    (task,) = client.publish("zoo", "web", override={"force_full": True}).spawned
    return str(task)


def journal(server: PulpitServer, after: int) -> list[dict[str, Any]]:
    """Return the task events of the journal above a number."""
    return server.rows(
        "SELECT sequence, kind, task_id, revision, body FROM journal "
        f"WHERE sequence > {after} AND kind IN ('status', 'progress') ORDER BY sequence"
    )


def number(message: Any) -> int:
    """Return the number of the event in the journal."""
    return int(message.headers["cloudEvents:sequence"])


def check(rows: list[dict[str, Any]], received: list[Any]) -> None:
    """Compare what was written while the broker was away with what it got."""
    written = {row["sequence"]: row for row in rows}
    first = list({number(message): message for message in received}.values())
    told = [number(message) for message in first]
    assert told == sorted(told)
    assert [each for each in told if written[each]["kind"] == "status"] == [
        row["sequence"] for row in rows if row["kind"] == "status"
    ]
    revisions: dict[str, int] = defaultdict(int)
    folded = 0
    for message in first:
        row = written[number(message)]
        assert message.body.encode() == row["body"]
        previous, revision = (
            message.headers["pulpit-previous"],
            message.headers["pulpit-revision"],
        )
        # no revision is missing: each is told or stood for, and the count says how many
        assert previous == revisions[row["task_id"]]
        assert revision == row["revision"]
        assert message.headers["pulpit-folded"] == revision - previous - 1
        revisions[row["task_id"]] = revision
        folded += message.headers["pulpit-folded"]
    assert len(first) + folded == len(rows)
    assert folded > BEHIND / 2
    # the newest of each task is told
    assert revisions == {row["task_id"]: row["revision"] for row in rows}
