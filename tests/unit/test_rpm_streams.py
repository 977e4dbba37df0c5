"""Decompression within limits."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulpit.content.rpm.streams import read_document, read_stream
from pulpit.errors import Unparsable

_URL = "http://chapel.example/primary.xml"
_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "zstd unsized": lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data),
}
_TEXT = b"<metadata>" + bytes(range(256)) * 5000


def packed(tmp_path: Path, data: bytes) -> Path:
    """Write a file."""
    path = tmp_path / "file"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("packer", _PACKERS.values(), ids=_PACKERS)
def test_content_comes_back(tmp_path: Path, packer: Callable[[bytes], bytes]) -> None:
    """Every format is told by its first bytes and gives back what was packed."""
    path = packed(tmp_path, packer(_TEXT))
    digest = ("sha256", sha256(_TEXT).hexdigest())
    assert read_document(path, url=_URL, limit=len(_TEXT), expected=digest) == _TEXT


@pytest.mark.parametrize("kind", [kind for kind in _PACKERS if kind != "plain"])
def test_several_streams_in_one_file(tmp_path: Path, kind: str) -> None:
    """Members, streams or frames may follow one another."""
    pack = _PACKERS[kind]
    path = packed(tmp_path, pack(b"one ") + pack(b"two ") + pack(b"three"))
    assert read_document(path, url=_URL, limit=100) == b"one two three"


@pytest.mark.parametrize("kind", [kind for kind in _PACKERS if kind != "plain"])
@pytest.mark.parametrize("cut", [1, 9, 0.5])
def test_cut_off(tmp_path: Path, kind: str, cut: float) -> None:
    """A file that ends too early is refused, however little is missing."""
    data = _PACKERS[kind](_TEXT)
    end = int(len(data) * cut) if cut < 1 else len(data) - int(cut)
    with pytest.raises(Unparsable, match=r"cut off|decompressed") as caught:
        read_document(packed(tmp_path, data[:end]), url=_URL, limit=len(_TEXT))
    assert _URL in caught.value.message


@pytest.mark.parametrize("packer", _PACKERS.values(), ids=_PACKERS)
def test_more_than_the_limit(tmp_path: Path, packer: Callable[[bytes], bytes]) -> None:
    """Content beyond the limit is refused when it is reached."""
    path = packed(tmp_path, packer(_TEXT))
    with pytest.raises(Unparsable, match="grows beyond"):
        read_document(path, url=_URL, limit=len(_TEXT) - 1)


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2", "zstd", "zstd unsized"])
def test_bomb(tmp_path: Path, kind: str) -> None:
    """Of a bomb no more than the limit and one piece is ever held."""
    path = packed(tmp_path, _PACKERS[kind](bytes(64 << 20)))
    sizes: list[int] = []
    with pytest.raises(Unparsable, match="grows beyond"):
        sizes.extend(map(len, read_stream(path, url=_URL, limit=1 << 20)))
    assert max(sizes, default=0) <= 9 << 20
    assert sum(sizes) <= 10 << 20


def test_ratio(tmp_path: Path) -> None:
    """Within a large limit, a ratio that no metadata has is refused."""
    path = packed(tmp_path, _PACKERS["zstd"](bytes(200 << 20)))
    with pytest.raises(Unparsable, match="ratio"):
        for _ in read_stream(path, url=_URL, limit=4 << 30):
            pass


def test_wrong_open_checksum(tmp_path: Path) -> None:
    """Content that is not what repomd.xml says is refused."""
    path = packed(tmp_path, gzip.compress(_TEXT))
    with pytest.raises(Unparsable, match="open-checksum"):
        read_document(path, url=_URL, limit=1 << 30, expected=("sha256", "0" * 64))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    data=st.binary(max_size=200),
    head=st.sampled_from([b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"]),
)
def test_garbage(tmp_path: Path, data: bytes, head: bytes) -> None:
    """Whatever the bytes are, the answer is content or the one error."""
    try:
        read_document(packed(tmp_path, head + data), url=_URL, limit=1 << 20)
    except Unparsable as error:
        said = error.message
    else:
        said = _URL
    assert _URL in said
