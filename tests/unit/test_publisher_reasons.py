"""What is told of a publisher in trouble, and that each word of it is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import structlog
from amqp import exceptions
from structlog.testing import LogCapture

from pulpit.events.amqp.addresses import parse_addresses
from pulpit.events.amqp.frames import Closed
from pulpit.events.amqp.reasons import LinkError, Reason, Troubles
from pulpit.events.amqp.refusals import explain, explain_closed

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "events.md"
(_ADDRESS,) = parse_addresses("amqp://me:secret@broker.example.com/")


def test_each_reason_is_documented() -> None:
    """The table of the Events page has them all, in order, and no other."""
    page = _PAGE.read_text(encoding="utf-8")
    table = page.partition("| `reason` |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [each.value for each in Reason]


def test_troubles_are_counted_each_time_and_told_once() -> None:
    """Another broker or another reason is news, and so is the same one once it was over."""
    logged = LogCapture()
    troubles = Troubles(structlog.wrap_logger(None, processors=[logged]))
    lost, silent = LinkError("gone"), LinkError("hush", reason=Reason.SILENT)
    for error, url in ((lost, "a"), (lost, "a"), (silent, "a"), (lost, "b"), (lost, "a")):
        troubles.tell(error, url=url)
    assert [(entry["reason"], entry["url"]) for entry in logged.entries] == [
        ("lost", "a"),
        ("silent", "a"),
        ("lost", "b"),
    ]
    assert (troubles.counts[Reason.LOST], troubles.counts[Reason.SILENT]) == (4, 1)
    assert now(troubles) == (Reason.LOST, "gone")
    troubles.over()
    assert now(troubles) == (None, "gone")
    troubles.tell(lost, url="a")
    assert len(logged.entries) == 4


def now(troubles: Troubles) -> tuple[Reason | None, str | None]:
    """Return what is wrong now, and in words what is or was."""
    return troubles.reason, troubles.words


@pytest.mark.parametrize(
    ("code", "reason", "refused"),
    [
        (320, Reason.CLOSED_BY_BROKER, False),
        (403, Reason.NO_PERMISSION, True),
        (404, Reason.CLOSED_BY_BROKER, False),
        (406, Reason.TOO_LARGE, True),
        (501, Reason.PROTOCOL, False),
        (505, Reason.PROTOCOL, False),
        (530, Reason.NO_VHOST, True),
        (541, Reason.CLOSED_BY_BROKER, False),
        (0, Reason.CLOSED_BY_BROKER, False),
    ],
)
def test_why_a_broker_closed_the_connection(code: int, reason: Reason, refused: bool) -> None:
    """The code gives the reason, and what the broker said is in the line."""
    error = explain_closed(Closed(code=code, text="so it is"), _ADDRESS, who="user me")
    assert (error.reason, error.refused) == (reason, refused)
    assert f"{code} so it is" in error.message
    assert "secret" not in error.message


@pytest.mark.parametrize(
    ("error", "opened", "reason"),
    [
        (exceptions.AccessRefused("no"), False, Reason.REFUSED_CREDENTIALS),
        (exceptions.AccessRefused("no"), True, Reason.NO_PERMISSION),
        (exceptions.NotAllowed("no"), False, Reason.NO_VHOST),
        (exceptions.PreconditionFailed("no"), True, Reason.EXCHANGE_MISMATCH),
        (exceptions.ConnectionForced("no"), False, Reason.CLOSED_BY_BROKER),
        (exceptions.UnexpectedFrame("what"), False, Reason.PROTOCOL),
        (ConnectionRefusedError("no"), False, Reason.UNREACHABLE),
        (TimeoutError("timed out"), False, Reason.UNREACHABLE),
        (KeyError("of the library"), False, Reason.PROTOCOL),
    ],
)
def test_why_a_connection_was_not_made(error: Exception, opened: bool, reason: Reason) -> None:
    """Whatever the library raises becomes one sentence without the password."""
    told = explain(error, _ADDRESS, who="user me", opened=opened)
    assert told.reason is reason
    assert "broker.example.com" in told.message
    assert "secret" not in told.message
