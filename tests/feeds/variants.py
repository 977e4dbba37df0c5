"""Feeds that are good: a sync of each must succeed.

Each function makes a repository in the new folder *dest* and returns it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.feeds.draft import LATER, Draft

__all__ = [
    "bare",
    "changed",
    "empty",
    "listed_with",
    "reduced",
    "repacked",
    "sample",
    "sparse",
]

_LISTS = ("primary", "filelists", "other")
_EXTRAS = ("group", "group_gz", "updateinfo", "modules", "inventory")


def sample(dest: Path) -> Path:
    """Copy the sample feed: 42 packages, 4 errata, 3 groups, 3 modules and their defaults."""
    return Draft(dest).dest


def changed(dest: Path) -> Path:
    """Make the sample a week later.

    Against the sample 4 packages were added (bell, bell-rope 2.1, candle 1:2.0, and lectern 1.0-2
    with other bytes) and 4 removed (bell, bell-rope 1.0-1, window, and the lectern that was
    replaced); an erratum has a new version and the group ``tower`` is gone.
    """
    draft = Draft(dest)
    for name in (
        "noarch/bell-1.0-1.noarch",
        "noarch/bell-rope-1.0-1.noarch",
        "x86_64/window-7.0-1.x86_64",
    ):
        dest.joinpath(f"{name}.rpm").unlink()
    shutil.copytree(LATER, dest, dirs_exist_ok=True)
    draft.list_packages()
    draft.edit("updateinfo", 'version="2"', 'version="3"')
    draft.drop("group_gz")
    draft.edit("group", r"(?s)  <group>\s*<id>tower</id>.*?</group>\n", "")
    draft.edit("group", r"\s*<groupid>tower</groupid>", "")
    return dest


def reduced(dest: Path) -> Path:
    """Make the sample with only the packages for noarch (33 of 42), the rest as it was."""
    draft = Draft(dest)
    for name in ("x86_64", "aarch64"):
        shutil.rmtree(dest / name)
    draft.list_packages()
    return dest


def empty(dest: Path) -> Path:
    """Make a repository without packages and without anything optional."""
    draft = Draft(dest)
    for name in ("x86_64", "aarch64", "noarch"):
        shutil.rmtree(dest / name)
    draft.list_packages()
    draft.drop(*_EXTRAS)
    return dest


def bare(dest: Path) -> Path:
    """Make the sample with its packages only: no errata, comps, modules, nothing else."""
    draft = Draft(dest)
    draft.drop(*_EXTRAS)
    return dest


def sparse(dest: Path) -> Path:
    """Make the sample with a repomd.xml that leaves out all sizes and open checksums."""
    draft = Draft(dest)
    for kind in draft.records:
        draft.say(kind, size=None, open_size=None, open_checksum=None)
    return dest


def repacked(dest: Path, suffix: str) -> Path:
    """Make the sample with all metadata packed as ``.gz``, ``.bz2``, ``.xz``, ``.zst`` or not."""
    draft = Draft(dest)
    draft.drop("group_gz")
    for kind in list(draft.records):
        draft.put(kind, draft.content(kind), suffix=suffix)
    return dest


def listed_with(dest: Path, algorithm: str) -> Path:
    """Make the sample with all checksums, of packages too, by *algorithm* (``sha`` is sha1).

    md5 and sha1 are accepted only where the server allows them.
    """
    draft = Draft(dest)
    draft.list_packages(algorithm)
    for kind in [kind for kind in draft.records if kind not in _LISTS]:
        draft.put(
            kind,
            draft.content(kind),
            suffix=draft.file(kind).suffix.replace(".xml", ""),
            algorithm=algorithm,
        )
    return dest
