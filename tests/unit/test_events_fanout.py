"""Many readers of one journal: read once, encoded once, nothing lost, nothing held."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pulpit.domain.events import Event, EventKind, NewEvent
from pulpit.errors import DatabaseUnavailable, EventsGone
from pulpit.events.fanout import Fanout, Reader
from pulpit.events.parts import Bounds
from pulpit.testing import MemoryStorage
from tests.services import until

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_PATIENCE = 20.0
_SILENCE = 1_000.0
_MUCH = 1 << 20


class _Source:
    """A journal that counts how it is read, and may fail."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self.reads = 0
        self.at_once = self.most_at_once = 0
        self.failure: Exception | None = None
        #: Waited for in each read.
        self.gate: threading.Barrier | None = None

    def read(self, after: int, limit: int, *, most_bytes: int | None = None) -> Sequence[Event]:
        with self._reading():
            if self.failure:
                raise self.failure
            if self.gate:
                self.gate.wait()
            return self._storage.events.read(after, limit, most_bytes=most_bytes)

    @contextmanager
    def _reading(self) -> Any:
        with self._lock:
            self.reads += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self._lock:
                self.at_once -= 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage.events, name)


class _Writer:
    """Writes events of tasks whose revisions grow by one."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self._revisions: Counter[str] = Counter()

    def __call__(self, *kinds: str, task: str = "t") -> None:
        """Write ``status`` or ``progress`` events of a task in one transaction."""
        events = []
        for kind in kinds:
            self._revisions[task] += 1
            events.append(
                NewEvent(
                    kind=EventKind(kind),
                    type="t",
                    task_id=task,
                    revision=self._revisions[task],
                    state=None,
                    tags=(),
                    time=_NOW,
                    body=b'"' + b"x" * 98 + b'"',
                )
            )
        with self._storage.write() as transaction:
            transaction.journal.append(events)


@dataclass(frozen=True)
class _Told:
    """An event as a reader was given it."""

    sequence: int
    task: str
    kind: str
    previous: int
    revision: int


def _encode(event: Event) -> bytes:
    told = (event.sequence, event.task_id, event.kind, event.previous, event.revision)
    return " ".join(map(str, told)).encode() + b"\n"


def _decode(data: bytes) -> list[_Told]:
    found = []
    for line in data.decode().splitlines():
        sequence, task, kind, previous, revision = line.split(" ")
        found.append(_Told(int(sequence), task, kind, int(previous), int(revision)))
    return found


def _run(act: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(_PATIENCE):
            await act()

    asyncio.run(bounded())


def _attach(fanout: Fanout, after: int = 0, **options: Any) -> Reader:
    defaults = {"encode": _encode, "wanted": None, "heartbeat": _SILENCE}
    return fanout.attach(after, **defaults | options)


async def _until(reader: Reader, last: int) -> list[_Told]:
    """Return what a reader is given up to the event of a number."""
    found: list[_Told] = []
    while not found or found[-1].sequence < last:
        data = await reader.next()
        assert data is not None
        found += _decode(data)
    return found


def test_readers_at_the_head_share_all_work() -> None:
    """Each commit is read once and each event encoded once for each format; all hear all."""
    storage = MemoryStorage()
    source, write = _Source(storage), _Writer(storage)
    encoded: Counter[int] = Counter()

    def counting(event: Event) -> bytes:
        encoded[event.sequence] += 1
        return _encode(event)

    async def act() -> None:
        fanout = Fanout(source)
        readers = [_attach(fanout, encode=counting) for _ in range(50)]
        reading = [asyncio.create_task(_until(reader, 30)) for reader in readers]
        assert fanout.figures()["readers"] == 50
        for _ in range(15):
            await asyncio.to_thread(write, "status", "progress")
        for each in reading:
            assert [told.sequence for told in await each] == list(range(1, 31))
        for reader in readers:
            reader.leave()
        assert fanout.figures()["readers"] == 0

    _run(act)
    assert set(encoded.values()) == {1}
    # each commit, and once more to see that there is nothing else
    assert source.reads <= 2 * 15 + 2


_STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"),
            st.sampled_from("tuv"),
            st.lists(st.sampled_from(["status", "progress"]), min_size=1, max_size=9),
        ),
        st.tuples(st.just("attach"), st.integers(0, 40), st.sampled_from([None, "t", "status"])),
        st.tuples(st.just("read"), st.integers(0, 5), st.none()),
    ),
    max_size=25,
)


def _wanted(name: str | None) -> Callable[[Event], bool] | None:
    if name is None:
        return None
    return lambda event: name in (event.task_id, event.kind.value)


@settings(deadline=None)
@given(
    steps=_STEPS,
    part=st.integers(1, 6),
    part_bytes=st.integers(1, 700),
    kept=st.integers(1, 8),
    kept_bytes=st.integers(0, 900),
)
def test_whatever_happens_nothing_is_lost(
    steps: list[Any], part: int, part_bytes: int, kept: int, kept_bytes: int
) -> None:
    """Each reader hears every status it wants, in order, and what stands for the progress."""
    storage = MemoryStorage()
    write = _Writer(storage)

    async def act() -> None:
        fanout = Fanout(
            storage.events,
            part=Bounds(count=part, size=part_bytes),
            kept=Bounds(count=kept, size=kept_bytes),
        )
        readers: list[tuple[Reader, int, str | None, list[_Told]]] = []
        for step, first, second in steps:
            if step == "write":
                write(*second, task=first)
            elif step == "attach":
                since = min(first, storage.events.head())
                reader = _attach(fanout, since, wanted=_wanted(second), heartbeat=0.001)
                readers.append((reader, since, second, []))
            elif readers:
                reader, _, _, found = readers[first % len(readers)]
                found += _decode(await reader.next() or b"")
            assert len(fanout._recent) <= kept
            assert fanout._recent.size <= kept_bytes
        fanout.close()
        for reader, since, wanted, found in readers:
            while (data := await reader.next()) is not None:
                found.extend(_decode(data))
            reader.leave()
            _assert_all(storage, since, _wanted(wanted), found)

    _run(act)


def _assert_all(
    storage: MemoryStorage,
    since: int,
    wanted: Callable[[Event], bool] | None,
    found: list[_Told],
) -> None:
    """Check what a reader heard against the journal."""
    events = [
        event for event in storage.events.read(since, 1_000) if wanted is None or wanted(event)
    ]
    by_number = {event.sequence: event for event in events}
    numbers = [told.sequence for told in found]
    assert numbers == sorted(set(numbers))
    assert {event.sequence for event in events if event.kind is EventKind.STATUS} <= {*numbers}
    stood_for = []
    for told in found:
        event = by_number[told.sequence]
        assert (told.task, told.revision) == (event.task_id, event.revision)
        stood_for += [(told.task, number) for number in range(told.previous + 1, told.revision + 1)]
    assert sorted(stood_for) == sorted((event.task_id, event.revision) for event in events)


@settings(deadline=None)
@given(
    writes=st.lists(
        st.tuples(
            st.sampled_from("tuv"),
            st.lists(st.sampled_from(["status", "progress"]), min_size=1, max_size=9),
        ),
        min_size=1,
        max_size=8,
    ),
    part=st.integers(1, 12),
    cuts=st.lists(st.integers(1, 9), max_size=4),
)
@example(
    writes=[("t", ["status", "progress"]), ("u", ["status"]), ("t", ["status"])], part=4, cuts=[2]
)
@example(
    writes=[
        ("t", ["status", "progress"]),
        ("u", ["status"]),
        ("t", ["progress"]),
        ("u", ["status", "status"]),
        ("t", ["progress"]),
    ],
    part=4,
    cuts=[2, 2],
)
def test_a_connection_cut_anywhere_leaves_no_gap(
    writes: list[Any], part: int, cuts: list[int]
) -> None:
    """Whoever resumes after what it got last is told what everything since then stands for."""
    storage = MemoryStorage()
    write = _Writer(storage)
    for task, kinds in writes:
        write(*kinds, task=task)
    last = storage.events.head()

    async def act() -> None:
        fanout = Fanout(storage.events, part=Bounds(count=part, size=_MUCH))
        found: list[_Told] = []
        for cut in [*cuts, last]:
            since = found[-1].sequence if found else 0
            if since == last:
                break
            reader = _attach(fanout, since, resumes=True)
            found += (await _until(reader, min(since + cut, last)))[:cut]
            reader.leave()
        if found[-1].sequence < last:
            reader = _attach(fanout, found[-1].sequence, resumes=True)
            found += await _until(reader, last)
            reader.leave()
        numbers = [told.sequence for told in found]
        assert numbers == sorted(set(numbers))
        reached: Counter[str] = Counter()
        for told in found:
            assert told.previous <= reached[told.task]
            reached[told.task] = told.revision
        events = storage.events.read(0, 1_000)
        assert {event.sequence for event in events if event.kind is EventKind.STATUS} <= {*numbers}

    _run(act)


def test_who_is_far_behind_is_folded() -> None:
    """More than a part: the newest progress of each task, the numbers of what it stands for."""
    storage = MemoryStorage()
    write = _Writer(storage)
    write("status", *["progress"] * 8, "status")
    write("progress")

    async def act() -> None:
        fanout = Fanout(storage.events, part=Bounds(count=10, size=_MUCH))
        reader = _attach(fanout)
        assert await _until(reader, 11) == [
            _Told(1, "t", "status", 0, 1),
            _Told(10, "t", "status", 1, 10),
            _Told(11, "t", "progress", 10, 11),
        ]
        assert fanout.figures()["folded"] == 8
        reader.leave()

    _run(act)


def test_who_stops_at_the_head_is_folded_later() -> None:
    """Memory holds what it holds anyway; the rest is read from the journal."""
    storage = MemoryStorage()
    source, write = _Source(storage), _Writer(storage)

    async def act() -> None:
        fanout = Fanout(
            source, part=Bounds(count=20, size=_MUCH), kept=Bounds(count=50, size=_MUCH)
        )
        stuck, other = _attach(fanout), _attach(fanout)
        write("status")
        assert len(await _until(stuck, 1)) == 1
        for number in range(40):
            write(*["progress"] * 5)
            await _until(other, 6 + 5 * number)
        reads = source.reads
        found = await _until(stuck, 201)
        assert source.reads - reads <= 200 / 20 + 1
        assert len(found) <= 200 / 20 + 20
        assert sum(told.revision - told.previous for told in found) == 200
        for reader in (stuck, other):
            reader.leave()

    _run(act)


def test_those_who_catch_up_take_few_threads() -> None:
    """However many they are, they read two at a time, and nobody at the head waits for them."""
    storage = MemoryStorage()
    source, write = _Source(storage), _Writer(storage)
    write(*["status"] * 30)

    async def act() -> None:
        fanout = Fanout(source, part=Bounds(count=10, size=_MUCH))
        readers = [_attach(fanout) for _ in range(40)]
        found = await asyncio.gather(*(_until(reader, 30) for reader in readers))
        assert all([told.sequence for told in each] == list(range(1, 31)) for each in found)
        # one more reads at the head
        assert source.most_at_once <= 3
        for reader in readers:
            reader.leave()

    _run(act)


def test_one_at_the_head_hears_while_others_catch_up() -> None:
    """Threads that are busy for those behind hold nobody up who is not."""
    storage = MemoryStorage()
    write = _Writer(storage)
    write("status")
    release = threading.Event()

    class _Slow(_Source):
        def read(self, after: int, limit: int, *, most_bytes: int | None = None) -> Any:
            if after == 0:
                release.wait()
            return super().read(after, limit, most_bytes=most_bytes)

    async def act() -> None:
        fanout = Fanout(_Slow(storage))
        behind, live = [_attach(fanout) for _ in range(10)], _attach(fanout, 1)
        reading = [asyncio.create_task(_until(reader, 2)) for reader in behind]
        listening = asyncio.create_task(_until(live, 2))
        await asyncio.sleep(0)
        write("status")
        assert [told.sequence for told in await listening] == [2]
        assert not any(each.done() for each in reading)
        release.set()
        for each in reading:
            assert [told.sequence for told in await each] == [1, 2]
        for reader in [*behind, live]:
            reader.leave()

    try:
        _run(act)
    finally:
        release.set()


def test_what_comes_while_one_looks_is_not_missed() -> None:
    """A reader that knows a newer number than the server has yet been told of."""
    storage = MemoryStorage()
    write = _Writer(storage)
    write("status")

    class _Late(_Source):
        """Its head is told late, and somebody writes just after one has looked."""

        looks = 0

        def head(self) -> int:
            self.looks += 1
            return 0 if self.looks <= 3 else storage.events.head()

        def read(self, after: int, limit: int, *, most_bytes: int | None = None) -> Any:
            found = super().read(after, limit, most_bytes=most_bytes)
            if "behind" in threading.current_thread().name and not found:
                write("status")
                told.wait(_PATIENCE)
            return found

    told = threading.Event()

    async def act() -> None:
        fanout = Fanout(_Late(storage))
        other, reader = _attach(fanout), _attach(fanout, 1)
        waiting = asyncio.create_task(_until(reader, 2))
        assert [each.sequence for each in await _until(other, 2)] == [1, 2]
        told.set()
        assert [each.sequence for each in await waiting] == [2]
        for each in (other, reader):
            each.leave()

    try:
        _run(act)
    finally:
        told.set()


def test_silence_brings_nothing_now_and_then() -> None:
    """No bytes after so many seconds; what is not wanted is silence, and wakes nobody."""
    storage = MemoryStorage()
    write = _Writer(storage)

    async def act() -> None:
        fanout = Fanout(storage.events)
        quiet = _attach(fanout, heartbeat=0.01)
        assert await quiet.next() == b""
        assert await quiet.next() == b""
        picky = _attach(fanout, wanted=_wanted("u"))
        waiting = asyncio.create_task(picky.next())
        await asyncio.sleep(0)
        write("status")
        await _until(quiet, 1)
        assert picky.after == 1
        assert not waiting.done()
        write("status", task="u")
        assert [told.sequence for told in _decode(await waiting or b"")] == [2]
        for reader in (quiet, picky):
            reader.leave()

    _run(act)


def _lose(storage: MemoryStorage, floor: int) -> None:
    """Let the events up to a number be gone."""
    with storage.write() as transaction:
        transaction.state.floor = floor
        for number in range(1, floor + 1):
            transaction.state.journal.pop(number, None)


@pytest.mark.parametrize(("after", "first"), [(0, 4), (2, 4), (99, 6)])
def test_a_gap_is_told_and_skipped(after: int, first: int) -> None:
    """Past retention, or ahead of the head; then the reader goes on with what is left."""
    storage = MemoryStorage()
    write = _Writer(storage)
    write(*["status"] * 5)
    _lose(storage, 3)

    async def act() -> None:
        fanout = Fanout(storage.events)
        reader = _attach(fanout, after)
        with pytest.raises(EventsGone) as gone:
            await reader.next()
        assert (gone.value.since, gone.value.oldest, gone.value.head) == (after, 4, 5)
        reader.skip(gone.value)
        write("status")
        assert (await _until(reader, 6))[0].sequence == first
        reader.leave()

    _run(act)


def test_a_gap_at_the_head_is_told_to_all() -> None:
    """Events that were gone before anybody read them."""
    storage = MemoryStorage()
    write = _Writer(storage)
    write("status")

    async def act() -> None:
        fanout = Fanout(storage.events)
        readers = [_attach(fanout, 1) for _ in range(3)]
        waiting = [asyncio.create_task(reader.next()) for reader in readers]
        await asyncio.sleep(0)
        # nothing wakes them in between
        with storage.events._changed:
            wakes, storage.events._wakes = storage.events._wakes, {}
        write(*["status"] * 4)
        _lose(storage, 4)
        storage.events._wakes = wakes
        storage.events.tell()
        for reader, each in zip(readers, waiting, strict=True):
            with pytest.raises(EventsGone) as gone:
                await each
            reader.skip(gone.value)
            assert [told.sequence for told in await _until(reader, 5)] == [5]
            reader.leave()

    _run(act)


def test_the_last_words_are_told_and_then_the_end() -> None:
    """Who waits, who is behind and who wants nothing of it: all end, and who comes later too."""
    storage = MemoryStorage()
    write = _Writer(storage)
    write("status")

    async def act() -> None:
        fanout = Fanout(storage.events)
        live, behind = _attach(fanout, 1), _attach(fanout, 0)
        picky, idle = _attach(fanout, 0, wanted=_wanted("none")), _attach(fanout, 1)
        waiting = asyncio.create_task(live.next())
        silent = asyncio.create_task(picky.next())
        ending = asyncio.create_task(idle.next())
        await asyncio.sleep(0.01)
        write("status")
        fanout.close()
        write("status")
        assert _decode(await waiting or b"")[0].sequence == 2
        assert (await _until(behind, 2))[0].sequence == 1
        assert await silent is None
        assert await ending is not None
        late = _attach(fanout, storage.events.head())
        for reader in (live, behind, picky, idle, late):
            while await reader.next() is not None:
                pass
            reader.leave()

    _run(act)


def test_an_error_of_the_journal_ends_those_who_listen() -> None:
    """They are told, and who comes again is served once it can be read."""
    storage = MemoryStorage()
    source, write = _Source(storage), _Writer(storage)

    async def act() -> None:
        fanout = Fanout(source)
        reader = _attach(fanout)
        waiting = asyncio.create_task(reader.next())
        await asyncio.sleep(0)
        source.failure = OSError("disk on fire")
        write("status")
        with pytest.raises(OSError, match="on fire"):
            await waiting
        source.failure = None
        assert [told.sequence for told in await _until(reader, 1)] == [1]
        write("status")
        assert [told.sequence for told in await _until(reader, 2)] == [2]
        reader.leave()

    _run(act)


def test_readers_outlive_a_database_that_is_away() -> None:
    """Those at the head keep their connections, and get what was written meanwhile."""
    storage = MemoryStorage()
    source, write = _Source(storage), _Writer(storage)

    async def act() -> None:
        fanout = Fanout(source, rest=0.001)
        reader = _attach(fanout)
        waiting = asyncio.create_task(_until(reader, 1))
        await asyncio.sleep(0)
        source.failure = DatabaseUnavailable("refused")
        before = source.reads
        write("status")
        await asyncio.to_thread(until, lambda: source.reads >= before + 3)
        source.failure = None
        assert [told.sequence for told in await waiting] == [1]
        reader.leave()

    _run(act)


def test_who_leaves_is_woken_no_more() -> None:
    """The journal may be written after the loop is gone; the next reader begins anew."""
    storage = MemoryStorage()
    write = _Writer(storage)

    async def act() -> None:
        fanout = Fanout(storage.events)
        reader = _attach(fanout)
        waiting = asyncio.create_task(reader.next())
        await asyncio.sleep(0)
        assert storage.events._wakes
        reader.leave()
        # a new one before the old reading has quite ended
        other = _attach(fanout)
        assert await waiting is None
        assert await reader.next() is None
        write("status")
        assert len(await _until(other, 1)) == 1
        other.leave()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not storage.events._wakes

    _run(act)
    _write_after = _Writer(storage)
    _write_after("status")


def test_a_filter_leaves_no_claim_for_what_it_keeps_out() -> None:
    """Progress that is told stands for none of before a change of status that is not."""
    storage = MemoryStorage()
    _Writer(storage)("status", "progress", "progress", "status", "progress", "status")

    async def act() -> None:
        fanout = Fanout(storage.events)
        reader = _attach(fanout, 2, wanted=_wanted("progress"), resumes=True)
        assert await _until(reader, 5) == [
            _Told(3, "t", "progress", 1, 3),
            _Told(5, "t", "progress", 4, 5),
        ]
        reader.leave()
        reader = _attach(fanout, 3, wanted=_wanted("progress"), resumes=True)
        assert await _until(reader, 5) == [_Told(5, "t", "progress", 4, 5)]
        reader.leave()

    _run(act)


def test_who_waits_for_a_turn_ends_in_good_order() -> None:
    """The end of the server cancels nobody who is still to read the journal."""
    storage = MemoryStorage()
    _Writer(storage)(*["status"] * 20)
    free = threading.Event()
    source = _Source(storage)
    read = source.read

    def slow(*args: Any, **options: Any) -> Sequence[Event]:
        free.wait(_PATIENCE)
        return read(*args, **options)

    async def act() -> None:
        source.read = slow  # type: ignore[method-assign]
        fanout = Fanout(source, part=Bounds(count=2, size=_MUCH))
        readers = [_attach(fanout) for _ in range(6)]
        ends = asyncio.gather(*(reader.next() for reader in readers), return_exceptions=True)
        await asyncio.sleep(0)
        fanout.close()
        # as after the last words, which take too long here
        fanout._end()
        free.set()
        found = await ends
        assert not [each for each in found if isinstance(each, BaseException)]
        for reader in readers:
            assert await reader.next() is None
            reader.leave()

    _run(act)
