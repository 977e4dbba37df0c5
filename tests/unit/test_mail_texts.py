"""Mails and their texts: what is said of each event, and that nothing in it can be more than said.

Whatever a listener's subject, a repository's name or a body hold, no header and no recipient is
added, and no HTML.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulpit.config.settings import Email
from pulpit.domain.deliveries import Parcel
from pulpit.errors import InvalidValue, MissingValue, UnsupportedValue
from pulpit.events.examples import example_notification
from pulpit.events.notifiers.email import EmailNotifier
from pulpit.events.notifiers.lines import one_line
from pulpit.events.notifiers.mail_addresses import ascii_address
from pulpit.events.notifiers.mail_texts import mail_texts
from pulpit.events.notifiers.mails import mail

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SOURCE = "https://pulp.example.com:8443/"
TASK = "0b3f2d5c-4a5e-4b7e-9a57-6a7f6a0a1c2d"
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Pulpit-Event",
    "MIME-Version",
    "Content-Type",
]
#: Any text, and pieces of mails and pages with all that ends lines between them.
_PIECES = ("\r\n", "\n", "\r", "\x0b", "\x85", "\u2028", "\x00", "\u202e", "\ud800", "Bcc: x@y.z")
_TRAPS = ("\r\n\r\n.\r\n", "=?utf-8?q?=0ABcc:_x?=", "<script>", '"', "&", "'>", "ü", "x" * 90)
_NASTY = st.lists(st.sampled_from([*_PIECES, *_TRAPS]) | st.text(max_size=20), max_size=12).map(
    "".join
)
_TAGS = "html head meta title style body div h1 table tr td span br p code a"
_NO_ADDRESSES = (
    *(
        "",
        "a",
        "@",
        "a@",
        "@b",
        "a b@c.de",
        "A <a@b.cd>",
        "a@b.cd, e@f.gh",
        "a@b.cd\r\nRCPT TO:x@y",
    ),
    *('"a b"@c.de', "a@b@c.de", "a@b..de", "a@-b.de", "a@[127.0.0.1]", "ü@b.de", "a@b.de\n"),
    *("a(x)@b.de", ".a@b.de", f"{'a' * 65}@b.de", f"a@{'b' * 64}.de", f"a@{'b.' * 200}de"),
    *("a@b.de\x00", "a@\ud800.de", "a@b\u2028.de", "=?utf-8?q?=0ABcc=3A_x?=@b.de"),
)


def _parcel(event_type: str, body: bytes | None = None) -> Parcel:
    return Parcel(
        id="695736450b1c2d3e4f506172",
        event_type=event_type,
        sequence=7,
        event_id="j:7",
        task_id=TASK,
        repo_id="zoo",
        time=NOW,
        body=example_notification(event_type) if body is None else body,
    )


def _mail(
    parcel: Parcel,
    subject: str = "Pulp",
    recipients: Sequence[str] = ("a@example.com", "b@example.com"),
) -> EmailMessage:
    raw = mail(
        parcel,
        sender="pulp@example.com",
        recipients=recipients,
        subject=subject,
        source=SOURCE,
        now=NOW,
    )
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert raw.isascii()
    return BytesParser(policy=policy.default).parsebytes(raw)


class _Tags(HTMLParser):
    """Counts the tags of a page, and what of them is not as it should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(name for name, _ in attrs)


@pytest.mark.parametrize(
    ("event_type", "headline", "subject"),
    [
        ("repo.sync.start", "Sync of zoo has started", "repo.sync.start of zoo: started"),
        ("repo.sync.finish", "Sync of zoo is finished", "repo.sync.finish of zoo: finished"),
        ("repo.publish.finish", "Publish of zoo is finished", "repo.publish.finish of zoo: "),
        ("task.waiting", "Sync of zoo is waiting", "task.waiting of zoo: waiting"),
        ("task.error", "Sync of zoo has failed", "task.error of zoo: failed"),
        ("task.canceled", "Sync of zoo was canceled", "task.canceled of zoo: canceled"),
    ],
)
def test_subject_and_headline_tell_what_and_how(
    event_type: str, headline: str, subject: str
) -> None:
    texts = mail_texts(_parcel(event_type), subject="Pulp", source=SOURCE, attached=True)
    assert texts.subject.startswith(f"Pulp: {subject}")
    assert texts.text.startswith(f"{headline}\n\n")
    assert f">{headline}</h1>" in texts.html
    for shown in (f"pulpit task show {TASK}", f"{SOURCE}pulp/api/v2/tasks/{TASK}/"):
        assert shown in texts.text
        assert shown in texts.html


def test_what_a_sync_has_brought_and_how_long_it_took_is_told() -> None:
    text = mail_texts(
        _parcel("repo.sync.finish"), subject="Pulp", source=SOURCE, attached=True
    ).text
    assert "  Units       42 added, 0 updated, 0 removed\n" in text
    assert "  Duration    8 s\n" in text


def test_the_steps_of_a_publish_are_told() -> None:
    parcel = _parcel("repo.publish.finish")
    text = mail_texts(parcel, subject="Pulp", source=SOURCE, attached=True).text
    assert "  Distributor  web\n" in text
    assert "  Steps        rpms finished\n" in text


def test_why_it_failed_is_told() -> None:
    text = mail_texts(_parcel("task.error"), subject="Pulp", source=SOURCE, attached=True).text
    assert "PLP0000: The process of the task was killed." in text


def test_which_listener_was_disabled_and_why_is_told() -> None:
    parcel = replace(_parcel("listener.disabled"), task_id=None, repo_id=None)
    texts = mail_texts(parcel, subject="Pulp", source=SOURCE, attached=True)
    assert texts.subject == "Pulp: listener.disabled of ci.example.com: disabled"
    assert "ci.example.com" in texts.text
    assert "All attempts have failed for 5 days: connection refused" in texts.text
    assert "task show" not in texts.text


