"""The probes: what makes the server live and ready, and how long they wait."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pulpit.app.bounded import Bounded
from pulpit.app.health import Health, Phase
from pulpit.events.amqp import PublisherStatus
from pulpit.events.amqp.reasons import Reason


def health(**parts: Any) -> Health:
    """Return the health of a server that is well but for *parts*."""
    known: dict[str, Any] = {
        "phase": lambda: Phase.RUNNING,
        "engine_alive": lambda: True,
        "publisher": lambda: None,
        "schema_fits": lambda: True,
        "has_workers": lambda: True,
        "room": lambda: 1000,
        "floor": 100,
    }
    return Health(**known | parts)


def failed(told: tuple[bool, dict[str, Any]]) -> dict[str, str]:
    """Return what is not well, by name, after a look at the form."""
    well, document = told
    checks = document["checks"]
    assert all(set(check) == {"name", "status", "reason"} for check in checks)
    assert all(bool(check["reason"]) == (check["status"] != "ok") for check in checks)
    found = {check["name"]: check["status"] for check in checks if check["status"] != "ok"}
    worst = "failed" if "failed" in found.values() else "degraded" if found else "ok"
    assert document["status"] == worst
    assert well == (worst != "failed")
    return found


def status(**more: Any) -> PublisherStatus:
    """Return how a publisher is doing."""
    known: dict[str, Any] = {
        "connected": True,
        "blocked": False,
        "url": "amqp://pulpit@broker/",
        "lag": 0,
        "published": 0,
        "confirmed": 0,
        "folded": 0,
        "resent": 0,
        "last_error": "amqp://pulpit@broker/ refuses the credentials",
    }
    return PublisherStatus(**known | more)


def ready(**parts: Any) -> dict[str, str]:
    """Return what stands in the way of being ready."""
    return failed(asyncio.run(health(**parts).ready()))


def raises(error: Exception) -> Any:
    """Return a function that raises."""

    def question() -> Any:
        raise error

    return question


def test_a_server_that_is_well_is_live_and_ready() -> None:
    """Nothing is in the way."""
    assert failed(health().live()) == {}
    assert ready() == {}
    assert ready(publisher=status) == {}


def test_a_dead_engine_is_neither_live_nor_ready() -> None:
    """A restart would help, so both say so."""
    assert failed(health(engine_alive=lambda: False).live()) == {"engine": "failed"}
    assert ready(engine_alive=lambda: False) == {"engine": "failed"}


def test_starting_and_stopping_servers_live_but_are_not_ready() -> None:
    """Whoever restarts what is not live must not end a start, or an end in good order."""
    for phase in (Phase.STARTING, Phase.STOPPING):
        made = health(phase=lambda phase=phase: phase, engine_alive=lambda: False)
        assert failed(made.live()) == {}
        assert failed(asyncio.run(made.ready())) == {"server": "failed"}


def test_a_broker_that_is_away_leaves_the_server_ready() -> None:
    """It is told without the names that the log has."""
    away = status(connected=False, reason=Reason.REFUSED_CREDENTIALS)
    assert ready(publisher=lambda: away) == {"broker": "degraded"}
    assert ready(publisher=lambda: status(reason=Reason.BLOCKED)) == {"broker": "degraded"}
    _, document = asyncio.run(health(publisher=lambda: away).ready())
    assert "refused_credentials" in str(document)
    assert "pulpit@" not in str(document)


def test_database_schema_and_disk_stand_in_the_way() -> None:
    """Each is told by itself, without what only the operator may know."""
    assert ready(schema_fits=raises(OSError("/secret/path"))) == {"database": "failed"}
    assert ready(schema_fits=lambda: False) == {"schema": "failed"}
    assert ready(room=lambda: 99) == {"disk": "failed"}
    assert ready(room=raises(OSError(5, "Input/output error"))) == {"disk": "failed"}
    assert "secret" not in str(asyncio.run(health(schema_fits=raises(OSError("/secret"))).ready()))


def test_a_database_that_hangs_is_told_in_time() -> None:
    """However often it is asked, the probe answers, and one thread is all it costs."""
    let_go = threading.Event()
    asked = 0

    def hang() -> bool:
        nonlocal asked
        asked += 1
        let_go.wait()
        return True

    async def probe() -> None:
        made = health(schema_fits=hang, patience=0.05)
        for _ in range(3):
            assert failed(await made.ready()) == {"database": "failed"}
        assert asked == 1
        let_go.set()
        while failed(await made.ready()):
            continue
        assert asked == 2

    asyncio.run(probe())


def test_those_who_ask_at_once_share_an_answer() -> None:
    """A question is asked once for all who wait for it, and anew afterwards."""
    let_go = threading.Event()
    answers = iter("ab")

    def question() -> str:
        let_go.wait()
        return next(answers)

    async def ask() -> list[str]:
        bounded = Bounded(question, seconds=20, name="test")
        waiting = [asyncio.create_task(bounded.answer()) for _ in range(3)]
        await asyncio.sleep(0)
        let_go.set()
        return [*await asyncio.gather(*waiting), await bounded.answer()]

    assert asyncio.run(ask()) == ["a", "a", "a", "b"]


def test_a_question_that_could_not_be_asked_is_asked_anew() -> None:
    """Where the system gives no thread for a moment, the probe does not fail for ever."""

    async def ask() -> str:
        bounded = Bounded(lambda: "yes", seconds=20, name="test")
        size = threading.stack_size(1 << 46)
        try:
            with pytest.raises(RuntimeError, match="thread"):
                await bounded.answer()
        finally:
            threading.stack_size(size)
        return await bounded.answer()

    assert asyncio.run(ask()) == "yes"
