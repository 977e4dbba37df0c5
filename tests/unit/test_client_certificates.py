"""Client certificates as proxies pass them on: trusted ones are believed, in one line."""

from __future__ import annotations

import asyncio
import base64
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from pulpit.api.client_certificates import CERTIFICATE, from_header
from pulpit.api.forwarded import ForwardedHeaders

_DER = bytes(range(256)) * 3
_BASE64 = base64.b64encode(_DER).decode()
_PEM = trustme.CA().cert_pem.bytes().decode()
_HEADER = "Client-Cert"


@pytest.mark.parametrize(
    "text",
    [
        _BASE64,
        f":{_BASE64}:",
        quote(_BASE64),
    ],
)
def test_bytes_in_base64(text: str) -> None:
    """As RFC 9440, HAProxy and Traefik write them."""
    assert from_header(text) == _DER


@pytest.mark.parametrize(
    "text",
    [
        _PEM,
        quote(_PEM),
        _PEM.replace("\n", " "),
        _PEM.replace("\n", "\t"),
        _PEM.replace("\n", ""),
        f"leading words {_PEM}",
    ],
)
def test_text_with_its_lines_however_they_come(text: str) -> None:
    """As nginx and Apache write them."""
    found = from_header(text)
    assert found
    body = "".join(line for line in _PEM.splitlines() if "-----" not in line)
    assert found == base64.b64decode(body)


@pytest.mark.parametrize(
    "text",
    [_PEM + _PEM, f"{_BASE64},{_BASE64}", f"{_BASE64}, {_PEM}x{_PEM}", f":{_BASE64}:, :{_BASE64}:"],
)
def test_of_several_none_is_believed(text: str) -> None:
    """One of them may be what the client has sent."""
    assert from_header(text) is None


@pytest.mark.parametrize(
    "text", ["", " ", "::", "(null)", "x", "é", "%", "-----BEGIN CERTIFICATE-----"]
)
def test_garbage_is_no_certificate(text: str) -> None:
    """Nor is a header that says that there is none."""
    assert from_header(text) is None


@given(text=st.text(st.characters(max_codepoint=255)))
def test_whatever_comes_is_no_error(text: str) -> None:
    """Bytes or nothing."""
    assert isinstance(from_header(text), bytes | None)


def _passed(
    *lines: str, peer: str = "10.0.0.1", header: str | None = _HEADER, shown: bytes | None = None
) -> bytes | None:
    """Return the certificate with which a request comes to the application."""
    seen: list[bytes | None] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["state"][CERTIFICATE])

    trusting = ForwardedHeaders(app, trusted=(ip_network("10.0.0.0/8"),), certificate_header=header)
    scope = {
        "type": "http",
        "client": (peer, 1),
        "headers": [(_HEADER.lower().encode(), line.encode()) for line in lines],
        "state": {CERTIFICATE: shown},
    }
    asyncio.run(trusting(scope, None, None))  # type: ignore[arg-type]
    return seen[0]


def test_a_trusted_proxy_is_believed() -> None:
    """Its own certificate is not the client's; two lines may be the client's own making."""
    assert _passed(_BASE64) == _DER
    assert _passed(_BASE64, shown=b"of the proxy") == _DER
    assert _passed(shown=b"of the proxy") is None
    assert _passed(_BASE64, _BASE64) is None


def test_nobody_else_is_believed() -> None:
    """Nor anybody where no header is set; what the connection itself has shown counts."""
    assert _passed(_BASE64, peer="192.0.2.1") is None
    assert _passed(_BASE64, peer="192.0.2.1", shown=b"own") == b"own"
    assert _passed(_BASE64, header=None) is None
