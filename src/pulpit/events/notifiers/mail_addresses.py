"""Mail addresses, of which only plain ones are taken: what stands for others has no place here."""

from __future__ import annotations

import re

__all__ = ["ascii_address"]

_LONGEST_LOCAL, _LONGEST = 64, 254
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def ascii_address(text: str) -> str:
    """Return an address as it goes to a mail server: ASCII, its domain as IDNA has it.

    Raises:
        ValueError: it is none that is taken; says why, without the text.
    """
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise ValueError("a mail address is name@domain")
    if not local.isascii():
        raise ValueError("what stands before the @ must be ASCII: mail servers may refuse others")
    # "=?" begins an encoded word, which readers may take for other text
    if len(local) > _LONGEST_LOCAL or "=?" in local or not _LOCAL.fullmatch(local):
        raise ValueError(
            "a mail address is name@domain alone: no display name, spaces, quotes or comments"
        )
    try:
        # the codec takes time that grows with the square of the length
        host = domain.encode("idna").decode() if len(domain) <= _LONGEST else ""
    except UnicodeError:
        host = ""
    if not _DOMAIN.fullmatch(host) or len(local) + len(host) >= _LONGEST:
        raise ValueError("what stands after the @ must be the name of a host")
    return f"{local}@{host}"
