"""How connections to PostgreSQL are made: what both ends do about a peer that is gone."""

from __future__ import annotations

import math
import re
import select
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import set_json_dumps, set_json_loads
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import QueuePool

from pulpit.storage.postgresql_dialect import OPENING_URL

__all__ = ["connection_values", "connector", "opening_engines", "postgresql_engine"]

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
#: Seconds for which a connection that was used counts as there unless it shows otherwise.
_FRESH = 1.0
#: Where a pool keeps when a connection came back.
_RETURNED = "pulpit_returned"


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
    pool = _pool(connector(url, idle_seconds=idle_seconds, **attributes), connections)
    return create_engine("postgresql+psycopg://", pool=pool, use_native_hstore=False)


def opening_engines(
    url: str, *, connections: int, idle_seconds: float, openings: Sequence[str]
) -> Sequence[Engine]:
    """Return engines on the database that share their connections.

    Args:
        url: as for ``postgresql_engine``.
        connections: of all of them together.
        idle_seconds: as for ``postgresql_engine``.
        openings: what opens the transactions of each; see ``OpeningDialect``.
    """
    pool = _pool(connector(url, idle_seconds=idle_seconds, autocommit=True), connections)
    return [
        create_engine(OPENING_URL, pool=pool, opening=opening, use_native_hstore=False)
        for opening in openings
    ]


def _pool(connect: Callable[[], psycopg.Connection[Any]], connections: int) -> QueuePool:
    """Return a pool that gives out no connection which the server has closed."""
    pool = QueuePool(
        # the engine's own dialect takes them as they are
        cast("Any", connect),
        pool_size=connections,
        max_overflow=0,
        timeout=_POOL_SECONDS,
        use_lifo=True,
    )
    event.listen(pool, "checkin", _note_return)
    event.listen(pool, "checkout", _make_sure)
    return pool


def _note_return(_connection: psycopg.Connection[Any] | None, record: Any) -> None:
    """Note when a connection is used no longer."""
    record.info[_RETURNED] = time.monotonic()


def _make_sure(connection: psycopg.Connection[Any], record: Any, _fairy: Any) -> None:
    """Let a connection be used only if the server has not closed it.

    A question of its own would cost as much as any statement: one that was used a moment ago is
    gone only if there is something to read from it, the server's last words or the end.

    Raises:
        InvalidatePoolError: it is closed, and so are all others that are older.
    """
    idle = time.monotonic() - record.info.get(_RETURNED, -math.inf)
    try:
        if idle > _FRESH or _has_news(connection):
            connection.execute("SELECT 1", prepare=False)
            connection.rollback()
    except psycopg.Error as error:
        raise InvalidatePoolError(str(error)) from error


def _has_news(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether the server has sent something unasked."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
