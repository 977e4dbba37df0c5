"""What a check comes to, and how checks are run: in time, and only where they make sense."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pulpit.domain.findings import Finding, Outcome
from pulpit.errors import PulpitError

__all__ = ["Answer", "Check", "Note", "Problem", "Skip", "examine"]

#: No check takes longer, in seconds.
_LONGEST = 10.0


class _Word(Exception):
    """How a check says that it did not come to a plain yes."""

    outcome: Outcome

    def __init__(self, detail: str, fix: str = "") -> None:
        super().__init__(detail)
        self.detail, self.fix = detail, fix


class Problem(_Word):
    """Something must be mended."""

    outcome = Outcome.FAILED


class Note(_Word):
    """Something is good to know."""

    outcome = Outcome.NOTE


class Skip(_Word):
    """There is nothing to look at, and why."""

    outcome = Outcome.SKIPPED


#: Returns what was found to be well; raises Problem, Note or Skip.
Answer = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing to look at."""

    name: str
    title: str
    answer: Answer
    #: Names of checks of the same group without which this one makes no sense.
    needs: Sequence[str] = ()


def examine(group: str, checks: Sequence[Check], *, seconds: float = _LONGEST) -> Iterator[Finding]:
    """Yield what each check comes to, in order; what one needs must have gone well.

    Args:
        group: what is looked at.
        checks: in an order in which each comes after those that it needs.
        seconds: that one check may take.
    """
    unwell: dict[str, str] = {}
    for check in checks:
        missing = next((unwell[name] for name in check.needs if name in unwell), None)
        finding = _skipped(group, check, missing) if missing else _run(group, check, seconds)
        if finding.outcome in {Outcome.FAILED, Outcome.SKIPPED}:
            unwell[check.name] = check.title
        yield finding


def _skipped(group: str, check: Check, missing: str) -> Finding:
    """Return the finding of a check that can't be made."""
    return Finding(
        group=group,
        check=check.name,
        title=check.title,
        outcome=Outcome.SKIPPED,
        detail=f"needs {missing}",
    )


def _run(group: str, check: Check, seconds: float) -> Finding:
    """Return what a check comes to."""
    outcome, detail, fix = Outcome.OK, "", ""
    try:
        detail = _in_time(check.answer, seconds)
    except _Word as word:
        outcome, detail, fix = word.outcome, word.detail, word.fix
    except TimeoutError:
        outcome, detail = Outcome.FAILED, f"no answer within {seconds:g} s"
    except PulpitError as error:
        outcome, detail = Outcome.FAILED, error.message
    except Exception as error:  # noqa: BLE001 - the others are worth making all the same
        outcome, detail = Outcome.FAILED, f"{type(error).__name__}: {error}"
    return Finding(
        group=group, check=check.name, title=check.title, outcome=outcome, detail=detail, fix=fix
    )


def _in_time(answer: Answer, seconds: float) -> str:
    """Return the answer; one that takes too long goes on in a thread that nobody waits for.

    Raises:
        TimeoutError: there is none in time.
    """
    told: list[str] = []
    failed: list[Exception] = []

    def ask() -> None:
        try:
            told.append(answer())
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
            failed.append(error)

    thread = threading.Thread(target=ask, name="doctor", daemon=True)
    thread.start()
    thread.join(seconds)
    for error in failed:
        raise error
    if not told:
        raise TimeoutError
    return told[0]
