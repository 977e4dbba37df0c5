"""`pulpit repo`: repositories, and what fills and publishes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from json import loads
from typing import Annotated, Any

import typer

from pulpit.cli.completion import complete_repository
from pulpit.cli.follow import perform
from pulpit.cli.repository_views import repository_details, repository_table, unit_table
from pulpit.cli.session import Session, session_of
from pulpit.client import Client

app = typer.Typer(
    no_args_is_help=True, help="Create, list, show, sync, fill, publish and delete repositories."
)


RepoId = Annotated[
    str,
    typer.Argument(metavar="ID", help="Id of the repository.", autocompletion=complete_repository),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Print the task's UUID and return at once.")
]


class Kind(StrEnum):
    """What a repository holds: packages, or files of any kind."""

    RPM = "rpm"
    ISO = "iso"


#: What repositories of a kind are filled and published by.
_PLUGINS: Mapping[Kind, tuple[str, str]] = {
    Kind.RPM: ("yum_importer", "yum_distributor"),
    Kind.ISO: ("iso_importer", "iso_distributor"),
}


class Policy(StrEnum):
    """When packages are downloaded."""

    IMMEDIATE = "immediate"
    ON_DEMAND = "on-demand"


def _notes(pairs: Sequence[str]) -> dict[str, str]:
    """Return ``key=value`` texts as an object.

    Raises:
        BadParameter: one has no ``=`` or no key.
    """
    notes = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{pair!r} is not key=value", param_hint="--note")
        notes[key] = value
    return notes


Feed = Annotated[
    str | None, typer.Option(metavar="URL", help="Where to sync from: http, https or file.")
]
DownloadPolicy = Annotated[
    Policy, typer.Option(help="Download packages at the sync, or when first asked for.")
]
RelativeUrl = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help="Publish below /pulp/repos/, or /pulp/isos/, here; default: the id."
    ),
]
AutoPublish = Annotated[bool, typer.Option("--auto-publish", help="Publish after every sync.")]
Note = Annotated[
    list[str] | None, typer.Option(metavar="KEY=VALUE", help="A note; may be repeated.")
]
FeedPassword = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        envvar="PULPIT_FEED_PASSWORD",
        show_envvar=False,
        help="Its password; better set PULPIT_FEED_PASSWORD, which others do not see.",
    ),
]
RetainOld = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Keep only N older versions of each package."),
]


@app.command("create")
def create(
    context: typer.Context,
    *,
    repo_id: Annotated[
        str, typer.Argument(metavar="ID", help="Letters, digits, '.', '-' and '_'.")
    ],
    kind: Annotated[
        Kind, typer.Option("--type", help="Of packages, or of files that a PULP_MANIFEST lists.")
    ] = Kind.RPM,
    feed: Feed = None,
    policy: DownloadPolicy = Policy.IMMEDIATE,
    relative_url: RelativeUrl = None,
    auto_publish: AutoPublish = False,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Name to display.")] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is.")] = None,
    note: Note = None,
    feed_user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Login at the feed.")
    ] = None,
    feed_password: FeedPassword = None,
    retain_old: RetainOld = None,
    remove_missing: Annotated[
        bool, typer.Option("--remove-missing", help="Remove what has left the feed.")
    ] = False,
    json: Json = False,
) -> None:
    """Create a repository that is synced from a feed and published over HTTP."""
    importer = {
        "feed": feed,
        "download_policy": policy.value.replace("-", "_"),
        "basic_auth_username": feed_user,
        "basic_auth_password": feed_password,
        "retain_old_count": retain_old,
        "remove_missing": remove_missing or None,
    }
    document = {
        "id": repo_id,
        "display_name": name,
        "description": description,
        "notes": _notes(note or ()),
        "importer_type_id": _PLUGINS[kind][0],
        "importer_config": _given(importer),
        "distributors": [_distributor(kind, relative_url or repo_id, auto_publish=auto_publish)],
    }
    _create(session_of(context), _given(document), json=json)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that were given."""
    return {key: value for key, value in values.items() if value is not None}


def _create(session: Session, document: Mapping[str, Any], *, json: bool) -> None:
    """Create the repository and say so."""
    with session.client() as client:
        created = client.create_repository(document)
    if json:
        session.print_json(created)
        return
    session.out.print(f"Created repository {document['id']}.", soft_wrap=True)
    if document["importer_config"].get("feed"):
        session.err.print(f"Sync it with: pulpit repo sync {document['id']}", soft_wrap=True)


