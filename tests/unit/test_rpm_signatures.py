"""Headers and signatures of packages are read within bounds, whatever they hold."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulpit.content.rpm.signature_policy import SignaturePolicy, are_keys, signatures_of
from pulpit.content.rpm.signatures import check_whole, issuer_of, read_headers, signing_key
from pulpit.errors import ForeignSignature, NotAnRpm, UnsignedPackage
from tests.feeds import SAMPLE
from tests.uploaded import SIGNED

_BELL = SAMPLE / "noarch" / "bell-1.0-1.noarch.rpm"
#: Made by rpmsign: version 4, issuer and fingerprint.
_RSA = bytes.fromhex(
    "8901420400010a002c1621045abfaaf24a7b557adccc7ffcdcb37204df97db4305026b0617fc0e1c7273"
    "6140782e6578616d706c65000a0910dcb37204df97db43ddf1"
) + bytes(0x142 - 64)
_KEY = bytes(range(1, 9))
_FINGERPRINT = bytes(range(20))


def _packet(body: bytes, *, new: bool = False) -> bytes:
    """Return a signature's packet in the old format, or the new one."""
    if new:
        return b"\xc2\xff" + len(body).to_bytes(4, "big") + body
    return b"\x89" + len(body).to_bytes(2, "big") + body


def _area(*subpackets: bytes, width: int = 2) -> bytes:
    """Return an area of subpackets, each with its length before it."""
    joined = b"".join(bytes([len(one)]) + one for one in subpackets)
    return len(joined).to_bytes(width, "big") + joined


def _version_4(hashed: bytes, unhashed: bytes, *, version: int = 4) -> bytes:
    return bytes([version, 0, 1, 8]) + hashed + unhashed + b"\x12\x34"


@pytest.mark.parametrize(
    ("packet", "issuer"),
    [
        (_RSA, "dcb37204df97db43"),
        (_packet(b"\x03\x05\x00\0\0\0\0" + _KEY + b"\x01\x08"), _KEY.hex()),
        (_packet(b"\x02\x05\x00\0\0\0\0" + _KEY), _KEY.hex()),
        (_packet(_version_4(_area(), _area(b"\x10" + _KEY))), _KEY.hex()),
        (_packet(_version_4(_area(b"\x90" + _KEY), _area()), new=True), _KEY.hex()),
        (
            _packet(_version_4(_area(b"\x02abcd", b"\x21\x04" + _FINGERPRINT), _area())),
            _FINGERPRINT[-8:].hex(),
        ),
        (
            _packet(
                _version_4(
                    _area(b"\x21\x06" + bytes(range(32)), width=4), _area(width=4), version=6
                )
            ),
            bytes(range(8)).hex(),
        ),
        (_packet(_version_4(_area(), _area())), None),
        (_packet(_version_4(_area(b"\x10" + _KEY[:7]), _area(b"\x21\x04" + _KEY))), None),
        (_packet(b"\x03\x06\x00\0\0\0\0" + _KEY), None),
        (_packet(b"\x07" + bytes(40)), None),
        (b"\x99\x00\x0c\x04\x00\x01\x08\x00\x00\x00\x00\x12\x34\x00\x00", None),
        (b"", None),
        (b"\x89", None),
        (b"-----BEGIN PGP SIGNATURE-----", None),
    ],
)
def test_the_issuer_of_a_signature(packet: bytes, issuer: str | None) -> None:
    """Of all versions, from either area, or from the fingerprint; None where it is not told."""
    assert issuer_of(packet) == issuer


@settings(max_examples=300)
@given(st.binary(max_size=300), st.integers(0, 299), st.integers(0, 255))
def test_no_signature_breaks_the_reader(data: bytes, place: int, value: int) -> None:
    """Bytes of any kind, and a good one with a change, have an issuer or none."""
    changed = bytearray(_RSA)
    changed[place % len(changed)] = value
    for packet in (data, b"\x89" + data, b"\xc2" + data, b"\x88\xff\x04" + data, bytes(changed)):
        issuer = issuer_of(packet)
        assert issuer is None or len(issuer) == 16


def test_a_long_area_takes_no_long() -> None:
    """Subpackets without a byte are passed over one by one, not by copying the rest."""
    area = (60_000).to_bytes(2, "big") + bytes(60_000)
    assert issuer_of(_packet(_version_4(area, _area(b"\x10" + _KEY)))) == _KEY.hex()


