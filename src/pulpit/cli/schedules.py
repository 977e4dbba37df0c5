"""`pulpit schedule`: syncs and publishes that nobody has to ask for each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from pulpit.cli.completion import complete_repository
from pulpit.cli.session import Session, session_of
from pulpit.cli.tables import listing
from pulpit.cli.words import age, amount, printable
from pulpit.client import Client, Scheduled, ScheduleKind

app = typer.Typer(
    no_args_is_help=True, help="Have repositories synced and published from time to time."
)

RepoId = Annotated[
    str,
    typer.Argument(
        metavar="REPO", help="Id of the repository.", autocompletion=complete_repository
    ),
]
ScheduleId = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Id, as list shows it.")]
Threshold = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Disable it after N failures in a row."),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@app.command("list")
def list_schedules(context: typer.Context, repo_id: RepoId, json: Json = False) -> None:
    """List the schedules of a repository: when it is synced and published next.

    Example: pulpit schedule list zoo
    """
    session = session_of(context)
    with session.client() as client:
        found = _schedules(client, repo_id)
    if json:
        session.print_json([schedule for _, schedule in found])
    elif found:
        session.out.print(_table(session, found))
    else:
        session.err.print(
            f"No schedules. Create one with: pulpit schedule create {repo_id} PT1H", soft_wrap=True
        )


@app.command("create")
def create(
    context: typer.Context,
    *,
    repo_id: RepoId,
    interval: Annotated[
        str,
        typer.Argument(
            metavar="INTERVAL",
            help="How often, in ISO 8601: PT1H, 2026-01-01T02:00:00Z/P1D, or R5/PT10M for 5 times.",
        ),
    ],
    publish: Annotated[
        str | None,
        typer.Option(metavar="DISTRIBUTOR", help="Publish by this distributor; without it, sync."),
    ] = None,
    failure_threshold: Threshold = None,
    disabled: Annotated[
        bool, typer.Option("--disabled", help="Let it do nothing until it is enabled.")
    ] = False,
    json: Json = False,
) -> None:
    """Sync a repository from time to time, or publish it; without a start it begins now.

    Example: pulpit schedule create zoo 2026-01-01T02:00:00Z/P1D --failure-threshold 3
    """
    session = session_of(context)
    document: dict[str, Any] = {"schedule": interval, "enabled": not disabled}
    if failure_threshold is not None:
        document["failure_threshold"] = failure_threshold
    with session.client() as client:
        of = _publishes(repo_id, publish) if publish else _syncs(client, repo_id)
        created = client.create_schedule(of, document)
    _show(session, "Created", of, created, json=json)


@app.command("update")
def update(
    context: typer.Context,
    *,
    repo_id: RepoId,
    schedule_id: ScheduleId,
    interval: Annotated[
        str | None, typer.Option(metavar="INTERVAL", help="How often, as create takes it.")
    ] = None,
    failure_threshold: Threshold = None,
    no_failure_threshold: Annotated[
        bool, typer.Option("--no-failure-threshold", help="Let it fail as often as it likes.")
    ] = False,
    enable: Annotated[
        bool | None,
        typer.Option(
            "--enable/--disable", help="Enabling it forgets its failures.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Change a schedule; what is not named stays.

    Example: pulpit schedule update zoo 65f0c0de4f1d2a0001a2b3c4 --enable
    """
    session = session_of(context)
    if failure_threshold is not None and no_failure_threshold:
        raise typer.BadParameter("say the one or the other", param_hint="--no-failure-threshold")
    changes: dict[str, Any] = {}
    if interval is not None:
        changes["schedule"] = interval
    if enable is not None:
        changes["enabled"] = enable
    if failure_threshold is not None or no_failure_threshold:
        changes["failure_threshold"] = failure_threshold
    if not changes:
        raise typer.BadParameter("say what is to change, such as --interval PT1H")
    with session.client() as client:
        of = _owner(client, repo_id, schedule_id)
        changed = client.update_schedule(of, schedule_id, changes)
    _show(session, "Changed", of, changed, json=json)


