"""Deliveries by TLS: whom the notifier trusts, what it shows, and what it says is wrong."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from pulpit.domain.deliveries import Receipt, Verdict
from tests.integration.receivers import (
    Receiver,
    Stream,
    answering,
    listener,
    notifying,
    parcel,
    receiving,
)
from tests.services.tls import Files, issue

OK = answering("200 OK")

Run = Callable[[Coroutine[Any, Any, Receipt]], Receipt]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return who vouches for all certificates of these tests."""
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Return a certificate for this machine."""
    return issue(tmp_path_factory.mktemp("tls"), "127.0.0.1", "zoo.example", authority=authority)


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Return how a test runs: in the loop of tests, and in that of the server."""
    chosen: Run = request.param
    return chosen


def server_side(files: Files, *, clients: Path | None = None) -> ssl.SSLContext:
    """Return the receiver's context.

    Args:
        files: its certificate.
        clients: the authorities of clients, who must then show a certificate.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context


async def delivered(context: ssl.SSLContext, *, host: str = "127.0.0.1", **config: Any) -> Receipt:
    """Return what a delivery to such a receiver comes to."""

    async def lookup(name: str) -> list[str]:
        assert name != "127.0.0.1"
        return ["127.0.0.1"]

    async with (
        receiving(OK, tls=context) as receiver,
        notifying(lookup=lookup) as notifier,
    ):
        return await notifier.deliver(listener(receiver.url(host), **config), parcel())


@pytest.mark.parametrize("host", ["127.0.0.1", "zoo.example"])
def test_a_receiver_is_trusted_by_its_authority(files: Files, run: Run, host: str) -> None:
    ca_path = str(files.authority)
    receipt = run(delivered(server_side(files), host=host, ca_path=ca_path))
    assert receipt.verdict is Verdict.DELIVERED


def test_a_folder_of_authorities_is_one_too(files: Files, tmp_path: Path) -> None:
    # the name is the hash that openssl looks for
    context = ssl.create_default_context(cafile=files.authority)
    assert len(context.get_ca_certs()) == 1
    (tmp_path / "authority.pem").write_bytes(files.authority.read_bytes())
    os.system(f"openssl rehash {tmp_path}")
    receipt = asyncio.run(delivered(server_side(files), ca_path=str(tmp_path)))
    assert receipt.verdict is Verdict.DELIVERED


def test_a_certificate_for_another_name_is_not_trusted(
    files: Files, authority: trustme.CA, tmp_path: Path
) -> None:
    other = issue(tmp_path, "other.example", authority=authority)
    for host in ("127.0.0.1", "zoo.example"):
        receipt = asyncio.run(
            delivered(server_side(other), host=host, ca_path=str(files.authority))
        )
        assert receipt.reason == f"TLS: the receiver's certificate is not for {host}"


def test_a_certificate_that_has_expired_is_not_trusted(
    files: Files, authority: trustme.CA, tmp_path: Path
) -> None:
    old = issue(tmp_path, "127.0.0.1", authority=authority, until=datetime(2020, 1, 1, tzinfo=UTC))
    receipt = asyncio.run(delivered(server_side(old), ca_path=str(files.authority)))
    assert receipt.reason == "TLS: the receiver's certificate, or one above it, has expired"


def test_an_authority_that_is_not_known_is_not_trusted(files: Files, tmp_path: Path) -> None:
    receipt = asyncio.run(delivered(server_side(files)))
    assert "the system's authorities do not vouch" in receipt.reason
    other = issue(tmp_path, "127.0.0.1")
    receipt = asyncio.run(delivered(server_side(files), ca_path=str(other.authority)))
    assert receipt.reason.startswith("TLS: ca_path does not vouch for the receiver's certificate")


def test_a_receiver_may_demand_a_certificate(
    files: Files, authority: trustme.CA, tmp_path: Path, run: Run
) -> None:
    ours = issue(tmp_path / "ours", "pulpit.example", authority=authority)
    stranger = issue(tmp_path / "strange", "pulpit.example")

    def deliver(**config: str) -> Receipt:
        context = server_side(files, clients=files.authority)
        return run(delivered(context, ca_path=str(files.authority), **config))

    # its word may be lost with the connection that it ends
    receipt = deliver()
    assert receipt.verdict is Verdict.FAILED
    assert "demand" in receipt.reason
    assert "client_cert" in receipt.reason
    cert, key = str(ours.certificate), str(ours.key)
    assert deliver(client_cert=cert, client_key=key).verdict is Verdict.DELIVERED
    strange = deliver(client_cert=str(stranger.certificate), client_key=str(stranger.key))
    assert strange.verdict is Verdict.FAILED
    assert "handshake failed" in strange.reason or "client_cert" in strange.reason


def test_certificate_and_key_may_stand_in_one_file(
    files: Files, authority: trustme.CA, tmp_path: Path
) -> None:
    ours = issue(tmp_path, "pulpit.example", authority=authority)
    both = tmp_path / "both.pem"
    both.write_bytes(ours.certificate.read_bytes() + ours.key.read_bytes())
    context = server_side(files, clients=files.authority)
    receipt = asyncio.run(delivered(context, ca_path=str(files.authority), client_cert=str(both)))
    assert receipt.verdict is Verdict.DELIVERED


def test_a_file_that_can_not_be_used_is_told(files: Files, tmp_path: Path) -> None:
    empty, pipe = tmp_path / "empty.pem", tmp_path / "pipe"
    empty.write_text("private words")
    os.mkfifo(pipe)
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n")
    authority, cert = str(files.authority), str(files.certificate)
    for config, words in (
        ({"ca_path": str(tmp_path / "none.pem")}, "none.pem can't be read: No such file"),
        ({"ca_path": str(empty)}, "empty.pem can't be used: it must be a PEM file"),
        ({"ca_path": str(pipe)}, "pipe is not a file"),
        ({"ca_path": authority, "client_cert": str(tmp_path)}, "is not a file"),
        ({"ca_path": authority, "client_cert": cert}, "client_cert and client_key can't be used"),
        (
            {"ca_path": authority, "client_cert": cert, "client_key": str(encrypted)},
            "client_cert and client_key can't be used",
        ),
        ({"ca_path": "/dev/zero"}, "is not a file"),
    ):
        receipt = asyncio.run(delivered(server_side(files), **config))
        assert receipt.verdict is Verdict.FAILED
        assert words in receipt.reason
        assert "private words" not in receipt.reason


def test_authorities_are_read_again_when_they_have_changed(tmp_path: Path) -> None:
    """Neither the new receiver fails for long, nor is the old one trusted for long."""
    old, new = issue(tmp_path / "old", "127.0.0.1"), issue(tmp_path / "new", "127.0.0.1")
    ca_path = tmp_path / "ca.pem"

    async def until(receiver: Receiver, notifier: Any, verdict: Verdict) -> None:
        told = listener(receiver.url(), ca_path=str(ca_path), revision=receiver.port)
        async with asyncio.timeout(60):
            while (await notifier.deliver(told, parcel())).verdict is not verdict:
                continue

    async def run() -> None:
        async with (
            receiving(OK, tls=server_side(old)) as one,
            receiving(OK, tls=server_side(new)) as other,
            notifying() as notifier,
        ):
            ca_path.write_bytes(old.authority.read_bytes())
            await until(one, notifier, Verdict.DELIVERED)
            await until(other, notifier, Verdict.FAILED)
            ca_path.write_bytes(new.authority.read_bytes())
            await until(other, notifier, Verdict.DELIVERED)
            # although there is a connection to it that was trusted
            await until(one, notifier, Verdict.FAILED)

    asyncio.run(run())


def test_a_port_without_tls_is_told(files: Files, run: Run) -> None:
    async def greeting() -> Receipt:
        async def greet(stream: Stream) -> None:
            await stream.send(b"220 zoo.example ESMTP\r\n")
            await stream.hang()

        async with receiving(greet) as receiver, notifying() as one:
            url = receiver.url().replace("http:", "https:")
            return await one.deliver(listener(url, ca_path=str(files.authority)), parcel())

    told = "TLS: the receiver does not speak it at this port; correct the url"
    assert run(greeting()).reason == told


def test_a_port_with_tls_is_no_http(files: Files) -> None:
    async def delivery() -> Receipt:
        async with receiving(OK, tls=server_side(files)) as receiver, notifying() as notifier:
            return await notifier.deliver(
                listener(receiver.url().replace("https:", "http:")), parcel()
            )

    receipt = asyncio.run(delivery())
    assert receipt.verdict is Verdict.FAILED
    assert "no HTTP" in receipt.reason or "closed the connection" in receipt.reason


def test_a_handshake_that_takes_too_long_is_told(files: Files, run: Run) -> None:
    async def delivery() -> Receipt:
        async with receiving(Stream.hang) as receiver, notifying(seconds=0.5) as notifier:
            url = receiver.url().replace("http:", "https:")
            return await notifier.deliver(listener(url, ca_path=str(files.authority)), parcel())

    assert run(delivery()).reason == "timed out after 0.5 s in the TLS handshake"


def test_a_handshake_that_is_cut_off_is_told(files: Files, run: Run) -> None:
    async def cut_off(stream: Stream) -> None:
        await stream.reader.read(1)

    async def delivery() -> Receipt:
        async with receiving(cut_off) as receiver, notifying() as notifier:
            url = receiver.url().replace("http:", "https:")
            return await notifier.deliver(listener(url, ca_path=str(files.authority)), parcel())

    receipt = run(delivery())
    assert receipt.verdict is Verdict.FAILED
    assert "TLS" in receipt.reason
