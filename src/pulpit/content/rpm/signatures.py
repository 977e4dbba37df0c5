"""What the headers of a package file say: by which key it is signed, and whether it is whole.

The file is a lead of 96 bytes, a signature header padded to 8 bytes, the main header and the
payload: see "RPM V4 Package format" in the manual of rpm. A signature is a packet of OpenPGP
(RFC 9580, sections 4.2 and 5.2). Nothing of the file is believed; nothing is verified but sizes
and digests, since who trusts a key also checks its signatures.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pulpit.errors import NotAnRpm

__all__ = ["PackageHeaders", "check_whole", "issuer_of", "read_headers", "signing_key"]

_LEAD = 96
_LEAD_MAGIC = b"\xed\xab\xee\xdb"
_HEADER_MAGIC = b"\x8e\xad\xe8\x01"
_INTRO, _ENTRY = struct.Struct(">4s4xII"), struct.Struct(">IIiI")
#: Larger headers are refused, as rpm does.
_MAX_ENTRIES, _MAX_SIGNATURE, _MAX_HEADER = 0xFFFF, 64 << 20, 256 << 20
_ALIGNMENT = 8
#: Types of values: 4 and 8 bytes, text, bytes, texts.
_INT32, _INT64, _STRING, _BINARY, _STRINGS = 4, 5, 6, 7, 8
_WIDTHS = {_INT32: 4, _INT64: 8, _BINARY: 1}
#: Longest value that is looked at; signatures and digests are far shorter.
_MAX_VALUE = 64 << 10
# tags of the signature header
_DSA, _RSA, _SHA1, _LONG_SIZE, _SHA256 = 267, 268, 269, 270, 273
_OPENPGP, _SIZE, _PGP, _GPG = 278, 1000, 1002, 1005
#: Where a signature is: in the order in which Pulp 2 looked for it, then where rpm 6 has it.
_SIGNATURES = (_DSA, _RSA, _GPG, _PGP, _OPENPGP)
# tags of the main header
_PAYLOAD_DIGEST, _PAYLOAD_DIGEST_ALGORITHM = 5092, 5093
#: Hash algorithms by OpenPGP's numbers (RFC 9580, section 9.5).
_ALGORITHMS = {2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}
_SHORT_ID = 8
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageHeaders:
    """What is of use in the headers."""

    #: The last 8 hexadecimal digits, lower case, of the id of the key; None for an unsigned one.
    signing_key: str | None
    #: Where main header and payload begin.
    header_start: int
    payload_start: int
    #: Bytes of main header and payload together; None where the package does not say.
    announced: int | None
    #: Algorithm and hexadecimal digits of the digests of the main header, and of the payload.
    header_digest: tuple[str, str] | None
    payload_digest: tuple[str, str] | None


def signing_key(path: Path) -> str | None:
    """Return by which key a package is signed: 8 lower-case hexadecimal digits; None if by none.

    Raises:
        NotAnRpm: the file begins as no package does.
    """
    with path.open("rb") as file:
        return _key_of(_signature_header(file))


def read_headers(path: Path) -> PackageHeaders:
    """Return what the headers of a package say.

    Raises:
        NotAnRpm: the file begins as no package does, or ends within its headers.
    """
    with path.open("rb") as file:
        signature = _signature_header(file)
        start = file.tell()
        main = _header(file, limit=_MAX_HEADER, wanted={_PAYLOAD_DIGEST, _PAYLOAD_DIGEST_ALGORITHM})
        end = file.tell()
    size = signature.get(_LONG_SIZE) or signature.get(_SIZE)
    payload = main.get(_PAYLOAD_DIGEST)
    algorithm = _ALGORITHMS.get(_number(main.get(_PAYLOAD_DIGEST_ALGORITHM)) or 0)
    return PackageHeaders(
        signing_key=_key_of(signature),
        header_start=start,
        payload_start=end,
        announced=_number(size),
        header_digest=_digest("sha256", signature.get(_SHA256))
        or _digest("sha1", signature.get(_SHA1)),
        payload_digest=_digest(algorithm, payload) if algorithm else None,
    )


def check_whole(path: Path, headers: PackageHeaders) -> None:
    """Check that a package is as long as it says, and has the digests that it says.

    Raises:
        NotAnRpm: it is cut off or damaged.
    """
    size = path.stat().st_size
    if headers.announced is not None and size != headers.header_start + headers.announced:
        expected = headers.header_start + headers.announced
        raise NotAnRpm(f"The file is not a whole RPM package: it has {size} bytes of {expected}")
    with path.open("rb") as file:
        file.seek(headers.header_start)
        length = headers.payload_start - headers.header_start
        _check_digest(file, headers.header_digest, length, "headers")
        file.seek(headers.payload_start)
        _check_digest(file, headers.payload_digest, size - headers.payload_start, "payload")


def issuer_of(signature: bytes) -> str | None:
    """Return the id of the key that made a signature: 16 lower-case hexadecimal digits.

    Args:
        signature: packets of OpenPGP; the first one counts.

    Returns: None if it does not say, or is no signature that is known here.
    """
    body = _signature_packet(signature)
    if not body:
        return None
    # version 2 is version 3 with another number
    if body[0] in (2, 3):
        return body[7:15].hex() if len(body) >= 15 and body[1] == 5 else None  # noqa: PLR2004
    if body[0] not in (4, 5, 6):
        return None
    # the areas of version 6 have lengths of four bytes
    width = 4 if body[0] == 6 else 2  # noqa: PLR2004
    found: list[bytes] = []
    place = 4
    for _ in ("hashed", "unhashed"):
        length = int.from_bytes(body[place : place + width], "big")
        area = body[place + width : place + width + length]
        found += [issuer for issuer in map(_issuer, _subpackets(area)) if issuer]
        place += width + length
    return found[0].hex() if found else None


def _signature_header(file: BinaryIO) -> Mapping[int, bytes]:
    """Return tag to value of the signature header; the file is then where the main one begins."""
    lead = file.read(_LEAD)
    if len(lead) < _LEAD or not lead.startswith(_LEAD_MAGIC):
        raise NotAnRpm("The file is not an RPM package: it does not begin as one")
    wanted = {*_SIGNATURES, _LONG_SIZE, _SIZE, _SHA1, _SHA256}
    found = _header(file, limit=_MAX_SIGNATURE, wanted=wanted)
    file.seek(-file.tell() % _ALIGNMENT, 1)
    return found


def _header(file: BinaryIO, *, limit: int, wanted: set[int]) -> Mapping[int, bytes]:
    """Return tag to value of a header, of those that are wanted, and pass over the rest."""
    intro = file.read(_INTRO.size)
    if len(intro) < _INTRO.size or not intro.startswith(_HEADER_MAGIC):
        raise NotAnRpm("The file is not an RPM package: a header of it is missing or damaged")
    _, count, length = _INTRO.unpack(intro)
    if count > _MAX_ENTRIES or length > limit:
        raise NotAnRpm("The file is not an RPM package: a header of it is too large")
    index = file.read(count * _ENTRY.size)
    start = file.tell()
    if len(index) < count * _ENTRY.size or _rest(file) < length:
        raise NotAnRpm("The file is not a whole RPM package: it ends within a header")
    found: dict[int, bytes] = {}
    for tag, kind, offset, number in _ENTRY.iter_unpack(index):
        if tag in wanted and 0 <= offset < length:
            file.seek(start + offset)
            value = _value(file.read(min(length - offset, _MAX_VALUE)), kind, number)
            if value is not None:
                found.setdefault(tag, value)
    file.seek(start + length)
    return found


def _rest(file: BinaryIO) -> int:
    """Return how many bytes there are from here on."""
    here = file.tell()
    end = file.seek(0, 2)
    file.seek(here)
    return end - here


def _value(data: bytes, kind: int, number: int) -> bytes | None:
    """Return the bytes of a value that begins the data; of several texts the first one."""
    if kind in (_STRING, _STRINGS):
        text, end, _ = data.partition(b"\0")
        return text if end else None
    # of several numbers the first one
    length = number if kind == _BINARY else _WIDTHS.get(kind, 0)
    return data[:length] if 0 < length <= len(data) else None


def _number(value: bytes | None) -> int | None:
    """Return the number that a value is."""
    return int.from_bytes(value, "big") if value else None


def _digest(algorithm: str, value: bytes | None) -> tuple[str, str] | None:
    """Return a digest that a header names, if it is one."""
    digits = (value or b"").decode("ascii", "replace").lower()
    length = hashlib.new(algorithm, usedforsecurity=False).digest_size * 2
    return (algorithm, digits) if len(digits) == length else None


def _check_digest(file: BinaryIO, expected: tuple[str, str] | None, length: int, part: str) -> None:
    """Check the digest of the bytes that come next, if one is known."""
    if expected is None:
        return
    digest = hashlib.new(expected[0], usedforsecurity=False)
    while length > 0 and (piece := file.read(min(_PIECE, length))):
        digest.update(piece)
        length -= len(piece)
    if digest.hexdigest() != expected[1]:
        raise NotAnRpm(f"The file is a damaged RPM package: its {part} have another digest")


def _key_of(signature: Mapping[int, bytes]) -> str | None:
    """Return the short id of the key by which a package is signed."""
    for tag in _SIGNATURES:
        packets = signature.get(tag, b"")
        if issuer := issuer_of(_unarmored(packets) if tag == _OPENPGP else packets):
            return issuer[-_SHORT_ID:]
    return None


def _unarmored(text: bytes) -> bytes:
    """Return the bytes that a text in base64 stands for; none for anything else."""
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""


def _signature_packet(data: bytes) -> bytes:
    """Return the body of a signature's packet; empty for anything else."""
    if len(data) < 2 or not data[0] & 0x80:  # noqa: PLR2004 - a tag and a length at least
        return b""
    if data[0] & 0x40:
        tag, (start, length) = data[0] & 0x3F, _new_length(data)
    else:
        tag, (start, length) = data[0] >> 2 & 0x0F, _old_length(data)
    return data[start : start + length] if tag == 2 else b""  # noqa: PLR2004 - a signature