@app.command("delete")
def delete(context: typer.Context, repo_id: RepoId, schedule_id: ScheduleId) -> None:
    """Delete a schedule; a task that it has begun goes on.

    Example: pulpit schedule delete zoo 65f0c0de4f1d2a0001a2b3c4
    """
    session = session_of(context)
    with session.client() as client:
        client.delete_schedule(_owner(client, repo_id, schedule_id), schedule_id)
    session.out.print(f"Deleted schedule {printable(schedule_id)}.")


def _schedules(client: Client, repo_id: str) -> Sequence[tuple[Scheduled, Mapping[str, Any]]]:
    """Return all schedules of a repository, those of syncs first."""
    repository = client.repository(repo_id)
    importers = [_of(ScheduleKind.SYNC, repo_id, each) for each in _ids(repository, "importers")]
    distributors = [_publishes(repo_id, each) for each in _ids(repository, "distributors")]
    return [
        (of, schedule) for of in (*importers, *distributors) for schedule in client.schedules(of)
    ]


def _ids(repository: Mapping[str, Any], plugins: str) -> Sequence[str]:
    """Return the ids of a repository's importers or distributors."""
    listed = repository.get(plugins)
    return [str(each.get("id")) for each in listed or () if isinstance(each, dict)]


def _syncs(client: Client, repo_id: str) -> Scheduled:
    """Return the syncs of a repository.

    Raises:
        BadParameter: nothing syncs it.
    """
    importers = _ids(client.repository(repo_id), "importers")
    if not importers:
        raise typer.BadParameter(
            f"repository {repo_id} has no importer: say --publish, or give it one"
        )
    return _of(ScheduleKind.SYNC, repo_id, importers[0])


def _publishes(repo_id: str, distributor_id: str) -> Scheduled:
    return _of(ScheduleKind.PUBLISH, repo_id, distributor_id)


def _of(kind: ScheduleKind, repo_id: str, plugin_id: str) -> Scheduled:
    return Scheduled(kind=kind, repo_id=repo_id, plugin_id=plugin_id)


def _owner(client: Client, repo_id: str, schedule_id: str) -> Scheduled:
    """Return what a schedule of the repository does.

    Raises:
        BadParameter: the repository has none of that id.
    """
    for of, schedule in _schedules(client, repo_id):
        if schedule.get("_id") == schedule_id:
            return of
    raise typer.BadParameter(
        f"repository {repo_id} has no schedule {schedule_id}: see pulpit schedule list {repo_id}"
    )


def _show(
    session: Session, verb: str, of: Scheduled, schedule: Mapping[str, Any], *, json: bool
) -> None:
    """Say what became of a schedule."""
    if json:
        session.print_json(schedule)
        return
    told = f"{verb} schedule {printable(schedule.get('_id'))}: {_what(of)}, {_next(schedule)}."
    session.out.print(told, soft_wrap=True)


def _what(of: Scheduled) -> str:
    """Return such as ``publish by web``."""
    if of.kind is ScheduleKind.SYNC:
        return "sync"
    return f"publish by {printable(of.plugin_id)}"


def _next(schedule: Mapping[str, Any]) -> str:
    """Return when a schedule does something."""
    if not schedule.get("enabled"):
        return "disabled"
    return f"next run {printable(schedule.get('next_run') or 'never')}"


def _table(session: Session, found: Sequence[tuple[Scheduled, Mapping[str, Any]]]) -> Table:
    """Return schedules as a table."""
    table = listing("SCHEDULE", "WHAT", "INTERVAL", "NEXT", "LAST RUN", shrink="INTERVAL")
    for of, schedule in found:
        table.add_row(
            printable(schedule.get("_id")),
            _what(of),
            printable(schedule.get("schedule")),
            _next(schedule).removeprefix("next run "),
            _last(schedule, session),
        )
    return table


def _last(schedule: Mapping[str, Any], session: Session) -> str:
    """Return when a schedule ran last, and how often it has failed since it last succeeded."""
    told = age(schedule.get("last_run_at"), now=session.now)
    failures = schedule.get("consecutive_failures")
    return (
        f"{told}, {amount(failures, 'failure')}" if isinstance(failures, int) and failures else told
    )
