"""Client certificates, as connections and trusted proxies bring them."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any
from urllib.parse import unquote

__all__ = ["CERTIFICATE", "from_header", "of_connection"]

#: Key of the state in a request's scope: the client's certificate as DER, or None.
CERTIFICATE = "pulpit.certificate"
#: A certificate of ours has less than a thousand characters.
_MOST = 16 << 10
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


def of_connection(transport: Any) -> bytes | None:
    """Return the certificate that a client has shown in its handshake."""
    secured = transport.get_extra_info("ssl_object")
    certificate: bytes | None = secured.getpeercert(binary_form=True) if secured else None
    return certificate


def from_header(text: str) -> bytes | None:
    """Return the certificate that a proxy tells of; None for garbage, and for more than one.

    Of several, one may be what a client has sent by itself.

    Args:
        text: PEM, with line breaks left out, made spaces or percent-encoded (nginx, Apache); the
            bytes in base64 (HAProxy, Traefik), between colons as RFC 9440 has it or not.
    """
    text = unquote(text[:_MOST]).strip()
    found = _PEM.findall(text)
    if len(found) > 1:
        return None
    encoded = found[0] if found else text.strip(":")
    try:
        return base64.b64decode("".join(encoded.split()), validate=True) or None
    except (binascii.Error, ValueError):
        return None
