"""Signatures by which receivers know who has sent a delivery, as Standard Webhooks has them.

See https://www.standardwebhooks.com/ for what receivers check them by.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pulpit.domain.listeners import SigningSecret

__all__ = ["Key", "decode_keys", "signature"]

_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is signed with."""

    #: A code that the secret was put into, to be copied: that is most of what a short one takes.
    begun: hmac.HMAC = field(repr=False)
    #: Until when, in seconds since 1970; None: as long as the listener has it.
    until: float | None


def decode_keys(secrets: Iterable[SigningSecret]) -> Sequence[Key]:
    """Return the keys that secrets stand for.

    Raises:
        ValueError: one is no ``whsec_`` and base64; the message does not show it.
    """
    return tuple(
        Key(
            begun=hmac.new(_decoded(secret.value), digestmod="sha256"),
            until=None if secret.until is None else secret.until.timestamp(),
        )
        for secret in secrets
    )


def _decoded(value: str) -> bytes:
    """Return the bytes of a secret."""
    encoded = value.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key or encoded == value:
        # without what caused it, which may tell some of it
        raise ValueError("a signing secret must be whsec_ and base64") from None
    return key


def signature(keys: Iterable[Key], *, delivery_id: str, now: datetime, body: bytes) -> str:
    """Return the header ``webhook-signature``: one signature for each key that holds.

    Args:
        keys: the newest first.
        delivery_id: the header ``webhook-id``.
        now: its whole seconds are the header ``webhook-timestamp``.
        body: what is sent.
    """
    moment = now.timestamp()
    signed = b"%b.%d.%b" % (delivery_id.encode(), int(moment), body)
    codes = []
    for key in keys:
        if key.until is None or key.until > moment:
            code = key.begun.copy()
            code.update(signed)
            codes.append("v1," + binascii.b2a_base64(code.digest(), newline=False).decode())
    return " ".join(codes)
