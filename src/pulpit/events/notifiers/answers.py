"""What receivers answer: read no further than needed, harmless to show, without our secrets."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from pulpit.domain.deliveries import RESPONSE_KEPT, Exchange, Verdict
from pulpit.domain.listeners import Secrets
from pulpit.events.notifiers.attempts import Attempted
from pulpit.events.notifiers.http_connection import Answer
from pulpit.events.notifiers.lines import one_line

__all__ = ["Mask", "exchange_of", "retry_after", "shown_body", "verdict_of"]

_MOST_LINES, _LONGEST_LINE = 100, 1_000
_LONGEST_PAUSE = 24 * 3600.0
_PAUSING = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_SHOWN_SECRET = "*****"  # noqa: S105 - what is shown in the place of one
_SECRET_HEADER = re.compile(r"(?i)authorization|authenticat|cookie|token|secret|password|api-?key")
#: The shortest beginning of a secret that is known for one at the end of a text.
_SHORTEST_PART = 4
_WHSEC = "whsec_"


def verdict_of(status: int) -> Verdict:
    """Return what a status means."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Verdict.DELIVERED
    return Verdict.GONE if status == HTTPStatus.GONE else Verdict.FAILED


def retry_after(status: int, header: str | None, *, now: datetime) -> float | None:
    """Return the seconds that the receiver wants to be left alone for, at most a day.

    Args:
        status: of the answer; only 429 and 503 can say so.
        header: ``Retry-After``: seconds or a date.
        now: the present time.
    """
    if header is None or status not in _PAUSING:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_PAUSE)
    try:
        until = parsedate_to_datetime(text)
        until = until.replace(tzinfo=UTC) if until.tzinfo is None else until
        return min(max((until - now).total_seconds(), 0.0), _LONGEST_PAUSE)
    except (ValueError, TypeError, OverflowError):
        return None


class Mask:
    """Hides a listener's secrets in what its receiver says.

    Args:
        secrets: of the listener.
        also: other texts to hide, such as the header that carries the password.
    """

    def __init__(self, secrets: Secrets, also: Iterable[str] = ()) -> None:
        named = {secrets.password or "", *also}
        for signing in secrets.signing:
            named |= {signing.value, signing.value.removeprefix(_WHSEC)}
        if secrets.password:
            named.add(base64.b64encode(secrets.password.encode()).decode())
        # the longest first, lest a part of it is taken for another one
        self._secrets = sorted((each for each in named if each), key=len, reverse=True)
        pattern = "|".join(map(re.escape, self._secrets))
        self._pattern = re.compile(pattern) if pattern else None

    def __call__(self, text: str) -> str:
        """Return the text without secrets, nor the beginning of one at its end."""
        if self._pattern is None or not text:
            return text
        text = self._pattern.sub(_SHOWN_SECRET, text)
        for secret in self._secrets:
            if secret[:_SHORTEST_PART] not in text[-len(secret) :]:
                continue
            for length in range(min(len(secret), len(text)) - 1, _SHORTEST_PART - 1, -1):
                if text.endswith(secret[:length]):
                    return text[:-length] + _SHOWN_SECRET
        return text


def shown_body(body: bytes, encoding: str, mask: Mask) -> str:
    """Return the head of a body as it is remembered.

    Args:
        body: its beginning.
        encoding: ``Content-Encoding``; what is compressed stays so, and is not shown.
        mask: hides secrets.
    """
    if not body:
        return ""
    if encoding.strip().lower() not in ("", "identity"):
        return "(compressed)"
    return one_line(mask(body.decode("utf-8", "replace")), RESPONSE_KEPT)


def exchange_of(attempt: Attempted, answer: Answer | None, response: str, mask: Mask) -> Exchange:
    """Return what went over the wire, without secrets.

    Args:
        attempt: what was sent, and to whom.
        answer: what was answered, if anything was.
        response: the head of its body.
        mask: hides secrets.
    """
    received: tuple[str, ...] = ()
    if answer is not None:
        received = (
            f"HTTP/1.1 {answer.status} {_text(answer.reason)}".rstrip(),
            *(f"{_text(name)}: {_text(value)}" for name, value in answer.headers),
        )
    return Exchange(
        peer=attempt.peer,
        sent=_lines(attempt.sent, mask),
        received=_lines(received, mask) + (("", response) if response else ()),
    )


def _lines(lines: tuple[str, ...], mask: Mask) -> tuple[str, ...]:
    """Return lines of a head that can be shown, the first of which is no header."""
    return tuple(
        one_line(mask(_header(line) if index else line), _LONGEST_LINE)
        for index, line in enumerate(lines[:_MOST_LINES])
    )


def _text(piece: bytes) -> str:
    """Return a piece of a head, whatever it is written in."""
    return piece.decode("utf-8", "replace")


def _header(line: str) -> str:
    """Return a header without a value that is secret."""
    name, _, value = line.partition(": ")
    return f"{name}: {_SHOWN_SECRET}" if value and _SECRET_HEADER.search(name) else line
