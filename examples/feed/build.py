#!/usr/bin/env python3
"""Build the sample feed from the spec files beside this script, the same bytes each time.

It needs ``rpmbuild`` and ``createrepo_c`` of the distribution (Debian: rpm, createrepo-c) and
nothing but the standard library. ``python examples/feed/build.py [DEST]`` makes the folders
``repo`` (the feed) and ``later`` (loose packages) in DEST, by default beside this script.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["BUILDS", "EPOCH", "LATER", "Build", "build", "build_packages", "toolchain"]

HERE = Path(__file__).resolve().parent

#: The second that every time in the feed says: 2025-03-02 12:00 UTC.
EPOCH = 1740916800

#: Only these rpm macros differ from the distribution's; each takes out something that varies.
MACROS = {
    "_buildhost": "chapel.example",
    "_binary_payload": "w6.xzdio",
    "_binary_filedigest_algorithm": "8",
    "_build_id_links": "none",
    "__os_install_post": "%{nil}",
    "__gpg_reserved_space": "0",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
    "source_date_epoch_from_changelog": "0",
    "optflags": "%{nil}",
    "_vendor": "chapel",
    "_host_vendor": "chapel",
    "_target_os": "linux",
    "_target_vendor": "chapel",
    "_target_platform": "%{_target_cpu}-chapel-linux",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build:
    """One run of rpmbuild: a spec file with a version, a release and a target."""

    spec: str
    version: str
    release: str = "1"
    target: str = "noarch"
    macros: tuple[tuple[str, str], ...] = ()


def _choir(version: str, stream: str, number: int) -> Build:
    """Return the build of the modular package *version* for *stream*."""
    label = f"choir:{stream}:{number}:c0ffee00"
    release = f"1.module_{stream}+{number}"
    return Build(spec="choir", version=version, release=release, macros=(("label", label),))


#: Everything in the feed, in the order in which it is built.
BUILDS = (
    Build(spec="bell", version="1.0"),
    Build(spec="bell", version="1.0", release="2"),
    Build(spec="bell", version="1.1"),
    Build(spec="bell", version="2.0"),
    Build(spec="candle", version="0.9"),
    Build(spec="candle", version="1.10"),
    Build(spec="candle", version="1.2", release="3", macros=(("era", "1"),)),
    Build(spec="candlestick", version="2.0"),
    _choir("1.0", "classical", 1),
    _choir("1.1", "classical", 2),
    _choir("2.0", "gospel", 1),
    Build(spec="hymnal", version="1.0"),
    Build(spec="hymnal", version="1.1"),
    Build(spec="lectern", version="1.0"),
    Build(spec="lectern", version="1.0", release="2"),
    *(
        Build(spec="organ", version=version, target=target)
        for version in ("3.1", "3.2", "4.0~rc1")
        for target in ("x86_64", "aarch64")
    ),
    *(Build(spec="organ-pipes", version=version) for version in ("3.1", "3.2", "4.0~rc1")),
    Build(spec="pulpit", version="1.0"),
    Build(spec="pulpit", version="2.0"),
    Build(spec="steeple", version="1.0", target="x86_64"),
    Build(spec="steeple", version="1.0", target="aarch64"),
    Build(spec="window", version="7.0", target="x86_64"),
)

#: Packages that came later, loose: what a second sync or an upload adds to the feed. One of them
#: has the name, version and release of one in the feed, but other bytes.
LATER = (
    Build(spec="bell", version="2.1"),
    Build(spec="candle", version="2.0", macros=(("era", "1"),)),
    Build(spec="lectern", version="1.0", release="2", macros=(("_buildhost", "other.example"),)),
)


def toolchain() -> str | None:
    """Return the versions of the tools, as ``rpm 4.18.0, createrepo_c 0.17.3``; None if absent."""
    try:
        rpm = _run("rpmbuild", "--version").split()[-1]
        createrepo = _run("createrepo_c", "--version").split()[1]
    except FileNotFoundError:
        return None
    return f"rpm {rpm}, createrepo_c {createrepo}"


def build(dest: Path) -> Path:
    """Build the whole feed into the folder *dest*, which must not exist, and return it.

    Raises:
        FileExistsError: *dest* is there already.
        subprocess.CalledProcessError: a tool failed; its output is on standard error.
    """
    build_packages(BUILDS, dest)
    _metadata(dest)
    return dest


def build_packages(builds: Iterable[Build], dest: Path) -> Path:
    """Build packages into a folder per target of the new folder *dest*, and return it."""
    dest.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="feed-") as name:
        for number, each in enumerate(builds):
            top = Path(name, str(number))
            for made in _packages(each, top):
                folder = dest / each.target
                folder.mkdir(exist_ok=True)
                target = shutil.move(made, folder / made.name)
                os.utime(target, (EPOCH, EPOCH))
    return dest


def _packages(each: Build, top: Path) -> list[Path]:
    """Run rpmbuild in the folder *top* and return the packages that it made."""
    top.mkdir()
    defined = {
        **MACROS,
        **dict(each.macros),
        "_topdir": str(top),
        "_tmppath": str(top),
        "edition": each.version,
        "print": each.release,
    }
    flags = [part for name, value in defined.items() for part in ("--define", f"{name} {value}")]
    target = f"{each.target}-chapel-linux"
    spec = HERE / "specs" / f"{each.spec}.spec"
    _run("rpmbuild", "-bb", "--quiet", "--target", target, *flags, str(spec), home=top)
    return sorted(top.glob("RPMS/*/*.rpm"))


def _metadata(dest: Path) -> None:
    """Write repodata over the packages in *dest*: errata, comps, modules and an inventory too."""
    given = HERE / "metadata"
    _run(
        "createrepo_c", "--quiet", "--workers=1", "--no-database", "--general-compress-type=gz",
        f"--revision={EPOCH}", "--set-timestamp-to-revision",
        f"--groupfile={given / 'comps.xml'}", str(dest),
    )  # fmt: skip
    repodata = dest / "repodata"
    for kind, name in (
        ("updateinfo", "updateinfo.xml"),
        ("modules", "modules.yaml"),
        ("inventory", "inventory.txt"),
    ):
        _run(
            "modifyrepo_c", "--compress-type=gz", f"--mdtype={kind}", str(given / name),
            str(repodata),
        )  # fmt: skip
    repomd = repodata / "repomd.xml"
    # modifyrepo_c has no way to be told the time
    said = re.sub(r"<timestamp>\d+<", f"<timestamp>{EPOCH}<", repomd.read_text())
    repomd.write_text(said)
    for path in dest.rglob("*"):
        os.utime(path, (EPOCH, EPOCH))


def _run(*command: str, home: Path = Path("/nonexistent")) -> str:
    """Run *command* in an environment that holds nothing of the caller's; return its output."""
    environment = {
        # the distribution's tools, never those of a virtual environment
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(EPOCH),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
        done.check_returncode()
    return done.stdout


def main() -> None:
    """Build into the folder that the command line names, in place of what is there."""
    top = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name in ("repo", "later"):
        if (top / name).is_dir():
            shutil.rmtree(top / name)
    build(top / "repo")
    build_packages(LATER, top / "later")
    packages = list(top.glob("repo/*/*.rpm"))
    size = sum(path.stat().st_size for path in top.glob("repo/**/*") if path.is_file())
    print(f"{top / 'repo'}: {len(packages)} packages, {size // 1024} KB, made by {toolchain()}")


if __name__ == "__main__":
    main()