def _package(
    signatures: Mapping[int, tuple[int, bytes]], *, size: int | None = None, payload: bytes = b"p"
) -> bytes:
    """Return the least that is a package: tag to type and value of its signature header."""
    main = _header({1000: (6, b"bell\0")})
    if size is not None:
        signatures = {**signatures, 1000: (4, size.to_bytes(4, "big"))}
    signature = _header(signatures)
    return b"\xed\xab\xee\xdb" + bytes(92) + signature + bytes(-len(signature) % 8) + main + payload


def _header(values: Mapping[int, tuple[int, bytes]]) -> bytes:
    index, data = b"", b""
    for tag, (kind, value) in values.items():
        count = len(value) if kind == 7 else 1
        index += struct.pack(">IIiI", tag, kind, len(data), count)
        data += value
    return b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack(">II", len(values), len(data)) + index + data


@pytest.mark.parametrize("tag", [267, 268, 1002, 1005])
def test_the_key_of_a_package(tmp_path: Path, tag: int) -> None:
    """Whichever tag has the signature; only its last 8 digits count."""
    path = tmp_path / "x.rpm"
    path.write_bytes(_package({tag: (7, _RSA)}))
    assert signing_key(path) == "df97db43"
    path.write_bytes(_package({278: (8, base64.b64encode(_RSA) + b"\0")}))
    assert signing_key(path) == "df97db43"
    path.write_bytes(_package({278: (8, b"no base64\0"), tag: (7, b"\x00")}))
    assert signing_key(path) is None


def test_a_real_package(tmp_path: Path) -> None:
    """One signed by rpmsign, and the same unsigned, are whole."""
    for path, key in ((SIGNED, "e4d9c3c2"), (_BELL, None)):
        headers = read_headers(path)
        assert headers.signing_key == signing_key(path) == key
        assert headers.header_digest is not None
        assert headers.payload_digest is not None
        check_whole(path, headers)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (_package({}, size=10**9), "of 1000000"),
        (_package({})[:95], "does not begin"),
        (b"\xed\xab\xee\xdb" + bytes(92), "missing or damaged"),
        (b"\xed\xab\xee\xdb" + bytes(92) + b"\x8e\xad\xe8\x01" + b"\xff" * 12, "too large"),
        (
            b"\xed\xab\xee\xdb" + bytes(92) + b"\x8e\xad\xe8\x01\0\0\0\0\0\0\xff\xff\0\0\0\x01",
            "within a header",
        ),
        (b"x" * 200, "does not begin"),
    ],
)
def test_what_is_no_package(tmp_path: Path, data: bytes, says: str) -> None:
    """It says why."""
    path = tmp_path / "x.rpm"
    path.write_bytes(data)
    with pytest.raises(NotAnRpm) as caught:
        check_whole(path, read_headers(path))
    assert says in caught.value.message


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(90, 2200), st.binary(max_size=8)), max_size=4))
def test_no_package_breaks_the_reader(tmp_path: Path, changes: list[tuple[int, bytes]]) -> None:
    """A real one with bytes changed is read, or refused as none."""
    data = bytearray(SIGNED.read_bytes())
    for place, value in changes:
        data[place : place + len(value)] = value
    path = tmp_path / "x.rpm"
    path.write_bytes(data)
    try:
        headers = read_headers(path)
        check_whole(path, headers)
    except NotAnRpm:
        return
    assert headers.signing_key is None or len(headers.signing_key) == 8


def test_what_an_importer_asks_for() -> None:
    """Keys by short id, long id or fingerprint, in a list or a text with commas."""
    config = {"require_signature": True, "allowed_keys": "0xE4D9C3C2, " + "0" * 32 + "abcdef01"}
    assert are_keys(config["allowed_keys"])
    policy = signatures_of(config)
    assert policy == SignaturePolicy(required=True, allowed=("e4d9c3c2", "abcdef01"))
    policy.check("x", "abcdef01")
    with pytest.raises(UnsignedPackage):
        policy.check("x", None)
    with pytest.raises(ForeignSignature):
        policy.check("x", "00000000")
    assert not signatures_of({"require_signature": "False", "allowed_keys": []}).asks
    for bad in ("nonsense", ["abc"], [1], 7, {"x": 1}):
        assert not are_keys(bad)
