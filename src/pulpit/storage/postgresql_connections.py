"""How connections to PostgreSQL are made: what both ends do about a peer that is gone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import set_json_dumps, set_json_loads
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import QueuePool

__all__ = ["connection_values", "connector", "postgresql_engine"]

#: Seconds after which a connection whose peer says nothing at all is given up, at either end.
_SILENCE = 10
#: What libpq does unless the URL says otherwise; seconds, but for the milliseconds of the last.
_CLIENT: dict[str, Any] = {
    "application_name": "pulpit",
    "client_encoding": "utf8",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": _SILENCE * 1000,
}
#: What the server does, so that nobody's locks outlive the machine that took them.
_SERVER = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": f"{_SILENCE}s",
    # a killed client is seen to be gone even while its statement waits for a lock
    "client_connection_check_interval": "2s",
    "lock_timeout": "30s",
}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd".encode()
#: How long to wait for a free connection of the pool, in seconds.
_POOL_SECONDS = 15.0


class _TextDumper(Dumper):
    """Sends text, with U+FFFD in the place of what PostgreSQL's text can't hold."""

    def dump(self, obj: str) -> Buffer:
        try:
            text = obj.encode()
        except UnicodeEncodeError:
            text = _LONE_SURROGATE.sub("\ufffd", obj).encode()
        return text.replace(b"\0", _REPLACEMENT) if b"\0" in text else text


def _adapters() -> AdaptersMap:
    """Return how values go to the database and come from it."""
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_dumper(str, _TextDumper)
    set_json_dumps(msgspec.json.encode, adapters)
    set_json_loads(msgspec.json.decode, adapters)
    return adapters


def connection_values(url: str, *, idle_seconds: float) -> dict[str, Any]:
    """Return what psycopg is given to connect.

    Args:
        url: as libpq takes it; what it says goes before what is set here.
        idle_seconds: how long a transaction may do nothing before the server ends it.
    """
    given = conninfo_to_dict(url)
    server = _SERVER | {"idle_in_transaction_session_timeout": f"{int(idle_seconds * 1000)}ms"}
    options = " ".join(f"-c {name}={value}" for name, value in server.items())
    return {**_CLIENT, **given, "options": f"{options} {given.get('options') or ''}".rstrip()}


def connector(
    url: str, *, idle_seconds: float, **attributes: Any
) -> Callable[[], psycopg.Connection[Any]]:
    """Return what opens connections.

    Args:
        url: as for ``connection_values``.
        idle_seconds: as for ``connection_values``.
        attributes: to set on each connection, such as ``autocommit``.
    """
    known = connection_values(url, idle_seconds=idle_seconds)
    adapters = _adapters()

    def connect() -> psycopg.Connection[Any]:
        connection = psycopg.connect(**known, context=adapters)
        for name, value in attributes.items():
            setattr(connection, name, value)
        return connection

    return connect


def postgresql_engine(
    url: str, *, connections: int, idle_seconds: float, **attributes: Any
) -> Engine:
    """Return an engine on the database.

    Args:
        url: as libpq takes it.
        connections: how many there may be at once; who needs one more waits.
        idle_seconds: how long a transaction may do nothing before the server ends it.
        attributes: to set on each of psycopg's connections.
    """
    return create_engine(
        "postgresql+psycopg://",
        creator=connector(url, idle_seconds=idle_seconds, **attributes),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_POOL_SECONDS,
        pool_pre_ping=True,
        pool_use_lifo=True,
        use_native_hstore=False,
    )
