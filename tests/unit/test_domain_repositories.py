"""Repositories as values: their ids, and the secrets of their plugins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulpit.domain.repositories import (
    DISTRIBUTOR_ID,
    MASK,
    REPOSITORY_ID,
    masked,
    merged,
    priority_of,
    unmasked,
)

_CONFIGS = st.dictionaries(
    st.sampled_from(
        ["feed", "basic_auth_password", "proxy_password", "ssl_client_key", "query_auth_token"]
    ),
    st.none() | st.text(max_size=5),
)


@pytest.mark.parametrize(
    ("text", "repository", "distributor"),
    [
        ("zoo", True, True),
        ("a.b", True, False),
        ("-_9", True, True),
        ("", False, False),
        ("a b", False, False),
        ("a/b", False, False),
        ("é", False, False),
        ("a\n", False, False),
        ("٣", False, False),
    ],
)
def test_ids(text: str, repository: bool, distributor: bool) -> None:
    """Letters, digits, hyphens, underscores; dots in repositories only."""
    assert bool(REPOSITORY_ID.fullmatch(text)) is repository
    assert bool(DISTRIBUTOR_ID.fullmatch(text)) is distributor


@pytest.mark.parametrize(
    ("key", "value", "secret"),
    [
        ("basic_auth_password", "p", True),
        ("proxy_password", "p", True),
        ("password", "p", True),
        ("ssl_client_key", "k", True),
        ("query_auth_token", "t", True),
        ("ssl_client_cert", "-----BEGIN RSA PRIVATE KEY-----", True),
        ("ssl_client_cert", "-----BEGIN CERTIFICATE-----", False),
        ("basic_auth_password", "", False),
        ("basic_auth_password", None, False),
        ("basic_auth_username", "u", False),
        ("feed", "http://x/", False),
        ("validate", True, False),
    ],
)
def test_secrets_are_masked(key: str, value: Any, secret: bool) -> None:
    """Passwords, keys and tokens, where there are any."""
    assert masked({key: value}) == {key: MASK if secret else value}


@given(_CONFIGS)
def test_what_is_shown_can_be_sent_back(kept: dict[str, Any]) -> None:
    """A client that sends back what it saw changes nothing."""
    assert unmasked(masked(kept), kept) == kept


def test_new_secrets_are_taken() -> None:
    """A mask stands for the secret that is kept; where there is none it is just text."""
    kept = {"proxy_password": "old", "feed": "http://x/"}
    assert unmasked({"proxy_password": "new"}, kept) == {"proxy_password": "new"}
    assert unmasked({"proxy_password": MASK}, {}) == {"proxy_password": MASK}
    assert unmasked({"feed": MASK}, kept) == {"feed": MASK}


def test_configurations_merge() -> None:
    """Sent keys win, null takes one away, and a masked secret stays as it is kept."""
    kept = {"feed": "http://a/", "proxy_password": "secret", "validate": True}
    sent = {"feed": "http://b/", "proxy_password": MASK, "validate": None, "max_speed": 5}
    assert merged(kept, sent) == {
        "feed": "http://b/",
        "proxy_password": "secret",
        "max_speed": 5,
    }


@pytest.mark.parametrize("priority", [-100, 0, 7, 100])
def test_a_note_gives_a_priority(priority: int) -> None:
    """An integer of the range is taken; without the note it is 0."""
    assert priority_of({"pulpit_priority": priority, "other": "x"}) == priority
    assert priority_of({}) == 0


@pytest.mark.parametrize("priority", [-101, 101, 1.0, "7", True, None, [], {}])
def test_other_priorities_are_refused(priority: Any) -> None:
    """Whatever else stands there is told with the range."""
    with pytest.raises(ValueError, match="an integer from -100 to 100"):
        priority_of({"pulpit_priority": priority})
