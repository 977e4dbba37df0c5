"""`pulpit watch`: the event stream in a terminal, or one event a line for pipes."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from pulpit.cli.exits import of_tasks
from pulpit.cli.follow import finish, view_of
from pulpit.cli.session import Session, session_of
from pulpit.cli.views import SilentView, View
from pulpit.client import Client, Event, EventFilter, Snapshot, Stale, TaskReport
from pulpit.domain.events import EventKind
from pulpit.domain.tasks import COMPLETE, TaskState

__all__ = ["watch"]

_ALL_TASKS = frozenset({"", "#", "tasks.#", "tasks.*"})


def _task_of(key: str) -> str | None:
    """Return the UUID in a routing key; None for a key of all tasks.

    Raises:
        BadParameter: the key is of neither form.
    """
    if key in _ALL_TASKS:
        return None
    task_id = key.removeprefix("tasks.")
    if not task_id or any(char in task_id for char in ".*#/ "):
        raise typer.BadParameter(f"{key!r} is neither tasks.# nor tasks.<uuid>", param_hint="KEY")
    return task_id


def watch(
    context: typer.Context,
    *,
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="tasks.UUID for one task; default: all tasks.")
    ] = "tasks.#",
    repository: Annotated[
        str | None, typer.Option("--repo", metavar="ID", help="Only events of this repository.")
    ] = None,
    state: Annotated[
        list[TaskState] | None,
        typer.Option(help="Only events of tasks in this state; may be repeated."),
    ] = None,
    kind: Annotated[EventKind | None, typer.Option(help="Only events of this kind.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Only with this tag; may be repeated.")
    ] = None,
    since: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Start after event N instead of now."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Write each event as a line of JSON, a CloudEvent.")
    ] = False,
) -> None:
    """Watch tasks as they change, until Ctrl-C; one task, until it ends.

    Begins with the tasks that wait and run, in a terminal and without --since. Lost connections
    are made again, and events go on where they broke off; events that were missed are told.
    """
    session = session_of(context)
    task_id = _task_of(key)
    wanted = EventFilter(
        task=task_id or (), repository=repository, state=state or (), kind=kind, tag=tag or ()
    )
    plain = wanted == EventFilter(task=task_id or ())
    with session.client() as client:
        if task_id and plain and since is None and not json:
            finish(session, client, [task_id], since=None, json=False)
            return
        if task_id and since is None:
            # the number first: what changes in between comes as an event
            since = client.head()
            _exit_if_ended(client.task(task_id))
        if json:
            _write_lines(session, client, wanted, since)
        else:
            with view_of(session, json=False, summary=True) as view:
                _show(client, view, wanted, since)


def _write_lines(session: Session, client: Client, wanted: EventFilter, since: int | None) -> None:
    """Write events as lines of JSON until the task asked for has ended, or for ever."""
    view = SilentView(session.err)
    stream = client.events(
        since=since,
        wanted=wanted,
        patience=None,
        on_retry=view.retry,
        on_resume=view.resumed,
    )
    for item in stream:
        if isinstance(item, Stale):
            view.gap(item)
            session.print_line({"type": "stale", "data": item.document})
            continue
        session.print_line(item.document)
        if wanted.task and item.report:
            _exit_if_ended(item.report)


def _show(client: Client, view: View, wanted: EventFilter, since: int | None) -> None:
    """Show tasks until the one asked for has ended, or for ever."""
    stream = client.follow(
        wanted=_with_ends(wanted),
        since=since,
        patience=None,
        on_retry=view.retry,
        on_resume=view.resumed,
    )
    for item in stream:
        match item:
            case Stale():
                view.gap(item)
            case Snapshot():
                # it takes the place of all that was shown
                view.forget()
                for known in item.tasks:
                    if _shows_tasks(wanted, known.report.state):
                        view.show(known.report)
            case Event(report=TaskReport() as report):
                if _is_wanted(item, wanted):
                    view.show(report)
                elif report.state.is_complete:
                    view.forget(report.task_id)
                if wanted.task:
                    _exit_if_ended(report)
            case Event():
                view.tell(item)


def _with_ends(wanted: EventFilter) -> EventFilter:
    """Return the filter that lets the ends of tasks through, too: they are shown no longer."""
    state = (*wanted.state, *COMPLETE) if wanted.state else ()
    kind = None if wanted.kind is EventKind.PROGRESS else wanted.kind
    return replace(wanted, state=state, kind=kind)


def _shows_tasks(wanted: EventFilter, state: TaskState) -> bool:
    """Return whether tasks in the state are to be shown, as events may tell how they go on."""
    return wanted.kind is not EventKind.LISTENER and (not wanted.state or state in wanted.state)


def _is_wanted(event: Event, wanted: EventFilter) -> bool:
    """Return whether the event is to be shown, which came through the wider filter."""
    return (not wanted.state or event.state in wanted.state) and (wanted.kind in (None, event.kind))


def _exit_if_ended(report: TaskReport) -> None:
    """End the command when the task has ended, with the code that says how.

    Raises:
        Exit: it has.
    """
    if report.state.is_complete:
        raise typer.Exit(of_tasks([report]))
