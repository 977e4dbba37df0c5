"""How many messages to expect: the figures of the Events page, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pulpit.client import CallReport, Client, Event
from pulpit.domain.events import EventKind
from tests.acceptance.server import PulpitServer

ROOT = Path(__file__).resolve().parents[2]
FEED = ROOT / "examples" / "feed" / "repo"
PACKAGES, OTHERS = 42, 15


def count(client: Client, start: int, call: CallReport) -> Counter[EventKind | None]:
    """Return how many events of each kind the one task of *call* had."""
    [task] = call.spawned
    kinds: Counter[EventKind | None] = Counter()
    for event in client.events(since=start, task=task):
        assert isinstance(event, Event)
        assert event.report is not None
        kinds[event.kind] += 1
        if event.report.state.is_complete:
            break
    assert kinds[EventKind.STATUS] == 3
    return kinds


def test_the_figures_of_the_events_page(tmp_path: Path) -> None:
    """Sync, publish, and both again without a change, make as many as the page says."""
    distributor = {
        "distributor_id": "yum",
        "distributor_type_id": "yum_distributor",
        "distributor_config": {"relative_url": "zoo", "http": True, "https": False},
    }
    with PulpitServer(tmp_path / "data", door=False) as server, server.client() as client:
        client.create_repository(
            {
                "id": "zoo",
                "importer_type_id": "yum_importer",
                "importer_config": {"feed": f"{FEED.as_uri()}/"},
                "distributors": [distributor],
            }
        )
        sync, publish = (lambda: client.sync("zoo")), (lambda: client.publish("zoo", "yum"))
        acts: list[Callable[[], CallReport]] = [sync, publish, sync, publish]
        told = [count(client, client.head(), act()).total() for act in acts]
    assert told == [PACKAGES + 18, PACKAGES + 30 + OTHERS, 17, 3]
    page = (ROOT / "docs" / "howto" / "events.md").read_text(encoding="utf-8")
    for figure in ("| N + 18 |", "| N + 30, and", "| 17 |", f"takes {told[0] + told[1]}"):
        assert figure in page
