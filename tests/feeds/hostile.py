"""Feeds that attack: out of the folder, out of memory, out of time.

Each function makes a repository in the new folder *dest* and returns it; its docstring says what
a sync of it must end in. None of them may write outside the store, ask another host, or need more
than a moment or a few hundred megabytes.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import zstandard

from tests.feeds import variants
from tests.feeds.draft import PACKERS, Draft

__all__ = [
    "absolute_href",
    "absolute_location",
    "based_location",
    "bomb_gzip",
    "bomb_zstd",
    "bomb_zstd_undeclared",
    "climbing_delta",
    "climbing_href",
    "climbing_location",
    "climbing_pkgid",
    "climbing_tree",
    "control_in_location",
    "doubled_location",
    "doubled_pkgid",
    "encoded_location",
    "expanding_comps",
    "expanding_deltas",
    "expanding_primary",
    "expanding_repomd",
    "expanding_updateinfo",
    "expanding_yaml",
    "external_entity",
    "file_href",
    "foreign_href",
    "foreign_location",
    "long_repomd",
    "pickled_yaml",
]

_MEGABYTE = 1024 * 1024

_ENTITIES = (
    '<!DOCTYPE {root} [\n  <!ENTITY l0 "lol">\n'
    + "".join(
        f'  <!ENTITY l{n} "{"".join(f"&l{n - 1};" for _ in range(10))}">\n' for n in range(1, 10)
    )
    + "]>\n"
)


def climbing_href(dest: Path) -> Path:
    """Lead out of the feed by ``..`` in repomd.xml: RPM1015; the file is not asked for."""
    return _primary_at(dest, "../../../etc/primary.xml.gz")


def absolute_href(dest: Path) -> Path:
    """Name an absolute path in repomd.xml: RPM1015."""
    return _primary_at(dest, "/etc/passwd")


def foreign_href(dest: Path) -> Path:
    """Name a URL of another host in repomd.xml: RPM1015; that host is not asked."""
    return _primary_at(dest, "http://127.0.0.2:9/primary.xml.gz")


def file_href(dest: Path) -> Path:
    """Name a file: URL in repomd.xml: RPM1015; the file is not read."""
    return _primary_at(dest, "file:///etc/passwd")


def climbing_location(dest: Path) -> Path:
    """Lead out of the feed by ``..`` in a package's location: RPM1015."""
    return _package_at(dest, "../../../etc/bell-1.1-1.noarch.rpm")


def encoded_location(dest: Path) -> Path:
    """Lead out of the feed by a percent-encoded ``..`` in a package's location: RPM1015."""
    return _package_at(dest, "%2e%2e/%2e%2e/etc/bell-1.1-1.noarch.rpm")


def absolute_location(dest: Path) -> Path:
    """Name an absolute path as a package's location: RPM1015."""
    return _package_at(dest, "/etc/bell-1.1-1.noarch.rpm")


def foreign_location(dest: Path) -> Path:
    """Name a URL of another host as a package's location: RPM1015; that host is not asked."""
    return _package_at(dest, "http://127.0.0.2:9/bell-1.1-1.noarch.rpm")


def control_in_location(dest: Path) -> Path:
    """Put a line break and a header into a package's location: RPM1015."""
    return _package_at(dest, "noarch/bell&#13;&#10;Host: evil&#13;&#10;.rpm")


def based_location(dest: Path) -> Path:
    """Give a package an xml:base at another host: RPM1015, or a failed download of that one."""
    draft = Draft(dest)
    draft.edit("primary", "<location href", '<location xml:base="http://127.0.0.2:9/" href')
    return dest


def climbing_delta(dest: Path) -> Path:
    """Lead out of the feed by ``..`` in the place of a delta package: RPM1006."""
    variants.with_deltas(dest)
    draft = Draft(dest, is_there=True)
    draft.edit("prestodelta", "drpms/bell-1.0-1_1.1-1", "../../../etc/bell")
    return dest


def climbing_tree(dest: Path) -> Path:
    """Lead out of the feed by ``..`` in a path of a tree: RPM1006; the file is not asked for."""
    variants.with_tree(dest)
    text = dest.joinpath(".treeinfo").read_text()
    dest.joinpath(".treeinfo").write_text(text.replace("images/install.img", "../../etc/passwd"))
    # or it would be taken for a feed that is known already
    Draft(dest, is_there=True).save()
    return dest


def expanding_deltas(dest: Path) -> Path:
    """Declare entities in prestodelta that grow to a billion words: RPM1006."""
    variants.with_deltas(dest)
    draft = Draft(dest, is_there=True)
    text = draft.text("prestodelta").replace("<sequence>", "<sequence>&l9;", 1)
    draft.put("prestodelta", _with_entities(text, "prestodelta"))
    return dest


def climbing_pkgid(dest: Path) -> Path:
    """Make a package's checksum a path with ``..`` in all three lists: RPM1015 or RPM1006."""
    draft = Draft(dest)
    pkgid = draft.text("primary").partition('pkgid="YES">')[2][:64]
    for kind in ("primary", "filelists", "other"):
        draft.edit(kind, pkgid, "../../../../../../../tmp/climbed".ljust(64, "x"))
    return dest


def doubled_pkgid(dest: Path) -> Path:
    """List a package twice under one pkgid in all three lists: RPM1015, or the two become one."""
    draft = Draft(dest)
    for kind in ("primary", "filelists", "other"):
        text = draft.text(kind)
        last = text[text.rindex("<package ") : text.rindex("</package>") + len("</package>\n")]
        count = f'packages="{text.count("<package ") + 1}"'
        draft.put(kind, text.replace(last, last * 2).replace('packages="42"', count))
    return dest


