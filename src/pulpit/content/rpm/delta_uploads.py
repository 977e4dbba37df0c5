"""Delta packages that clients upload.

A delta is made of a package's headers and a payload that says of which older package it makes the
rest (``DLT3``, in ``deltarpm.h`` of deltarpm): its name and version, and the sequence by which
clients look whether they have that package as it was.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, tostring

from pulpit.content.feeds import safe_location
from pulpit.content.rpm.deltas import FeedDelta, parse_deltas
from pulpit.content.rpm.packages import FeedPackage
from pulpit.content.rpm.signatures import PackageHeaders
from pulpit.content.rpm.streams import read_stream
from pulpit.domain.uploads import Uploaded, UploadedFile
from pulpit.errors import InvalidValue, NotAnRpm, Unparsable

__all__ = ["is_bare_delta", "read_delta"]

_URL = "the delta"
#: A delta without headers of its own, which only the package itself could be published with.
_BARE = b"drpm"
_MAGIC = b"DLT3"
_LENGTH = 4
_MAX_NAME, _MAX_SEQUENCE = 1000, 512 << 10
#: Name, epoch if any, version and release of the older package.
_NEVR = re.compile(r"(?P<name>.+)-(?:(?P<epoch>[0-9]+):)?(?P<version>[^-:]+)-(?P<release>[^-:]+)")


def is_bare_delta(file: UploadedFile) -> bool:
    """Tell whether a file is a delta that lacks headers."""
    with file.path.open("rb") as opened:
        return opened.read(len(_BARE)) == _BARE


def read_delta(
    uploaded: Uploaded, file: UploadedFile, headers: PackageHeaders, package: FeedPackage
) -> FeedDelta:
    """Return an uploaded delta as one that a feed would offer.

    Args:
        uploaded: whose ``filename`` is where it is to be published, else it gets the usual name.
        file: its file.
        headers: of the file.
        package: the package that it makes, as its headers tell.

    Raises:
        NotAnRpm: it is no delta.
        InvalidValue: the filename can't be used.
    """
    nevr, sequence = _source(file, headers)
    old = _NEVR.fullmatch(nevr)
    if old is None:
        raise NotAnRpm(f"The delta is of a package named {nevr[:100]!r}, which none can be")
    new = package.columns
    versions = f"{old['version']}-{old['release']}_{new.version}-{new.release}"
    filename = _filename(uploaded) or f"drpms/{new.name}-{versions}.{new.arch}.drpm"
    names = ("name", "epoch", "version", "release", "arch")
    element = Element("newpackage", {name: getattr(new, name) for name in names})
    delta = SubElement(
        element,
        "delta",
        {
            "oldepoch": old["epoch"] or "0",
            "oldversion": old["version"],
            "oldrelease": old["release"],
        },
    )
    _add_texts(delta, filename=filename, sequence=f"{nevr}-{sequence}", size=str(file.size))
    SubElement(delta, "checksum", {"type": "sha256"}).text = file.digest
    text = b"<prestodelta>" + tostring(element, encoding="utf-8") + b"</prestodelta>"
    try:
        # read again, so that a delta that no sync would take is refused here
        [found] = parse_deltas(iter([text]), url=_URL, checksum_types=("sha256",))
    except Unparsable as error:
        raise NotAnRpm(f"The delta can't be used: {error.data['reason']}") from error
    return found


def _add_texts(element: Element, **texts: str) -> None:
    for name, text in texts.items():
        SubElement(element, name).text = text


def _filename(uploaded: Uploaded) -> str | None:
    """Return where the client wants the delta published, below the repository."""
    filename = {**uploaded.metadata, **uploaded.key}.get("filename")
    if filename is None:
        return None
    try:
        return safe_location(filename if isinstance(filename, str) else "")
    except ValueError as error:
        raise InvalidValue("filename", why=str(error)) from error


def _source(file: UploadedFile, headers: PackageHeaders) -> tuple[str, str]:
    """Return name and version of the older package, and the sequence in hexadecimal digits."""
    payload = _Payload(file, headers)
    if payload.take(len(_MAGIC)) != _MAGIC:
        raise NotAnRpm("The file is an RPM package, not a delta of version 3")
    nevr = payload.take(payload.number(_MAX_NAME)).rstrip(b"\0")
    sequence = payload.take(payload.number(_MAX_SEQUENCE))
    return nevr.decode("utf-8", "replace"), sequence.hex()


class _Payload:
    """The beginning of a package's payload, decompressed as far as it is asked for."""

    def __init__(self, file: UploadedFile, headers: PackageHeaders) -> None:
        self._pieces = read_stream(
            file.path, url=_URL, limit=4 * _MAX_SEQUENCE, start=headers.payload_start
        )
        self._rest = b""

    def take(self, length: int) -> bytes:
        """Return the next bytes.

        Raises:
            NotAnRpm: there are not so many.
        """
        try:
            while len(self._rest) < length and (piece := next(self._pieces, b"")):
                self._rest += piece
        except Unparsable as error:
            raise NotAnRpm(f"The delta can't be read: {error.data['reason']}") from error
        if len(self._rest) < length:
            raise NotAnRpm("The delta ends before it says what it is of")
        taken, self._rest = self._rest[:length], self._rest[length:]
        return taken

    def number(self, most: int) -> int:
        """Return the next number, or raise NotAnRpm if it is larger than a length can be."""
        number = int.from_bytes(self.take(_LENGTH), "big")
        if number > most:
            raise NotAnRpm("The delta says of itself that it is larger than any")
        return number
