"""Feeds that are good: a sync of each must succeed.

Each function makes a repository in the new folder *dest* and returns it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.feeds.draft import LATER, Draft, digest

__all__ = [
    "bare",
    "changed",
    "empty",
    "listed_with",
    "reduced",
    "repacked",
    "sample",
    "sparse",
    "with_deltas",
    "with_tree",
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


#: Content of the delta packages, by their place in the feed.
DELTAS = {
    f"drpms/bell-{old}_{new}.noarch.drpm": f"delta {old} {new}".encode() * 100
    for old, new in (("1.0-1", "1.1-1"), ("1.0-1", "2.0-1"), ("1.1-1", "2.0-1"))
}
#: Content of the files of the tree, by their path.
TREE = {
    "images/boot.iso": b"an image" * 5000,
    "images/pxeboot/vmlinuz": b"a kernel" * 300,
    "images/pxeboot/initrd.img": b"its first disk" * 300,
    "images/install.img": b"nobody says a checksum",
}
_TREEINFO = """\
[header]
version = 1.0

[checksums]
images/boot.iso = sha256:{boot}
images/pxeboot/initrd.img = sha256:{initrd}
images/pxeboot/vmlinuz = sha256:{kernel}
repodata/repomd.xml = sha256:{repomd}

[general]
; it is kept for older clients
arch = x86_64
family = Chapel
name = Chapel 1
packagedir =
timestamp = 1740916800.5
variant = Nave
version = 1

[images-x86_64]
boot.iso = images/boot.iso
initrd = images/pxeboot/initrd.img
kernel = images/pxeboot/vmlinuz

[stage2]
mainimage = images/install.img
"""


def with_deltas(dest: Path, kind: str = "prestodelta") -> Path:
    """Make the sample with three delta packages of bell."""
    draft = Draft(dest)
    elements = []
    for place, data in DELTAS.items():
        dest.joinpath(place).parent.mkdir(exist_ok=True)
        dest.joinpath(place).write_bytes(data)
        old, new = place.removeprefix("drpms/bell-").partition(".noarch")[0].split("_")
        (oldversion, oldrelease), (version, release) = old.split("-"), new.split("-")
        elements.append(
            f'<newpackage name="bell" epoch="0" version="{version}" release="{release}" '
            f'arch="noarch"><delta oldepoch="0" oldversion="{oldversion}" '
            f'oldrelease="{oldrelease}"><filename>{place}</filename>'
            f"<sequence>bell-{old}-abcdef</sequence><size>{len(data)}</size>"
            f'<checksum type="sha256">{digest("sha256", data)}</checksum></delta></newpackage>\n'
        )
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    draft.put(kind, f"{head}<{kind}>\n{''.join(elements)}</{kind}>\n")
    return dest


def with_tree(dest: Path, name: str = ".treeinfo", *, is_there: bool = False) -> Path:
    """Make the sample, or what is there, with the tree of files to install a machine from."""
    draft = Draft(dest, is_there=is_there)
    for place, data in TREE.items():
        dest.joinpath(place).parent.mkdir(parents=True, exist_ok=True)
        dest.joinpath(place).write_bytes(data)
    sums = {place: digest("sha256", data) for place, data in TREE.items()}
    dest.joinpath(name).write_text(
        _TREEINFO.format(
            boot=sums["images/boot.iso"],
            initrd=sums["images/pxeboot/initrd.img"],
            kernel=sums["images/pxeboot/vmlinuz"],
            repomd=digest("sha256", draft.repomd.read_bytes()),
        )
    )
    return dest
