"""Write the files of docs/reference that are generated from the code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from pulpit import errors
from pulpit.app.metrics import METRICS
from pulpit.config import DEFAULT_FILE, Settings, all_settings
from pulpit.errors import ContentError, PulpitError, RequestError, StartError
from scripts.cli_reference import CLI_INTRO, EXITS_INTRO, cli_lines, exits_lines
from scripts.event_reference import event_files, openapi_file
from scripts.log_reference import LOG_INTRO, log_lines

__all__ = [
    "PAGES",
    "cli_page",
    "errors_page",
    "exits_page",
    "log_page",
    "metrics_page",
    "settings_page",
]

_REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
_GENERATED = "<!-- Written by `make docs` from {source}: change it there. -->"

_SETTINGS_INTRO = f"""\
Settings are read from three places, of which the later one wins:

1. the file: the one that `--config` names, else `{DEFAULT_FILE}` if it is there;
2. the environment: `PULPIT_<SECTION>_<KEY>`, such as `PULPIT_SERVER_PORT=8081`;
3. the flags of the command.

An empty value is none: what holds before stays. The file is an INI file of lines `key: value` or
`key = value`. A line that begins with `#` or `;` is a comment, and so is the rest of a line after
a space and `;`, unless a URL follows. An indented line continues the value above it. Keys may be
written in upper or lower case, sections may not. When a key stands twice, the last one holds.

A `server.conf` of Pulp 2 can be used as it is. Keys of Pulp 2 that have no use here are named once
in the log. Any other unknown key, and any value that can't be read, stops the start with a message
that names the place and, for a key, the nearest known one. `pulpit config check` says what holds
and where it comes from.
"""

_ERRORS_INTRO = """\
Codes that begin with `PLP` and `RPM` mean what they mean in Pulp 2; `PLPIT` are Pulpit's own. A
code stands in `error.code` of the body of a failed request and of the report of a failed task.
"""

_METRICS_INTRO = """\
`GET /metrics` tells these, as Prometheus' text or, by `Accept`, as OpenMetrics 1.0; see
[how to watch the server](../howto/monitor.md). Users of the API may read them, or everybody where
`[server] metrics` says so. Counters begin at 0 with the server; those of the broker also when the
settings of `[messaging]` are loaded again. No label ever has a value that users choose: there is
none for a task or a repository. Beside them stand the usual `process_` metrics.

What a channel does not have is absent: those of the broker without a broker, those of the door
while it is closed. Where the database does not answer within a second, `pulpit_database_up` is 0
and what only the database knows is absent; a scrape never waits longer.
"""

_ERROR_GROUPS = (
    ("Requests that can't be served", RequestError),
    ("Content that can't be used", ContentError),
    ("Starts that fail", StartError),
    ("Everything else", PulpitError),
)


def settings_page() -> str:
    """Return the page of the settings as Markdown."""
    return _page("Settings", "src/pulpit/config/settings.py", _SETTINGS_INTRO, _settings_lines())


def errors_page() -> str:
    """Return the page of the error codes as Markdown."""
    return _page("Error codes", "src/pulpit/errors.py", _ERRORS_INTRO, _errors_lines())


def cli_page() -> str:
    """Return the page of the commands as Markdown."""
    return _page("Commands", "src/pulpit/cli", CLI_INTRO, cli_lines())


def exits_page() -> str:
    """Return the page of the commands' exit codes as Markdown."""
    return _page("Exit codes", "src/pulpit/cli/exits.py", EXITS_INTRO, exits_lines())


def metrics_page() -> str:
    """Return the page of the metrics as Markdown."""
    return _page("Metrics", "src/pulpit/app/metrics.py", _METRICS_INTRO, _metrics_lines())


def log_page() -> str:
    """Return the page of what the log tells as Markdown."""
    return _page("Log events", "the calls that tell them", LOG_INTRO, log_lines())


def _page(title: str, source: str, intro: str, lines: Iterator[str]) -> str:
    """Return a page with its head."""
    head = [f"# {title}", "", _GENERATED.format(source=source), "", intro.strip()]
    return "\n".join([*head, *lines]) + "\n"


def _settings_lines() -> Iterator[str]:
    """Yield a table for each section."""
    sections = Settings.__dataclass_fields__
    for section, rows in groupby(all_settings(), key=lambda row: row.section):
        factory = sections[section].default_factory
        yield from ("", f"## `[{section}]`", "", (factory.__doc__ or "").strip(), "")
        yield "| key | default | kind of value | meaning |"
        yield "| --- | --- | --- | --- |"
        for row in rows:
            default = f"`{row.sample}`" if row.sample else row.default or "not set"
            yield f"| `{row.key}` | {default} | {row.kind.name} | {row.meaning} |"


def _metrics_lines() -> Iterator[str]:
    """Yield a table for each group of metrics."""
    for title, group in METRICS.items():
        yield from ("", f"## {title}", "", "| metric | kind | labels | meaning |")
        yield "| --- | --- | --- | --- |"
        for metric in group:
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def _errors_lines() -> Iterator[str]:
    """Yield a table for each group of errors."""
    told: set[str] = set()
    for title, parent in _ERROR_GROUPS:
        yield from ("", f"## {title}", "", "| code | status | error | meaning |")
        yield "| --- | --- | --- | --- |"
        for name in errors.__all__:
            kind = getattr(errors, name)
            if name in told or not issubclass(kind, parent):
                continue
            told.add(name)
            meaning = (kind.__doc__ or "").strip().partition("\n")[0]
            code, status = f"`{kind.code}`", str(kind.status.value)
            if issubclass(kind, StartError | errors.Fenced):
                code = status = ""
            elif issubclass(kind, ContentError):
                status = ""
            yield f"| {code} | {status} | {name} | {meaning} |"


#: The generated pages: file to what writes it.
PAGES = {
    _REFERENCE / "settings.md": settings_page,
    _REFERENCE / "errors.md": errors_page,
    _REFERENCE / "cli.md": cli_page,
    _REFERENCE / "exit-codes.md": exits_page,
    **{_REFERENCE / name: contents for name, contents in event_files()},
    _REFERENCE / "openapi.json": openapi_file,
    _REFERENCE / "metrics.md": metrics_page,
    _REFERENCE / "log.md": log_page,
}


def main() -> int:
    """Write every page and return the exit code."""
    for path, page in PAGES.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(page(), encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
