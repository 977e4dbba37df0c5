"""Fakes of everything that the core needs from outside, for tests here and elsewhere.

Pass them where the real parts go; they keep the same promises and are held to them by the same
tests, but live in memory.
"""

from __future__ import annotations

from pulpit.testing.clock import FrozenClock
from pulpit.testing.engine import RecordingEngine
from pulpit.testing.events import RecordingSink, expect_events
from pulpit.testing.files import MemoryFileStore
from pulpit.testing.journal import MemoryCursorStore, MemoryJournal
from pulpit.testing.listeners import MemoryVault
from pulpit.testing.notifiers import RecordingNotifier
from pulpit.testing.storage import MemoryStorage, MemoryTransaction
from pulpit.testing.users import MemoryAuthority

__all__ = [
    "FrozenClock",
    "MemoryAuthority",
    "MemoryCursorStore",
    "MemoryFileStore",
    "MemoryJournal",
    "MemoryStorage",
    "MemoryTransaction",
    "MemoryVault",
    "RecordingEngine",
    "RecordingNotifier",
    "RecordingSink",
    "expect_events",
]
