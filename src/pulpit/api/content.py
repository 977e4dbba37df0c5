"""Published content: ``/pulp/repos/…`` and ``/pulp/isos/…``, open to everybody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import aclosing
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from pulpit.domain.published import Root
from pulpit.errors import DownloadFailed
from pulpit.services.arrival import Arrival
from pulpit.services.content import Absent, Content, Folder, Found, Listing, Stored
from pulpit.services.on_demand import OnDemand

__all__ = ["ROOTS", "routes"]

#: Where published content lies.
ROOTS: Mapping[Root, str] = {root: f"/pulp/{root}/" for root in Root}
_TYPES = {
    ".rpm": "application/x-rpm",
    ".drpm": "application/x-rpm",
    ".xml": "application/xml",
    ".gz": "application/gzip",
    ".zst": "application/zstd",
    ".xz": "application/x-xz",
    ".bz2": "application/x-bzip2",
    ".yaml": "application/yaml",
    ".asc": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".key": "text/plain; charset=utf-8",
    ".treeinfo": "text/plain; charset=utf-8",
    ".iso": "application/x-iso9660-image",
}
_RANGES = re.compile(r"bytes *= *([0-9]+-[0-9]*|-[0-9]+)( *, *([0-9]+-[0-9]*|-[0-9]+))*", re.ASCII)
#: How long a file may be kept without asking again, by whether its name tells its content.
_MAX_AGE = {False: "max-age=0, must-revalidate", True: "max-age=86400"}


class _File(FileResponse):
    """A file, read in larger pieces: each takes a turn of a thread."""

    chunk_size = 256 << 10


class _Arriving(Response):
    """A file that may turn out to be wrong: then the connection ends before the last byte."""

    def __init__(
        self, arrival: Arrival, *, headers: Mapping[str, str], media_type: str, log: Any
    ) -> None:
        super().__init__(headers=headers, media_type=media_type)
        self._arrival = arrival
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        try:
            async with aclosing(self._arrival.pieces()) as pieces:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        except DownloadFailed as error:
            # the client was promised more bytes than it got: the server ends the connection
            _tell(self._log, error)
            return
        await send({"type": "http.response.body", "body": b""})


def _tell(log: Any, error: DownloadFailed) -> None:
    """Write a failed download into the log."""
    log.warning("on-demand download failed", url=error.url, reason=error.reason)


def routes(content: Content, on_demand: OnDemand, *, log: Any) -> list[BaseRoute]:
    """Return the routes of published content.

    Args:
        content: what is published.
        on_demand: gets files that are not here.
        log: where failed downloads are told.
    """

    def below(root: Root) -> BaseRoute:
        async def endpoint(request: Request) -> Response:
            path = str(request.path_params["path"])
            found = await run_in_threadpool(content.find, path, root)
            if isinstance(found, Absent):
                return await _absent(request, found, on_demand, log)
            return _here(request, root, path, found)

        return Route(ROOTS[root] + "{path:path}", endpoint, methods=["GET", "HEAD"])

    return [below(root) for root in Root]


def _here(request: Request, root: Root, path: str, found: Found | None) -> Response:
    """Answer with what needs no download."""
    if isinstance(found, Stored):
        return _stored(request, found)
    if isinstance(found, Listing):
        return _generated(request, found)
    if not isinstance(found, Folder):
        return PlainTextResponse("Not Found\n", HTTPStatus.NOT_FOUND, _headers())
    if path and not path.endswith("/"):
        # relative: whatever stands before the server may have another name for it
        name = quote(path.rpartition("/")[2])
        return RedirectResponse(f"./{name}/", HTTPStatus.MOVED_PERMANENTLY, _headers())
    return HTMLResponse(_listing(ROOTS[root] + path, found, is_top=not path), headers=_headers())


def _headers(tag: str | None = None, name: str = "") -> dict[str, str]:
    """Return the headers that every answer of published content has."""
    headers = {"X-Content-Type-Options": "nosniff"}
    if tag is not None:
        headers["ETag"] = f'"{tag}"'
        headers["Cache-Control"] = _MAX_AGE[name == tag]
    return headers


def _media_type(name: str) -> str:
    """Return the content type of a file of that name."""
    return _TYPES.get("." + name.rpartition(".")[2], "application/octet-stream")


def _is_known(request: Request, tag: str, modified: str | None) -> bool:
    """Tell whether the client has the file already."""
    wanted = request.headers.get("if-none-match")
    if wanted is None:
        return modified is not None and request.headers.get("if-modified-since") == modified
    tags = {part.strip().removeprefix("W/") for part in wanted.split(",")}
    return bool(tags & {"*", f'"{tag}"'})


def _stored(request: Request, found: Stored) -> Response:
    """Answer with a file that is here, or a range of it."""
    name = str(request.path_params["path"]).rpartition("/")[2]
    headers = _headers(found.tag, name)
    modified = formatdate(found.stat.st_mtime, usegmt=True)
    if _is_known(request, found.tag, modified):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    _drop_bad_range(request)
    return _File(found.path, headers=headers, media_type=_media_type(name), stat_result=found.stat)


def _generated(request: Request, found: Listing) -> Response:
    """Answer with the names in a folder, one a line."""
    headers = _headers(found.tag)
    if _is_known(request, found.tag, None):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return PlainTextResponse(found.text, headers=headers)


def _drop_bad_range(request: Request) -> None:
    """Forget a range that can't be understood, as HTTP has it: the answer is the whole file."""
    wanted = request.headers.get("range")
    if wanted is not None and not _RANGES.fullmatch(wanted.strip()):
        headers = request.scope["headers"]
        request.scope["headers"] = [(key, value) for key, value in headers if key != b"range"]


async def _absent(request: Request, found: Absent, on_demand: OnDemand, log: Any) -> Response:
    """Answer with a file that must be downloaded first."""
    name = found.file.name
    headers = _headers(found.tag, name)
    if found.tag is not None and _is_known(request, found.tag, None):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    sized: Mapping[str, str] = {**headers, "Accept-Ranges": "bytes"}
    if found.file.size is not None:
        sized = {**sized, "Content-Length": str(found.file.size)}
    if request.method == "HEAD":
        return Response(headers=sized, media_type=_media_type(name))
    _drop_bad_range(request)
    try:
        if "range" in request.headers or found.file.size is None:
            # how long it is, and whether it is right, is known once all of it is here
            return _stored(request, await on_demand.fetch(found))
        arriving = await on_demand.begin(found)
    except DownloadFailed as error:
        _tell(log, error)
        return PlainTextResponse(f"{error.message}\n", HTTPStatus.BAD_GATEWAY, _headers())
    if isinstance(arriving, Stored):
        return _stored(request, arriving)
    return _Arriving(arriving, headers=sized, media_type=_media_type(name), log=log)


def _listing(path: str, folder: Folder, *, is_top: bool) -> str:
    """Return a page that links to what is in the folder."""
    title = escape(f"Index of {path}")
    rows = [] if is_top else ['<li><a href="../">../</a></li>']
    rows += [
        f'<li><a href="./{escape(quote(name), {chr(34): "&quot;"})}">{escape(name)}</a></li>'
        for name in folder.names
    ]
    lines = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        f"<title>{title}</title></head>",
        f"<body><h1>{title}</h1>\n<ul>",
        *rows,
        "</ul></body></html>\n",
    ]
    return "\n".join(lines)
