"""Times as the API writes them, and the identifiers that carry a time."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

__all__ = ["TIME_FORMAT", "new_oid", "parse_time", "render_time", "utc_now"]

#: Pulp 2's form of a time: whole seconds, UTC, with the letter Z.
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def utc_now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(tz=UTC)


def render_time(moment: datetime | None) -> str | None:
    """Return *moment* as ``YYYY-MM-DDTHH:MM:SSZ``, or None for None."""
    if moment is None:
        return None
    # strftime is three times slower, and every report holds four times
    return moment.astimezone(UTC).isoformat(timespec="seconds")[:19] + "Z"


def parse_time(text: str) -> datetime:
    """Return the time that *text* names; without an offset it is UTC.

    Raises:
        ValueError: *text* is no ISO 8601 time.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def new_oid(moment: datetime) -> str:
    """Return 24 hexadecimal digits, the first 8 of them the second of *moment*.

    Pulp 2 kept its objects in a database that names them so; clients sort by it.
    """
    seconds = int(moment.timestamp()) & 0xFFFFFFFF
    return f"{seconds:08x}{secrets.token_hex(8)}"
