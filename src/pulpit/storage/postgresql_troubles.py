"""What is wrong when a PostgreSQL database can't be used, in words that say what to do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import psycopg
from sqlalchemy.exc import DBAPIError

from pulpit.config import masked_url
from pulpit.errors import DatabaseUnusable

__all__ = ["advice", "explained"]

#: What libpq or the server says, and what to do with the names in it; the first that is found
#: counts.
_ADVICE = tuple(
    (re.compile(pattern), advice)
    for pattern, advice in (
        (
            r"could not translate host name|[Nn]ame or service not known|resolve host",
            "correct the host in the URL",
        ),
        (
            r"[Cc]onnection refused|No such file or directory|No route to host|unreachable",
            "start PostgreSQL there, or correct host and port in the URL",
        ),
        (
            r"timeout expired|timed out",
            "look whether host and port are right and no firewall is between",
        ),
        (
            r"password authentication failed|no password supplied|authentication failed",
            "correct user and password in the URL, or use a ~/.pgpass file",
        ),
        (
            r"no pg_hba.conf entry",
            "let user, database and this host in, in the server's pg_hba.conf",
        ),
        (r'role ("[^"]*") does not exist', "make the user: CREATE ROLE {} LOGIN PASSWORD '…'"),
        (
            r'database ("[^"]*") does not exist',
            "make it: CREATE DATABASE {} OWNER pulpit ENCODING 'UTF8' TEMPLATE template0",
        ),
        (
            r"permission denied|must be owner|insufficient privilege",
            "make the URL's user the owner of the database",
        ),
        (
            r"too many (clients|connections)|remaining connection slots",
            "raise max_connections, or stop what uses the connections",
        ),
        (
            r"starting up|shutting down|recovery mode|not yet accepting",
            "wait until it is up, or see its log",
        ),
        (
            r"SSL|certificate|sslmode",
            "see sslmode and sslrootcert in the URL, and the server's ssl",
        ),
        (r"read-only transaction", "the URL leads to a standby: name the primary"),
        (r"lock timeout|deadlock detected", "see who holds locks in pg_stat_activity; try again"),
        (r"invalid|URI", "write it as postgresql://user:password@host:5432/database"),
        (r"No space left|disk full", "make room on the database's disk"),
    )
)
#: What libpq asks below a reason, which the advice answers; what psycopg puts before one.
_GUESS, _PREFIX = "Is the server running", "connection failed: "


def advice(reason: str) -> str:
    """Return what to do about what libpq or the server says."""
    for pattern, told in _ADVICE:
        if found := pattern.search(reason):
            return told.format(*found.groups())
    return "see the database's log"


@contextlib.contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what the driver raises into an error for the operator.

    Raises:
        DatabaseUnusable: the database can't be used; it says what to do, without the password.
    """
    try:
        yield
    except (psycopg.Error, DBAPIError) as error:
        reason = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
        # of a URL that it can't read, libpq tells all of it
        lines = [line.strip() for line in reason.replace(url, masked_url(url)).splitlines()]
        told = " ".join(line for line in lines if not line.startswith(_GUESS))
        told = told.removeprefix(_PREFIX)
        words = f"The database {masked_url(url)} can't be used: {told}; {advice(told)}."
        raise DatabaseUnusable(words, reason=told) from error