def _distributor(kind: Kind, relative_url: str, *, auto_publish: bool) -> Mapping[str, Any]:
    """Return the distributor that a repository is created with."""
    type_id = _PLUGINS[kind][1]
    served = {"http": True, "https": False} if kind is Kind.RPM else {"serve_http": True}
    return {
        "distributor_id": type_id,
        "distributor_type_id": type_id,
        "auto_publish": auto_publish,
        "distributor_config": {"relative_url": relative_url, **served},
    }


@app.command("list")
def list_repositories(context: typer.Context, json: Json = False) -> None:
    """List all repositories."""
    session = session_of(context)
    with session.client() as client:
        found = client.repositories()
    if json:
        session.print_json(found)
    elif found:
        session.out.print(repository_table(found, now=session.now, width=session.out.width))
    else:
        session.err.print("No repositories. Create one with: pulpit repo create ID --feed URL")


@app.command("show")
def show(context: typer.Context, repo_id: RepoId, json: Json = False) -> None:
    """Show one repository: content, feed, where it is published."""
    session = session_of(context)
    with session.client() as client:
        found = client.repository(repo_id)
        base = client.url
    if json:
        session.print_json(found)
    else:
        session.out.print(repository_details(found, base=base, now=session.now))


@app.command("units")
def units(
    context: typer.Context,
    *,
    repo_id: RepoId,
    type_ids: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only these, such as rpm; may be repeated."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--filter", metavar="JSON", help="What fields must be, as in searches of the API."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = 100,
    json: Json = False,
) -> None:
    """List the content units of a repository.

    Example: pulpit repo units zoo --type rpm --filter '{"name": {"$regex": "^be"}}'
    """
    session = session_of(context)
    with session.client() as client:
        found = client.units(repo_id, types=type_ids or (), filters=_filters(where), limit=limit)
    if json:
        session.print_json(found)
        return
    if found:
        session.out.print(unit_table(found))
    if len(found) in {0, limit}:
        more = f"These are the first {limit}: --limit shows more." if found else "No such units."
        session.err.print(more)


def _filters(text: str | None) -> dict[str, Any]:
    """Return the JSON object of a filter.

    Raises:
        BadParameter: it is something else.
    """
    try:
        filters = {} if text is None else loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"it is no JSON: {error}", param_hint="--filter") from error
    if not isinstance(filters, dict):
        raise typer.BadParameter("it must be a JSON object", param_hint="--filter")
    return filters


@app.command("sync")
def sync(
    context: typer.Context, repo_id: RepoId, no_wait: NoWait = False, json: Json = False
) -> None:
    """Sync a repository from its feed, and follow the tasks to their end."""
    session = session_of(context)
    with session.client() as client:
        perform(session, client, lambda: client.sync(repo_id), wait=not no_wait, json=json)


@app.command("publish")
def publish(
    context: typer.Context,
    *,
    repo_id: RepoId,
    distributor: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Which distributor, where the repository has several."),
    ] = None,
    force_full: Annotated[
        bool, typer.Option("--force-full", help="Publish even if nothing has changed.")
    ] = False,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Publish a repository, and follow the task to its end."""
    session = session_of(context)
    with session.client() as client:
        chosen = distributor or _only_distributor(client, repo_id)
        override = {"force_full": True} if force_full else None
        perform(
            session,
            client,
            lambda: client.publish(repo_id, chosen, override=override),
            wait=not no_wait,
            json=json,
        )


def _only_distributor(client: Client, repo_id: str) -> str:
    """Return the id of the repository's distributor.

    Raises:
        BadParameter: it has none, or several.
    """
    listed = client.repository(repo_id).get("distributors") or ()
    found = [str(item.get("id")) for item in listed if isinstance(item, dict)]
    if len(found) != 1:
        have = f"has several: {', '.join(found)}" if found else "has no distributor"
        raise typer.BadParameter(f"repository {repo_id} {have}", param_hint="--distributor")
    return found[0]


@app.command("delete")
def delete(
    context: typer.Context,
    repo_id: RepoId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Delete a repository and what it has published."""
    session = session_of(context)
    if not yes:
        if not session.outside.stdin.isatty():
            raise typer.BadParameter("nobody is there to ask: say --yes", param_hint="--yes")
        typer.confirm(f"Delete repository {repo_id}?", abort=True, err=True)
    with session.client() as client:
        perform(
            session, client, lambda: client.delete_repository(repo_id), wait=not no_wait, json=json
        )
