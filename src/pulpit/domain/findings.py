"""What a check of the doctor's came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Outcome"]


class Outcome(StrEnum):
    """What a check came to."""

    OK = "ok"
    #: Good to know; the server works all the same.
    NOTE = "note"
    #: Must be mended.
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the diagnosis, without secrets."""

    #: What was looked at together, such as one broker.
    group: str
    #: Stable name, such as ``tls_chain``.
    check: str
    title: str
    outcome: Outcome
    detail: str
    #: What to do; empty where there is nothing to do.
    fix: str = ""
