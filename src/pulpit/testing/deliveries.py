"""Deliveries in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from uuid import uuid4

from pulpit.domain.deliveries import Delivery, DeliveryState
from pulpit.domain.messages import Message
from pulpit.errors import MissingResource
from pulpit.testing.state import State

__all__ = ["MemoryDeliveryStore"]


class MemoryDeliveryStore:
    """Implements ``pulpit.ports.DeliveryStore``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, wanted: Sequence[tuple[Message, Collection[str]]], *, now: datetime) -> int:
        known = {(each.sequence, each.event_type) for each in self._state.messages.values()}
        before = self._state.last_delivery
        for message, listener_ids in wanted:
            there = [each for each in dict.fromkeys(listener_ids) if each in self._state.listeners]
            if not there or (message.sequence, message.event_type) in known:
                continue
            known.add((message.sequence, message.event_type))
            self._state.last_message += 1
            numbered = dataclasses.replace(message, number=self._state.last_message)
            self._state.messages[numbered.number] = numbered
            for listener_id in there:
                self._add(numbered, listener_id, now)
        return self._state.last_delivery - before

    def _add(self, message: Message, listener_id: str, now: datetime) -> None:
        self._state.last_delivery += 1
        self._set(
            Delivery(
                id=f"msg_{uuid4().hex}",
                number=self._state.last_delivery,
                listener_id=listener_id,
                message=message.number,
                event_type=message.event_type,
                sequence=message.sequence,
                lane=message.lane,
                created=now,
                due=now,
            )
        )

    def pending(
        self, listener_id: str, *, after: int, limit: int, lane: str | None = None
    ) -> Sequence[Delivery]:
        return self._those(
            lambda each: (
                each.listener_id == listener_id
                and each.state is DeliveryState.PENDING
                and each.number > after
                and lane in {None, each.lane}
            )
        )[:limit]

    def messages(self, numbers: Collection[int]) -> Mapping[int, Message]:
        found = self._state.messages
        return {number: found[number] for number in numbers if number in found}

    def settle(self, tried: Sequence[Delivery]) -> Collection[str]:
        written = set()
        for each in tried:
            known = self._state.deliveries.get(each.number)
            if (
                known is not None
                and known.state is DeliveryState.PENDING
                and known.attempted == each.attempted - 1
            ):
                changes = {name: getattr(each, name) for name in _SETTLED}
                self._set(dataclasses.replace(known, **changes))
                written.add(each.id)
        return written

    def get(self, delivery_id: str) -> Delivery:
        found = self._those(lambda each: each.id == delivery_id)
        if not found:
            raise MissingResource(delivery_id=delivery_id)
        return found[0]

    def page(
        self,
        *,
        listener_id: str,
        states: Collection[DeliveryState],
        since: datetime | None,
        before: int | None,
        limit: int,
    ) -> Sequence[Delivery]:
        found = self._those(
            lambda each: (
                each.listener_id == listener_id
                and (not states or each.state in states)
                and (since is None or each.created >= since)
                and (before is None or each.number < before)
            )
        )
        return found[::-1][:limit]

    def resend(
        self,
        listener_id: str,
        *,
        now: datetime,
        delivery_id: str | None = None,
        since: datetime | None = None,
        limit: int,
    ) -> int:
        found = self._those(
            lambda each: (
                each.listener_id == listener_id
                and (
                    each.id == delivery_id
                    if delivery_id is not None
                    else each.state is DeliveryState.EXHAUSTED
                    and (since is None or each.created >= since)
                )
            )
        )[:limit]
        for each in found:
            pending = each.state is DeliveryState.PENDING
            self._set(
                dataclasses.replace(
                    each,
                    state=DeliveryState.PENDING,
                    attempted_before=each.attempted_before if pending else each.attempted,
                    due=now,
                    finished=None,
                )
            )
        return len(found)

    def hurry(self, listener_id: str, *, now: datetime) -> int:
        found = self._those(
            lambda each: (
                each.listener_id == listener_id
                and each.state is DeliveryState.PENDING
                and each.due is not None
                and each.due > now
            )
        )
        for each in found:
            self._set(dataclasses.replace(each, due=now))
        return len(found)

    def counts(self) -> Mapping[str, Mapping[DeliveryState, int]]:
        counts: dict[str, dict[DeliveryState, int]] = {}
        for each in self._state.deliveries.values():
            if each.state is not DeliveryState.DELIVERED:
                of_listener = counts.setdefault(each.listener_id, {})
                of_listener[each.state] = of_listener.get(each.state, 0) + 1
        return counts

    def oldest_pending(self) -> Mapping[str, datetime]:
        oldest: dict[str, datetime] = {}
        for each in self._those(lambda each: each.state is DeliveryState.PENDING):
            oldest.setdefault(each.listener_id, each.created)
        return oldest

    def discard(self, listener_id: str, *, limit: int) -> int:
        doomed = self._those(lambda each: each.listener_id == listener_id)[:limit]
        self._remove(doomed)
        return len(doomed)

    def purge(self, *, before: datetime, limit: int) -> int:
        old = self._those(lambda each: each.finished is not None and each.finished < before)[:limit]
        removed = self._remove(old)
        return len(old) + removed + self._remove_nameless(self._state.messages, limit)

    def _remove(self, doomed: Sequence[Delivery]) -> int:
        """Delete deliveries, and their messages that no other names; return how many of these."""
        for each in doomed:
            del self._state.deliveries[each.number]
        return self._remove_nameless({each.message for each in doomed})

    def _remove_nameless(self, among: Collection[int], limit: int | None = None) -> int:
        named = {each.message for each in self._state.deliveries.values()}
        nameless = [number for number in among if number not in named][:limit]
        for number in nameless:
            del self._state.messages[number]
        return len(nameless)

    def _those(self, condition: Callable[[Delivery], bool]) -> list[Delivery]:
        """Return the deliveries that meet a condition, by number."""
        found = filter(condition, self._state.deliveries.values())
        return sorted(found, key=lambda each: each.number)

    def _set(self, delivery: Delivery) -> None:
        self._state.deliveries[delivery.number] = delivery


#: What ``settle`` writes.
_SETTLED = ("state", "attempts", "attempted", "due", "finished")