def test_a_test_says_that_it_is_one() -> None:
    parcel = replace(_parcel("ping", b"{}"), task_id=None, repo_id=None)
    texts = mail_texts(parcel, subject="Pulp", source=SOURCE, attached=True)
    assert texts.text.startswith("A test: mails of this listener arrive\n")


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"null", b"[" * 100_000, b'{"payload": 3}'])
def test_a_body_that_cannot_be_read_makes_a_mail_all_the_same(body: bytes) -> None:
    message = _mail(_parcel("repo.sync.finish", body))
    assert message["Subject"] == "Pulp: repo.sync.finish of zoo: finished"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_BODIES = st.fixed_dictionaries(
    {},
    optional={
        "payload": st.dictionaries(
            st.sampled_from(
                ["result", "summary", "distributor_id", "added_count", "error_message", "listener"]
            ),
            _NASTY | _VALUES,
        )
        | _VALUES,
        "call_report": st.dictionaries(
            st.sampled_from(["error", "start_time", "finish_time", "worker_name", "tags"]),
            _NASTY | _VALUES | st.dictionaries(st.sampled_from(["code", "description"]), _NASTY),
        )
        | _VALUES,
    },
)


@settings(deadline=None)
@given(subject=_NASTY, repo_id=st.none() | _NASTY, task_id=st.none() | _NASTY, body=_BODIES)
def test_nothing_in_an_event_adds_to_a_mail(
    subject: str, repo_id: str | None, task_id: str | None, body: Any
) -> None:
    """Neither headers nor recipients, parts, lines of a header, or tags and attributes."""
    told = json.dumps(body).encode()
    parcel = replace(
        _parcel("repo.publish.finish", told), repo_id=repo_id, task_id=task_id, id="<a>\r\nx: y"
    )
    message = _mail(parcel, subject)
    assert message.keys() == HEADERS
    assert message["To"] == "a@example.com, b@example.com"
    texts = mail_texts(parcel, subject=subject, source=SOURCE, attached=True)
    assert message["Subject"] == texts.subject
    assert texts.subject.isprintable()
    assert len(texts.subject) <= 250
    assert message["Message-ID"] == "<-a---x--y@pulp.example.com>"
    parts = [part.get_content_type() for part in message.walk()]
    assert parts == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/json",
    ]
    page = _Tags(texts.html)
    assert set(page.tags) <= set(_TAGS.split())
    assert page.attributes <= {"lang", "charset", "name", "content", "style", "role", "href"}
    assert all(line.isprintable() for line in texts.text.split("\n"))


@given(_NASTY, st.integers(1, 50))
def test_one_line_is_one_line(text: str, most: int) -> None:
    line = one_line(text, most)
    assert line.isprintable()
    assert len(line) <= most
    line.encode()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("a@example.com", "a@example.com"),
        ("first.last+tag@localhost", "first.last+tag@localhost"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
    ],
)
def test_plain_addresses_are_taken(text: str, address: str) -> None:
    assert ascii_address(text) == address


@pytest.mark.parametrize("text", _NO_ADDRESSES)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        ascii_address(text)


@settings(deadline=None)
@given(
    _NASTY
    | st.text(alphabet="ab@.<>\"'(),:;[]\\ \r\n-")
    | st.from_regex(r"[!-~]{1,70}@[a-z.]{1,9}", fullmatch=True)
)
def test_an_address_that_is_taken_is_but_one(text: str) -> None:
    """A mail to it goes to it alone."""
    try:
        address = ascii_address(text)
    except ValueError:
        return
    assert address.isascii()
    assert not set(address) & set(' \r\n\t<>(),;:\\"[]\x00')
    assert address.count("@") == 1
    message = _mail(_parcel("ping", b"{}"), recipients=[address])
    assert message.keys() == HEADERS
    assert [told.addr_spec for told in message["To"].addresses] == [address]


def _check(config: Any) -> None:
    EmailNotifier(Email(), timeout=1, event_source=SOURCE, log=None).check(config)


def test_a_configuration_that_can_be_used_passes() -> None:
    _check({"subject": "Pulp", "addresses": ["a@example.com"]})


@pytest.mark.parametrize(
    ("config", "error", "names"),
    [
        ({}, MissingValue, ("subject", "addresses")),
        ({"subject": "x", "addresses": None}, MissingValue, ("addresses",)),
        ({"subject": "x", "addresses": []}, InvalidValue, ("addresses",)),
        ({"subject": "x", "addresses": "a@b.de"}, InvalidValue, ("addresses",)),
        ({"subject": "x", "addresses": {"a@b.de": 1}}, InvalidValue, ("addresses",)),
        ({"subject": "x", "addresses": [3]}, InvalidValue, ("addresses",)),
        ({"subject": "x", "addresses": ["a@b.de"] * 51}, InvalidValue, ("addresses",)),
        ({"subject": "x", "addresses": ["A <a@b.de>"]}, InvalidValue, ("addresses",)),
        ({"subject": 3, "addresses": ["a@b.de"]}, InvalidValue, ("subject",)),
        ({"subject": "x\nBcc: y", "addresses": ["a@b.de"]}, InvalidValue, ("subject",)),
        ({"subject": "x" * 201, "addresses": ["a@b.de"]}, InvalidValue, ("subject",)),
        ({"subject": "x", "addresses": ["a@b.de"], "cc": 1}, UnsupportedValue, ("cc",)),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(
    config: Any, error: type[Any], names: tuple[str, ...]
) -> None:
    with pytest.raises(error) as caught:
        _check(config)
    assert caught.value.names == names
