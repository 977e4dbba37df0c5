"""Feeds that are not what they say: damaged, incomplete, or wrong about themselves.

Each function makes a repository in the new folder *dest* and returns it; its docstring says what
a sync of it must end in. Where metadata is damaged, repomd.xml differs from the sample's, so that
no server can take the feed for one that it has synced already.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.feeds.draft import PACKERS, Draft, digest
from tests.services.http import HTML

__all__ = [
    "absent",
    "absent_package",
    "absent_primary",
    "cut_gzip",
    "cut_primary",
    "cut_repomd",
    "cut_xml",
    "cut_xz",
    "empty_repomd",
    "filelists_not_listed",
    "filelists_too_few",
    "filelists_too_many",
    "html_repomd",
    "miscounted",
    "mislabelled_package",
    "not_a_package",
    "other_metadata_in_repomd",
    "other_too_many",
    "packages_differ",
    "packages_too_long",
    "primary_differs",
    "primary_not_listed",
    "primary_too_long",
    "unknown_checksum_of_metadata",
    "unknown_checksum_of_packages",
    "wrong_open_checksum",
]

#: The package that the damage below is done to.
PACKAGE = "noarch/bell-1.1-1.noarch.rpm"


def absent(dest: Path) -> Path:
    """Make a folder with nothing in it: RPM1004, repomd.xml Not Found."""
    dest.mkdir()
    return dest


def empty_repomd(dest: Path) -> Path:
    """Empty repomd.xml: RPM1006."""
    draft = Draft(dest)
    draft.repomd.write_bytes(b"")
    return dest


def cut_repomd(dest: Path) -> Path:
    """Cut repomd.xml in its middle: RPM1006."""
    draft = Draft(dest)
    whole = draft.repomd.read_bytes()
    draft.repomd.write_bytes(whole[: len(whole) // 2])
    return dest


def html_repomd(dest: Path) -> Path:
    """Put a web page in place of repomd.xml: RPM1006."""
    draft = Draft(dest)
    draft.repomd.write_bytes(HTML)
    return dest


def other_metadata_in_repomd(dest: Path) -> Path:
    """Put well-formed XML that lists nothing in place of repomd.xml: RPM1006 or RPM1015."""
    draft = Draft(dest)
    draft.repomd.write_text('<?xml version="1.0"?>\n<comps><group/></comps>\n')
    return dest


def absent_primary(dest: Path) -> Path:
    """Take away a file that repomd.xml lists: RPM1004, Not Found."""
    draft = Draft(dest)
    draft.file("primary").unlink()
    draft.save()
    return dest


def cut_primary(dest: Path) -> Path:
    """Cut primary, which then is shorter than repomd.xml says: RPM1004."""
    draft = Draft(dest)
    whole = draft.file("primary").read_bytes()
    draft.file("primary").write_bytes(whole[: len(whole) // 2])
    draft.save()
    return dest


def primary_too_long(dest: Path) -> Path:
    """Append to primary, which then is longer than repomd.xml says: RPM1004."""
    draft = Draft(dest)
    with draft.file("primary").open("ab") as stream:
        stream.write(bytes(1000))
    draft.save()
    return dest


def primary_differs(dest: Path) -> Path:
    """Change a byte of primary, which keeps its size: RPM1004."""
    draft = Draft(dest)
    _change_byte(draft.file("primary"))
    draft.save()
    return dest


def wrong_open_checksum(dest: Path) -> Path:
    """Say another checksum of primary unpacked: RPM1004 or RPM1006."""
    draft = Draft(dest)
    draft.say("primary", open_checksum="0" * 64)
    return dest


def cut_gzip(dest: Path) -> Path:
    """Cut the gzip stream of primary, with checksum and size of what is left: RPM1006."""
    draft = Draft(dest)
    packed = draft.file("primary").read_bytes()
    draft.put_packed("primary", packed[: len(packed) // 2], name="primary.xml.gz")
    return dest


def cut_xz(dest: Path) -> Path:
    """Cut the xz stream of filelists by a few bytes at its end, checksum right: RPM1006."""
    draft = Draft(dest)
    packed = PACKERS[".xz"](draft.content("filelists"))
    draft.put_packed("filelists", packed[:-30], name="filelists.xml.xz")
    return dest


def cut_xml(dest: Path) -> Path:
    """Cut primary's XML in its middle and pack it well, checksums right: RPM1006."""
    draft = Draft(dest)
    text = draft.text("primary")
    draft.put("primary", text[: len(text) // 2])
    return dest


def primary_not_listed(dest: Path) -> Path:
    """Leave primary out of repomd.xml: RPM1015, ``"primary" metadata is not found``."""
    draft = Draft(dest)
    draft.drop("primary")
    return dest


def filelists_not_listed(dest: Path) -> Path:
    """Leave filelists out of repomd.xml: RPM1015, ``"filelists" metadata is not found``."""
    draft = Draft(dest)
    draft.drop("filelists")
    return dest


def filelists_too_many(dest: Path) -> Path:
    """Add a package to filelists that primary does not have: RPM1015, and no endless loop."""
    return _one_more(dest, "filelists")


def other_too_many(dest: Path) -> Path:
    """Add a package to other that primary does not have: RPM1015, and no endless loop."""
    return _one_more(dest, "other")


def filelists_too_few(dest: Path) -> Path:
    """Take a package out of filelists: RPM1015, not a sync of nothing."""
    draft = Draft(dest)
    draft.edit("filelists", r"(?s)<package .*?</package>\n", "")
    return dest


def miscounted(dest: Path) -> Path:
    """Say in primary's first line that it has more packages than it has: RPM1015 or RPM1006."""
    draft = Draft(dest)
    draft.edit("primary", r'packages="\d+"', 'packages="4200"')
    return dest


def unknown_checksum_of_metadata(dest: Path) -> Path:
    """Name a checksum in repomd.xml that nobody knows: RPM1004, RPM1006 or RPM1015."""
    draft = Draft(dest)
    draft.say("primary", checksum_type="crc7")
    return dest


def unknown_checksum_of_packages(dest: Path) -> Path:
    """Name a checksum of a package that nobody knows: error code checksum_type_unknown."""
    draft = Draft(dest)
    draft.edit("primary", '<checksum type="sha256"', '<checksum type="crc7"')
    return dest


def absent_package(dest: Path) -> Path:
    """Take away a package that primary lists: its download fails, Not Found."""
    draft = Draft(dest)
    draft.dest.joinpath(PACKAGE).unlink()
    return dest


def packages_differ(dest: Path) -> Path:
    """Change a byte of a package, which keeps its size: error code checksum_mismatch."""
    Draft(dest)
    _change_byte(dest / PACKAGE)
    return dest


def packages_too_long(dest: Path) -> Path:
    """Append to a package: error code size_mismatch."""
    Draft(dest)
    with dest.joinpath(PACKAGE).open("ab") as stream:
        stream.write(bytes(1000))
    return dest


def mislabelled_package(dest: Path) -> Path:
    """Swap the bytes of two packages of the feed: error code size_mismatch or checksum_mismatch."""
    Draft(dest)
    one, two = dest / PACKAGE, dest / "noarch/candle-0.9-1.noarch.rpm"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    return dest


def not_a_package(dest: Path) -> Path:
    """Put a web page in place of a package, primary right about it: RPM1016, or kept unopened."""
    draft = Draft(dest)
    path = dest / PACKAGE
    old = digest("sha256", path.read_bytes())
    path.write_bytes(HTML)
    for kind in ("primary", "filelists", "other"):
        draft.edit(kind, old, digest("sha256", HTML))
    size = r'(ver="1\.1"(?:(?!<package ).)*?<size package=)"\d+"'
    draft.edit(
        "primary", rf"(?s)(<name>bell</name>(?:(?!<package ).)*?){size}", rf'\1\2"{len(HTML)}"'
    )
    return dest


def _one_more(dest: Path, kind: str) -> Path:
    """Repeat a package of *kind* at its end, under a pkgid that primary does not have."""
    draft = Draft(dest)
    text = draft.text(kind)
    last = text[text.rindex("<package ") : text.rindex("</package>") + len("</package>\n")]
    stranger = re.sub(r"[0-9a-f]{64}", "0" * 64, last, count=1)
    draft.put(kind, text.replace(last, last + stranger))
    return dest


def _change_byte(path: Path) -> None:
    """Change the byte in the middle of the file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
