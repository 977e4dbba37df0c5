"""Sync and publish against floors: ``python -m bench.sync [--quick] [--json]``.

Each subject is a server of its own with an empty data folder, told over its REST API to sync and
then to publish, timed from the first call to the event that the second task has finished. Floors
and subjects take turns; a ratio is that of the medians.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench._feed import serving
from bench._memory import Memory, resident, shared_once
from bench._packages import listed_repository, real_repository
from bench._report import Aim, Measured, run
from pulpit.client import CallReport, Client, Event
from pulpit.domain.events import EventKind
from pulpit.domain.tasks import TaskState
from tests.acceptance.server import PulpitServer

__all__ = ["measure"]

_REAL, _LISTED, _MANY = 500, 10_000, 50_000

_CONFIG = "log_level: WARNING\n"
_TITLE = (
    "Sync and publish over the REST API, each time on a new server with empty data.\n"
    "Floors: dnf reposync + createrepo_c (500 packages of 20 KB, immediate);\n"
    "createrepo_c reading and rewriting the metadata (10,000 packages, on demand)."
)
_AIMS = {
    "immediate_vs_floor": Aim(most=1.5, text="times the floor's seconds"),
    "on_demand_vs_floor": Aim(most=2.5, text="times the floor's seconds"),
    "peak_rss_mb": Aim(
        most=300, text="server and all its children at one moment; shared pages count in each"
    ),
    "peak_pss_mb": Aim(text="the same, shared pages counted once; 10,000 packages on demand"),
    "seconds_per_package_50000_vs_10000": Aim(text="1 is linear"),
}

_REWRITE = """
import createrepo_c, sys, time
source, dest, count = sys.argv[1:]
began = time.perf_counter()
packages = createrepo_c.RepositoryReader.from_path(source).iter_packages()
with createrepo_c.RepositoryWriter(
    dest, num_packages=int(count), compression=createrepo_c.GZ_COMPRESSION
) as writer:
    for package in packages:
        writer.add_pkg(package)
print(time.perf_counter() - began)
"""


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Seconds and memory of one sync and publish."""

    sync: float
    publish: float
    peak_mb: float

    @property
    def total(self) -> float:
        """Return the seconds of both."""
        return self.sync + self.publish


@dataclass(kw_only=True)
class _Series:
    """What a floor and its subject took, run by run."""

    floors: list[float] = field(default_factory=list)
    runs: list[_Run] = field(default_factory=list)

    def floor(self) -> float:
        """Return the floor's median seconds."""
        return statistics.median(self.floors)

    def total(self) -> float:
        """Return the subject's median seconds."""
        return statistics.median(run.total for run in self.runs)

    def ratio(self) -> float:
        """Return how many times the floor's seconds the subject takes."""
        return self.total() / self.floor()

    def peak_mb(self) -> float:
        """Return the highest memory of all runs, in MiB."""
        return max(run.peak_mb for run in self.runs)

    def figures(self, name: str) -> dict[str, float]:
        """Return the seconds by name."""
        return {
            f"{name}_s": self.total(),
            f"{name}_floor_s": self.floor(),
            f"{name}_sync_s": statistics.median(run.sync for run in self.runs),
            f"{name}_publish_s": statistics.median(run.publish for run in self.runs),
            f"{name}_peak_rss_mb": self.peak_mb(),
        }


def measure(*, quick: bool) -> Measured:
    """Return the ratios and figures; *quick* takes fewer runs and leaves 50,000 packages out."""
    real, listed = real_repository(_REAL), listed_repository(_LISTED)
    with tempfile.TemporaryDirectory(prefix="bench-sync-") as name:
        scratch = _Scratch(Path(name))
        immediate = _series(real, "immediate", _REAL, 3 if quick else 5, scratch)
        on_demand = _series(listed, "on_demand", _LISTED, 2 if quick else 5, scratch)
        figures = immediate.figures("immediate") | on_demand.figures("on_demand")
        if not quick:
            figures |= _scaling(on_demand, scratch)
            exact = _subject(listed, "on_demand", _LISTED, scratch, memory=shared_once)
            figures["peak_pss_mb"] = exact.peak_mb
    figures["peak_rss_mb"] = max(immediate.peak_mb(), on_demand.peak_mb())
    ratios = {"immediate_vs_floor": immediate.ratio(), "on_demand_vs_floor": on_demand.ratio()}
    return Measured(ratios=ratios, figures=figures)


