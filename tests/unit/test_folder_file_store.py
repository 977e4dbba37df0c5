"""The file store's folder, as several machines share it."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pulpit.storage.files import FolderFileStore

_DIGEST = hashlib.sha256(b"content").hexdigest()


def keep(files: FolderFileStore, content: bytes = b"content") -> Path:
    """Write a file and keep it."""
    temporary = files.temporary()
    temporary.write_bytes(content)
    return files.keep(temporary, _DIGEST)


def test_a_file_that_is_there_stays_for_those_who_read_it(tmp_path: Path) -> None:
    """Another process keeps the same content: NFS would cut off who reads it elsewhere."""
    path = keep(FolderFileStore(tmp_path, owner="one"))
    os.utime(path, (0, 0))
    inode = path.stat().st_ino
    keep(FolderFileStore(tmp_path, owner="two"))
    assert path.stat().st_ino == inode
    # it counts as kept only now, so that it does not go as a stray
    assert path.stat().st_mtime > 0
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_file_that_was_cut_short_is_replaced(tmp_path: Path) -> None:
    """What is there and has another size is not the content."""
    files = FolderFileStore(tmp_path)
    keep(files).write_bytes(b"cont")
    assert keep(files).read_bytes() == b"content"


def test_what_nfs_keeps_for_readers_is_none_of_ours(tmp_path: Path) -> None:
    """A file that was deleted while another machine reads it has a name that NFS made up."""
    files = FolderFileStore(tmp_path)
    path = keep(files)
    made_up = path.with_name(".nfs000000000000a1b200000001")
    made_up.write_bytes(b"still read")
    later = datetime.now(tz=UTC) + timedelta(hours=1)
    assert list(files.kept(before=later)) == [_DIGEST]


def test_an_owner_that_is_gone_leaves_nothing_and_others_keep_theirs(tmp_path: Path) -> None:
    """What a process has half-written is deleted with it alone."""
    one, two = (FolderFileStore(tmp_path, owner=owner) for owner in ("one", "two"))
    for files in (one, two):
        files.temporary().write_bytes(b"half")
    one.remove_temporary_of("one")
    assert [path.name.partition(".")[0] for path in (tmp_path / "tmp").iterdir()] == ["two"]
