"""The log's events have names that stay, so that programs can look for them."""

from __future__ import annotations

import pytest

from scripts.log_reference import LogCall, log_calls

_CALLS = list(log_calls())
#: What went wrong with a broker is one sentence with its advice; its ``reason`` stays.
_WITH_REASON = {"events/amqp/reasons.py"}


def test_the_search_finds_all_ways_to_write() -> None:
    """It has not gone blind: methods of a log, one that was chosen before, a named text."""
    found = {(call.file, call.level) for call in _CALLS}
    assert ("events/amqp/reasons.py", "error or warning") in found
    assert ("api/request_log.py", "info") in found
    assert any("memory and disk alarms" in call.event for call in _CALLS)


@pytest.mark.parametrize("call", _CALLS, ids=lambda call: f"{call.file}: {call.event[:40]}")
def test_an_event_is_the_same_each_time(call: LogCall) -> None:
    """What differs stands in fields; an event whose words differ has a reason to go by."""
    if "…" in call.event:
        assert call.file in _WITH_REASON
        assert "reason" in call.fields
