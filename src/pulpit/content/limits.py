"""How patient downloads are."""

from __future__ import annotations

from dataclasses import dataclass

from pulpit.config.settings import Feeds

__all__ = ["Limits", "limits_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How patient downloads are."""

    #: Downloads at a time.
    concurrency: int = 10
    #: Seconds to wait for a connection.
    connect_timeout: float = 30.0
    #: Seconds to wait for the next bytes.
    read_timeout: float = 60.0
    #: How often a download is tried in all.
    attempts: int = 3
    #: Seconds before the second attempt; doubled for each further one.
    backoff: float = 0.5


def limits_of(settings: Feeds, *, concurrency: int | None = None) -> Limits:
    """Return how patient downloads are by the settings; *concurrency* may lower theirs."""
    return Limits(
        concurrency=min(settings.concurrency, concurrency or settings.concurrency),
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
    )
