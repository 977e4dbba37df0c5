"""What an operator reads when a PostgreSQL database can't be used."""

from __future__ import annotations

import psycopg
import pytest

from pulpit.errors import DatabaseUnusable
from pulpit.storage.postgresql_troubles import explained

_URL = "postgresql://pulpit:hush@127.0.0.1/bells"
_AT = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '


def _told(reason: str) -> str:
    with pytest.raises(DatabaseUnusable) as caught, explained(_URL):
        raise psycopg.OperationalError(reason)
    return caught.value.message


def test_a_guess_of_the_library_gives_way_to_advice() -> None:
    """It is a question, and asks what the advice answers."""
    guess = "\tIs the server running on that host and accepting TCP/IP connections?"
    assert _told(f"{_AT}Connection refused\n{guess}") == (
        "The database postgresql://pulpit:***@127.0.0.1/bells can't be used: connection to server "
        'at "127.0.0.1", port 5432 failed: Connection refused; start PostgreSQL there, or correct '
        "host and port in the URL."
    )


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ('FATAL:  database "bells" does not exist', 'CREATE DATABASE "bells" OWNER'),
        ('FATAL:  role "ringer" does not exist', 'CREATE ROLE "ringer" LOGIN'),
    ],
)
def test_advice_names_what_is_missing(reason: str, advice: str) -> None:
    """It can be taken as it is."""
    assert advice in _told(f"{_AT}{reason}")
