"""Signatures of deliveries: a receiver checks them with the library of Standard Webhooks."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from pulpit.domain.clock import utc_now
from pulpit.domain.listeners import SigningSecret
from pulpit.events.notifiers.signing import decode_keys, signature


def secret(seed: bytes = b"k" * 24, until: datetime | None = None) -> SigningSecret:
    """Return a secret."""
    return SigningSecret(value="whsec_" + base64.b64encode(seed).decode(), until=until)


def headers(
    *secrets: SigningSecret, body: bytes = b"{}", now: datetime | None = None
) -> dict[str, str]:
    """Return the headers of a delivery."""
    now = now or utc_now()
    keys = decode_keys(secrets)
    return {
        "webhook-id": "d1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature(keys, delivery_id="d1", now=now, body=body),
    }


def test_a_signature_is_that_of_the_specification() -> None:
    """The example of the libraries of Standard Webhooks."""
    given_secret = SigningSecret(value="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert signature(
        decode_keys([given_secret]),
        delivery_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        now=datetime.fromtimestamp(1614265330.9, tz=UTC),
        body=b'{"test": 2432232314}',
    ) == ("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")


@given(st.binary(min_size=24, max_size=64), st.binary())
def test_the_library_accepts_what_is_signed(seed: bytes, body: bytes) -> None:
    text = b'"%b"' % base64.b64encode(body)
    Webhook(secret(seed).value).verify(text, headers(secret(seed), body=text))


def test_while_secrets_change_either_is_accepted() -> None:
    old = secret(b"o" * 32, until=utc_now() + timedelta(hours=1))
    new = secret(b"n" * 32)
    sent = headers(new, old)
    assert sent["webhook-signature"].count("v1,") == 2
    for each in (new, old):
        Webhook(each.value).verify(b"{}", sent)


def test_an_old_secret_is_used_no_longer_than_it_holds() -> None:
    now = utc_now()
    for until, number in ((now, 1), (now - timedelta(days=1), 1), (now + timedelta(seconds=1), 2)):
        sent = headers(secret(), secret(b"o" * 24, until=until), now=now)
        assert sent["webhook-signature"].count("v1,") == number


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body", "secret"])
def test_what_was_changed_on_the_way_is_not_accepted(changed: str) -> None:
    sent, body, value = headers(secret()), b"{}", secret().value
    if changed == "body":
        body = b"[]"
    elif changed == "secret":
        value = secret(b"x" * 24).value
    elif changed == "webhook-id":
        sent[changed] = "d2"
    else:
        sent[changed] = str(int(sent[changed]) - 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(value).verify(body, sent)


@pytest.mark.parametrize(
    "value", ["", "whsec_", "whsec_*", "whsec_a", "whsec_ä", "a2tra2tra2s=", "whsec_a2tr\n"]
)
def test_what_is_no_secret_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ValueError, match="whsec_ and base64") as error:
        decode_keys([SigningSecret(value=value)])
    assert len(value) < 8 or value not in str(error.value)
    assert error.value.__cause__ is None


def test_no_secret_shows() -> None:
    shown = repr(decode_keys([secret(b"zookeeper" * 3)])) + repr(secret(b"zookeeper" * 3))
    assert "zookeeper" not in shown
    assert base64.b64encode(b"zookeeper" * 3).decode() not in shown
