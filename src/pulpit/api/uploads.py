"""``/pulp/api/v2/content/uploads/``, and the import of what was uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.tasks import accepted
from pulpit.api.web import API, Call, Gate, json_response
from pulpit.domain.clock import render_time
from pulpit.domain.uploads import Upload
from pulpit.services.uploads import Uploads

__all__ = ["routes"]

_ALL = f"{API}/content/uploads"
_ONE = f"{_ALL}/{{upload_id}}"


def _href(upload: Upload) -> str:
    return f"{_ALL}/{upload.id}/"


def _document(upload: Upload) -> dict[str, Any]:
    """Return what a client needs to go on with an upload."""
    return {
        "_href": _href(upload),
        "upload_id": upload.id,
        "created": render_time(upload.created),
        "last_updated": render_time(upload.touched),
        "size": upload.size,
        "received": [{"start": start, "end": end} for start, end in upload.received],
    }


def routes(gate: Gate, uploads: Uploads) -> Sequence[Route]:
    """Return the routes of uploads."""

    def listing(_call: Call) -> Response:
        return json_response({"upload_ids": [upload.id for upload in uploads.list()]})

    def create(_call: Call) -> Response:
        upload = uploads.create()
        document = {"_href": _href(upload), "upload_id": upload.id}
        return json_response(document, HTTPStatus.CREATED, {"Location": _href(upload)})

    def show(call: Call) -> Response:
        return json_response(_document(uploads.get(call.path("upload_id"))))

    def delete(call: Call) -> Response:
        uploads.delete(call.path("upload_id"))
        return json_response(None)

    async def receive(call: Call) -> Response:
        reception = await run_in_threadpool(
            uploads.receive, call.path("upload_id"), call.path("offset")
        )
        try:
            async for piece in call.pieces(limit=reception.room):
                await run_in_threadpool(reception.write, piece)
            await run_in_threadpool(reception.finish)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(reception.close)
        return json_response(None)

    def import_upload(call: Call) -> Response:
        return accepted(uploads.import_upload(call.path("repo_id"), call.document))

    return [
        gate.route(f"{_ALL}/", GET=listing, POST=create),
        gate.route(f"{_ONE}/", GET=show, DELETE=delete),
        gate.route(f"{_ONE}/{{offset}}/", streamed=True, PUT=receive),
        gate.route(f"{API}/repositories/{{repo_id}}/actions/import_upload/", POST=import_upload),
    ]
