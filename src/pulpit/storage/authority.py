"""The authority of users' client certificates: one of the data folder, or one that is given.

The subject of a certificate says whose it is (UID, ``<login>:<id>``) and, as its unit, a mark that
changes with the user's password.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from pulpit.domain.clock import utc_now
from pulpit.domain.users import Identity
from pulpit.errors import ConfigurationError
from pulpit.storage.secret_files import make_secret_file

__all__ = ["AUTHORITY_FILE", "FileAuthority", "open_authority"]

#: Name of the file of certificate and key in the data folder.
AUTHORITY_FILE = "client-ca.pem"
#: What the library raises for bytes that are no certificate; it warns of some, too.
_UNREADABLE = (x509.InvalidVersion, ValueError, TypeError, Warning)
#: Characters of a common name.
_CN_LENGTH = 64
#: For which the authority of the data folder is valid: for good, as it were.
_YEARS = 30
#: Clocks of machines that share certificates may differ so much.
_SKEW = timedelta(minutes=5)
_MOST_BYTES = 1 << 20

_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class _Authority(NamedTuple):
    """Who makes certificates."""

    certificate: x509.Certificate
    key: _Key


class FileAuthority:
    """Implements ``pulpit.ports.CertificateAuthority``.

    Args:
        certificate: of the authority, PEM.
        key: its private key, PEM.

    Raises:
        ValueError: they can't be used, or don't belong together.
    """

    def __init__(self, certificate: bytes, key: bytes) -> None:
        self._authority = _loaded(certificate, key)

    @property
    def certificate(self) -> str:
        """The authority's certificate as PEM, for those who ask clients for theirs."""
        pem = self._authority.certificate.public_bytes(serialization.Encoding.PEM)
        return pem.decode("ascii")

    def issue(self, subject: Identity, *, now: datetime, days: int) -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self._authority.certificate
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.USER_ID, f"{subject.login}:{subject.oid}"),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, subject.mark),
                # for people, and as Pulp 2 had it; longer ones are against the rules (RFC 5280)
                x509.NameAttribute(NameOID.COMMON_NAME, f"admin:{subject.login}"[:_CN_LENGTH]),
            ]
        )
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        )
        signed = built.sign(self._authority.key, _algorithm(self._authority.key))
        certificate = signed.public_bytes(serialization.Encoding.PEM).decode("ascii")
        return certificate, _as_pem(key).decode("ascii")

    def identify(self, certificate: bytes, *, now: datetime) -> Identity | None:
        try:
            shown = x509.load_der_x509_certificate(certificate)
            shown.verify_directly_issued_by(self._authority.certificate)
            is_valid = shown.not_valid_before_utc <= now < shown.not_valid_after_utc
            users = _values(shown, NameOID.USER_ID)
            marks = _values(shown, NameOID.ORGANIZATIONAL_UNIT_NAME)
        except (*_UNREADABLE, InvalidSignature, UnsupportedAlgorithm):
            return None
        if not is_valid or len(users) != 1 or len(marks) != 1:
            return None
        login, _, oid = users[0].partition(":")
        return Identity(login=login, oid=oid, mark=marks[0])


def open_authority(
    folder: Path, *, certificate: Path | None = None, key: Path | None = None
) -> FileAuthority:
    """Return the authority of two files, or else that of the data folder, made if need be.

    Raises:
        ConfigurationError: a file can't be read, written or used.
    """
    if certificate and key:
        try:
            return FileAuthority(_read(certificate, "cacert"), _read(key, "cakey"))
        except ValueError as error:
            raise ConfigurationError(
                f"{certificate} and {key} can't be used: {error}", section="security", key="cacert"
            ) from None
    file = folder / AUTHORITY_FILE
    try:
        if not file.exists():
            make_secret_file(file, _new_authority())
        content = file.read_bytes()
        return FileAuthority(content, content)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the authority of client certificates can't be used ({error}): mend the file, or "
            "delete it to have a new one made, which makes all client certificates void",
            source=str(file),
        ) from None


def _read(path: Path, key: str) -> bytes:
    try:
        with path.open("rb") as opened:
            return opened.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigurationError(
            f"{path} can't be read: {error.strerror}", section="security", key=key
        ) from None


def _loaded(certificate: bytes, key: bytes) -> _Authority:
    """Return certificate and key of two texts, or raise ValueError."""
    shown = x509.load_pem_x509_certificate(certificate)
    try:
        loaded = serialization.load_pem_private_key(key, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"the key is of no use: {error}") from None
    if not isinstance(loaded, _Key):
        raise ValueError("the key is not one that signs certificates")  # noqa: TRY004 - it is text
    if loaded.public_key() != shown.public_key():
        raise ValueError("the key is not that of the certificate")
    return _Authority(certificate=shown, key=loaded)


def _new_authority() -> bytes:
    """Return certificate and key of a new authority, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Pulpit's users")])
    now = utc_now()
    signs = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signs, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _as_pem(key) + certificate.public_bytes(serialization.Encoding.PEM)


def _as_pem(key: _Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _algorithm(key: _Key) -> hashes.SHA256 | None:
    """Return the hash that goes with a kind of key."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _values(shown: x509.Certificate, kind: ObjectIdentifier) -> list[str]:
    return [str(each.value) for each in shown.subject.get_attributes_for_oid(kind)]
