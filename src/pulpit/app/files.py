"""How many files the server may have open: each connection is one."""

from __future__ import annotations

import resource

__all__ = ["raise_file_limit"]

#: More would cost tables in the kernel that nobody fills.
_MOST = 65_536


def raise_file_limit() -> None:
    """Allow this process as many open files as the system lets it, up to a bound.

    The limit that is usual, 1,024, is for programs that use ``select``, which nothing here does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
