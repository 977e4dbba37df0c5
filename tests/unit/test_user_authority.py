"""The authority of client certificates is opened when there is a need for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
import trustme
from structlog.testing import capture_logs

from pulpit.app.authority import UserAuthority
from pulpit.config import Security, Server, Settings, Storage
from pulpit.domain.users import Identity
from pulpit.errors import ConfigurationError, Unavailable
from pulpit.storage.authority import AUTHORITY_FILE

_NOW = datetime(2026, 3, 1, tzinfo=UTC)
_ANN = Identity(login="ann", oid="0" * 24, mark="m" * 32)


def _opened(settings: Settings) -> UserAuthority:
    return UserAuthority(settings, log=structlog.get_logger())


def test_nothing_is_made_before_somebody_logs_in(tmp_path: Path) -> None:
    """A server without https, or that asks for no certificates, has no need of an authority."""
    settings = Settings(storage=Storage(data=tmp_path))
    for server, security in (
        (Server(), Security()),
        (Server(certificate=tmp_path / "x"), Security(client_certificates=False)),
    ):
        authority = _opened(replace(settings, server=server, security=security))
        assert authority.for_handshakes() is None
        assert not (tmp_path / AUTHORITY_FILE).exists()
    certificate, _ = authority.issue(_ANN, now=_NOW, days=1)
    assert certificate.startswith("-----BEGIN CERTIFICATE-----")
    asking = _opened(replace(settings, server=Server(certificate=tmp_path / "x")))
    told = asking.for_handshakes()
    assert told is not None
    assert told in (tmp_path / AUTHORITY_FILE).read_text()


def test_a_broken_authority_is_told_when_it_is_needed(tmp_path: Path) -> None:
    """Who logs in gets a 503, and no certificate is known; with https the start ends."""
    (tmp_path / AUTHORITY_FILE).write_text("none")
    settings = Settings(storage=Storage(data=tmp_path))
    authority = _opened(settings)
    with capture_logs() as logged, pytest.raises(Unavailable) as raised:
        authority.issue(_ANN, now=_NOW, days=1)
    # where files are is for those who look after the server
    assert str(tmp_path) not in raised.value.message
    assert str(tmp_path) in logged[0]["reason"]
    assert authority.identify(b"x", now=_NOW) is None
    with pytest.raises(ConfigurationError):
        _opened(replace(settings, server=Server(certificate=tmp_path / "x"))).for_handshakes()


def test_files_that_are_set_are_looked_at_at_once(tmp_path: Path) -> None:
    """A start with files that can't be used ends."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    security = Security(cacert=tmp_path / "ca.pem", cakey=tmp_path / "ca.key")
    settings = Settings(storage=Storage(data=tmp_path / "data"), security=security)
    with pytest.raises(ConfigurationError, match=r"\[security\] cakey"):
        _opened(settings)
    made.private_key_pem.write_to_path(str(tmp_path / "ca.key"))
    assert _opened(settings).issue(_ANN, now=_NOW, days=1)