class _Scratch:
    """Gives out folders that do not exist yet."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._count = 0

    def new(self) -> Path:
        """Return the next one."""
        self._count += 1
        return self._top / str(self._count)


def _series(repository: Path, policy: str, count: int, rounds: int, scratch: _Scratch) -> _Series:
    """Run floor and subject in turn."""
    series = _Series()
    floor = _copy_floor if policy == "immediate" else _rewrite_floor
    for _ in range(rounds):
        series.floors.append(floor(repository, count, scratch))
        series.runs.append(_subject(repository, policy, count, scratch))
    return series


def _scaling(fewer: _Series, scratch: _Scratch) -> dict[str, float]:
    """Return what 50,000 packages take, and how far from five times 10,000 that is."""
    many = _series(listed_repository(_MANY), "on_demand", _MANY, 1, scratch)
    return {
        **many.figures("on_demand_50000"),
        "on_demand_50000_vs_floor": many.ratio(),
        "seconds_per_package_50000_vs_10000": many.total() / fewer.total() * _LISTED / _MANY,
        "memory_50000_vs_10000": many.peak_mb() / fewer.peak_mb(),
    }


def _copy_floor(repository: Path, count: int, scratch: _Scratch) -> float:
    """Return the seconds of ``dnf reposync`` and ``createrepo_c``, into new folders."""
    dest, state = scratch.new(), scratch.new()
    state.joinpath("log").mkdir(parents=True)
    with serving(repository) as url:
        began = time.perf_counter()
        _quietly(
            "dnf", "-y", "-q", "--setopt=reposdir=/dev/null", "--releasever=1",
            f"--setopt=cachedir={state}", f"--setopt=persistdir={state}",
            f"--setopt=logdir={state}/log", "--setopt=skip_if_unavailable=0",
            f"--repofrompath=x,{url}", "--repo=x",
            "reposync", f"--download-path={dest}", "--norepopath",
        )  # fmt: skip
        _quietly("/usr/bin/createrepo_c", "-q", "--no-database", str(dest))
        taken = time.perf_counter() - began
    if (copied := len(list(dest.rglob("*.rpm")))) != count:
        raise RuntimeError(f"dnf reposync copied {copied} of {count} packages")
    return taken


def _rewrite_floor(repository: Path, count: int, scratch: _Scratch) -> float:
    """Return the seconds of createrepo_c reading the metadata and writing it, in one process."""
    command = (sys.executable, "-c", _REWRITE, str(repository), str(scratch.new()), str(count))
    return float(_quietly(*command))


def _quietly(*command: str) -> str:
    """Run *command* and return its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _subject(
    repository: Path,
    policy: str,
    count: int,
    scratch: _Scratch,
    *,
    memory: Callable[[int], int] = resident,
) -> _Run:
    """Return what a new server takes to sync and publish the feed."""
    with (
        serving(repository) as feed,
        PulpitServer(scratch.new() / "data", _CONFIG, door=False) as server,
        server.client() as client,
    ):
        client.create_repository(_repository(feed, policy))
        with Memory(server.pid, memory) as used:
            began = time.perf_counter()
            _follow(client, lambda: client.sync("many"))
            synced = time.perf_counter()
            _follow(client, lambda: client.publish("many", "web"))
            published = time.perf_counter()
        found = client.repository("many")["content_unit_counts"].get("rpm")
    if found != count:
        raise RuntimeError(f"the server holds {found} of {count} packages")
    return _Run(sync=synced - began, publish=published - synced, peak_mb=used.peak_mb)


def _repository(feed: str, policy: str) -> dict[str, object]:
    """Return the document that creates the repository."""
    return {
        "id": "many",
        "importer_type_id": "yum_importer",
        "importer_config": {"feed": feed, "download_policy": policy},
        "distributors": [
            {
                "distributor_id": "web",
                "distributor_type_id": "yum_distributor",
                "auto_publish": False,
                "distributor_config": {"relative_url": "many", "http": True, "https": False},
            }
        ],
    }


def _follow(client: Client, call: Callable[[], CallReport]) -> None:
    """Make the call and return at the event that its task is complete.

    Raises:
        RuntimeError: the task did not finish well.
    """
    since = client.head()
    (task,) = call().spawned
    for event in client.events(since=since, task=task, kind=EventKind.STATUS):
        report = event.report if isinstance(event, Event) else None
        if report is not None and report.state.is_complete:
            if report.state is not TaskState.FINISHED:
                raise RuntimeError(f"the task ended as {report.state}: {report.error}")
            return


if __name__ == "__main__":
    run("sync", _TITLE, lambda quick: measure(quick=quick), _AIMS)
