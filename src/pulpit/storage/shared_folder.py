"""The data folder of a PostgreSQL database, which many machines use at once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from pulpit.errors import DataFolderInUse, DataFolderUnusable

__all__ = ["FOLDER_SETTING", "MARKER", "folder_name", "join_folder"]

#: Names the folder of a PostgreSQL database, so that nobody takes another one for it.
MARKER = "folder.id"
#: The setting of the database that keeps the name.
FOLDER_SETTING = "storage.folder"


def join_folder(folder: Path, settle: Callable[[str, str], str]) -> None:
    """Make sure that the folder is the one that all servers and workers of the database use.

    The first of them makes it, or takes the one that is there.

    Args:
        folder: of content and publications; made if need be.
        settle: keeps a setting in the database unless there is one, and returns what is kept.

    Raises:
        DataFolderInUse: a server with a SQLite database runs on it.
        DataFolderUnusable: it can't be made or written, or is not that folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        _refuse_sqlite(folder)
        name, is_new = _named(folder)
    except OSError as error:
        raise DataFolderUnusable(
            f"The data folder {folder} can't be written: {error.strerror}; "
            "mend its permissions or choose another one with --data.",
        ) from error
    known = settle(FOLDER_SETTING, name)
    if known == name:
        return
    if is_new:
        (folder / MARKER).unlink(missing_ok=True)
    raise DataFolderUnusable(
        f"The data folder {folder} is not the one that the other servers and workers of the "
        "database use: mount the shared one there, or name its place with --data. (If it is lost "
        f"and this one is to take its place, write {known} into {folder / MARKER}.)",
    )


def folder_name(folder: Path) -> str | None:
    """Return the name of a folder; None for one that no PostgreSQL database has.

    Raises:
        OSError: it can't be read.
    """
    try:
        return (folder / MARKER).read_text().strip()
    except FileNotFoundError:
        return None


def _named(folder: Path) -> tuple[str, bool]:
    """Return the folder's name, and whether it got it only now."""
    marker = folder / MARKER
    draft = folder / f"{MARKER}.{uuid4().hex}"
    try:
        if marker.exists():
            return marker.read_text().strip(), False
        draft.write_text(f"{uuid4()}\n")
        # of several that come at once one names it, and nobody sees half a name
        os.link(draft, marker)
    except FileExistsError:
        return marker.read_text().strip(), False
    finally:
        draft.unlink(missing_ok=True)
    return marker.read_text().strip(), True


def _refuse_sqlite(folder: Path) -> None:
    """Raise DataFolderInUse if a server with a SQLite database runs here."""
    try:
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DataFolderInUse(
            f"A server with a SQLite database runs on the data folder {folder}: stop it, or give "
            "this one another folder with --data.",
        ) from error
    except FileNotFoundError:
        return
