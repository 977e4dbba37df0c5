"""Packages that exist as metadata alone, for whoever reads their primary chunks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

import zstandard

__all__ = ["Sketch", "filelists_chunk"]

_FLAGS = {"=": "EQ", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE"}
_COMPRESS = zstandard.ZstdCompressor(level=1).compress


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A package; dependencies are written as in a spec file, such as ``zoo >= 2-1``."""

    name: str
    version: str = "1"
    arch: str = "x86_64"
    requires: Sequence[str] = ()
    provides: Sequence[str] = ()
    conflicts: Sequence[str] = ()
    obsoletes: Sequence[str] = ()
    #: Files that primary lists.
    files: Sequence[str] = ()

    def primary(self) -> str:
        """Return its element."""
        provides = [f"{self.name} = {self.version}-1", *self.provides]
        return (
            f'<package type="rpm"><name>{escape(self.name)}</name><arch>{self.arch}</arch>'
            f'<version epoch="0" ver="{self.version}" rel="1"/>'
            f'<checksum type="sha256" pkgid="YES">{"0" * 64}</checksum>'
            "<summary>S</summary><description>Some &lt;text&gt;</description>"
            '<location href="a.rpm"/><format>'
            + _entries("provides", provides)
            + _entries("requires", self.requires)
            + _entries("conflicts", self.conflicts)
            + _entries("obsoletes", self.obsoletes)
            + "".join(f"<file>{escape(path)}</file>" for path in self.files)
            + "</format></package>\n"
        )

    def chunk(self) -> bytes:
        """Return its primary chunk as units keep it."""
        return _COMPRESS(self.primary().encode())


def filelists_chunk(paths: Iterable[str]) -> bytes:
    """Return the filelists chunk of a package with these files."""
    files = "".join(f"  <file>{escape(path)}</file>\n" for path in paths)
    return _COMPRESS(f'<package pkgid="0" name="n" arch="noarch">\n{files}</package>\n'.encode())


def _entries(kind: str, dependencies: Sequence[str]) -> str:
    """Return the element that lists dependencies."""
    entries = "".join(_entry(text) for text in dependencies)
    return f"<rpm:{kind}>{entries}</rpm:{kind}>" if entries else ""


def _entry(text: str) -> str:
    """Return the element of one dependency."""
    match text.split(" "):
        case [name, comparison, evr] if comparison in _FLAGS:
            version, _, release = evr.partition("-")
        case _:
            return f"<rpm:entry name={quoteattr(text)}/>"
    of_release = f' rel="{release}"' if release else ""
    return (
        f'<rpm:entry name={quoteattr(name)} flags="{_FLAGS[comparison]}"'
        f' epoch="0" ver="{version}"{of_release}/>'
    )
