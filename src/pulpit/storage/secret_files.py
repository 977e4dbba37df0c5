"""Files that only the server's user may read, made once, by whichever process is first."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

__all__ = ["make_secret_file"]


def make_secret_file(file: Path, content: bytes) -> None:
    """Make a file with this content, unless another process has made one meanwhile.

    Raises:
        OSError: it can't be made.
    """
    draft = file.with_name(f"{file.name}.{uuid4().hex}")
    try:
        draft.touch(mode=0o600, exist_ok=False)
        with draft.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        # nobody sees half a file, and of several that come at once one makes it
        os.link(draft, file)
        _sync_folder(file.parent)
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make sure that the folder's new name outlives a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
