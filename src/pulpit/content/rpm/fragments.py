"""Splitting primary, filelists and other into the elements of single packages.

Each is parsed by itself, so memory does not grow with the repository, what is wrong with one can't
reach into the next, and no DTD, and so no entity, ever reaches the parser.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Generator, Iterator
from pathlib import Path
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from pulpit.content.checksums import Digest
from pulpit.content.rpm.streams import read_stream
from pulpit.errors import Unparsable

__all__ = ["Fragments", "PairedFragments"]

_START, _END = b"<package", b"</package>"
_PKGID = re.compile(rb"""<package\b[^>]*?\bpkgid\s*=\s*["']([^"'>]*)["']""")
_ENCODING = re.compile(rb"""<\?xml[^>]*\bencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_USUAL = {
    "metadata": b'xmlns:rpm="http://linux.duke.edu/metadata/rpm"',
    "filelists": b'xmlns="http://linux.duke.edu/metadata/filelists"',
    "otherdata": b'xmlns="http://linux.duke.edu/metadata/other"',
}
_OPENING = re.compile(rb"<package[\s/>]")
#: What is no tag, or has a namespace prefix that is not the usual one.
_FOREIGN = re.compile(rb"<(?:[!?]|/?(?!rpm:)[\w.-]*:)")
_MAX_HEAD = 64 << 10
#: Bytes of one package's element; a kernel's or a font collection's file list has a few million.
_MAX_FRAGMENT = 32 << 20


class Fragments:
    """The package elements of one metadata file, each as bytes that end in ``</package>``.

    Iterating raises Unparsable when the file is damaged, is another kind of document, or holds
    another number of packages than it says.
    """

    def __init__(
        self, path: Path, *, url: str, root: str, limit: int, expected: Digest | None
    ) -> None:
        """Prepare to read; *root* is the document's root element, the rest as of read_stream."""
        self.url = url
        self._root = root
        self._pieces = read_stream(path, url=url, limit=limit, expected=expected)
        #: How many packages the document says it holds, once its head was read.
        self.announced: int | None = None
        #: Whether its namespaces are spelt as everywhere, once its head was read.
        self.usual = False
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        rest = yield from self._elements(self._head())
        if not rest.strip().endswith(f"</{self._root}>".encode()):
            raise self._refuse("is cut off")
        if len(rest) > _MAX_HEAD:
            raise self._refuse("goes on after its last package")
        if self.announced is not None and self.announced != self.count:
            raise self._refuse(f"says {self.announced} packages and holds {self.count}")

    def _head(self) -> bytes:
        """Read up to the first package, check the root element, return what is left over."""
        data = b""
        for piece in self._pieces:
            data += piece
            if _START in data or len(data) > _MAX_HEAD:
                break
        head, start, rest = data.partition(_START)
        if len(head) > _MAX_HEAD:
            raise self._refuse("has no packages where they should be")
        closing = f"</{self._root}>".encode()
        self._check_root(head + closing if start else head)
        return start + rest if start else closing

    def _check_root(self, document: bytes) -> None:
        """Check the document without its packages."""
        encoding = _ENCODING.match(document)
        if encoding and encoding[1].lower() not in (b"utf-8", b"utf8", b"us-ascii", b"ascii"):
            raise self._refuse("is not encoded in UTF-8")
        try:
            root = fromstring(document, forbid_dtd=True)
        except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
            raise self._refuse(f"is not well-formed: {error}") from error
        if root.tag.rpartition("}")[2] != self._root:
            raise self._refuse(f"is not a document of {self._root}")
        self.usual = _USUAL.get(self._root, b"?") in document
        announced = root.get("packages", "")
        if re.fullmatch("[0-9]{1,9}", announced):
            self.announced = int(announced)

    def _elements(self, data: bytes) -> Generator[bytes, None, bytes]:
        """Yield the elements; return what follows the last one."""
        *elements, rest = data.split(_END)
        while True:
            for element in elements:
                self.count += 1
                # the parser of packages does not survive two of them here
                if len(_OPENING.findall(element)) != 1:
                    raise self._refuse("has an element that is no package")
                yield element + _END
            piece = next(self._pieces, b"")
            if not piece:
                return rest
            if len(rest) > _MAX_FRAGMENT:
                raise self._refuse("has a package whose entry is far too large")
            *elements, rest = (rest + piece).split(_END)

    def kept(self, element: bytes) -> bytes | None:
        """Return an element as it may stand in another document, or None if it may not.

        The element is well-formed by itself, which is for the caller to see.
        """
        start = _OPENING.search(element)
        if start is None or not self.usual or _FOREIGN.search(element):
            return None
        return element[start.start() :] + b"\n"

    def _refuse(self, reason: str) -> Unparsable:
        """Return the error that says why the file is refused."""
        return Unparsable(f"{self.url} {reason}", url=self.url)


class PairedFragments:
    """The elements of filelists or other, found by the packages that primary has."""

    def __init__(self, fragments: Fragments) -> None:
        self.url = fragments.url
        self.kept = fragments.kept
        self._rest = iter(fragments)
        #: Elements of packages that primary lists later, by pkgid.
        self._early: dict[str, bytes] = {}

    def take(self, pkgids: Collection[str], listed: Container[str]) -> dict[str, bytes]:
        """Return pkgid to element of these packages; *listed* are those taken before, and these.

        Raises:
            Unparsable: one is missing.
        """
        wanted = set(pkgids)
        found = {pkgid: self._early.pop(pkgid) for pkgid in wanted & self._early.keys()}
        while len(found) < len(wanted):
            pkgid, element = self._next()
            if pkgid is None:
                raise Unparsable(f"{self.url} lacks a package that primary lists", url=self.url)
            if pkgid in wanted:
                found.setdefault(pkgid, element)
            elif pkgid not in listed:
                self._early.setdefault(pkgid, element)
        return found

    def finish(self, listed: Container[str]) -> None:
        """Read to the end.

        Raises:
            Unparsable: there is a package that is not *listed*.
        """
        pkgid, _ = self._next()
        while pkgid in listed:
            pkgid, _ = self._next()
        if pkgid is not None or self._early:
            raise Unparsable(f"{self.url} has a package that primary lacks", url=self.url)

    def _next(self) -> tuple[str | None, bytes]:
        """Return the next element with its pkgid; None at the end."""
        for element in self._rest:
            match = _PKGID.search(element)
            if match is None:
                raise Unparsable(f"{self.url} has a package without pkgid", url=self.url)
            return match[1].decode(errors="replace"), element
        return None, b""
