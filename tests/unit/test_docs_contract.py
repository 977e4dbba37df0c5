"""The pages of the event contract name what is there: tests, versions, schemas, bounds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pulpit.config import Events
from pulpit.domain.events import BODY_BYTES_KEPT, ERROR_DETAILS_KEPT, RESULT_BYTES_KEPT
from pulpit.events.amqp import PublisherSettings
from pulpit.events.asyncapi import CONTRACT_VERSION
from pulpit.events.door import DoorSettings
from pulpit.events.message import EXCHANGE
from pulpit.events.schemas import SCHEMAS

_ROOT = Path(__file__).resolve().parents[2]
_PROMISES = (_ROOT / "docs/explanation/promises.md").read_text(encoding="utf-8")
_CONTRACT = (_ROOT / "docs/reference/consumer-contract.md").read_text(encoding="utf-8")
_PROOFS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", _PROMISES)


@pytest.mark.parametrize(("file", "test"), _PROOFS, ids=[test for _, test in _PROOFS])
def test_the_proof_of_a_promise_is_there(file: str, test: str) -> None:
    """A test that is renamed or deleted takes its promise with it, or the page is changed."""
    source = (_ROOT / file).read_text(encoding="utf-8")
    assert re.search(rf"^(async )?def {test}\(", source, re.MULTILINE)


def test_every_promise_has_an_end_and_proofs() -> None:
    """Eight of them, each with what it does not cover and at least three tests."""
    promises = re.split(r"^## \d\. ", _PROMISES, flags=re.MULTILINE)[1:]
    assert len(promises) == 8
    for promise in promises:
        assert promise.count("**Where it ends.**") == promise.count("**Proved by**") == 1
        assert promise.count("::test_") >= 3


def test_the_contract_names_its_version_and_every_schema() -> None:
    """The version is that of the AsyncAPI document, without what changes with words alone."""
    version = CONTRACT_VERSION.rpartition(".")[0]
    assert f"This is version {version} of the contract" in _CONTRACT
    for name in SCHEMAS:
        assert f"[{name}](schemas/{name}.json)" in _CONTRACT


def test_the_bounds_that_are_named_hold() -> None:
    """Numbers on the two pages are those of the code."""
    door, publisher, events = DoorSettings(), PublisherSettings(urls=""), Events()
    assert f"newest {ERROR_DETAILS_KEPT} " in _CONTRACT
    assert RESULT_BYTES_KEPT == 1 << 20
    assert f"longer than {BODY_BYTES_KEPT >> 20} MiB" in _CONTRACT
    assert f"`{EXCHANGE}`" in _CONTRACT
    assert f"when {door.max_unacknowledged:,} of\n" in _CONTRACT
    assert f"{door.queue_progress_limit:,} progress messages" in _PROMISES
    assert f"{door.queue_status_limit:,} changes of status" in _PROMISES
    assert f"{door.queue_bytes_limit >> 20} MiB" in _PROMISES
    assert f"{publisher.window} unconfirmed messages" in _PROMISES
    assert f"{events.progress_rows} rows" in _PROMISES
    assert f"{events.unconfirmed_size >> 30} GiB" in _PROMISES
