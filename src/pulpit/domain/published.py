"""Where published content may lie: below ``/pulp/repos/`` or ``/pulp/isos/``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

from pulpit.errors import InvalidValue

__all__ = [
    "MAX_PARTS",
    "MAX_PATH",
    "Root",
    "checked_relative_url",
    "leading_paths",
    "refuse_rivals",
]

#: Parts that a relative URL may have; a longer path is no publication's.
MAX_PARTS = 50
#: Characters of a relative URL, and of a path that is looked up.
MAX_RELATIVE_URL = 1000
MAX_PATH = 8000
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


class Root(StrEnum):
    """Below which folder of ``/pulp/`` a publication lies; each has URLs of its own."""

    REPOS = "repos"
    ISOS = "isos"


def checked_relative_url(text: str) -> str:
    """Return the relative URL without the slash at its end.

    Raises:
        ValueError: with the reason, if it could lead elsewhere.
    """
    path = text.removesuffix("/")
    parts = path.split("/")
    if _FORBIDDEN.search(path):
        raise ValueError("has characters that no URL has")
    if len(path) > MAX_RELATIVE_URL or len(parts) > MAX_PARTS:
        raise ValueError(f"has more than {MAX_RELATIVE_URL} characters or {MAX_PARTS} parts")
    if path.startswith("/"):
        raise ValueError("must not begin with a slash")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("must be a path without empty parts, . and ..")
    return path


def leading_paths(path: str) -> Sequence[str]:
    """Return ``a``, ``a/b``, ``a/b/c`` of ``a/b/c``: what a publication with it may be called."""
    parts = path.split("/", MAX_PARTS)
    return ["/".join(parts[:end]) for end in range(1, min(len(parts), MAX_PARTS) + 1)]


def refuse_rivals(
    relative_url: str, owner: tuple[str, str], publishers: Iterable[tuple[str, str]]
) -> None:
    """Refuse a URL at which, above which or below which another distributor publishes.

    Args:
        relative_url: where the owner wants to publish.
        owner: its repository and distributor id.
        publishers: (repository id, distributor id) of those who publish there.

    Raises:
        InvalidValue: one of them is not the owner.
    """
    for repo_id, distributor_id in publishers:
        if (repo_id, distributor_id) != owner:
            raise InvalidValue(
                "relative_url",
                why=f"{relative_url} collides with that of distributor {distributor_id} "
                f"of repository {repo_id}",
            )
