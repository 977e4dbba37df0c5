"""The file store: files by their content, and the folders of publications."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pulpit.ports import FileStore
from pulpit.storage.files import FolderFileStore
from pulpit.testing import MemoryFileStore


@pytest.fixture(params=["folder", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileStore]:
    """Yield an empty store of each implementation."""
    if request.param == "folder":
        yield FolderFileStore(tmp_path)
        return
    with MemoryFileStore() as store:
        yield store


def _write(files: FileStore, content: bytes) -> tuple[Path, str]:
    """Write a temporary file; return it with its SHA-256."""
    temporary = files.temporary()
    temporary.write_bytes(content)
    return temporary, hashlib.sha256(content).hexdigest()


def test_a_file_is_kept_by_its_digest(files: FileStore) -> None:
    """A kept file is where its digest says, and no longer where it was written."""
    temporary, digest = _write(files, b"content")
    assert not files.path(digest).exists()
    assert files.keep(temporary, digest) == files.path(digest)
    assert files.path(digest).read_bytes() == b"content"
    assert not temporary.exists()


def test_equal_files_are_one(files: FileStore) -> None:
    """Keeping the same content again is fine, whoever reads it meanwhile."""
    temporary, digest = _write(files, b"content")
    files.keep(temporary, digest)
    with files.path(digest).open("rb") as reader:
        again, _ = _write(files, b"content")
        files.keep(again, digest)
        assert reader.read() == b"content"
    assert files.path(digest).read_bytes() == b"content"


def test_many_files_are_kept_at_once(files: FileStore) -> None:
    """Many files go to their places in one call; none are fine too."""
    written = [_write(files, str(number).encode()) for number in range(50)]
    files.keep_many({digest: temporary for temporary, digest in written})
    files.keep_many({})
    for number, (temporary, digest) in enumerate(written):
        assert files.path(digest).read_bytes() == str(number).encode()
        assert not temporary.exists()


def test_files_are_removed(files: FileStore) -> None:
    """Removed files are gone, those that were never there too, and others stay."""
    kept = [_write(files, content) for content in (b"a", b"b")]
    files.keep_many({digest: temporary for temporary, digest in kept})
    files.remove([kept[0][1], "ab" * 32])
    assert not files.path(kept[0][1]).exists()
    assert files.path(kept[1][1]).exists()


def test_files_are_found_and_removed_by_age(files: FileStore) -> None:
    """Those kept before a time are told, and only those are removed."""
    kept = [_write(files, content) for content in (b"a", b"b")]
    files.keep_many({digest: temporary for temporary, digest in kept})
    old = kept[0][1]
    os.utime(files.path(old), (0, 0))
    hour_ago = datetime.now(tz=UTC) - timedelta(hours=1)
    assert list(files.kept(before=hour_ago)) == [old]
    assert files.remove([digest for _, digest in kept], before=hour_ago) == 1
    assert not files.path(old).exists()
    assert files.path(kept[1][1]).exists()


def test_files_are_set_aside(files: FileStore) -> None:
    """They leave their places at once, by age; what nobody discards is a temporary file."""
    kept = [_write(files, content) for content in (b"a", b"b", b"c")]
    files.keep_many({digest: temporary for temporary, digest in kept})
    old, *others = (digest for _, digest in kept)
    os.utime(files.path(old), (0, 0))
    hour_ago = datetime.now(tz=UTC) - timedelta(hours=1)
    [aside] = files.set_aside([old, *others, "ab" * 32], before=hour_ago)
    assert aside.read_bytes() == b"a"
    assert not files.path(old).exists()
    files.discard([aside])
    assert not aside.exists()
    assert all(files.path(digest).exists() for digest in others)
    assert len(files.set_aside(others)) == 2
    assert files.set_aside(others) == []
    files.discard([])
    assert files.remove_temporary() == 2


def test_temporary_files_have_paths_of_their_own(files: FileStore) -> None:
    """No two temporary paths are the same, and none exists at first."""
    paths = {files.temporary() for _ in range(100)}
    assert len(paths) == 100
    assert not any(path.exists() for path in paths)


def test_temporary_files_are_cleaned_up(files: FileStore) -> None:
    """Temporary files go by age, or all of them; kept ones stay."""
    temporary, digest = _write(files, b"kept")
    files.keep(temporary, digest)
    left, _ = _write(files, b"left")
    now = datetime.now(tz=UTC)
    assert files.remove_temporary(before=now - timedelta(hours=1)) == 0
    assert left.exists()
    assert files.remove_temporary(before=now + timedelta(hours=1)) == 1
    _write(files, b"more")
    assert files.remove_temporary() == 1
    assert files.remove_temporary() == 0
    assert files.path(digest).exists()


def test_publications_have_folders(files: FileStore) -> None:
    """A publication's folder is made by who fills it, and removed as a whole."""
    folder = files.publication_folder("p1")
    assert not folder.exists()
    assert list(files.publication_folders()) == []
    (folder / "repodata").mkdir(parents=True)
    (folder / "repodata" / "repomd.xml").write_bytes(b"<repomd/>")
    files.keep_publication("p1")
    assert list(files.publication_folders()) == ["p1"]
    assert (files.publication_folder("p1") / "repodata" / "repomd.xml").exists()
    files.remove_publication("p1")
    files.remove_publication("p1")
    assert not folder.exists()
