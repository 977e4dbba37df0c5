"""`pulpit repo upload`: files into a repository."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)

from pulpit.cli.follow import finish
from pulpit.cli.repositories import Json, NoWait, RepoId
from pulpit.cli.session import Session, session_of
from pulpit.cli.words import printable
from pulpit.client import Backoff, Client, ClientError, NotFound, Retry, send_file
from pulpit.domain.tasks import TaskState

__all__ = ["upload"]

#: Seconds without a server after which a command gives up.
_PATIENCE = 60.0

Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FILE", help="What to upload."),
]
TypeId = Annotated[
    str, typer.Option("--type", metavar="TYPE", help="Content type, such as srpm, erratum or iso.")
]
Key = Annotated[
    str | None,
    typer.Option("--key", metavar="JSON", help="Unit key, where the file does not tell it."),
]
Metadata = Annotated[
    str | None, typer.Option("--metadata", metavar="JSON", help="What else is to be known of it.")
]
Resume = Annotated[
    str | None,
    typer.Option("--resume", metavar="UUID", help="Go on with an upload that was interrupted."),
]


def upload(
    context: typer.Context,
    *,
    repo_id: RepoId,
    files: Files = None,
    type_id: TypeId = "rpm",
    key: Key = None,
    metadata: Metadata = None,
    resume: Resume = None,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Upload files into a repository, and follow the tasks that import them to their end.

    Units that are metadata alone, such as an erratum, need --key or --metadata and no FILE.

    Example: pulpit repo upload zoo bell-1.0-1.noarch.rpm
    """
    session = session_of(context)
    document = {
        "unit_type_id": type_id,
        "unit_key": _object(key, "--key"),
        "unit_metadata": _object(metadata, "--metadata"),
    }
    paths: Sequence[Path | None] = files or [None]
    for path in files or ():
        if why := _unusable(path, type_id):
            raise typer.BadParameter(why, param_hint="FILE")
    if not files and key is None and metadata is None:
        raise typer.BadParameter("name a file, or say by --metadata what the unit is")
    if resume and len(paths) > 1:
        raise typer.BadParameter("only one file can go on", param_hint="--resume")
    with session.client() as client:
        # before anything is sent that would be for nothing
        client.repository(repo_id)
        start = None if no_wait else client.head()
        uploads, tasks = _import_all(session, client, repo_id, document, paths, resume=resume)
        if not no_wait:
            named = {} if len(paths) == 1 else dict(zip(tasks, files or (), strict=False))
            _follow(session, client, uploads, tasks, since=start, json=json, named=named)
        elif json:
            session.print_json({"uploads": uploads, "tasks": tasks})
        else:
            # their uploads are needed until the tasks have ended: the server removes them later
            for task_id in tasks:
                session.out.print(task_id)


def _import_all(
    session: Session,
    client: Client,
    repo_id: str,
    document: Mapping[str, Any],
    paths: Sequence[Path | None],
    *,
    resume: str | None,
) -> tuple[list[str], list[str]]:
    """Upload each file, and have it imported; return the ids of uploads and tasks.

    Who interrupts that, or is refused, is told how to go on.
    """
    uploads: list[str] = []
    tasks: list[str] = []
    for path in paths:
        upload_id = resume or client.begin_upload()
        try:
            if path is not None:
                _send(session, client, path, upload_id)
            unit = _with_key(document, path)
            call = client.import_upload(repo_id, {"upload_id": upload_id, **unit})
        except BaseException as error:
            if path is None:
                # what went wrong is more than that it stays
                with suppress(ClientError):
                    client.delete_upload(upload_id)
            elif not isinstance(error, NotFound):
                how = f"Go on with: --resume {upload_id} {printable(path)}"
                session.err.print(how, soft_wrap=True, highlight=False)
            raise
        uploads.append(upload_id)
        tasks.extend(call.spawned)
    return uploads, tasks


def _unusable(path: Path, type_id: str) -> str:
    """Return why a file can't be uploaded, or nothing."""
    if path.is_dir():
        return f"{path} is a folder: name the files in it"
    if not path.exists():
        return f"there is no file {path}"
    if not path.is_file():
        return f"{path} is no ordinary file: copy it to one"
    # isos are files of any kind, of which some mark something by being there
    return "" if path.stat().st_size or type_id == "iso" else f"{path} is empty"


def _with_key(document: Mapping[str, Any], path: Path | None) -> Mapping[str, Any]:
    """Return what is imported; the key of an iso is told by its file, unless it is given."""
    if path is None or document["unit_type_id"] != "iso" or document["unit_key"]:
        return document
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    key = {"name": path.name, "checksum": checksum, "size": path.stat().st_size}
    return {**document, "unit_key": key}


def _send(session: Session, client: Client, path: Path, upload_id: str) -> None:
    """Send a file."""
    try:
        with _shown(session, path.name) as (sent, retried):
            backoff = Backoff(patience=_PATIENCE, on_retry=retried)
            send_file(client, path, upload_id, backoff=backoff, sent=sent)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--resume") from error
    except OSError as error:
        raise typer.BadParameter(f"{path} can't be read: {error}", param_hint="FILE") from error


@contextmanager
def _shown(
    session: Session, name: str
) -> Iterator[tuple[Callable[[int, int], None], Callable[[Retry], None]]]:
    """Show how much was sent, on a terminal; yield what is to be told of that, and of losses."""

    def retried(retry: Retry) -> None:
        session.err.print(
            f"No connection ({printable(retry.reason)}): trying again", style="yellow"
        )

    if not session.err.is_terminal:
        yield (lambda _done, _size: None), retried
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    with Progress(*columns, TransferSpeedColumn(), console=session.err, transient=True) as progress:
        task = progress.add_task(printable(name), total=None)
        yield (lambda done, size: progress.update(task, completed=done, total=size)), retried


def _follow(
    session: Session,
    client: Client,
    uploads: Sequence[str],
    tasks: Sequence[str],
    *,
    since: int | None,
    json: bool,
    named: Mapping[str, Path],
) -> None:
    """Follow the tasks to their end, then delete the uploads; not if the tasks go on.

    *named*, task to file, tells of several files which have failed.
    """
    try:
        finish(session, client, tasks, since=since, json=json)
    except typer.Exit:
        _delete(client, uploads)
        for task_id, path in named.items():
            if client.task(task_id).state is not TaskState.FINISHED:
                session.err.print(f"Not imported: {printable(path)}", soft_wrap=True)
        raise
    _delete(client, uploads)


def _delete(client: Client, uploads: Sequence[str]) -> None:
    for upload_id in uploads:
        client.delete_upload(upload_id)


def _object(text: str | None, option: str) -> dict[str, Any]:
    """Return the JSON object that an option holds; an empty one if it was not given.

    Raises:
        BadParameter: it is something else.
    """
    if text is None:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise typer.BadParameter(f"not a JSON object: {error}", param_hint=option) from error
