"""Why events can't be published: a closed list of reasons, each counted and told once."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pulpit.errors import PulpitError

__all__ = ["LinkError", "Reason", "Troubles"]


class Reason(StrEnum):
    """What goes wrong between the journal and a broker; the values are labels of metrics."""

    #: No connection: nothing listens, no route, no such host, no answer in time.
    UNREACHABLE = "unreachable"
    #: The connection ended without a word.
    LOST = "lost"
    #: The broker sent no heartbeats.
    SILENT = "silent"
    #: The broker closed the connection and said why.
    CLOSED_BY_BROKER = "closed_by_broker"
    #: User, password or certificate are not accepted.
    REFUSED_CREDENTIALS = "refused_credentials"
    #: The broker offers no way to log in that we have.
    NO_MECHANISM = "no_mechanism"
    #: The virtual host is not there, or not open to the user.
    NO_VHOST = "no_vhost"
    #: The user may not declare the exchange or publish to it.
    NO_PERMISSION = "no_permission"
    #: The exchange is there with another type or other properties.
    EXCHANGE_MISMATCH = "exchange_mismatch"
    #: A message is larger than the broker takes.
    TOO_LARGE = "too_large"
    #: No TLS: a certificate, an authority, a name, or a file of them.
    TLS = "tls"
    #: The broker takes no messages for now: a memory or disk alarm.
    BLOCKED = "blocked"
    #: The broker refused messages one by one.
    NACKED = "nacked"
    #: What answers at the URL is a Pulpit server's AMQP door.
    OWN_DOOR = "own_door"
    #: What answers does not speak AMQP 0-9-1 as it should.
    PROTOCOL = "protocol"
    #: Events were deleted before the broker had confirmed them.
    JOURNAL_GAP = "journal_gap"
    #: The publisher's cursor can't be saved.
    CURSOR_UNSAVED = "cursor_unsaved"
    #: An error of our own, or of the database.
    DEFECT = "defect"


class LinkError(PulpitError):
    """The broker can't be reached, refuses us, or the connection is lost.

    Args:
        message: what happened, and what the operator should do if something has to be done.
        reason: the same in one word.
        refused: the broker answered, and will answer the same until somebody changes something.
    """

    def __init__(
        self, message: str, *, reason: Reason = Reason.LOST, refused: bool = False
    ) -> None:
        super().__init__(message)
        self.reason, self.refused = reason, refused

    @property
    def own_door(self) -> bool:
        """Whether what answered is the server's own AMQP door."""
        return self.reason is Reason.OWN_DOOR


class Troubles:
    """What is wrong with a publisher: counted each time, told once until it is over.

    Args:
        log: a structlog logger.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        # all of them from the start, so that other threads may read while one counts
        self._counts = dict.fromkeys(Reason, 0)
        self._told: set[tuple[str, Reason]] = set()
        #: What is wrong now; None: nothing is.
        self.reason: Reason | None = None
        #: What is wrong now, or was wrong last, in words.
        self.words: str | None = None

    @property
    def counts(self) -> Mapping[Reason, int]:
        """How often each reason has come up."""
        return dict(self._counts)

    def count(self, reason: Reason, words: str) -> None:
        """Note something that passes by itself, or that is told elsewhere."""
        self._counts[reason] += 1
        self.words = words

    def tell(self, error: LinkError, *, url: str, defect: bool = False) -> None:
        """Count what ended a connection, and log it once for each broker and reason.

        Args:
            error: what happened.
            url: the broker, without a password.
            defect: whether the log should say where in the code it happened.
        """
        self.count(error.reason, error.message)
        self.reason = error.reason
        if (url, error.reason) in self._told:
            return
        self._told.add((url, error.reason))
        tell = self._log.error if error.refused or defect else self._log.warning
        tell(
            f"Events can't be published: {error.message}",
            url=url,
            reason=error.reason.value,
            **({"exc_info": True} if defect else {}),
        )

    def over(self) -> None:
        """Note that all is well; what comes next is told again."""
        self.reason = None
        self._told.clear()
