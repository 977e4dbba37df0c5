"""Files of the store that nothing names any longer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import islice

from pulpit.ports import FileStore, Transaction

__all__ = ["remove_files"]

#: Files that are deleted in one transaction, which other writers wait for.
_AT_ONCE = 500


def remove_files(
    write: Callable[[], AbstractContextManager[Transaction]],
    files: FileStore,
    digests: Collection[str],
    *,
    before: datetime | None = None,
) -> int:
    """Delete those of the files that nothing names; return how many.

    That no unit names them is committed before they go, so that a crash leaves no unit without its
    file. Each look and what is taken away by it are one short transaction, which nobody who comes
    to name the same files falls into.

    Args:
        write: opens transactions.
        files: the file store.
        digests: which.
        before: only those kept before the time.
    """
    removed = 0
    waiting = iter(digests)
    while batch := list(islice(waiting, _AT_ONCE)):
        with write() as transaction:
            aside = files.set_aside(transaction.content.drop_artifacts(batch), before=before)
        files.discard(aside)
        removed += len(aside)
    return removed
