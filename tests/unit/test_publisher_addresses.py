"""The URLs of brokers."""

from __future__ import annotations

import pytest

from pulpit.errors import ConfigurationError
from pulpit.events.amqp.addresses import Address, parse_addresses


def test_a_url_in_full() -> None:
    """User, password, host, port and virtual host are taken, percent signs undone."""
    (address,) = parse_addresses("amqp://me:p%40ss@broker.example.com:5673/my%2Fhost")
    assert address == Address(
        host="broker.example.com",
        port=5673,
        virtual_host="my/host",
        user="me",
        password="p@ss",
    )


@pytest.mark.parametrize(
    ("url", "port", "tls", "noted"),
    [
        ("amqp://h", 5672, False, False),
        ("amqps://h/", 5671, True, False),
        ("qpid://h:5672/", 5672, False, True),
        ("tcp://h:1", 1, False, True),
        ("SSL://h", 5671, True, True),
    ],
)
def test_schemes(url: str, port: int, tls: bool, noted: bool) -> None:
    """Pulp 2's spellings are read as AMQP, with a note; ports have their defaults."""
    (address,) = parse_addresses(url)
    assert (address.port, address.tls, bool(address.note)) == (port, tls, noted)
    assert address.virtual_host == "/"


def test_several_in_order() -> None:
    """Brokers to fail over to are separated by semicolons."""
    assert [a.host for a in parse_addresses("amqp://a; amqp://b ;amqp://[::1]:7/;")] == [
        "a",
        "b",
        "::1",
    ]


def test_text_hides_the_password() -> None:
    """What stands in logs has no password, in any form."""
    (address,) = parse_addresses("amqps://me:secret@[::1]:7/zoo")
    assert str(address) == "amqps://me@[::1]:7/zoo"
    assert "secret" not in repr(address)
    assert address.netloc == "[::1]:7"


@pytest.mark.parametrize(
    "url", ["", " ; ", "localhost", "http://u:secret@h/", "amqp://u:secret@h:port/", "amqp://"]
)
def test_what_can_not_be_used_names_the_setting(url: str) -> None:
    """The error names section and key, and keeps the password to itself."""
    with pytest.raises(ConfigurationError) as caught:
        parse_addresses(url)
    assert (caught.value.section, caught.value.key) == ("messaging", "event_notification_url")
    assert "secret" not in str(caught.value)
