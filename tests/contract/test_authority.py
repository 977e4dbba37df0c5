"""An authority knows the certificates that it has made, while they are valid, and no others."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulpit.domain.users import Identity
from pulpit.errors import ConfigurationError
from pulpit.ports import CertificateAuthority
from pulpit.storage.authority import AUTHORITY_FILE, FileAuthority, open_authority
from pulpit.testing import MemoryAuthority

_NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
#: The longest login there is.
_ANN = Identity(login="a" * 255, oid="5e1f" * 6, mark="ab" * 16)
_DAY = timedelta(days=1)
#: Makes authorities, each with a key of its own.
MakeAuthority = Callable[[], CertificateAuthority]


@pytest.fixture(params=["folder", "memory"])
def make_authority(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> MakeAuthority:
    """Return what makes authorities of one implementation."""
    if request.param == "memory":
        return MemoryAuthority
    return lambda: open_authority(tmp_path_factory.mktemp("ca"))


def _der(certificate: str) -> bytes:
    """Return what a handshake shows of a certificate."""
    if "BEGIN" not in certificate:
        return certificate.encode()
    return ssl.PEM_cert_to_DER_cert(certificate)


def test_a_certificate_is_known_while_it_is_valid(make_authority: MakeAuthority) -> None:
    """It says whose it is, from when it was made to its last day."""
    authority = make_authority()
    certificate, key = authority.issue(_ANN, now=_NOW, days=7)
    assert certificate != key
    for moment in (_NOW, _NOW + 6 * _DAY):
        assert authority.identify(_der(certificate), now=moment) == _ANN
    for moment in (_NOW - _DAY, _NOW + 7 * _DAY):
        assert authority.identify(_der(certificate), now=moment) is None


def test_what_others_made_is_unknown(make_authority: MakeAuthority) -> None:
    """Nor is anything else known."""
    authority = make_authority()
    foreign = trustme.CA().issue_cert("ann").cert_chain_pems[0].bytes().decode()
    other, _ = open_authority_elsewhere().issue(_ANN, now=_NOW, days=7)
    for shown in (_der(foreign), _der(other), b"", b"\x30\x82", b"x" * 1000):
        assert authority.identify(shown, now=_NOW) is None


def open_authority_elsewhere() -> FileAuthority:
    """Return an authority of nobody's."""
    made = trustme.CA()
    return FileAuthority(made.cert_pem.bytes(), made.private_key_pem.bytes())


def test_a_changed_certificate_is_unknown(tmp_path: Path) -> None:
    """Whichever byte of it is another."""
    authority = open_authority(tmp_path)
    shown = _der(authority.issue(_ANN, now=_NOW, days=7)[0])

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(place=st.integers(0, len(shown) - 1), change=st.integers(1, 255))
    def check(place: int, change: int) -> None:
        changed = bytearray(shown)
        changed[place] ^= change
        assert authority.identify(bytes(changed), now=_NOW) is None

    check()


def test_all_processes_have_one_authority(tmp_path: Path) -> None:
    """Whoever comes first makes it, closed to others, and it is there after a restart."""
    with ThreadPoolExecutor(4) as pool:
        made = [*pool.map(lambda _: open_authority(tmp_path), range(4))]
    assert len({authority.certificate for authority in made}) == 1
    assert (tmp_path / AUTHORITY_FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [AUTHORITY_FILE]
    certificate, _ = made[0].issue(_ANN, now=_NOW, days=7)
    assert open_authority(tmp_path).identify(_der(certificate), now=_NOW) == _ANN


def test_files_that_are_named_are_used(tmp_path: Path) -> None:
    """Nothing is made in the data folder then."""
    given_one, other = trustme.CA(), trustme.CA()
    certificate, key = tmp_path / "ca.pem", tmp_path / "ca.key"
    given_one.cert_pem.write_to_path(certificate)
    given_one.private_key_pem.write_to_path(key)
    folder = tmp_path / "data"
    authority = open_authority(folder, certificate=certificate, key=key)
    shown, _ = authority.issue(_ANN, now=_NOW, days=1)
    assert authority.identify(_der(shown), now=_NOW) == _ANN
    assert not folder.exists()
    other.private_key_pem.write_to_path(key)
    with pytest.raises(ConfigurationError, match=r"\[security\] cacert.*not that of"):
        open_authority(folder, certificate=certificate, key=key)
    key.write_text("none")
    with pytest.raises(ConfigurationError, match=r"\[security\] cacert"):
        open_authority(folder, certificate=certificate, key=key)
    key.unlink()
    with pytest.raises(ConfigurationError, match=r"\[security\] cakey.*No such file"):
        open_authority(folder, certificate=certificate, key=key)


@pytest.mark.parametrize("content", [b"", b"none", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_broken_file_is_told(tmp_path: Path, content: bytes) -> None:
    """With what to do, which is not done by itself: certificates may be out there."""
    (tmp_path / AUTHORITY_FILE).write_bytes(content)
    with pytest.raises(ConfigurationError, match="mend the file, or delete it"):
        open_authority(tmp_path)
    assert (tmp_path / AUTHORITY_FILE).read_bytes() == content
