"""Downloading the files of a repository that only their sources have so far."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pulpit.domain.tasks import Task, action_tag, repository_tag
from pulpit.domain.units import Unit, UnitFile
from pulpit.errors import DownloadFailed, PulpitError
from pulpit.ports import Clock, ContentTypes, Storage, TaskContext, Transaction
from pulpit.services.content import Absent, Content
from pulpit.services.documents import as_object, optional, refuse_unknown
from pulpit.services.on_demand import OnDemand
from pulpit.services.tasks import Tasks, new_task

__all__ = ["DOWNLOAD", "Downloads", "download_body", "download_task"]

DOWNLOAD = "repository.download"
_STEP = "on_demand_download"
#: Failures that are listed, and characters of what is said of one.
_MAX_FAILURES = 100
_MAX_DETAIL = 2_000
#: Files that are told of one by one; of more, every so many.
_TOLD = 500


def download_task(*, repo_id: str, verify: bool, now: datetime) -> Task:
    """Return the task that downloads what is missing; as in Pulp 2 it reserves nothing.

    Args:
        repo_id: of the repository.
        verify: whether files that are here are read and, if they are rotten, downloaded again.
        now: the present time.
    """
    return new_task(
        now=now,
        task_type="pulp.server.controllers.repository.download_repo",
        operation=DOWNLOAD,
        arguments={"repo_id": repo_id, "verify_all_units": verify},
        tags=[repository_tag(repo_id), action_tag("download")],
        resources=[],
    )


class Downloads:
    """What users do about files that are not here yet."""

    def __init__(self, storage: Storage, *, clock: Clock, tasks: Tasks) -> None:
        self._storage = storage
        self._clock = clock
        self._tasks = tasks

    def start(self, repo_id: str, document: Any) -> Task:
        """Hand in the task that downloads all files of the repository that are not here.

        Args:
            repo_id: which.
            document: the JSON of ``actions/download/``; null is an empty object.

        Raises:
            MissingResource: there is no such repository.
            InvalidValue: ``verify_all_units`` is no boolean.
        """
        sent = as_object({} if document is None else document)
        refuse_unknown(sent, ("verify_all_units",))
        verify = optional(sent, "verify_all_units", bool) or False
        with self._storage.read() as transaction:
            transaction.repositories.get(repo_id)
        task = download_task(repo_id=repo_id, verify=verify, now=self._clock())
        return self._tasks.submit(task, repo_id=repo_id)


def download_body(context: TaskContext, types: ContentTypes) -> tuple[Any, Mapping[str, Any]]:
    """Download what is missing; what came stays, though the rest can't be had.

    Raises:
        DownloadFailed: a file can't be had.
    """
    arguments = context.task.arguments
    absent = [*_absent(context, arguments["repo_id"], verify=arguments["verify_all_units"])]
    report = _Report(context, total=len(absent))
    asyncio.run(_download_all(context, types, absent, report))
    report.finish()
    return None, {}


def _absent(context: TaskContext, repo_id: str, *, verify: bool) -> Iterator[Absent]:
    """Yield the files of the repository that are not here."""
    content = _content(context)
    doubtful: list[tuple[str, Absent]] = []
    with context.storage.read() as transaction:
        for unit, file in _files(transaction, repo_id):
            found = content.file(unit, file, repo_id)
            if isinstance(found, Absent):
                yield found
            elif verify:
                missed = content.file(unit, replace(file, artifact=None), repo_id)
                assert isinstance(missed, Absent)
                doubtful.append((str(file.artifact), missed))
    # only now: reading them all takes hours, and no transaction may be idle for so long
    for digest, missed in doubtful:
        if not _is_right(context.files.path(digest), digest):
            # nobody keeps a right one in its place as long as it is there
            context.files.remove([digest])
            yield missed


def _files(transaction: Transaction, repo_id: str) -> Iterator[tuple[Unit, UnitFile]]:
    """Yield the files of all units of the repository that have some."""
    content = transaction.content
    for unit in content.packages(repo_id):
        yield unit, UnitFile.of_package(unit)
    for unit in content.units(repo_id, ["iso"]):
        yield unit, UnitFile.of_package(unit)
    for unit in content.units(repo_id, ["distribution"]):
        for file in content.unit_files(unit.id):
            yield unit, file


def _is_right(path: Path, digest: str) -> bool:
    """Tell whether a stored file is there, and the one that it was when it was kept."""
    with suppress(FileNotFoundError), path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == digest
    return False


def _content(context: TaskContext) -> Content:
    """Return what looks files up."""
    return Content(context.storage, context.files, clock=context.clock, grace_hours=1)


async def _download_all(
    context: TaskContext, types: ContentTypes, absent: Sequence[Absent], report: _Report
) -> None:
    """Download files, several at a time, as readers do and beside them."""
    concurrency = context.settings.feeds.concurrency
    downloader = types.downloader(context.settings)
    on_demand = OnDemand(
        _content(context),
        context.storage,
        context.files,
        downloader,
        clock=context.clock,
        owner=f"task:{context.task.id}",
        concurrency=concurrency,
    )
    waiting = iter(absent)

    async def work() -> None:
        for one in waiting:
            try:
                await on_demand.fetch(one)
            except PulpitError as error:
                report.failed(one, error)
            else:
                report.done()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(absent))):
                group.create_task(work())
    finally:
        await on_demand.close()
        await downloader.close()


class _Report:
    """The progress report of one download: its one step."""

    def __init__(self, context: TaskContext, *, total: int) -> None:
        self._context = context
        self._first: PulpitError | None = None
        self._stride = max(1, total // _TOLD)
        self._step: dict[str, Any] = {
            "step_type": _STEP,
            "step_id": str(uuid4()),
            "description": "Downloading Repository Content",
            "details": "",
            "state": "IN_PROGRESS",
            "items_total": total,
            "num_processed": 0,
            "num_success": 0,
            "num_failures": 0,
            "error_details": [],
        }
        self._tell(boundary=True)

    def done(self) -> None:
        """Count a file that is here now."""
        self._step["num_success"] += 1
        self._count()

    def failed(self, absent: Absent, error: PulpitError) -> None:
        """Count a file that can't be had."""
        self._first = self._first or error
        self._step["num_failures"] += 1
        details = self._step["error_details"]
        if len(details) < _MAX_FAILURES:
            texts = {"name": absent.file.path, "error": error.message}
            details.append({key: text[:_MAX_DETAIL] for key, text in texts.items()})
        self._count()

    def finish(self) -> None:
        """End the step; raise if something failed."""
        failures, total = self._step["num_failures"], self._step["items_total"]
        self._step["state"] = "FAILED" if failures else "FINISHED"
        self._tell(boundary=True)
        if self._first is not None:
            reason = f"{self._first.message} ({failures} of {total} files failed)"
            raise DownloadFailed(self._context.task.arguments["repo_id"], reason)

    def _count(self) -> None:
        """Count a file, and tell that now and then."""
        self._step["num_processed"] += 1
        if self._step["num_processed"] % self._stride == 0:
            self._tell(boundary=False)

    def _tell(self, *, boundary: bool) -> None:
        """Hand the report on."""
        self._context.progress({_STEP: [self._step]}, boundary=boundary)
