"""Downloads: streamed, limited, verified, and never led astray by whoever answers."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import stat
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from yarl import URL

from pulpit.content.access import Access, ssl_context
from pulpit.content.answers import (
    REDIRECTS,
    TryAgain,
    at_home,
    basic_header,
    check_status,
    reason_of,
    redirected,
)
from pulpit.content.checksums import hasher
from pulpit.content.feeds import shown_url
from pulpit.content.limits import Limits
from pulpit.content.pace import Pace, Throttle
from pulpit.errors import DownloadFailed

__all__ = ["Downloads", "Fetched", "Wanted"]

_PIECE = 64 << 10
_MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file to download."""

    url: str
    #: Bytes beyond which the download is broken off.
    limit: int
    #: Bytes that it must have, if known.
    size: int | None = None
    #: Checksum type and hexadecimal digits that it must have, if known.
    checksum: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file that was downloaded and is what it should be."""

    wanted: Wanted
    path: Path
    #: SHA-256, hexadecimal.
    digest: str
    size: int


class Downloads:
    """Downloads from one feed; use as an asynchronous context manager, in one event loop.

    Credentials go to the feed's own host only. Redirects are followed to the same scheme, or from
    http to https, never elsewhere.

    Args:
        access: how the feed is reached.
        limits: how patient to be.
        received: told of the bytes of each piece of a file that is fetched, and, as less than 0, of
            those of an attempt that failed.
    """

    def __init__(
        self, access: Access, limits: Limits, *, received: Callable[[int], None] | None = None
    ) -> None:
        self._access = access
        self._received = received
        self._limits = limits
        self._home = urlsplit(access.feed)
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._throttle = Throttle(access.max_speed) if access.max_speed else None

    async def __aenter__(self) -> Self:
        if self._home.scheme == "https" or self._access.ca or self._access.client_cert:
            self._context()
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "pulpit"},
            connector=aiohttp.TCPConnector(limit=self._limits.concurrency),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=self._limits.connect_timeout,
                sock_read=self._limits.read_timeout,
            ),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session:
            await self._session.close()

    async def stream(self, url: str) -> AsyncGenerator[bytes, None]:
        """Yield what is at *url*, one attempt, unverified.

        Raises:
            DownloadFailed: it can't be had; the message says why.
        """
        try:
            async with aclosing(self._attempt(url)) as pieces:
                async for piece in pieces:
                    yield piece
        except TryAgain as error:
            raise error.failure from error

    async def fetch(self, wanted: Wanted, path: Path) -> Fetched:
        """Download to *path*; on failure nothing is left there.

        Raises:
            DownloadFailed: it can't be had, or is not what is wanted.
        """
        for attempt in range(1, self._limits.attempts + 1):
            try:
                return await self._fetch_once(wanted, path)
            except TryAgain as error:
                if attempt == self._limits.attempts:
                    raise error.failure from error
            await asyncio.sleep(self._limits.backoff * 2 ** (attempt - 1))
        raise AssertionError("at least one attempt is made")

    async def fetch_all(
        self, wanted: Iterable[Wanted], temporary: Callable[[], Path]
    ) -> AsyncGenerator[Fetched | DownloadFailed, None]:
        """Download all, several at a time; yield each as it ends, in no order.

        What was fetched belongs to the caller; what is under way when the caller leaves is removed.
        """
        queue = iter(wanted)
        running: set[asyncio.Task[Fetched]] = set()
        try:
            while True:
                while len(running) < self._limits.concurrency and (one := next(queue, None)):
                    running.add(asyncio.create_task(self.fetch(one, temporary())))
                if not running:
                    return
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    running.discard(task)
                    yield _outcome(task)
        finally:
            await _abandon(running)

    async def _fetch_once(self, wanted: Wanted, path: Path) -> Fetched:
        """Make one attempt."""
        url = shown_url(wanted.url)
        kind = wanted.checksum[0] if wanted.checksum else "sha256"
        try:
            check = hasher(kind)
        except ValueError as error:
            raise DownloadFailed(url, str(error), error_code="checksum_type_unknown") from error
        digest = check if kind == "sha256" else hashlib.sha256()
        limit = wanted.limit if wanted.size is None else min(wanted.limit, wanted.size)
        size = 0
        with self._counted() as count, _written(path) as file:
            async with aclosing(self._attempt(wanted.url)) as pieces:
                async for piece in pieces:
                    size += len(piece)
                    if size > limit:
                        reason = f"its size is more than the {limit} bytes that it may have"
                        raise DownloadFailed(url, reason, error_code="size_mismatch")
                    digest.update(piece)
                    if check is not digest:
                        check.update(piece)
                    file.write(piece)
                    count(len(piece))
            _verify(wanted, url, size, check.hexdigest())
        return Fetched(wanted=wanted, path=path, digest=digest.hexdigest(), size=size)

    @contextmanager
    def _counted(self) -> Iterator[Callable[[int], None]]:
        """Tell of the bytes of an attempt as they come; if the block fails, that they go again."""
        received = self._received
        if received is None:
            yield _uncounted
            return
        total = 0

        def count(size: int) -> None:
            nonlocal total
            total += size
            received(size)

        try:
            yield count
        except BaseException:
            received(-total)
            raise

    async def _attempt(self, url: str) -> AsyncGenerator[bytes, None]:
        """Yield what is at *url*; raise DownloadFailed or TryAgain."""
        read = self._read_file if urlsplit(url).scheme == "file" else self._read_http
        shown = shown_url(url)
        try:
            async with aclosing(read(url)) as pieces:
                async for piece in pieces:
                    yield piece
                    if self._throttle:
                        await self._throttle.wait(len(piece))
        except TimeoutError as error:
            raise DownloadFailed(shown, "no answer in time") from error
        except (aiohttp.ClientSSLError, aiohttp.InvalidURL) as error:
            raise DownloadFailed(shown, reason_of(error)) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise TryAgain(DownloadFailed(shown, reason_of(error))) from error

    async def _read_file(self, url: str) -> AsyncGenerator[bytes, None]:
        """Yield a file of this machine; only a file feed may name one."""
        shown = shown_url(url)
        if self._home.scheme != "file":
            raise DownloadFailed(shown, "a file of this machine can't be had over http")
        try:
            # not to hang on a pipe that somebody put there
            descriptor = os.open(unquote(urlsplit(url).path), os.O_RDONLY | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise DownloadFailed(shown, "is not a file")
                while piece := file.read(_PIECE * 4):
                    yield piece
        except FileNotFoundError as error:
            raise DownloadFailed(shown, "Not Found") from error
        except (OSError, ValueError) as error:
            raise DownloadFailed(shown, getattr(error, "strerror", None) or str(error)) from error

    async def _read_http(self, url: str) -> AsyncGenerator[bytes, None]:
        """Yield the body of an answer with status 200, redirects followed."""
        shown = shown_url(url)
        for _ in range(_MAX_REDIRECTS + 1):
            patience = self._limits.connect_timeout + self._limits.read_timeout
            async with asyncio.timeout(patience) as deadline, self._get(url) as answer:
                if answer.status not in REDIRECTS:
                    deadline.reschedule(None)
                    check_status(answer.status, shown)
                    pace = Pace(self._limits.read_timeout, self._access.max_speed)
                    async for piece in answer.content.iter_any():
                        yield piece
                        if pace.too_slow(len(piece)):
                            raise DownloadFailed(shown, "no answer in time: it is far too slow")
                    return
                url = redirected(url, answer.headers.get("Location", ""), shown)
        raise DownloadFailed(shown, f"more than {_MAX_REDIRECTS} redirects")

    def _context(self) -> ssl.SSLContext:
        """Return the context for TLS; made once it is needed, as it reads all authorities."""
        if self._tls is None:
            self._tls = ssl_context(self._access)
        return self._tls

    def _get(self, url: str) -> Any:
        """Start a request; credentials are for the feed's own host."""
        if self._session is None:
            raise RuntimeError("Downloads must be entered before use")
        access = self._access
        own = at_home(self._home, urlsplit(url))
        if own and access.query:
            url += ("&" if "?" in url else "?") + quote(access.query, safe="=&%")
        headers = basic_header("Authorization", access.username if own else None, access.password)
        to_proxy = basic_header("Proxy-Authorization", access.proxy_username, access.proxy_password)
        secure = url.startswith("https:")
        return self._session.get(
            URL(url, encoded=True),
            allow_redirects=False,
            ssl=self._context() if secure else True,
            proxy=access.proxy,
            # the library sends these with CONNECT only
            headers=headers if secure else {**headers, **to_proxy},
            proxy_headers=to_proxy if secure else {},
        )


def _uncounted(_size: int) -> None:
    """Count nothing."""


@contextmanager
def _written(path: Path) -> Iterator[FileIO]:
    """Open a new file to write to; it is removed on failure."""
    try:
        with path.open("xb", buffering=0) as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _verify(wanted: Wanted, url: str, size: int, digits: str) -> None:
    """Check size and checksum of what was downloaded."""
    if wanted.size is not None and size != wanted.size:
        reason = f"its size is {size} bytes, not {wanted.size}"
        raise DownloadFailed(url, reason, error_code="size_mismatch")
    if wanted.checksum and digits != wanted.checksum[1]:
        reason = f"its {wanted.checksum[0]} checksum is {digits}, not {wanted.checksum[1]}"
        raise DownloadFailed(url, reason, error_code="checksum_mismatch")


def _outcome(task: asyncio.Task[Fetched]) -> Fetched | DownloadFailed:
    """Return what a download came to; other errors are raised."""
    error = task.exception()
    if isinstance(error, DownloadFailed):
        return error
    return task.result()


async def _abandon(tasks: Collection[asyncio.Task[Fetched]]) -> None:
    """End downloads that nobody waits for any longer."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Fetched):
            result.path.unlink(missing_ok=True)
