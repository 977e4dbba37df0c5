"""Show the main job: sync and publish a repository while a plain AMQP client hears every step.

Starts a server of its own (SQLite in a folder, embedded engine, AMQP door, free ports of this
machine), serves the sample feed, and ends with 0 only if everything came as promised.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.table import Table
from rich.text import Text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pulpit.cli.live import LiveView
from pulpit.cli.outcome import STATE_STYLE, outcome, subject
from pulpit.cli.repository_views import unit_words
from pulpit.cli.views import PlainView, View
from pulpit.cli.words import amount, printable
from pulpit.client import CallReport, Client, ClientError, TaskReport
from pulpit.domain.tasks import TaskState
from scripts.demo_parts import Consumer, DemoFailed, Message, Server, serve_folder

FEED = Path(__file__).resolve().parents[1] / "examples" / "feed" / "repo"
REPOSITORY = "demo"
#: A task that tells nothing for so long is stuck.
SILENCE_SECONDS = 120.0
_LIFE = [TaskState.WAITING, TaskState.RUNNING, TaskState.FINISHED]
_REPOMD = "{http://linux.duke.edu/metadata/repo}"


@dataclass(kw_only=True)
class Heard:
    """What came in by AMQP."""

    messages: list[Message] = field(default_factory=list)
    reports: dict[str, list[TaskReport]] = field(default_factory=dict)

    def take(self, message: Message) -> TaskReport:
        """Keep a message and return the task report that it carries.

        Raises:
            DemoFailed: it is not what the documentation promises.
        """
        try:
            report = TaskReport.from_document(message.body)
        except ValueError as error:
            raise DemoFailed(f"a message that is no task report: {error}") from None
        if message.routing_key != f"tasks.{report.task_id}":
            raise DemoFailed(f"a message of task {report.task_id} came as {message.routing_key}")
        self.messages.append(message)
        self.reports.setdefault(report.task_id, []).append(report)
        return report

    def states(self, task_id: str) -> list[TaskState]:
        """Return the states that the task went through, as the messages told them."""
        told: list[TaskState] = []
        for report in self.reports.get(task_id, ()):
            if not told or told[-1] is not report.state:
                told.append(report.state)
        return told


class Demo:
    """One run, told on a console."""

    def __init__(self, console: Console, client: Client, consumer: Consumer) -> None:
        self._console, self._client, self._consumer = console, client, consumer
        self.heard = Heard()

    def create(self, feed: str) -> None:
        """Create the repository in one request."""
        self._client.create_repository(
            {
                "id": REPOSITORY,
                "importer_type_id": "yum_importer",
                "importer_config": {"feed": feed, "download_policy": "immediate"},
                "distributors": [
                    {
                        "distributor_id": "yum_distributor",
                        "distributor_type_id": "yum_distributor",
                        "distributor_config": {
                            "relative_url": REPOSITORY,
                            "http": True,
                            "https": False,
                        },
                    }
                ],
            }
        )
        self.say("POST", f"/pulp/api/v2/repositories/  {REPOSITORY} ← {printable(feed)}")

    def run(self, what: str, call: CallReport) -> list[TaskReport]:
        """Follow the tasks of a request by AMQP alone, and return how they ended.

        Raises:
            DemoFailed: one failed, or its messages are not what was promised.
        """
        self.say("POST", f"/pulp/api/v2/repositories/{REPOSITORY}/actions/{what}/")
        ended: list[TaskReport] = []
        waiting = list(call.spawned)
        with self._view() as view:
            while waiting:
                report = self._next(view)
                if report.task_id in waiting and report.state.is_complete:
                    waiting.remove(report.task_id)
                    waiting += report.spawned
                    ended.append(report)
        for report in ended:
            self._judge(what, report)
        return ended

    def say(self, channel: str, words: str | Text) -> None:
        """Print one line of what goes on."""
        colour = {"AMQP": "yellow", "POST": "blue", "GET": "blue"}.get(channel, "dim")
        line = Text(f"{channel:>5} ", style=f"bold {colour}").append_text(
            words if isinstance(words, Text) else Text(words)
        )
        self._console.print(line, no_wrap=True, overflow="ellipsis")

    def _view(self) -> View:
        """Return what shows progress here."""
        if self._console.is_terminal:
            return LiveView(self._console)
        return PlainView(self._console, self._console, states=False)

    def _next(self, view: View) -> TaskReport:
        """Wait for the next message and show it."""
        message = self._consumer.next(SILENCE_SECONDS)
        if message is None:
            raise DemoFailed(f"no message came for {SILENCE_SECONDS:.0f} s")
        before = self.heard.states(message.routing_key.removeprefix("tasks."))
        report = self.heard.take(message)
        if not before or before[-1] is not report.state:
            line = Text(f"{message.routing_key} ", style="dim")
            line.append(f"{subject(report)} ").append(
                report.state.value, style=STATE_STYLE.get(report.state, "")
            )
            self.say("AMQP", line)
        view.show(report)
        return report

    def _judge(self, what: str, report: TaskReport) -> None:
        """Raise unless the task finished, and the messages told its whole life."""
        if report.state is not TaskState.FINISHED:
            raise DemoFailed(f"{what} ended as {report.state.value}: {outcome(report)}")
        told = self.heard.states(report.task_id)
        if told != _LIFE:
            raise DemoFailed(f"{what} was told as {', '.join(told)} by AMQP")
        if self._client.task(report.task_id).document != report.document:
            raise DemoFailed(f"the last message of {what} is not what GET tells of the task")


def read_back(url: str) -> int:
    """Return how many metadata files the published repository lists.

    Raises:
        DemoFailed: repomd.xml is not there, or is not what it should be.
    """
    try:
        with urlopen(f"{url}repodata/repomd.xml", timeout=10) as response:
            root = ET.fromstring(response.read())
    except (OSError, ET.ParseError) as error:
        raise DemoFailed(f"{url}repodata/repomd.xml can't be read back: {error}") from None
    if root.tag != f"{_REPOMD}repomd":
        raise DemoFailed(f"{url}repodata/repomd.xml is no repomd.xml but {root.tag}")
    return len(root.findall(f"{_REPOMD}data"))


@contextlib.contextmanager
def feed_url(wanted: str | None) -> Iterator[str]:
    """Hold the feed: the one wanted, or the sample served from here."""
    if wanted:
        yield wanted
        return
    if not (FEED / "repodata" / "repomd.xml").is_file():
        raise DemoFailed(f"the sample feed is not there: {FEED}")
    with serve_folder(FEED) as url:
        yield url


def show(console: Console, server: Server, feed: str) -> tuple[Demo, str]:
    """Do the main job, and tell what happened."""
    began = time.monotonic()
    with (
        Client(server.url, auth=(server.user, server.password)) as client,
        Consumer(server.door_url) as consumer,
    ):
        demo = Demo(console, client, consumer)
        demo.say("", f"server {server.url}, AMQP door on port {server.door_port}")
        demo.say("", "consumer: kombu, exchange pulp.api.v2, routing key tasks.#")
        demo.create(feed)
        tasks = demo.run("sync", client.sync(REPOSITORY))
        tasks += demo.run("publish", client.publish(REPOSITORY, "yum_distributor"))
        counts = client.repository(REPOSITORY).get("content_unit_counts") or {}
    packages = counts.get("rpm", 0)
    if not packages:
        raise DemoFailed(f"the repository holds no packages after the sync: {counts}")
    url = f"{server.url}/pulp/repos/{REPOSITORY}/"
    files = read_back(url)
    demo.say("GET", f"{url}repodata/repomd.xml  {amount(files, 'metadata file')}")
    others = ", ".join(
        unit_words(kind, count) for kind, count in sorted(counts.items()) if kind != "rpm"
    )
    changes = sum(len(demo.heard.states(task)) for task in demo.heard.reports)
    events = len(demo.heard.messages)
    console.print()
    told = (
        ("Tasks", f"{len(tasks)} finished in {time.monotonic() - began:.1f} s"),
        ("Events", f"{events} received by AMQP: {changes} of status, {events - changes} progress"),
        ("Packages", amount(packages, "package") + (f", and {others}" if others else "")),
        ("Published", url),
    )
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold green", justify="right", width=10)
    table.add_column(overflow="fold")
    for name, words in told:
        table.add_row(name, words)
    console.print(table)
    return demo, url


def next_steps(console: Console, server: Server, url: str, *, stays: bool) -> None:
    """Print what to try next."""
    console.print()
    if stays:
        console.print(Text("The server keeps running until Ctrl-C. Log in with:", style="bold"))
        console.print(f"  export PULPIT_URL={server.url}", soft_wrap=True)
        console.print(
            f"  export PULPIT_USER={server.user} PULPIT_PASSWORD={server.password}",
            soft_wrap=True,
        )
        console.print(Text("Then try, in another terminal:", style="bold"))
        commands = (
            ".venv/bin/pulpit watch",
            f".venv/bin/pulpit repo sync {REPOSITORY}",
            f"curl {url}repodata/repomd.xml",
        )
    else:
        console.print(Text("Next, try:", style="bold"))
        commands = (
            "make demo OPEN=1",
            "make demo FEED=https://fixtures.pulpproject.org/rpm-signed/",
            ".venv/bin/pulpit serve --events",
        )
    for command in commands:
        console.print(f"  {command}", soft_wrap=True)


def run(console: Console, *, feed: str | None, stay: bool) -> None:
    """Run the demo in a folder that is removed at the end.

    Raises:
        DemoFailed: something was missing or wrong.
    """
    folder = Path(tempfile.mkdtemp(prefix="pulpit-demo-"))
    try:
        server = Server(folder, password=secrets.token_urlsafe(9))
        with feed_url(feed) as url, server:
            _demo, published = show(console, server, url)
            next_steps(console, server, published, stays=stay)
            if stay:
                with contextlib.suppress(KeyboardInterrupt):
                    threading.Event().wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--feed", help="any yum repository instead of the sample")
    parser.add_argument("--open", action="store_true", help="keep the server running")
    arguments = parser.parse_args()
    console = Console(highlight=False, markup=False, emoji=False)
    # so that the server is ended and the folder removed, whoever ends the demo
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(console, feed=arguments.feed, stay=arguments.open)
    except (DemoFailed, ClientError) as error:
        console.print(Text(f"The demo failed: {error}", style="bold red"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
