"""What a failed connection means to an operator: one sentence that says what to do."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from amqp import exceptions as errors

from pulpit.events.amqp.addresses import Address
from pulpit.events.amqp.frames import Closed
from pulpit.events.amqp.reasons import LinkError, Reason
from pulpit.events.message import EXCHANGE
from pulpit.events.reply_codes import ReplyCode

__all__ = ["DOOR_PRODUCT", "explain", "explain_closed", "refuse_own_door"]

#: How the name begins under which the server's own AMQP door greets its clients.
DOOR_PRODUCT = "Pulpit"

_URL = "event_notification_url in [messaging]"
# verification results of OpenSSL (x509_vfy.h) and what mends them
_EXPIRED, _NOT_YET_VALID, _OTHER_NAMES = 10, 9, (62, 64)
#: Nothing listens there, or there is no such host.
_NOBODY = (ConnectionRefusedError, socket.gaierror)
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21, 27)


def refuse_own_door(connection: Any, address: Address) -> None:
    """Raise if the server's own door answered.

    Raises:
        LinkError: it did.
    """
    if str(connection.server_properties.get("product", "")).startswith(DOOR_PRODUCT):
        raise LinkError(
            f"what answers at {address} is a Pulpit server's own AMQP door, not a broker: set "
            "event_notification_url in [messaging] to a broker, or leave it out to use the door",
            reason=Reason.OWN_DOOR,
            refused=True,
        )


def explain(
    error: Exception, address: Address, *, who: str, opened: bool, exchange: str = EXCHANGE
) -> LinkError:
    """Return what *error* means that came while connecting.

    Args:
        error: as the library or the system raised it.
        address: of the broker.
        who: whom we log in as, in words.
        opened: whether the login had been accepted.
        exchange: that messages go to.
    """
    if isinstance(error, LinkError):
        return error
    if isinstance(error, errors.AMQPError):
        return _explain_amqp(error, address, who=who, opened=opened, exchange=exchange)
    # a file that is not there is named by neither of the two
    if isinstance(error, ssl.SSLError) or (address.tls and isinstance(error, FileNotFoundError)):
        return LinkError(_tls_words(error, address), reason=Reason.TLS, refused=True)
    words = f"no connection to {address}: {error or type(error).__name__}"
    if isinstance(error, OSError):
        # a broker that speaks TLS there hangs up on who does not
        hint = "" if address.tls or isinstance(error, _NOBODY) else "use amqps:// if it wants TLS, "
        return LinkError(
            f"{words}; start the broker, {hint}or correct {_URL}; it is tried again by itself",
            reason=Reason.UNREACHABLE,
        )
    return LinkError(_no_broker(words), reason=Reason.PROTOCOL)


def explain_closed(
    closed: Closed, address: Address, *, who: str, exchange: str = EXCHANGE
) -> LinkError:
    """Return what it means that the broker has closed a connection that was in use."""
    said = f"{closed.code} {closed.text}"
    match closed.code:
        case ReplyCode.ACCESS_REFUSED:
            return _no_permission(said, address, who, exchange)
        case ReplyCode.NOT_ALLOWED:
            return _no_virtual_host(said, address, who)
        case ReplyCode.PRECONDITION_FAILED:
            return LinkError(
                f"{address} refuses a message: raise max_message_size in the broker's "
                f"configuration ({said})",
                reason=Reason.TOO_LARGE,
                refused=True,
            )
        case code if ReplyCode.FRAME_ERROR <= code <= ReplyCode.UNEXPECTED_FRAME:
            return LinkError(
                _no_broker(f"{address} closed the connection: {said}"), reason=Reason.PROTOCOL
            )
        case ReplyCode.NOT_FOUND:
            words = f"exchange {exchange} was deleted at {address}; it is declared again by itself"
        case ReplyCode.CONNECTION_FORCED:
            words = f"{address} was told to close the connection; it is opened again by itself"
        case _:
            words = f"{address} closed the connection: look at the broker's log"
    return LinkError(f"{words} ({said})", reason=Reason.CLOSED_BY_BROKER)


def _explain_amqp(
    error: errors.AMQPError, address: Address, *, who: str, opened: bool, exchange: str
) -> LinkError:
    """Return what an answer of the broker means."""
    said = str(error.message or error)
    match error:
        case errors.AccessRefused() if not opened:
            return LinkError(
                f"{address} refuses the credentials of {who}: correct user and password in "
                "event_notification_url, section [messaging], or create the user at the broker",
                reason=Reason.REFUSED_CREDENTIALS,
                refused=True,
            )
        case errors.AccessRefused():
            return _no_permission(said, address, who, exchange)
        case errors.PreconditionFailed():
            return LinkError(
                f"{address} has an exchange {exchange} that is not of type topic, durable and not "
                "auto-delete: delete it there; it is declared again by itself",
                reason=Reason.EXCHANGE_MISMATCH,
                refused=True,
            )
        case errors.NotAllowed():
            return _no_virtual_host(said, address, who)
        case errors.ConnectionError() if "auth mechanism" in said:
            return LinkError(
                f"{address} offers no way to log in that the server has: turn PLAIN or AMQPLAIN "
                "on at the broker (auth_mechanisms), or EXTERNAL, and set clientcert in "
                "[messaging] and a URL without a user",
                reason=Reason.NO_MECHANISM,
                refused=True,
            )
        case errors.NotFound():
            return LinkError(
                f"{address} has no exchange {exchange}, and does not let anybody declare one of "
                "that name: name another one",
                reason=Reason.NO_PERMISSION,
                refused=True,
            )
        case errors.ConnectionForced():
            return LinkError(
                f"{address} closes new connections: look at the broker's log ({said})",
                reason=Reason.CLOSED_BY_BROKER,
            )
    return LinkError(_no_broker(f"no connection to {address}: {said}"), reason=Reason.PROTOCOL)


def _no_permission(said: str, address: Address, who: str, exchange: str) -> LinkError:
    return LinkError(
        f"{address} does not let {who} use exchange {exchange}: give it the permission to "
        f"configure and write it ({said})",
        reason=Reason.NO_PERMISSION,
        refused=True,
    )


def _no_virtual_host(said: str, address: Address, who: str) -> LinkError:
    return LinkError(
        f"{address} does not let {who} into virtual host {address.virtual_host}: create it and "
        f"give the user permissions on it, or correct event_notification_url ({said})",
        reason=Reason.NO_VHOST,
        refused=True,
    )


def _no_broker(words: str) -> str:
    return f"{words}; does a broker that speaks AMQP 0-9-1 listen there? See {_URL}"


def _tls_words(error: Exception, address: Address) -> str:
    """Return what to do about TLS, by what OpenSSL found wrong."""
    code = getattr(error, "verify_code", None)
    if code in {_EXPIRED, _NOT_YET_VALID}:
        advice = "renew the broker's certificate, and look at the clocks of both machines"
    elif code in _OTHER_NAMES:
        advice = f"use a host name that the broker's certificate has in {_URL}"
    elif code in _UNKNOWN_AUTHORITY:
        advice = "name the authority that signed the broker's certificate in cacert, [messaging]"
    elif getattr(error, "reason", None) in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
        advice = f"no TLS is spoken there: use its TLS port, or amqp:// in {_URL}"
    else:
        advice = "check cacert and clientcert in [messaging]"
    return f"no TLS with {address}: {error}; {advice}"