def doubled_location(dest: Path) -> Path:
    """Give two packages one location: the download of one fails, checksum_mismatch or size."""
    draft = Draft(dest)
    draft.edit("primary", "noarch/bell-1.1-1.noarch.rpm", "noarch/bell-1.0-1.noarch.rpm")
    return dest


def expanding_repomd(dest: Path) -> Path:
    """Declare entities in repomd.xml that grow to a billion words: RPM1006."""
    draft = Draft(dest)
    text = draft.repomd.read_text().replace("1740916800</revision>", "&l9;</revision>")
    draft.repomd.write_text(_with_entities(text, "repomd"))
    return dest


def expanding_primary(dest: Path) -> Path:
    """Declare such entities in primary: RPM1006."""
    draft = Draft(dest)
    text = draft.text("primary").replace("<summary>", "<summary>&l9;", 1)
    draft.put("primary", _with_entities(text, "metadata"))
    return dest


def expanding_comps(dest: Path) -> Path:
    """Declare such entities in comps: RPM1006."""
    draft = Draft(dest)
    doctype = '<!DOCTYPE comps PUBLIC "-//Chapel//DTD Comps info//EN" "comps.dtd">\n'
    text = draft.text("group").replace(doctype, "").replace("<name>Music", "<name>&l9;")
    draft.drop("group_gz")
    draft.put("group", _with_entities(text, "comps"))
    return dest


def expanding_updateinfo(dest: Path) -> Path:
    """Declare such entities in updateinfo: RPM1006."""
    draft = Draft(dest)
    text = draft.text("updateinfo").replace("<solution>", "<solution>&l9;", 1)
    draft.put("updateinfo", _with_entities(text, "updates"))
    return dest


def external_entity(dest: Path) -> Path:
    """Draw a file of the server into comps by an entity: RPM1006; the file is not read."""
    draft = Draft(dest)
    doctype = '<!DOCTYPE comps PUBLIC "-//Chapel//DTD Comps info//EN" "comps.dtd">'
    text = draft.text("group").replace("<name>Music", "<name>&x;")
    draft.drop("group_gz")
    draft.put(
        "group",
        text.replace(doctype, '<!DOCTYPE comps [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
    )
    return dest


def expanding_yaml(dest: Path) -> Path:
    """Nest anchors in modules that grow to a billion words: RPM1006, or kept unexpanded."""
    draft = Draft(dest)
    lines = ["---", "document: modulemd", "version: 2", "data:", "  a0: &a0 [lol]"]
    for n in range(1, 10):
        lines += [f"  a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]"]
    lines += ["  name: *a9", "  stream: x", "  version: 1", "  context: c", "  arch: x86_64"]
    draft.put("modules", "\n".join([*lines, "..."]) + "\n")
    return dest


def pickled_yaml(dest: Path) -> Path:
    """Call a function by a tag in modules: RPM1006; nothing is called."""
    draft = Draft(dest)
    called = "  name: !!python/object/apply:os.mkdir [/tmp/pulpit-feed-was-here]"
    draft.put(
        "modules",
        f"---\ndocument: modulemd\nversion: 2\ndata:\n{called}\n  stream: x\n...\n",
    )
    return dest


def bomb_gzip(dest: Path) -> Path:
    """Pack 1 GB of blanks into primary, repomd.xml saying 50 KB: RPM1004, RPM1006 or RPM1015."""
    draft = Draft(dest)
    filler = gzip.compress(b" " * (8 * _MEGABYTE), mtime=0) * 128
    packed = _stuffed(draft.content("primary"), filler, ".gz")
    draft.put_packed("primary", packed, name="primary.xml.gz", open_size=50_000)
    return dest


def bomb_zstd(dest: Path) -> Path:
    """Pack 4 GB of blanks into 140 KB of zstd, repomd.xml saying 50 KB: as for gzip."""
    return _zstd(dest, declared=50_000)


def bomb_zstd_undeclared(dest: Path) -> Path:
    """Pack 4 GB of blanks, with no size said: RPM1004, RPM1006 or RPM1015 by a limit of our own."""
    return _zstd(dest, declared=None)


def long_repomd(dest: Path) -> Path:
    """Make a repomd.xml of 64 MB: RPM1004, RPM1006 or RPM1015."""
    draft = Draft(dest)
    with draft.repomd.open("a") as stream:
        stream.write("<!--" + "x" * (64 * _MEGABYTE) + "-->\n")
    return dest


def _zstd(dest: Path, *, declared: int | None) -> Path:
    """Make the bomb of zstd."""
    draft = Draft(dest)
    filler = zstandard.ZstdCompressor().compress(b" " * (32 * _MEGABYTE)) * 128
    packed = _stuffed(draft.content("primary"), filler, ".zst")
    draft.put_packed("primary", packed, name="primary.xml.zst", open_size=declared)
    return dest


def _stuffed(xml: bytes, filler: bytes, suffix: str) -> bytes:
    """Return *xml* packed with *filler*, packed blanks, between its first and second element."""
    pack = PACKERS[suffix]
    at = xml.index(b"<package ")
    # both formats allow several members in one file, one after the other
    return pack(xml[:at]) + filler + pack(xml[at:])


def _primary_at(dest: Path, href: str) -> Path:
    """Make repomd.xml say that primary is at *href*."""
    draft = Draft(dest)
    draft.say("primary", href=href)
    return dest


def _package_at(dest: Path, href: str) -> Path:
    """Make primary say that a package is at *href*, which must be written as XML."""
    draft = Draft(dest)
    draft.edit("primary", "noarch/bell-1.1-1.noarch.rpm", href.replace("\\", r"\\"))
    return dest


def _with_entities(text: str, root: str) -> str:
    """Return the XML *text* with declarations of entities after its first line."""
    first, _, rest = text.partition("\n")
    return first + "\n" + _ENTITIES.format(root=root) + rest
