"""Debian's dnf as the judge of a repository, with everything it keeps in a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

__all__ = ["Dnf", "DnfError", "installed"]

_NEVRA = "%{name}-%{epoch}:%{version}-%{release}.%{arch}"


def installed() -> bool:
    """Return whether dnf can be used here; it installs into a root as root only."""
    return shutil.which("dnf") is not None and os.geteuid() == 0


def _environment() -> dict[str, str]:
    """Return the environment of dnf and rpm, which on Debian keep their database in the home."""
    return {**os.environ, "LC_ALL": "C.UTF-8", "HOME": "/"}


class DnfError(Exception):
    """The command of dnf failed.

    Args:
        command: its arguments.
        status: its exit status.
        output: what it printed, standard error last.
    """

    def __init__(self, command: tuple[str, ...], status: int, output: str) -> None:
        super().__init__(f"dnf {' '.join(command)} ended with {status}:\n{output}")
        self.status, self.output = status, output


class Dnf:
    """One machine that has one repository configured, and nothing else.

    Args:
        root: an empty folder for its cache, state and installed packages.
        url: the repository.
        options: more settings, such as ``x.gpgcheck=1``; ``x`` is the repository's name here.

    Every method raises DnfError when dnf fails, broken metadata included.
    """

    def __init__(self, root: Path, url: str, *, options: tuple[str, ...] = ()) -> None:
        self.root = root
        self.url = url
        self._options = options
        #: Where packages are installed.
        self.system = root / "system"
        # dnf does not make the folder of its log, and looks for it outside the root
        root.joinpath("log").mkdir(parents=True, exist_ok=True)

    def run(self, *command: str, expect: int = 0) -> str:
        """Run one command of dnf and return what it printed on standard output."""
        settings = {
            "reposdir": "/dev/null",
            "varsdir": "/dev/null",
            "pluginconfpath": "/dev/null",
            # these two are looked for inside the root
            "cachedir": "/var/cache/dnf",
            "persistdir": "/var/lib/dnf",
            "logdir": self.root / "log",
            "gpgcheck": 0,
            "skip_if_unavailable": 0,
            "retries": 1,
            "zchunk": 0,
            "module_platform_id": "platform:f1",
        }
        arguments = [f"--setopt={name}={value}" for name, value in settings.items()]
        arguments += [f"--setopt={option}" for option in self._options]
        done = subprocess.run(
            [
                "dnf", "-y", "-q", "--releasever=1", "--forcearch=x86_64",
                "--disableplugin=versionlock",
                f"--installroot={self.system}", f"--repofrompath=x,{self.url}", "--repo=x",
                *arguments, *command,
            ],
            env=_environment(),
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        if done.returncode != expect:
            raise DnfError(command, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def makecache(self) -> None:
        """Fetch and check all metadata again."""
        self.run("makecache", "--refresh")

    def repoquery(self, *names: str, all_modules: bool = True) -> list[str]:
        """Return the packages as ``name-epoch:version-release.arch``, sorted.

        Args:
            names: only packages like these.
            all_modules: also those that belong to a module whose stream is not enabled.
        """
        hotfix = ("--setopt=x.module_hotfixes=1",) if all_modules else ()
        lines = self.run("repoquery", f"--queryformat={_NEVRA}", *hotfix, *names).split()
        return sorted(set(lines))

    def details(self, name: str, *fields: str) -> list[list[str]]:
        """Return *fields* (``requires``, ``location``…) of the packages like *name*, sorted.

        A field of several values takes a row for each of them. Modular packages are included.
        """
        query = "\\t".join("%{" + each + "}" for each in fields) + "\\n"
        hotfix = "--setopt=x.module_hotfixes=1"
        lines = self.run("repoquery", f"--queryformat={query}", hotfix, name).splitlines()
        return sorted(line.split("\t") for line in lines if line)

    def download(self, dest: Path, *names: str) -> list[Path]:
        """Download packages into *dest* and return their files."""
        self.run("download", f"--downloaddir={dest}", *names)
        return sorted(dest.glob("*.rpm"))

    def install(self, *names: str) -> list[str]:
        """Install packages or groups (``@music``) and return all that is installed then."""
        self.run("install", "--setopt=tsflags=nocontexts", *names)
        return self.installed()

    def installed(self) -> list[str]:
        """Return what is installed, as ``name-epoch:version-release.arch``, sorted."""
        query = _NEVRA.replace("epoch", "epochnum") + "\n"
        done = subprocess.run(
            ["rpm", f"--root={self.system}", "-qa", "--qf", query],
            env=_environment(), capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return sorted(line for line in done.stdout.split() if not line.startswith("gpg-pubkey"))

    def modules(self) -> list[tuple[str, str, str]]:
        """Return name, stream and profiles of each module, the default marked by ``[d]``."""
        listing = self.run("module", "list").partition("\nName ")[2].partition("\n\n")[0]
        row = r"^(\w\S*) +(\S+(?: \[\w\])*) +([^\s,]+(?: \[\w\])*(?:, \S+(?: \[\w\])*)*) "
        return re.findall(row, listing.partition("\n")[2], re.MULTILINE)

    def enable(self, module: str) -> None:
        """Enable the stream of a module, as ``choir:classical``."""
        self.run("module", "enable", module)

    def groups(self) -> list[str]:
        """Return the ids of all groups and environments, hidden ones too, sorted."""
        listing = self.run("group", "list", "-v", "--hidden")
        return sorted(re.findall(r"\(([\w-]+)\)$", listing, re.MULTILINE))

    def errata(self) -> list[tuple[str, str]]:
        """Return id and package of each erratum in the repository."""
        lines = self.run("updateinfo", "list", "--all").splitlines()
        return [(words[-3], words[-1]) for line in lines if len(words := line.split()) >= 3]

    def updates(self) -> list[str]:
        """Return the names of installed packages that an update is there for, sorted."""
        try:
            self.run("check-update")
        except DnfError as error:
            if error.status != 100:  # dnf's way to say that there are some
                raise
            return sorted(re.findall(r"^(\S+)\.\w+\s+\S+\s+x\s*$", error.output, re.MULTILINE))
        return []

    def upgrade(self, *arguments: str) -> list[str]:
        """Upgrade what is installed (``--security``: only that) and return what is there then."""
        self.run("upgrade", *arguments)
        return self.installed()

    def reposync(self, dest: Path, *arguments: str) -> list[Path]:
        """Download the whole repository into *dest* and return the packages' files."""
        self.run("reposync", f"--download-path={dest}", "--norepopath", *arguments)
        return sorted(dest.rglob("*.rpm"))
