"""Reading the configuration again while the server runs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from pulpit.config import Settings, all_settings
from pulpit.errors import ConfigurationError

__all__ = ["HangUp", "Reloading", "with_live"]

#: What takes effect without a restart: section to keys.
_LIVE = {
    "server": {"log_level"},
    "messaging": {
        "event_notifications_enabled",
        "event_notification_url",
        "auth_enabled",
        "cacert",
        "clientcert",
    },
    "door": {"address", "anonymous"},
}
#: What takes effect without a restart, too, where there was a certificate and still is one.
_LIVE_WITH_TLS = {"server": {"certificate", "private_key"}, "door": {"tls"}}
_STREAMS = (0, 1, 2)


def with_live(running: Settings, new: Settings) -> Settings:
    """Return the settings that run, with what takes effect without a restart from *new*."""
    server = dataclasses.replace(running.server, log_level=new.server.log_level)
    door = dataclasses.replace(new.door, tls=running.door.tls)
    if _has_tls(running, new):
        server = dataclasses.replace(
            server, certificate=new.server.certificate, private_key=new.server.private_key
        )
        door = new.door
    return dataclasses.replace(running, messaging=new.messaging, door=door, server=server)


def _has_tls(running: Settings, new: Settings) -> bool:
    """Return whether there was a certificate at the start, and there still is one."""
    return bool(running.server.certificate and new.server.certificate)


def _is_live(place: tuple[str, str], *, tls: bool) -> bool:
    """Return whether a setting, by section and key, takes effect without a restart."""
    section, key = place
    return key in _LIVE.get(section, ()) or (tls and key in _LIVE_WITH_TLS.get(section, ()))


class Reloading:
    """Reads the configuration again each time that it is asked to.

    Args:
        settings: as they were read at the start.
        read: reads them again, or raises ConfigurationError.
        log: of the server.
    """

    def __init__(self, settings: Settings, *, read: Callable[[], Settings], log: Any) -> None:
        self._settings, self._read, self._log = settings, read, log
        self._running = settings
        self._asked = asyncio.Event()
        self._ending = False
        self._told: set[str] = set()
        self._tell_notes(settings)

    def ask(self) -> None:
        """Have it read again soon; asked several times meanwhile, it is read once."""
        self._asked.set()

    @contextlib.asynccontextmanager
    async def heeding(self, apply: Callable[[Settings], Awaitable[None]]) -> AsyncIterator[None]:
        """Do as asked while the block runs; its end waits for what has begun.

        Args:
            apply: lets new settings take effect; raises ConfigurationError if they can't.
        """
        heeding = asyncio.create_task(self._heed(apply))
        try:
            yield
        finally:
            self._ending = True
            self._asked.set()
            await heeding

    async def _heed(self, apply: Callable[[Settings], Awaitable[None]]) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            if self._ending:
                return
            try:
                await self._reload(apply)
            except ConfigurationError as error:
                self._log.error(
                    "The configuration is refused and the old one goes on", problem=str(error)
                )
            except Exception:  # noqa: BLE001 - the next one may be better
                self._log.exception("The configuration could not take effect")

    async def _reload(self, apply: Callable[[Settings], Awaitable[None]]) -> None:
        """Read the configuration and tell what it changes.

        Raises:
            ConfigurationError: it can't be used.
        """
        old, new = self._settings, await asyncio.to_thread(self._read)
        changed = _changed(old, new)
        tls = _has_tls(self._running, new)
        now = [name for place, name in changed if _is_live(place, tls=tls)]
        later = [name for _, name in changed if name not in now]
        await apply(new)
        self._settings = new
        self._tell_notes(new)
        self._log.info("The configuration was read again", changed=now)
        if later:
            self._log.warning("These settings take effect with a restart", settings=later)

    def _tell_notes(self, settings: Settings) -> None:
        """Tell once what is peculiar about values."""
        for key in settings.ignored:
            if key not in self._told:
                self._log.info("setting of Pulp 2 without a use here", setting=key)
        for note in settings.notes:
            if note not in self._told:
                self._log.warning("a setting is read in another sense", note=note)
        self._told.update(settings.ignored, settings.notes)


def _changed(old: Settings, new: Settings) -> Sequence[tuple[tuple[str, str], str]]:
    """Return the settings whose values differ: (section, key) and the name to tell it by."""
    return [
        ((row.section, row.key), f"[{row.section}] {row.key}")
        for row in all_settings()
        if old.value(row) != new.value(row)
    ]


class HangUp:
    """What SIGHUP means: read the configuration again, or stop where the terminal is gone.

    Args:
        stop: ends the server.
        reload: has the configuration read again.
    """

    def __init__(self, *, stop: Callable[[], None], reload: Callable[[], None]) -> None:
        self._stop, self._reload = stop, reload
        self._terminals = _terminals()

    def __call__(self) -> None:
        """Do what is meant."""
        # a terminal that was closed is none any more
        gone = self._terminals and not _terminals()
        (self._stop if gone else self._reload)()


def _terminals() -> set[int]:
    """Return which of the standard streams are a terminal."""
    return {stream for stream in _STREAMS if os.isatty(stream)}
