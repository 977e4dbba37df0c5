"""The configuration of listeners of type http, and what follows from it once for all deliveries."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from pulpit.domain.listeners import OpenListener
from pulpit.errors import InvalidValue, MissingValue, UnsupportedValue
from pulpit.events.notifiers.answers import Mask
from pulpit.events.notifiers.bodies import CLOUDEVENT_TYPE, JSON_TYPE
from pulpit.events.notifiers.networks import Networks
from pulpit.events.notifiers.signing import Key, decode_keys
from pulpit.events.notifiers.targets import Target, parse_target
from pulpit.events.notifiers.trust import TrustFiles

__all__ = ["Route", "check_config", "make_route"]

_USERNAME, _CLOUDEVENTS = "username", "cloudevents"
_FILES = ("ca_path", "client_cert", "client_key")
_KEYS = frozenset({"url", _USERNAME, _CLOUDEVENTS, *_FILES})
_LONGEST_NAME, _LONGEST_PATH = 255, 4_096


def check_config(config: Mapping[str, Any], networks: Networks) -> Target:
    """Return where a listener is told, if its configuration can be used.

    Args:
        config: without what is secret.
        networks: judges the host if it is an address.

    Raises:
        InvalidValue, MissingValue, UnsupportedValue: it can't.
    """
    if unknown := sorted(str(key) for key in config if key not in _KEYS):
        raise UnsupportedValue(
            *unknown, why=f"a listener of type http has {', '.join(sorted(_KEYS))} and password"
        )
    target = parse_target(config.get("url"), networks)
    _check_username(config.get(_USERNAME))
    for name in _FILES:
        _check_path(name, config.get(name))
    if config.get("client_key") is not None and config.get("client_cert") is None:
        raise MissingValue("client_cert", why="client_key is the key of a certificate")
    if not isinstance(config.get(_CLOUDEVENTS, False), bool):
        raise InvalidValue(_CLOUDEVENTS, why="it must be true or false")
    return target


def _check_username(name: Any) -> None:
    """Check what basic authentication can carry."""
    if name is None:
        return
    if not isinstance(name, str) or not name or len(name) > _LONGEST_NAME:
        raise InvalidValue(_USERNAME, why=f"it must be text of 1 to {_LONGEST_NAME} characters")
    if ":" in name or not name.isprintable():
        raise InvalidValue(_USERNAME, why="it can't have colons or control characters")


def _check_path(name: str, path: Any) -> None:
    """Check the spelling of a path; files may come and go."""
    if path is None:
        return
    if not isinstance(path, str) or not path.startswith("/") or not path.isprintable():
        raise InvalidValue(name, why="it must be an absolute path, as in /etc/pki/ca.pem")
    if len(path) > _LONGEST_PATH:
        raise InvalidValue(name, why=f"it has more than {_LONGEST_PATH} characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How one listener is told, as of one of its revisions."""

    revision: int
    target: Target
    #: Of each request, as it is sent, up to what differs from one delivery to the next.
    head: bytes = field(repr=False)
    keys: Sequence[Key]
    files: TrustFiles
    is_cloudevent: bool
    mask: Mask


def make_route(opened: OpenListener, networks: Networks) -> Route:
    """Return how a listener is told.

    Raises:
        InvalidValue, MissingValue, UnsupportedValue: its configuration can't be used.
        ValueError: its secrets can't.
    """
    listener, secrets = opened.listener, opened.secrets
    target = check_config(listener.config, networks)
    is_cloudevent = listener.config.get(_CLOUDEVENTS) is True
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"Host: {target.netloc}",
        f"User-Agent: pulpit/{version('pulpit')}",
        "Accept: */*",
        # nothing is decompressed, so nothing can swell
        "Accept-Encoding: identity",
        f"Content-Type: {CLOUDEVENT_TYPE if is_cloudevent else JSON_TYPE}",
    ]
    also: list[str] = []
    if (username := listener.config.get(_USERNAME)) is not None:
        login = base64.b64encode(f"{username}:{secrets.password or ''}".encode()).decode()
        lines.append(f"Authorization: Basic {login}")
        also.append(login)
    return Route(
        revision=listener.revision,
        target=target,
        head="".join(f"{line}\r\n" for line in lines).encode(),
        keys=decode_keys(secrets.signing),
        files=TrustFiles.of(listener.config),
        is_cloudevent=is_cloudevent,
        mask=Mask(secrets, also),
    )
