"""Whatever the payload of a delta holds, it is read within bounds."""

from __future__ import annotations

import dataclasses
import gzip
from hashlib import sha256
from pathlib import Path

import createrepo_c
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulpit.content.rpm.delta_uploads import read_delta
from pulpit.content.rpm.deltas import FeedDelta
from pulpit.content.rpm.packages import feed_package
from pulpit.content.rpm.signatures import read_headers
from pulpit.domain.uploads import Uploaded, UploadedFile
from pulpit.errors import NotAnRpm
from tests.feeds import SAMPLE

_BELL = SAMPLE / "noarch" / "bell-1.1-1.noarch.rpm"
_PARSED = createrepo_c.package_from_rpm(str(_BELL), createrepo_c.SHA256, _BELL.name)
_PACKAGE = feed_package(_PARSED, [])
#: Of a payload that begins the file.
_HEADERS = dataclasses.replace(read_headers(_BELL), payload_start=0)


def _read(path: Path, payload: bytes) -> FeedDelta:
    path.write_bytes(payload)
    file = UploadedFile(path=path, digest=sha256(payload).hexdigest(), size=len(payload))
    return read_delta(Uploaded(type_id="drpm"), file, _HEADERS, _PACKAGE)


def _payload(nevr: bytes, sequence: bytes = b"\x01\x02") -> bytes:
    """Return the beginning of a payload."""
    texts = (len(text).to_bytes(4, "big") + text for text in (nevr, sequence))
    return b"DLT3" + b"".join(texts) + b"the rest"


def test_the_older_package_is_told(tmp_path: Path) -> None:
    """With an epoch and dashes in its name, packed or plain."""
    path = tmp_path / "x.drpm"
    for pack in (bytes, gzip.compress):
        delta = _read(path, pack(_payload(b"bell-lib-7:1.0~rc-2.f1\0")))
        old = {name: delta.metadata[f"old{name}"] for name in ("epoch", "version", "release")}
        assert old == {"epoch": "7", "version": "1.0~rc", "release": "2.f1"}
        assert delta.metadata["sequence"] == "bell-lib-7:1.0~rc-2.f1-0102"
    assert _read(path, _payload(b"bell-1.0-1\0")).metadata["oldepoch"] == "0"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"DLT2" + bytes(100),
        b"DLT3\xff\xff\xff\xff",
        _payload(b"bell-1.0-1\0")[:-11],
        _payload(b"bell\0"),
        _payload(b"bell-1&<-1\0"),
        _payload(b"../../x-1-1\n\0"),
        _payload(b"bell-1.0-1\0", b"")[:-9],
    ],
)
def test_what_is_no_delta(tmp_path: Path, payload: bytes) -> None:
    """It is refused as none."""
    with pytest.raises(NotAnRpm):
        _read(tmp_path / "x.drpm", payload)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nevr=st.binary(max_size=30), sequence=st.binary(max_size=20), cut=st.integers(0, 40))
def test_no_payload_breaks_the_reader(
    tmp_path: Path, nevr: bytes, sequence: bytes, cut: int
) -> None:
    """It is a delta, or refused as none."""
    payload = _payload(b"bell-" + nevr + b"-1\0", sequence)
    for data in (payload, payload[: len(payload) - cut], nevr + payload):
        try:
            delta = _read(tmp_path / "x.drpm", data)
        except NotAnRpm:
            continue
        assert delta.location.startswith("drpms/bell-")
