"""Files of the store: whether they are whole, and how rows come to name them."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pulpit.errors import StorageFull
from pulpit.ports import FileStore, Transaction

__all__ = ["intact", "name_files", "telling_full_disk"]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def intact(path: Path, digest: str, *, thorough: bool) -> bool:
    """Tell whether a file is in the store.

    *thorough* reads it all, and removes one that is rotten: the store would keep it in the place of
    the right one if that is as long.
    """
    if not thorough:
        return path.exists()
    try:
        with path.open("rb") as file:
            is_right = hashlib.file_digest(file, "sha256").hexdigest() == digest
    except FileNotFoundError:
        # it may go as an orphan at any time
        return False
    if not is_right:
        path.unlink(missing_ok=True)
    return is_right


def name_files(
    transaction: Transaction, files: FileStore, sizes: Mapping[str, int]
) -> Collection[str]:
    """Keep that files are in the store, SHA-256 to size; return those that still are.

    Others may remove a file as long as no row names it. They do that in transactions which content
    stores keep apart from this one: so it is looked for after the first statement here.
    """
    transaction.content.has_artifacts(sizes)
    there = {digest: size for digest, size in sizes.items() if files.path(digest).exists()}
    transaction.content.add_artifacts(there)
    return there.keys()


@contextmanager
def telling_full_disk() -> Iterator[None]:
    """Say in words when the data folder can't be written.

    Raises:
        StorageFull: it can't.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFull(f"The data folder can't be written: {error.strerror}") from error
