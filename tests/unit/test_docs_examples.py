"""What the documentation tells a reader to write or type is understood."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from pulpit import config
from pulpit.cli.program import app

_ROOT = Path(__file__).resolve().parents[2]
_TEXTS = {
    path: path.read_text(encoding="utf-8")
    for path in sorted([*(_ROOT / "docs").rglob("*.md"), _ROOT / "README.md"])
}
_FILES = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path, text in _TEXTS.items()
    for number, block in enumerate(
        re.findall(r"^```ini\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    )
]
#: What a reader types, its lines joined and without what follows it in the shell.
_COMMANDS = {
    (path.name, line.partition(" | ")[0])
    for path, text in _TEXTS.items()
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for line in re.findall(r"^\$ (pulpit .*)$", block.replace("\\\n", " "), re.MULTILINE)
}
#: Variables that are not settings: where the client finds the server, and its user.
_OF_THE_CLIENT = {
    "PULPIT_URL",
    "PULPIT_CAFILE",
    "PULPIT_USER",
    "PULPIT_PASSWORD",
    "PULPIT_TOKEN",
    "PULPIT_FEED_PASSWORD",
    "PULPIT_DEBUG",
}


@pytest.mark.parametrize("block", _FILES)
def test_configuration_files_load(block: str, tmp_path: Path) -> None:
    """Each configuration that a page shows is read without an error."""
    path = tmp_path / "server.conf"
    path.write_text(block, encoding="utf-8")
    assert config.load(path, environ={}).origins


@pytest.mark.parametrize(("page", "line"), sorted(_COMMANDS))
def test_commands_are_understood(page: str, line: str) -> None:
    """Each command that a page shows exists, with its flags."""
    words, command, context = shlex.split(line, comments=True), typer.main.get_command(app), None
    while words:
        assert command is not None, page
        context = command.make_context(words[0], words[1:], parent=context)
        words = [*getattr(context, "_protected_args", ()), *context.args]
        if not hasattr(command, "get_command"):
            assert words == []
        elif words:
            command = command.get_command(context, words[0])


def test_there_are_examples() -> None:
    """The search for examples finds some: it has not gone blind."""
    assert _FILES
    assert _COMMANDS


@pytest.mark.parametrize("path", _TEXTS, ids=lambda path: str(path.relative_to(_ROOT)))
def test_variables_and_make_targets_exist(path: Path) -> None:
    """A variable that a page names is a setting or the client's; a target is in the Makefile."""
    known = _OF_THE_CLIENT | {row.variable for row in config.all_settings()}
    assert set(re.findall(r"\bPULPIT_[A-Z_]+[A-Z]\b", _TEXTS[path])) <= known
    makefile = (_ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:`|^\$ |^)make ([a-z-]+)", _TEXTS[path], re.MULTILINE)) <= targets
