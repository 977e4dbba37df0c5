"""The pages of the commands and their exit codes, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from pulpit.cli.exits import ExitCode
from pulpit.cli.program import app

__all__ = ["CLI_INTRO", "EXITS_INTRO", "cli_lines", "exits_lines"]

CLI_INTRO = """\
`pulpit` runs the server and speaks to it. What it prints is for people; `--json` prints what the
server said, for programs, and the [exit code](exit-codes.md) tells how it ended.

**Which server.** `--url`, else `PULPIT_URL`, else the one that `pulpit login` was last used with,
else the server's own default, `http://127.0.0.1:8080`.

**Who.** `--user` and `--password`, else `PULPIT_USER` and `PULPIT_PASSWORD`, else the
[token](../howto/users.md#tokens-for-programs) in `PULPIT_TOKEN`, else what `pulpit login` kept for
that server in `$XDG_CONFIG_HOME/pulpit/credentials.json` (without that variable, in `~/.config`).
The file must be readable by its owner alone; a kept password or token goes to its own server and to
no other. These flags stand before the command:
`pulpit --url http://content.example:8080 repo list`.

**Following tasks.** `repo sync`, `repo publish`, `repo delete`, `task wait` and `watch` follow
tasks over one event stream until they end, those that a task hands in included: with moving bars
on a terminal, with one line a step elsewhere. Ctrl-C ends the following, not the task. Nothing is
asked twice: a lost connection is made again and goes on where it broke off, for 60 seconds, or as
long as `--timeout` says; `watch` never gives up. Lost and regained connections, and events that
are past retention, are told on standard error, or above the bars.

**Lines of JSON.** `watch --json` writes each event as a line: a CloudEvent whose `data` is the Task
Report, as on the [event stream](../howto/events.md#over-http). `sequence` is the number for
`--since`. Where events were missed, there is a line `{"type": "stale", "data": {…}}` without `id`.

**Colours** follow the terminal; `NO_COLOR=1` turns them off. **Completion** for bash, zsh and
fish: `pulpit --install-completion`.
"""

EXITS_INTRO = """\
What a script learns from `pulpit` without reading its words. When several tasks were followed, an
error outweighs a cancel.
"""


def cli_lines() -> Iterator[str]:
    """Yield a section for each command."""
    yield from _command_lines("pulpit", typer.main.get_command(app))


def exits_lines() -> Iterator[str]:
    """Yield the table of the exit codes."""
    yield from ("", "| code | name | meaning |", "| --- | --- | --- |")
    for code in ExitCode:
        yield f"| {code.value} | `{code.name}` | {code.meaning} |"


def _command_lines(name: str, command: Any) -> Iterator[str]:
    """Yield the section of a command, and those of the commands in it."""
    nested = getattr(command, "commands", None)
    if nested is None:
        arguments = [param for param in command.params if param.param_type_name == "argument"]
        usage = " ".join([name, *(_argument(param) for param in arguments)])
        yield from ("", f"## `{usage}`", "", *command.help.strip().splitlines())
        rows = [row for param in command.params if (row := _row(param))]
        if rows:
            yield from ("", "| | |", "| --- | --- |", *rows)
        return
    for key, inner in nested.items():
        yield from _command_lines(f"{name} {key}", inner)


def _argument(param: Any) -> str:
    """Return an argument as it stands in the usage."""
    shown = str(param.metavar or param.name.upper())
    more = "..." if param.nargs == -1 else ""
    return f"{shown}{more}" if param.required else f"[{shown}]{more}"


def _row(param: Any) -> str | None:
    """Return the row of an argument or option; None for the one that every command has."""
    if param.name == "help":
        return None
    if param.param_type_name == "argument":
        shown = str(param.metavar or param.name.upper())
    else:
        choice = param.type_descriptor.choices if param.type_descriptor.is_choice else None
        value = "" if _is_flag(param) else param.metavar or _values(choice) or "VALUE"
        shown = f"{', '.join([*param.opts, *param.secondary_opts])} {value}".strip()
    default = param.default
    told = (
        ""
        if default in (None, False, "tasks.#")
        else f" Default: {getattr(default, 'value', default)}."
    )
    return f"| `{shown}` | {param.help or ''}{told} |".replace("|immediate", "\\|immediate")


def _is_flag(param: Any) -> bool:
    """Return whether an option takes no value."""
    return bool(getattr(param, "is_flag", False) or getattr(param, "is_bool_flag", False))


def _values(choices: Any) -> str:
    """Return the values of a choice, in a form that a table can hold."""
    return " / ".join(str(getattr(choice, "value", choice)) for choice in choices or ())
