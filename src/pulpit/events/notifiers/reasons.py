"""Why a delivery failed, in a line that says what to look at."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from http import HTTPStatus

from pulpit.events.notifiers.attempts import Attempted, Phase
from pulpit.events.notifiers.http_connection import BadAnswer
from pulpit.events.notifiers.targets import Target
from pulpit.events.notifiers.trust import TrustFiles

__all__ = ["reason_of", "reason_of_status", "reason_of_timeout"]

# results of OpenSSL's verification (x509_vfy.h)
_NOT_YET_VALID, _EXPIRED, _OTHER_NAMES = 9, 10, {62, 64}
#: No authority is known for the certificate, or it is its own.
_UNKNOWN = {2, 18, 19, 20, 21}
_NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"}


def reason_of_status(status: int) -> str:
    """Say what an answer means that does not take the delivery."""
    try:
        shown = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        shown = str(status)
    words = f"the receiver answered {shown}"
    match status:
        case HTTPStatus.GONE:
            return f"{words}: it wants no more deliveries"
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return f"{words}; look at username, password and the signing secret"
        case _ if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            return f"{words}; redirects are not followed: correct the url of the listener"
    return words


def reason_of_timeout(attempt: Attempted, seconds: float) -> str:
    """Say what an attempt was waiting for when its time was over."""
    return f"timed out after {seconds:g} s in {attempt.phase.value}"


def reason_of(error: Exception, target: Target, attempt: Attempted, files: TrustFiles) -> str:
    """Say what it means that no answer could be read."""
    if attempt.refused is not None:
        return f"refused: {attempt.refused}"
    if isinstance(error, BadAnswer):
        return _no_http(error)
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _no_tls(cause, target, files)
    if attempt.phase is Phase.NAME:
        return _no_address(causes, target)
    return _no_connection(causes, target, attempt, files)


def _no_connection(
    causes: Sequence[BaseException],
    target: Target,
    attempt: Attempted,
    files: TrustFiles,
) -> str:
    """Say where a connection ended, or why there was none."""
    numbers = [cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno]
    known = os.strerror(numbers[0]) if numbers and numbers[0] in errno.errorcode else None
    if attempt.phase is Phase.HANDSHAKE:
        return "TLS: the receiver closed the connection in the handshake; its log may say why"
    if attempt.phase is not Phase.ANSWER:
        return f"can't connect: {known or 'no address of the host answers'}"
    # by TLS 1.3 a receiver tells only after the handshake what it thinks of our certificate
    why = "its log may say why"
    if target.scheme == "https" and attempt.is_fresh:
        mine = "accept that of client_cert" if files.certificate else "get one by client_cert"
        why = f"it may demand a certificate, and not {mine}"
    if known is None:
        return f"the receiver closed the connection without an answer; {why}"
    return f"the connection broke before an answer came ({known}); {why}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that it came of."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__]


def _distrust(error: ssl.SSLCertVerificationError, target: Target, files: TrustFiles) -> str:
    """Say why the receiver's certificate is not accepted."""
    code = error.verify_code
    if code in _OTHER_NAMES:
        return f"TLS: the receiver's certificate is not for {target.host}"
    if code == _EXPIRED:
        return "TLS: the receiver's certificate, or one above it, has expired"
    if code == _NOT_YET_VALID:
        return "TLS: the receiver's certificate, or one above it, is not valid yet"
    if code in _UNKNOWN:
        who = "ca_path does" if files.authorities else "the system's authorities do"
        return f"TLS: {who} not vouch for the receiver's certificate; name its authority in ca_path"
    return f"TLS: the receiver's certificate is not accepted ({error.verify_message})"


def _no_tls(error: ssl.SSLError, target: Target, files: TrustFiles) -> str:
    """Say why there is no TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrust(error, target, files)
    reason = str(error.reason or "closed by the receiver")
    if reason in _NO_TLS:
        return "TLS: the receiver does not speak it at this port; correct the url"
    if "ALERT" in reason and "CERTIFICATE" in reason and files.certificate is None:
        return "TLS: the receiver demands a certificate; name one in client_cert"
    words = reason.lower().replace("_", " ")
    return f"TLS: the handshake failed ({words})"


def _no_address(causes: Sequence[BaseException], target: Target) -> str:
    """Say why a name has no address."""
    for cause in causes:
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN:
            return f"no name server answers for {target.host}"
    return f"the name {target.host} is not known"


def _no_http(error: BadAnswer) -> str:
    """Say why an answer can't be read."""
    if error.is_too_large:
        return "the headers of the answer are too large"
    return "the answer is no HTTP"
