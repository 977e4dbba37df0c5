"""Packages of repositories as the solver library wants them."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any
from xml.sax.saxutils import unescape

import solv
import zstandard

from pulpit.errors import Unparsable

__all__ = ["Chunks", "is_in_primary", "listing_packages", "load_packages"]

#: Unit id and one zstd-compressed chunk of packages, as units keep them.
Chunks = Iterable[tuple[int, bytes]]

#: Packages that one document for the library holds.
_AT_ONCE = 500
_HEAD = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<metadata xmlns="http://linux.duke.edu/metadata/common"'
    b' xmlns:rpm="http://linux.duke.edu/metadata/rpm">\n'
)
_TAIL = b"</metadata>\n"
#: Elements that mean nothing to the solver, and are most of a package's bytes.
_TEXTS = (b"summary", b"description")
_UNUSABLE = "The metadata of a package can't be used: sync or upload it anew"
_LOADING = solv.Repo.REPO_REUSE_REPODATA | solv.Repo.REPO_NO_INTERNALIZE


def load_packages(repo: Any, primaries: Chunks) -> Iterator[tuple[int, int]]:
    """Load packages into a repository of the library; yield unit id and solvable id of each.

    Few are held at a time.

    Raises:
        Unparsable: a chunk is not that of one package.
    """
    expand = zstandard.ZstdDecompressor().decompress
    source = iter(primaries)
    while batch := [*islice(source, _AT_ONCE)]:
        first = len(repo.pool.solvables)
        _load(repo, (_without_texts(expand(chunk)) for _, chunk in batch))
        if len(repo.pool.solvables) != first + len(batch):
            raise Unparsable(_UNUSABLE)
        for solvable_id, (unit_id, _) in enumerate(batch, first):
            if not repo.pool.id2solvable(solvable_id).nameid:
                raise Unparsable(_UNUSABLE)
            yield unit_id, solvable_id
    repo.internalize()


def _load(repo: Any, elements: Iterable[bytes]) -> None:
    """Load the elements of packages, which the library reads from a file."""
    with tempfile.TemporaryFile() as file:
        file.write(_HEAD)
        file.writelines(elements)
        file.write(_TAIL)
        file.flush()
        file.seek(0)
        opened = solv.xfopen_fd("primary.xml", file.fileno())
        is_read = repo.add_rpmmd(opened, None, _LOADING)
        opened.close()
    if not is_read:
        raise Unparsable(_UNUSABLE)


def _without_texts(element: bytes) -> bytes:
    """Return a package's element without its long texts, if these are nothing but text."""
    for name in _TEXTS:
        start = element.find(b"<" + name + b">")
        end = element.find(b"</" + name + b">", start)
        begin = start + len(name) + 2
        if start >= 0 and end >= 0 and b"<" not in element[begin:end]:
            element = element[:begin] + element[end:]
    return element


def is_in_primary(path: str) -> bool:
    """Tell whether the primary chunk lists files at that path, as createrepo_c has it."""
    return path.startswith("/etc/") or "bin/" in path or path == "/usr/lib/sendmail"


def listing_packages(filelists: Chunks, wanted: Collection[str]) -> Iterator[tuple[int, set[str]]]:
    """Yield unit id and those of the wanted paths that it has, of each package that has some."""
    expand = zstandard.ZstdDecompressor().decompress
    paths = {path.encode() for path in wanted}
    for unit_id, chunk in filelists:
        pieces = expand(chunk).split(b"</file>")
        files = {_unescaped(piece.rpartition(b">")[2]) for piece in pieces}
        if found := files & paths:
            yield unit_id, {path.decode() for path in found}


def _unescaped(text: bytes) -> bytes:
    """Return what an element holds."""
    if b"&" not in text:
        return text
    entities = {"&quot;": '"', "&apos;": "'"}
    return unescape(text.decode(errors="replace"), entities).encode()
