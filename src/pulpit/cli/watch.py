"""`pulpit watch`: the event stream in a terminal, or one event a line for pipes."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from pulpit.cli.follow import finish, view_of
from pulpit.cli.session import Session, session_of
from pulpit.cli.views import View
from pulpit.cli.words import printable
from pulpit.client import Client, Event, EventFilter, Retry, Stale
from pulpit.domain.events import EventKind
from pulpit.domain.tasks import TaskState

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
        str, typer.Argument(metavar="[KEY]", help="tasks.UUID for one task; default: all tasks.")
    ] = "tasks.#",
    repository: Annotated[
        str | None, typer.Option("--repo", metavar="ID", help="Only events of this repository.")
    ] = None,
    state: Annotated[
        TaskState | None, typer.Option(help="Only events of tasks in this state.")
    ] = None,
    kind: Annotated[EventKind | None, typer.Option(help="Only events of this kind.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Only with this tag; may be repeated.")
    ] = None,
    since: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Start after event N instead of now."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write each event as a line of JSON.")] = (
        False
    ),
) -> None:
    """Watch tasks as they change, until Ctrl-C; one task, until it ends."""
    session = session_of(context)
    task_id = _task_of(key)
    wanted = EventFilter(
        task=task_id or (),
        repository=repository,
        state=state or (),
        kind=kind,
        tag=tuple(tag or ()),
    )
    plain = wanted == EventFilter(task=task_id or ())
    with session.client() as client:
        if task_id and plain and since is None and not json:
            finish(session, client, [task_id], since=None, json=False)
        elif json:
            _write_lines(session, client, wanted, since)
        else:
            with view_of(session, json=False) as view:
                _show_all(session, client, view, wanted, since)


def _write_lines(session: Session, client: Client, wanted: EventFilter, since: int | None) -> None:
    """Write events as lines of JSON until the task asked for has ended, or for ever."""

    def on_retry(notice: Retry) -> None:
        session.err.print(f"Connection lost ({printable(notice.reason)}); trying again.")

    stream = client.events(since=since, wanted=wanted, patience=None, on_retry=on_retry)
    for item in stream:
        if isinstance(item, Stale):
            session.err.print(_gap(item), soft_wrap=True)
            continue
        session.print_line(item.document)
        if wanted.task and _ended(item):
            return


def _show_all(
    session: Session, client: Client, view: View, wanted: EventFilter, since: int | None
) -> None:
    """Show events until the task asked for has ended, or for ever."""
    stream = client.events(since=since, wanted=wanted, patience=None, on_retry=view.retry)
    for item in stream:
        if isinstance(item, Stale):
            session.err.print(_gap(item), soft_wrap=True)
        elif item.report is not None:
            view.show(item.report)
            if wanted.task and _ended(item):
                return


def _ended(event: Event) -> bool:
    """Return whether the event is its task's last."""
    report = event.report
    return report is not None and report.state.is_complete


def _gap(stale: Stale) -> Text:
    """Return the notice that events are missing."""
    return Text(
        f"Events after {stale.since} can't be read any more: the journal holds "
        f"{stale.oldest} to {stale.head}. See `pulpit task list` for what became of them.",
        style="yellow",
    )
