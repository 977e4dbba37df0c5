"""Who may come in at the door."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, encode

from pulpit.events.door.credentials import Gate, is_loopback

StartOk = commands.Connection.StartOk
PEER, HERE = "192.0.2.7", "127.0.0.1"


class World:
    """A gate with its users and its clock."""

    def __init__(self, *, anonymous_loopback: bool = False) -> None:
        self.now = 0.0
        self.asked: list[tuple[str, str]] = []
        self._anonymous = anonymous_loopback

    def admit(self, *answers: StartOk, host: str = PEER) -> list[str | None]:
        """Return what becomes of each answer."""

        async def run() -> list[str | None]:
            return [await self.gate.admit(answer, host) for answer in answers]

        return asyncio.run(run())

    async def _authenticate(self, login: str, password: str) -> bool:
        self.asked.append((login, password))
        return password == "good"

    @property
    def gate(self) -> Gate:
        """Return the one gate, made on first use."""
        if not hasattr(self, "_gate"):
            self._gate = Gate(
                self._authenticate,
                anonymous_loopback=self._anonymous,
                concurrency=2,
                clock=lambda: self.now,
            )
        return self._gate


def plain(login: str, password: str) -> StartOk:
    return StartOk(mechanism="PLAIN", response=f"\0{login}\0{password}")


def amqplain(login: object, password: object) -> StartOk:
    table = encode.field_table({"LOGIN": login, "PASSWORD": password})  # type: ignore[dict-item]
    answer = StartOk(mechanism="AMQPLAIN")
    # what the codec reads where the octets are not all text
    answer.response = table[4:]  # type: ignore[assignment]
    return answer


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("192.0.2.1", False),
        ("0.0.0.0", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    """Only addresses of this machine itself are loopback."""
    assert is_loopback(host) is expected


def test_users_come_in_by_both_mechanisms() -> None:
    """PLAIN and AMQPLAIN hand login and password on."""
    world = World()
    good, bad = plain("ann", "good"), plain("ann", "bad")
    assert world.admit(good, bad) == ["ann", None]
    assert world.admit(amqplain("bob", "good"), amqplain("bob", "bad")) == ["bob", None]
    assert world.asked == [("ann", "good"), ("ann", "bad"), ("bob", "good"), ("bob", "bad")]


@pytest.mark.parametrize(
    "answer",
    [
        StartOk(mechanism="PLAIN", response=""),
        StartOk(mechanism="PLAIN", response="ann\0good"),
        StartOk(mechanism="PLAIN", response="\0ann\0good\0more"),
        StartOk(mechanism="AMQPLAIN", response="\x05LOGINS"),
        StartOk(mechanism="EXTERNAL", response="\0ann\0good"),
        amqplain(1, "good"),
        amqplain("ann", None),
    ],
)
def test_what_is_no_answer_is_refused_unasked(answer: StartOk) -> None:
    """A malformed response never reaches the users."""
    world = World()
    assert world.admit(answer) == [None]
    assert world.asked == []


@given(st.binary(max_size=100), st.sampled_from(["PLAIN", "AMQPLAIN"]))
def test_random_responses_are_refused_or_asked(response: bytes, mechanism: str) -> None:
    """Nothing but an answer comes of random octets."""
    answer = StartOk(mechanism=mechanism)
    answer.response = response  # type: ignore[assignment]
    world = World()
    assert world.admit(answer)[0] is None or world.asked


def test_guests_come_in_from_here_only() -> None:
    """guest/guest and ANONYMOUS need a loopback peer and the operator's word."""
    anonymous = StartOk(mechanism="ANONYMOUS", response="")
    guest = plain("guest", "guest")
    open_door = World(anonymous_loopback=True)
    assert open_door.admit(guest, anonymous, host=HERE) == ["guest", "anonymous"]
    assert open_door.admit(guest, anonymous, host=PEER) == [None, None]
    assert World().admit(guest, anonymous, host=HERE) == [None, None]
    assert open_door.gate.mechanisms(HERE).split() == ["PLAIN", "AMQPLAIN", "ANONYMOUS"]
    assert open_door.gate.mechanisms(PEER).split() == ["PLAIN", "AMQPLAIN"]


def test_a_login_that_was_guessed_at_rests() -> None:
    """Ten wrong passwords of a login from a host, then one more every six seconds."""
    world = World()
    world.admit(*[plain("ann", "bad")] * 20)
    assert len(world.asked) == 10
    assert world.admit(plain("ann", "good")) == [None]
    assert world.admit(plain("ann", "good"), host="192.0.2.8") == ["ann"]
    assert world.admit(plain("bob", "good")) == ["bob"]
    world.now += 6
    assert world.admit(plain("ann", "good")) == ["ann"]


def test_a_host_that_guesses_at_many_logins_rests() -> None:
    """A hundred wrong passwords from a host, whoever's, then one more every second."""
    world = World()
    world.admit(*(plain(f"user{number}", "bad") for number in range(150)))
    assert len(world.asked) == 100
    assert world.admit(plain("ann", "good")) == [None]
    world.now += 1
    assert world.admit(plain("ann", "good")) == ["ann"]


def test_what_is_remembered_of_failures_is_bounded() -> None:
    """Failures from very many hosts do not fill the memory."""
    world = World()

    async def run() -> None:
        for number in range(10_500):
            await world.gate.admit(plain("ann", "bad"), f"host{number}")

    asyncio.run(run())
    assert len(world.gate._of_host._until) == 10_000