def _old_length(data: bytes) -> tuple[int, int]:
    """Return where the body of a packet in the old format begins, and its length."""
    width = (1, 2, 4, 0)[data[0] & 3]
    length = int.from_bytes(data[1 : 1 + width], "big") if width else len(data)
    return 1 + width, length


def _new_length(data: bytes) -> tuple[int, int]:
    """Return where the body of a packet in the new format begins, and its length."""
    start, length = _length(data[1:6])
    return 1 + start, length


def _length(data: bytes) -> tuple[int, int]:
    """Return how many bytes a length takes, and the length."""
    first = data[0]
    if first < 192:  # noqa: PLR2004 - RFC 9580, section 4.2.1
        return 1, first
    if first < 255:  # noqa: PLR2004 - likewise
        return 2, (first - 192 << 8) + int.from_bytes(data[1:2], "big") + 192
    return 5, int.from_bytes(data[1:5], "big")


def _subpackets(area: bytes) -> list[bytes]:
    """Return the subpackets of an area, each with its type before it."""
    found: list[bytes] = []
    place = 0
    while place < len(area):
        start, length = _length(area[place : place + 5])
        found.append(area[place + start : place + start + length])
        place += start + length
    return found


def _issuer(subpacket: bytes) -> bytes | None:
    """Return the key id of a subpacket that names the issuer."""
    kind, value = (subpacket[0] & 0x7F, subpacket[1:]) if subpacket else (0, b"")
    if kind == 16 and len(value) == 8:  # noqa: PLR2004 - issuer key id
        return value
    if kind == 33 and len(value) == 21 and value[0] == 4:  # noqa: PLR2004 - fingerprint
        return value[-8:]
    if kind == 33 and len(value) == 33 and value[0] in (5, 6):  # noqa: PLR2004 - a longer one
        return value[1:9]
    return None
