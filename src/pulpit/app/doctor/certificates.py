"""Files of certificates: authorities, and what we show ourselves; and when certificates run out."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pulpit.app.certificates import shake_hands, valid_until
from pulpit.app.doctor.findings import Note, Problem
from pulpit.domain.clock import utc_now

__all__ = ["OwnCertificate", "check_authorities", "check_client_certificate", "left"]

#: Certificates that run out within so many days are worth a word.
_SOON = 30
_SECONDS_A_DAY = 86_400
#: Bytes that a file may have; the system's bundle of authorities has 300 KB.
_LARGEST = 16 << 20
# verification results of OpenSSL (x509_vfy.h)
_NOT_YET_VALID, _EXPIRED, _OTHER_PURPOSE = 9, 10, 26


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCertificate:
    """What we show to those who ask for a certificate."""

    #: PEM file of the certificate, and of its key unless that has a file of its own.
    certificate: Path
    key: Path | None = None
    #: The setting that names it, in words.
    setting: str


def check_authorities(path: Path | None, *, setting: str, whom: str) -> str:
    """Look at the file of authorities, or the folder of their files.

    Args:
        path: None for the system's.
        setting: that names it, in words.
        whom: they vouch for.
    """
    if path is None:
        return f"none set: those of the system vouch for {whom}"
    if path.is_dir():
        return _check_folder(path, setting)
    text = _read(path, setting)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise Problem(
            f"{path} holds no certificates that can be read",
            f"write the authorities' certificates to it as PEM (-----BEGIN CERTIFICATE-----); "
            f"the setting is {setting}",
        ) from error
    return f"{path}: {context.cert_store_stats()['x509']} certificate(s)"


def _check_folder(path: Path, setting: str) -> str:
    """Look at a folder of authorities, whose files OpenSSL finds by the hash of their names."""
    try:
        found = sum(bool(re.fullmatch(r"[0-9a-f]{8}\.\d+", entry.name)) for entry in path.iterdir())
    except OSError as error:
        raise Problem(
            f"{path} can't be read: {error.strerror}",
            f"let the server's user read it, or correct {setting}",
        ) from error
    if not found:
        raise Problem(
            f"{path} is a folder without certificates that OpenSSL finds",
            f"run `openssl rehash {path}`, or name a file in {setting}",
        )
    return f"{path}: a folder of {found} certificate(s)"


def check_client_certificate(own: OwnCertificate, *, soon: int = _SOON) -> str:
    """Look at the file, or files, of our own certificate and key.

    Args:
        own: which they are.
        soon: days left that are worth a word.
    """
    key = own.key or own.certificate
    for path, mark, what in (
        (own.certificate, "CERTIFICATE", "certificate"),
        (key, "PRIVATE KEY", "private key"),
    ):
        if not re.search(f"-----BEGIN [A-Z ]*{mark}-----", _read(path, own.setting)):
            where = "that one file" if own.key is None else "their files"
            raise Problem(
                f"{path} holds no {what}",
                f"write both, the certificate and its key, to {where} as PEM; "
                f"the setting is {own.setting}",
            )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # for want of a password, OpenSSL would ask for one at the terminal
        context.load_cert_chain(own.certificate, key, password="")
    except (OSError, ValueError) as error:
        raise _key_problem(own, error) from error
    until = _own_expiry(own, context)
    return f"{own.certificate}: {left(until, 'our certificate', own.setting, soon=soon)}"


def left(until: datetime, whose: str, where: str, *, soon: int = _SOON) -> str:
    """Return how long a certificate is valid.

    Args:
        until: the end.
        whose: it is, in words.
        where: it is set.
        soon: days left that are worth a word.
    """
    days = int((until - utc_now()).total_seconds() // _SECONDS_A_DAY)
    words = f"valid until {until:%Y-%m-%d} ({days} days)"
    if days < soon:
        raise Note(f"{whose} is {words}", f"renew it in time; see {where}")
    return words


def _read(path: Path, setting: str) -> str:
    """Return the text of a file of certificates.

    Owners of listeners may name any file: one that has no end would fill the memory.
    """
    try:
        if not path.is_file() and path.exists():
            raise Problem(f"{path} is not a file", f"correct {setting}")
        with path.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
    except FileNotFoundError as error:
        raise Problem(f"{path} is not there", f"correct {setting}") from error
    except OSError as error:
        raise Problem(
            f"{path} can't be read: {error.strerror}",
            f"let the server's user read it, or correct {setting}",
        ) from error
    if len(content) > _LARGEST:
        raise Problem(
            f"{path} is too large for certificates: more than {_LARGEST} bytes",
            f"correct {setting}",
        )
    return content.decode("ascii", "replace")


def _key_problem(own: OwnCertificate, error: Exception) -> Problem:
    """Return what is wrong with certificate and key."""
    path = own.key or own.certificate
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        whose = f"the certificate in {'it' if own.key is None else own.certificate}"
        return Problem(
            f"the key in {path} is not that of {whose}",
            "write the key with which the certificate was requested",
        )
    if "ENCRYPTED" in _read(path, own.setting):
        return Problem(
            f"the key in {path} is protected by a password",
            "write it without one, readable by the server's user alone (openssl pkey -in … -out …)",
        )
    return Problem(
        f"{path} can't be used ({getattr(error, 'reason', None) or error})",
        "write certificate and key to it as PEM",
    )


def _own_expiry(own: OwnCertificate, server: ssl.SSLContext) -> datetime:
    """Return how long our certificate is valid: shown to ourselves, in memory."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.load_cert_chain(own.certificate, own.key, password="")
    server.verify_mode = ssl.CERT_REQUIRED
    # the certificate vouches for itself: all that is wanted are its dates and purpose
    server.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    server.load_verify_locations(own.certificate)
    try:
        shown = dict(shake_hands(client, server)[1].getpeercert() or {})
    except ssl.SSLCertVerificationError as error:
        words = {
            _EXPIRED: "has expired",
            _NOT_YET_VALID: "is not valid yet",
            _OTHER_PURPOSE: "is not for clients (extended key usage)",
        }
        told = words.get(error.verify_code, error.verify_message)
        raise Problem(
            f"our certificate in {own.certificate} {told}",
            f"renew it; the setting is {own.setting}",
        ) from error
    return valid_until(shown)
