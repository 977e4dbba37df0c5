"""Exit codes: what a script learns from a command without reading its words."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Self

from pulpit.app import last_resort
from pulpit.client import (
    ApiError,
    ClientError,
    Forbidden,
    NotFound,
    TaskReport,
    Unauthenticated,
    Unreachable,
    Untrusted,
)
from pulpit.domain.tasks import TaskState
from pulpit.errors import PulpitError, StartError

__all__ = ["ExitCode", "of_error", "of_tasks"]

_SERVER_FAULT = 500


class ExitCode(IntEnum):
    """How a command ended, and what that means in words."""

    meaning: str

    OK = 0, "All went well; a task that was followed has finished."
    TASK_ERROR = 1, "A task that was followed ended in error."
    USAGE = 2, "The command line is wrong."
    TASK_CANCELED = 3, "A task that was followed was canceled."
    NOT_FOUND = 4, "There is no such repository, task, listener or delivery."
    UNREACHABLE = 5, "No server answers at the address, or its certificate is not trusted."
    UNAUTHORIZED = 6, "The server refused the login, or what this user asked for."
    REFUSED = 7, "The server refused the request: a value is not valid, or the id is taken."
    SERVER_FAILED = 8, "The server failed, or what answers is no Pulpit server."
    CANNOT_START = (
        9,
        ("The configuration, the data folder, a port or the credentials file can't be used."),
    )
    UNSOUND = (
        10,
        (
            "`pulpit doctor`, `pulpit db status` or `pulpit listener doctor` found something that "
            "must be mended, or a listener did not take the ping of `pulpit listener test`."
        ),
    )
    HUNG = (
        last_resort.HUNG,
        "The server or a worker was told to stop and something hung: it ended at once.",
    )
    DEFECT = 70, "The program has a defect; with `PULPIT_DEBUG=1` it shows where."
    TIMED_OUT = 124, "Not all tasks had ended when `--timeout` was over; they go on."
    INTERRUPTED = 130, "Ended by Ctrl-C; a task that was followed goes on."
    OUTPUT_CLOSED = 141, "Whoever read the output went away."

    def __new__(cls, value: int, meaning: str) -> Self:
        """Return a code that knows what it means."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


def of_error(error: ClientError | PulpitError) -> ExitCode:
    """Return the exit code that tells of *error*."""
    match error:
        case NotFound():
            return ExitCode.NOT_FOUND
        case Unreachable() | Untrusted():
            return ExitCode.UNREACHABLE
        case Unauthenticated() | Forbidden():
            return ExitCode.UNAUTHORIZED
        case ApiError(status=status) if status < _SERVER_FAULT:
            return ExitCode.REFUSED
        case StartError():
            return ExitCode.CANNOT_START
        case _:
            return ExitCode.SERVER_FAILED


def of_tasks(reports: Iterable[TaskReport]) -> ExitCode:
    """Return the exit code that tells how tasks ended; an error outweighs a cancel."""
    states = {report.state for report in reports}
    if TaskState.ERROR in states:
        return ExitCode.TASK_ERROR
    if TaskState.CANCELED in states:
        return ExitCode.TASK_CANCELED
    return ExitCode.OK
