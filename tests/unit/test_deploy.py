"""The files of deploy/ name commands, flags, settings and services that there are."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from pulpit import config
from pulpit.cli.program import app
from pulpit.config import EngineKind

_DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
_UNITS = sorted((_DEPLOY / "systemd").glob("*.service"))
_PROGRAM = "/opt/pulpit/bin/pulpit"
_CONFIGURATION = Path("/etc/pulp/server.conf")
_VALUE = re.compile(r"\$\{[A-Z_]+:(?:\?|-)([^}]*)\}")
_PYTHON = re.compile(r"python:(\d+\.\d+)-")


def _options(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what the command line makes of its arguments, without running anything."""
    command, name, rest = typer.main.get_command(app), "pulpit", list(arguments)
    while hasattr(command, "commands"):
        name, *rest = rest
        command = command.commands[name]
    return dict(command.make_context(name, rest).params)


def _unit(path: Path) -> configparser.RawConfigParser:
    unit = configparser.RawConfigParser(strict=True, interpolation=None)
    # the names of a unit's keys are in mixed case
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(path.read_text(encoding="utf-8"))
    return unit


def _compose() -> dict[str, Any]:
    text = (_DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def _settings_of(service: dict[str, Any]) -> config.Settings:
    """Return the settings of a container, with a password for each that is to be given."""
    environ = {
        name: _VALUE.sub(lambda found: found[1].replace("set it in .env", "secret"), value)
        for name, value in service["environment"].items()
    }
    return config.load(Path("/dev/null"), environ=environ)


def test_example_configuration_is_one_for_many_machines() -> None:
    """The file loads without a note, and has what several servers and workers must share."""
    settings = config.load(_DEPLOY / "server.conf", environ={})
    assert settings.tasks.engine is EngineKind.DISTRIBUTED
    assert settings.database.url
    assert settings.events.source
    assert settings.server.trusted_proxies
    assert not settings.ignored
    assert not settings.notes


@pytest.mark.parametrize("path", _UNITS, ids=lambda path: path.name)
def test_units_start_commands_that_there_are(path: Path) -> None:
    """The command line of each unit is understood, and reads the one configuration."""
    program, *arguments = shlex.split(_unit(path)["Service"]["ExecStart"])
    assert program == _PROGRAM
    options = _options(arguments)
    assert options["config"] == _CONFIGURATION
    assert options.get("name") in (None, "worker-%i@%H")


@pytest.mark.parametrize("path", _UNITS, ids=lambda path: path.name)
def test_units_may_write_to_the_data_folder_alone(path: Path) -> None:
    """The folder that systemd leaves writable is that of the example configuration."""
    unit = _unit(path)["Service"]
    assert unit["ProtectSystem"] == "strict"
    data = str(config.load(_DEPLOY / "server.conf", environ={}).storage.data)
    assert unit.get("ReadWritePaths", data) == data
    assert _unit(path)["Unit"].get("RequiresMountsFor", data) == data


@pytest.mark.parametrize("name", ["pulpit-server.service", "pulpit-worker@.service"])
def test_a_stop_reaches_the_first_process_alone(name: str) -> None:
    """The server or worker ends its tasks itself, and is not ended for a task out of memory."""
    unit = _unit(_DEPLOY / "systemd" / name)["Service"]
    assert unit["KillMode"] == "mixed"
    assert unit["OOMPolicy"] == "continue"
    assert unit["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """systemd-analyze finds nothing to say about the units."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    paths = []
    for unit in _UNITS:
        # a template can't be verified, only an instance of one
        paths.append(tmp_path / unit.name.replace("@.", "@1."))
        text = unit.read_text(encoding="utf-8").replace(_PROGRAM, "/bin/true")
        paths[-1].write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["api", "worker", "upgrade"])
def test_containers_have_commands_and_settings_that_there_are(name: str) -> None:
    """Command and environment of each of our containers are understood."""
    service = _compose()["services"][name]
    _options(service["command"])
    settings = _settings_of(service)
    assert settings.tasks.engine is EngineKind.DISTRIBUTED
    assert str(settings.storage.data) in {volume.partition(":")[2] for volume in service["volumes"]}


def test_containers_name_one_another() -> None:
    """What a container waits for, connects to, and keeps is in the file."""
    compose = _compose()
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", [])) <= services.keys()
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or (_DEPLOY / "compose" / source).is_file()
    settings = _settings_of(services["api"])
    assert settings.database.url is not None
    hosts = [settings.database.url, *settings.messaging.broker_urls]
    assert [re.search(r"@(\w+)/", url)[1] for url in hosts] == ["db", "broker"]  # type: ignore[index]


def test_proxies_lead_to_the_servers() -> None:
    """The proxies know the port of the servers, and hold back no event of a stream."""
    port = config.load(_DEPLOY / "server.conf", environ={}).server.port
    for path in (_DEPLOY / "nginx.conf", _DEPLOY / "compose" / "proxy.conf"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"(?:api\d?\S*):(\d+)", text)) == {str(port)}
        assert "proxy_buffering off;" in text
        assert text.count("{") == text.count("}")


def test_the_page_shows_commands_that_there_are() -> None:
    """Each command of ours that the how-to tells to type is understood."""
    page = _DEPLOY.parent / "docs" / "howto" / "many-machines.md"
    told = re.findall(r"^[$#] .*?\bpulpit (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    commands = [line for line in told if line.split()[0] in ("config", "db", "doctor")]
    assert len(commands) > 3
    for line in commands:
        _options(shlex.split(line))


def test_image_runs_the_program() -> None:
    """The image has a Python that is new enough, and starts a command that there is."""
    text = (_DEPLOY / "compose" / "Containerfile").read_text(encoding="utf-8")
    found = _PYTHON.search(text)
    assert found is not None
    assert tuple(map(int, found[1].split("."))) >= (3, 11)
    entry = json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[1])  # type: ignore[index]
    default = json.loads(re.search(r"^CMD (.*)$", text, re.MULTILINE)[1])  # type: ignore[index]
    assert entry == ["pulpit"]
    _options(default)
