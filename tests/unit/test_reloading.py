"""Reading the configuration again, with settings that fail on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import structlog
from structlog.testing import LogCapture

from pulpit.app.plans import Plan, plan
from pulpit.app.reloading import Reloading, with_live
from pulpit.config import Address, Door, Messaging, Server, Settings, Tasks
from pulpit.errors import ConfigurationError


class Source:
    """Gives settings one after the other; an exception is raised."""

    def __init__(self, *given: Settings | Exception) -> None:
        self.given = list(given)

    def __call__(self) -> Settings:
        given = self.given.pop(0)
        if isinstance(given, Exception):
            raise given
        return given


class Log(LogCapture):
    """Keeps what is logged, and tells when a reading is over."""

    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()

    def __call__(self, logger: Any, method: str, fields: MutableMapping[str, Any]) -> NoReturn:
        if method in {"error", "info"} and "Pulp 2" not in fields["event"]:
            self.over.set()
        super().__call__(logger, method, fields)


async def accept(_new: Settings) -> None:
    """Let whatever comes take effect."""


async def reloaded(
    source: Source,
    apply: Callable[[Settings], Awaitable[None]] = accept,
    settings: Settings | None = None,
) -> Sequence[Mapping[str, Any]]:
    """Ask for all that the source gives, one by one; return what was logged."""
    logged = Log()
    log = structlog.wrap_logger(None, processors=[logged])
    reloading = Reloading(settings or Settings(), read=source, log=log)
    async with reloading.heeding(apply):
        while source.given:
            logged.over.clear()
            reloading.ask()
            await logged.over.wait()
    return logged.entries


def test_a_refusal_is_told_and_the_next_reading_works() -> None:
    """An error of the configuration is one line; so is a defect."""
    source = Source(ConfigurationError("no such key"), OSError("broken"), Settings())
    told = asyncio.run(reloaded(source))
    assert [entry["log_level"] for entry in told] == ["error", "error", "info"]
    assert "no such key" in told[0]["problem"]
    assert "old one goes on" in told[0]["event"]


def test_settings_that_can_not_take_effect_are_compared_again() -> None:
    """What was refused while it took effect is still news at the next reading."""
    on = Settings(messaging=Messaging(event_notifications_enabled=True))
    tries: list[Settings] = []

    async def apply(new: Settings) -> None:
        """Refuse the first time."""
        tries.append(new)
        if len(tries) == 1:
            raise ConfigurationError("no such URL")

    told = asyncio.run(reloaded(Source(on, on), apply))
    assert tries == [on, on]
    assert [entry["log_level"] for entry in told] == ["error", "info"]


def test_what_takes_a_restart_is_named() -> None:
    """Others are not."""
    both = Settings(tasks=Tasks(workers=9), door=Door(address=Address("127.0.0.1", 1)))
    first, second = asyncio.run(reloaded(Source(both)))
    assert first["changed"] == ["[door] address"]
    assert second["settings"] == ["[tasks] workers"]


def test_a_certificate_is_changed_but_not_added() -> None:
    """Another one takes effect at once; the first one, and TLS at the door with it, do not."""
    none, one, other = (
        Settings(
            server=Server(certificate=path, private_key=path),
            door=Door(tls=path is not None and path.name == "other"),
        )
        for path in (None, Path("/one"), Path("/other"))
    )
    (changed,) = asyncio.run(reloaded(Source(other), settings=one))
    assert changed["changed"] == ["[server] certificate", "[server] private_key", "[door] tls"]
    assert with_live(one, other) == other
    first, second = asyncio.run(reloaded(Source(other), settings=none))
    assert first["changed"] == []
    assert second["settings"] == ["[server] certificate", "[server] private_key", "[door] tls"]
    assert with_live(none, other) == none
    assert with_live(one, none) == one


def test_peculiar_values_are_told_once() -> None:
    """Notes and keys of Pulp 2 that were told before are not told again."""
    note = replace(Settings(), notes=("qpid:// is read as amqp://",), ignored=("[ldap] uri",))
    told = asyncio.run(reloaded(Source(note, note)))
    assert sum("qpid" in entry.get("note", "") for entry in told) == 1
    assert sum("Pulp 2" in entry["event"] for entry in told) == 1


def test_the_own_door_is_no_broker() -> None:
    """Where the door stands open at the local port already, it stays."""
    settings = Settings(server=Server(), messaging=Messaging(event_notifications_enabled=True))
    chosen = asyncio.run(plan(settings, own_door=("127.0.0.1", 5672)))
    assert chosen == Plan(door=Address("127.0.0.1", 5672))
