"""The repositories that the benchmarks sync: made once, then kept under ``.cache/bench``."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import createrepo_c

__all__ = ["CACHE", "listed_repository", "real_repository"]

CACHE = Path(__file__).parents[1] / ".cache" / "bench"

_EPOCH = 1740916800
#: Bytes in the one file of a real package; with its headers the package then has 20 KB.
_PAYLOAD = 18_000
#: Change it when the fixtures change, so that older ones are made anew.
_EDITION = 3
#: What texts are made of, so that they pack about as well as real ones.
_SYLLABLES = ("ka", "lo", "mi", "ta", "re", "vu", "shi", "no", "pe", "ra", "du", "li", "so", "ne")


def real_repository(count: int, *, cache: Path = CACHE) -> Path:
    """Return a repository of *count* real packages of 20 KB each, with its metadata.

    Raises:
        FileNotFoundError: rpmbuild or createrepo_c is not installed.
    """
    return _kept(cache / f"real-{count}-{_EDITION}", lambda dest: _make_real(count, dest))


def listed_repository(count: int, *, cache: Path = CACHE) -> Path:
    """Return a repository whose metadata lists *count* packages that do not exist.

    Each has 12 files, 5 things it provides, 10 it requires and 5 entries of its changelog.
    """
    return _kept(cache / f"listed-{count}-{_EDITION}", lambda dest: _make_listed(count, dest))


def _kept(dest: Path, make: Callable[[Path], None]) -> Path:
    """Return *dest*, made by *make* unless an earlier run did."""
    if not dest.is_dir():
        dest.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{dest.name}-", dir=dest.parent))
        try:
            make(scratch)
            # where another run was faster, its fixture is as good
            if not dest.is_dir():
                scratch.rename(dest)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return dest


def _make_real(count: int, dest: Path) -> None:
    """Build the packages in one run of rpmbuild, which takes no longer than a few for one each."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        blobs = top / "blobs"
        blobs.mkdir()
        source = random.Random(_EDITION)  # the same bytes each time, and no compressing them
        for number in range(count):
            blobs.joinpath(f"{number:05}").write_bytes(source.randbytes(_PAYLOAD))
        spec = top / "many.spec"
        spec.write_text(_spec(count))
        defined = {
            "_topdir": str(top),
            "_tmppath": str(top),
            "blobs": str(blobs),
            "__os_install_post": "%{nil}",
            "__gpg_reserved_space": "0",
            "_binary_payload": "w1.gzdio",
        }
        flags = [part for key, value in defined.items() for part in ("--define", f"{key} {value}")]
        _run("rpmbuild", "-bb", "--quiet", *flags, str(spec))
        dest.joinpath("packages").mkdir()
        for path in sorted(top.glob("RPMS/*/*.rpm")):
            shutil.move(path, dest / "packages" / path.name)
    _run("createrepo_c", "--quiet", "--no-database", "--general-compress-type=gz", str(dest))


def _spec(count: int) -> str:
    """Return a spec file of *count* packages."""
    head = (
        "Name: many\nVersion: 1.0\nRelease: 1\nSummary: Many packages\nLicense: Apache-2.0\n"
        "BuildArch: noarch\n%description\nMany packages of one file each.\n"
        "%install\nmkdir -p %{buildroot}/usr/share/many\n"
        "cp %{blobs}/* %{buildroot}/usr/share/many/\n"
    )
    return head + "".join(
        f"%package -n many-{number:05}\nSummary: Package {number}\n"
        f"Requires: many-{number // 2:05}\n"
        f"%description -n many-{number:05}\nPackage {number} of {count}.\n"
        f"%files -n many-{number:05}\n/usr/share/many/{number:05}\n"
        for number in range(count)
    )


def _make_listed(count: int, dest: Path) -> None:
    """Write the metadata of *count* packages, packed with gzip."""
    with createrepo_c.RepositoryWriter(
        str(dest), num_packages=count, compression=createrepo_c.GZ_COMPRESSION
    ) as writer:
        writer.repomd.set_revision(str(_EPOCH))
        for number in range(count):
            writer.add_pkg(_package(number))


def _package(number: int) -> createrepo_c.Package:
    """Return the package *number*, as large in the metadata as a usual one."""
    words = random.Random(number)
    name, version = f"package-{number:06}", f"{number % 9}.{number % 50}"
    package = createrepo_c.Package()
    package.name, package.epoch, package.version, package.release = name, "0", version, "1.f1"
    package.arch = ("x86_64", "noarch")[number % 2]
    package.pkgId = hashlib.sha256(name.encode()).hexdigest()
    package.checksum_type = "sha256"
    package.summary = f"The package number {number} of a large repository"
    package.description = _words(words, 40)
    package.url = f"https://packages.example/{name}"
    package.rpm_license = "Apache-2.0 AND MIT"
    package.rpm_vendor = package.rpm_packager = "Packagers <packagers@packages.example>"
    package.rpm_group = "Unspecified"
    package.rpm_buildhost = "builder.packages.example"
    package.rpm_sourcerpm = f"{name}-{version}-1.f1.src.rpm"
    package.rpm_header_start, package.rpm_header_end = 4504, 9876
    package.time_file = package.time_build = _EPOCH + number
    package.size_package, package.size_installed, package.size_archive = 20_000, 61_000, 62_000
    package.location_href = f"Packages/{name[0]}/{name}-{version}-1.f1.{package.arch}.rpm"
    package.provides = [_relation(f"{name}-{part}", version) for part in range(5)]
    package.requires = [
        _relation(f"package-{words.randrange(5000):06}", version) for _ in range(10)
    ]
    package.files = [("", "/usr/bin/", name)] + [
        ("", f"/usr/share/{name}/part-{part // 4}/", f"{_words(words, 1)}.dat")
        for part in range(11)
    ]
    package.changelogs = [
        (
            f"Ada Packager <ada@packages.example> - {version}-{entry}",
            _EPOCH - 100_000 * (5 - entry),
            f"- {_words(words, 8)}\n- {_words(words, 6)}",
        )
        for entry in range(5)
    ]
    return package


def _words(source: random.Random, count: int) -> str:
    """Return *count* words of three syllables."""
    syllables = source.choices(_SYLLABLES, k=3 * count)
    return " ".join("".join(syllables[3 * n : 3 * n + 3]) for n in range(count))


def _relation(name: str, version: str) -> tuple[str, str, str, str, str, bool]:
    """Return a dependency as createrepo_c holds it."""
    return name, "GE", "0", version, "1.f1", False


def _run(*command: str) -> None:
    """Run *command*; what it says is shown only if it fails."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(_EPOCH), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:2])} failed:\n{done.stdout}{done.stderr}")
