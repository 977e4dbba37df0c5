"""Downloads for readers: one session for each feed, kept while its configuration stays."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from pulpit.content.feeds import join_feed
from pulpit.content.importer_config import access_of
from pulpit.content.limits import Limits
from pulpit.domain.repositories import Importer
from pulpit.errors import DownloadFailed, PulpitError

if TYPE_CHECKING:
    from pulpit.content.download import Downloads

__all__ = ["SourceDownloads"]

#: Sessions that are kept; making one reads all certificate authorities.
_MOST = 32


class _Session:
    """The session of one feed, closed when it is out of use and nobody uses it."""

    def __init__(self, config: Mapping[str, Any], limits: Limits) -> None:
        self.config = config
        # here, since a server without packages on demand never needs an HTTP client
        from pulpit.content.download import Downloads  # noqa: PLC0415

        self._downloads = Downloads(access_of(config), limits)
        self._users = 0
        self._is_open = False
        self._is_kept = True

    async def enter(self) -> Downloads:
        """Use it; each use is ended by leave."""
        self._users += 1
        if not self._is_open:
            self._is_open = True
            await self._downloads.__aenter__()
        return self._downloads

    async def leave(self) -> None:
        """End a use."""
        self._users -= 1
        await self._close_unused()

    async def drop(self) -> None:
        """Close it as soon as nobody uses it."""
        self._is_kept = False
        await self._close_unused()

    async def _close_unused(self) -> None:
        """Close it if nobody needs it."""
        if self._is_open and not self._users and not self._is_kept:
            self._is_open = False
            await self._downloads.__aexit__(None, None, None)


class SourceDownloads:
    """Implements ``pulpit.ports.Downloader``; close it in the event loop that used it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sessions: dict[str, _Session] = {}

    async def stream(
        self, importer: Importer, url: str, *, below: str = ""
    ) -> AsyncGenerator[bytes, None]:
        if below:
            url = join_feed(url, below)
        try:
            session = await self._session(importer)
            downloads = await session.enter()
        except (PulpitError, ValueError) as error:
            reason = f"the importer's configuration can't be used: {error}"
            raise DownloadFailed(importer.repo_id, reason) from error
        try:
            async with aclosing(downloads.stream(url)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            await session.leave()

    async def close(self) -> None:
        """Close all sessions."""
        for repo_id in [*self._sessions]:
            await self._sessions.pop(repo_id).drop()

    async def _session(self, importer: Importer) -> _Session:
        """Return the session of the importer's feed, a new one if its configuration changed."""
        kept = self._sessions.get(importer.repo_id)
        if kept is not None and kept.config == importer.config:
            return kept
        session = self._sessions[importer.repo_id] = _Session(importer.config, self._limits)
        if kept is not None:
            await kept.drop()
        if len(self._sessions) > _MOST:
            oldest = next(iter(self._sessions))
            await self._sessions.pop(oldest).drop()
        return session
