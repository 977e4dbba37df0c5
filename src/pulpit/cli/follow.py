"""Following tasks to their end over the event stream, those that they hand in included."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import typer

from pulpit.cli.exits import of_tasks
from pulpit.cli.session import Session
from pulpit.cli.views import LiveView, PlainView, SilentView, View
from pulpit.client import CallReport, Client, Stale, TaskReport

__all__ = ["follow", "perform", "view_of"]


def view_of(session: Session, *, json: bool) -> View:
    """Return the view that suits who reads the output."""
    if json:
        return SilentView()
    if session.out.is_terminal:
        return LiveView(session.out)
    return PlainView(session.out, session.err)


def perform(
    session: Session,
    client: Client,
    action: Callable[[], CallReport],
    *,
    wait: bool,
    json: bool,
) -> None:
    """Do *action* and follow its tasks to their end; exits with the code of how they ended.

    Args:
        session: where to write.
        client: the server.
        action: the request whose tasks are followed.
        wait: False prints the ids of the tasks and returns at once.
        json: write one JSON document instead of words.
    """
    # asked before the action: nothing that its tasks tell can be missed
    start = client.head() if wait else 0
    call = action()
    if wait:
        finish(session, client, call.spawned, since=start, json=json)
    elif json:
        session.print_json(call.document)
    else:
        for task_id in call.spawned:
            session.out.print(task_id)


def finish(
    session: Session,
    client: Client,
    task_ids: Sequence[str],
    *,
    since: int | None,
    json: bool,
) -> None:
    """Follow the tasks, tell how they ended, and exit with the code that says so.

    Raises:
        Exit: a task did not finish well.
    """
    try:
        with view_of(session, json=json) as view:
            reports = follow(client, task_ids, since=since, view=view)
    except KeyboardInterrupt:
        goes_on = " ".join(task_ids)
        session.err.print(f"The task goes on; see its end with: pulpit task wait {goes_on}")
        raise
    if json:
        session.print_json({"tasks": [report.document for report in reports]})
    code = of_tasks(reports)
    if code:
        raise typer.Exit(code)


def follow(
    client: Client, task_ids: Sequence[str], *, since: int | None, view: View
) -> list[TaskReport]:
    """Return how the tasks, and those that they handed in, ended.

    Args:
        client: the server.
        task_ids: the tasks.
        since: an event's number before the first event of the tasks; None when they are older.
        view: is shown every change.

    Raises:
        NotFound: there is no such task.
    """
    ended: list[TaskReport] = []
    queue = [(task_id, since) for task_id in task_ids]
    seen = set(task_ids)
    while queue:
        task_id, start = queue.pop(0)
        report = _to_end(client, task_id, since=start, view=view)
        ended.append(report)
        fresh = [spawned for spawned in report.spawned if spawned not in seen]
        seen.update(fresh)
        queue += [(spawned, None) for spawned in fresh]
    return ended


def _to_end(client: Client, task_id: str, *, since: int | None, view: View) -> TaskReport:
    """Return the task's report after its end, and show all that comes before."""
    if since is None:
        # first the number, then the state: what changes in between comes as an event
        since = client.head()
        report = client.task(task_id)
        view.show(report)
        if report.state.is_complete:
            return report
    for item in client.events(since=since, task=task_id, on_retry=view.retry):
        told = client.task(task_id) if isinstance(item, Stale) else item.report
        if told is None or told.task_id != task_id:
            continue
        view.show(told)
        if told.state.is_complete:
            return told
    raise AssertionError("the stream of events has no end")
