"""Who is found for a message is who lets it through."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from pulpit.domain.listeners import Filters, Listener, NotifierType
from pulpit.domain.messages import Message
from pulpit.domain.tasks import repository_tag
from pulpit.services.audience import Audience

_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_REPOSITORIES = st.sampled_from(["zoo", "lab", "", "zo"])
_TAGS = st.sampled_from(["pulp:action:sync", repository_tag("zoo"), repository_tag("lab"), "zoo"])


def _listener(number: int, repositories: list[str], tags: list[str]) -> Listener:
    """Return a listener with such filters."""
    return Listener(
        id=f"{number:024x}",
        notifier_type=NotifierType.HTTP,
        event_types=("task.*",),
        filters=Filters(repositories=tuple(repositories), tags=tuple(tags)),
        created=_NOW,
        last_updated=_NOW,
    )


@given(
    filters=st.lists(
        st.tuples(st.lists(_REPOSITORIES, max_size=3), st.lists(_TAGS, max_size=2)), max_size=5
    ),
    repo_id=st.none() | _REPOSITORIES,
    tags=st.lists(_TAGS, max_size=3),
)
@settings(max_examples=80)
def test_those_are_found_who_let_the_message_through(
    filters: list[tuple[list[str], list[str]]], repo_id: str | None, tags: list[str]
) -> None:
    """None is left out, none is told twice, and their order stays."""
    listeners = [_listener(number, *each) for number, each in enumerate(filters)]
    message = Message(
        sequence=1,
        event_id="event",
        event_type="task.finished",
        repo_id=repo_id,
        task_id="task",
        tags=tuple(tags),
        time=_NOW,
        body=b"",
    )
    audience = Audience(listeners)
    assert bool(audience) == bool(listeners)
    assert audience.of(message) == [
        each.id for each in listeners if each.filters.let_through(message)
    ]
