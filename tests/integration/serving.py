"""Published content behind a real HTTP server, with sources that the test scripts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import structlog
import uvicorn
from starlette.applications import Starlette

from pulpit.api.content import routes
from pulpit.domain.repositories import Importer
from pulpit.errors import DownloadFailed
from pulpit.ports import Downloader
from pulpit.services.content import Content
from pulpit.services.on_demand import OnDemand
from tests.services import PATIENCE
from tests.task_context import LooseContext

__all__ = ["Sources", "application", "asking", "content_of", "offer", "serving"]


@dataclass
class Sources:
    """Implements ``pulpit.ports.Downloader`` without a network."""

    #: URL to the pieces that come from there; what is not here is Not Found.
    files: dict[str, list[bytes]] = field(default_factory=dict)
    #: Waited for before the last piece of each file.
    gate: asyncio.Event | None = None
    #: Raised in place of the last piece.
    failure: Exception | None = None
    #: URLs that were asked for, in order.
    asked: list[str] = field(default_factory=list)
    is_closed: bool = False

    async def stream(
        self, importer: Importer, url: str, *, below: str = ""
    ) -> AsyncGenerator[bytes, None]:
        url += f"/{below}" if below else ""
        self.asked.append(url)
        if url not in self.files:
            raise DownloadFailed(url, "Not Found")
        *pieces, last = self.files[url]
        for piece in pieces:
            yield piece
        if self.gate:
            await self.gate.wait()
        if self.failure:
            raise self.failure
        yield last

    async def close(self) -> None:
        self.is_closed = True


def content_of(store: LooseContext) -> Content:
    """Return what is published from the store."""
    return Content(store.storage, store.files, clock=store.clock, grace_hours=1)


def offer(store: LooseContext, repo_id: str, urls: Mapping[int, str]) -> None:
    """Say where the units of a repository can be had."""
    with store.storage.write() as transaction:
        transaction.repositories.set_importer(
            Importer(
                repo_id=repo_id,
                oid="0" * 24,
                importer_type_id="yum_importer",
                config={"feed": "http://feed.example/"},
                last_updated=store.now,
            ),
        )
        transaction.content.set_sources(repo_id, urls)


@asynccontextmanager
async def application(
    store: LooseContext, sources: Downloader | None = None, *, owner: str = "one"
) -> AsyncIterator[Starlette]:
    """Yield the application that serves what is published from the store."""
    content = content_of(store)
    on_demand = OnDemand(
        content,
        store.storage,
        store.files,
        sources or Sources(),
        clock=store.clock,
        owner=owner,
        concurrency=4,
    )
    app = Starlette(routes=routes(content, on_demand, log=structlog.get_logger()))
    app.state.on_demand = on_demand
    try:
        yield app
    finally:
        await on_demand.close()


@asynccontextmanager
async def asking(store: LooseContext) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the application, without a server between them."""
    async with application(store) as app:
        transport = httpx.ASGITransport(app)
        url = "http://pulpit.example/pulp/repos/"
        async with httpx.AsyncClient(transport=transport, base_url=url) as client:
            yield client


@asynccontextmanager
async def serving(
    store: LooseContext, sources: Downloader | None = None, *, owner: str = "one"
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve what is published from the store over HTTP; yield a client of it."""
    async with application(store, sources, owner=owner) as app:
        config = uvicorn.Config(app, log_config=None, lifespan="off", http="httptools")
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            running = asyncio.create_task(server.serve(sockets=[listener]))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/pulp/repos/"
            limits = httpx.Limits(max_connections=100)
            try:
                async with httpx.AsyncClient(
                    base_url=url, limits=limits, timeout=PATIENCE
                ) as client:
                    yield client
            finally:
                # first, as the server waits for its answers
                await app.state.on_demand.close()
                server.should_exit = True
                await running
