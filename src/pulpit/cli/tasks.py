"""`pulpit task`: what the server does, did and will do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pulpit.cli.bars import stage_rows
from pulpit.cli.exits import ExitCode
from pulpit.cli.follow import finish
from pulpit.cli.outcome import STATE_STYLE, ended, subject
from pulpit.cli.session import session_of
from pulpit.cli.tables import facts, indented, listing
from pulpit.cli.words import age, duration, moment, printable
from pulpit.client import TaskReport
from pulpit.domain.tasks import repository_tag

app = typer.Typer(no_args_is_help=True, help="List, show, cancel and await tasks.")

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="UUID of the task.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
#: From this width on, tables have room for more.
_WIDE = 110


class State(StrEnum):
    """The states that tasks are listed by."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    ERROR = "error"
    CANCELED = "canceled"


@app.command("list")
def list_tasks(
    context: typer.Context,
    repository: Annotated[
        str | None, typer.Option("--repo", metavar="ID", help="Only tasks on this repository.")
    ] = None,
    state: Annotated[
        list[State] | None, typer.Option(help="Only tasks in this state; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
    json: Json = False,
) -> None:
    """List tasks, the newest first."""
    session = session_of(context)
    with session.client() as client:
        reports = client.tasks(
            tags=[repository_tag(repository)] if repository else [],
            states=[item.value for item in state or ()],
            limit=limit,
        )
    if json:
        session.print_json([report.document for report in reports])
    elif reports:
        session.out.print(_table(reports, now=session.now, wide=session.out.width >= _WIDE))
    else:
        session.err.print("No tasks.")


@app.command("show")
def show_task(context: typer.Context, task: TaskId, json: Json = False) -> None:
    """Show one task: its stages, its result or why it failed."""
    session = session_of(context)
    with session.client() as client:
        report = client.task(task)
    if json:
        session.print_json(report.document)
    else:
        session.out.print(_details(report, now=session.now, width=session.out.width))


@app.command("cancel")
def cancel_task(context: typer.Context, task: TaskId) -> None:
    """Cancel a task that waits or runs; one that has ended stays as it is."""
    session = session_of(context)
    with session.client() as client:
        client.cancel(task)
        report = client.task(task)
    if report.state.is_complete:
        session.out.print(ended(report), soft_wrap=True)
    else:
        session.out.print(f"{subject(report)}: will be canceled", soft_wrap=True)


@app.command("wait")
def wait_task(
    context: typer.Context,
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="TASK", help="UUIDs of the tasks.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="ID", help="Also the tasks of this group by now.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="Wait no longer; exits with 124 then."),
    ] = None,
    json: Json = False,
) -> None:
    """Follow tasks to their end; the exit code says how they ended."""
    session = session_of(context)
    if not tasks and group is None:
        raise typer.BadParameter("name a task, or a group with --group", param_hint="TASK")
    with session.client() as client:
        wanted = dict.fromkeys(tasks or ())
        if group is not None:
            found = client.tasks(group=group)
            if not found:
                session.err.print(f"There is no task of group {printable(group)}.")
                raise typer.Exit(ExitCode.NOT_FOUND)
            wanted |= dict.fromkeys(report.task_id for report in reversed(found))
        finish(session, client, list(wanted), since=None, json=json, seconds=timeout)


def _table(reports: Sequence[TaskReport], *, now: datetime, wide: bool) -> Table:
    """Return tasks as a table."""
    headings = ["TASK", "ACTION", "REPOSITORY", "STATE", "STARTED"]
    table = listing(*headings, *(["TOOK"] if wide else []), shrink="REPOSITORY")
    for report in reports:
        row: list[RenderableType] = [
            Text(printable(report.task_id, limit=60)),
            printable(report.action, limit=40),
            printable(report.repository or ""),
            Text(report.state.value, style=STATE_STYLE.get(report.state, "")),
            age(report.start_time, now=now) if report.start_time else "",
        ]
        table.add_row(*row, *([_took(report, now)] if wide else []))
    return table


def _took(report: TaskReport, now: datetime) -> str:
    """Return how long the task ran, or runs by now."""
    start = moment(report.start_time)
    if start is None:
        return ""
    return duration(((moment(report.finish_time) or now) - start).total_seconds())


def _details(report: TaskReport, *, now: datetime, width: int) -> RenderableType:
    """Return all that a person wants to know of a task."""
    known = facts(
        ("Task", report.task_id),
        ("Type", report.task_type),
        ("Worker", report.worker_name),
        ("Started", report.start_time),
        ("Ended", report.finish_time),
        ("Took", _took(report, now)),
        ("Handed in", ", ".join(report.spawned)),
    )
    stages = stage_rows(report, width=width, spinner=Text("·", style="cyan"))
    parts: list[RenderableType] = [ended(report), indented(known)]
    return Group(*parts, *([stages] if stages else []))
