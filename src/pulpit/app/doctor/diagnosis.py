"""The whole diagnosis: the configuration, the house, the API, the door and each broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pulpit.app.doctor.broker import Broker
from pulpit.app.doctor.findings import Check, Finding, Note, Problem, Skip, examine
from pulpit.app.doctor.house import House
from pulpit.app.doctor.web import Api, Web
from pulpit.config import LOCAL_BROKER_URL, Address, Settings
from pulpit.errors import ConfigurationError
from pulpit.events.amqp.addresses import parse_addresses
from pulpit.events.amqp.inspection import greeting
from pulpit.events.amqp.link import LinkOptions
from pulpit.events.amqp.refusals import DOOR_PRODUCT

__all__ = ["Api", "diagnose"]

_LOCAL = Address("localhost", 5672)
_SECONDS = 3.0
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ways:
    """Where events are to go by AMQP."""

    brokers: tuple[str, ...] = ()
    door: Address | None = None
    #: Why there is neither.
    neither: str = ""


def diagnose(read: Callable[[], Settings], *, api: Callable[[Settings], Api]) -> Iterator[Finding]:
    """Yield what is found, as it is found; nothing is changed anywhere.

    Args:
        read: reads the configuration, or raises ConfigurationError.
        api: returns where the API is to be looked for.
    """
    settings: list[Settings] = []
    yield from examine("Configuration", [_configuration(read, settings)])
    if not settings:
        return
    ways = _ways(settings[0])
    house = House(settings[0], publishes=bool(ways.brokers))
    yield from examine("This machine", house.checks())
    yield from examine("API", Web(api(settings[0]), lambda: house.server).checks())
    yield from examine("AMQP", _amqp(ways, house))
    for url in ways.brokers:
        yield from _broker(url, settings[0])


def _configuration(read: Callable[[], Settings], found: list[Settings]) -> Check:
    """Return the check that reads the configuration and puts it into *found*."""

    def answer() -> str:
        try:
            settings = read()
        except ConfigurationError as error:
            raise Problem(error.message, "correct it, then run `pulpit doctor` again") from error
        found.append(settings)
        sources = sorted(set(settings.origins.values()))
        if settings.notes:
            raise Note("; ".join(settings.notes))
        return f"read from {', '.join(sources)}" if sources else "all settings have their defaults"

    return Check(name="configuration", title="Settings", answer=answer)


def _ways(settings: Settings) -> _Ways:
    """Return where events go, as the server would decide it; see ``notifications.plan``."""
    messaging, door = settings.messaging, settings.door.address
    if not messaging.event_notifications_enabled:
        return _Ways(neither="events by AMQP are off (event_notifications_enabled in [messaging])")
    if messaging.event_notification_url is not None:
        return _Ways(brokers=messaging.event_notification_url, door=door)
    if door is not None:
        return _Ways(door=door)
    # what listens may be the door that a server has opened there
    product = greeting(*_LOCAL, seconds=_SECONDS)
    if product is None or product.startswith(DOOR_PRODUCT):
        return _Ways(door=Address("127.0.0.1", _LOCAL.port))
    return _Ways(brokers=(LOCAL_BROKER_URL,))


def _amqp(ways: _Ways, house: House) -> Sequence[Check]:
    """Return the checks of what is open here."""

    def way() -> str:
        if ways.neither:
            raise Skip(ways.neither)
        told = ["to a broker"] if ways.brokers else []
        return f"events go {' and '.join([*told, *(['through the door'] if ways.door else [])])}"

    checks = [Check(name="way", title="Events", answer=way)]
    if ways.door:
        address = ways.door
        checks.append(
            Check(name="door", title="Door", answer=lambda: _check_door(address, house.server))
        )
    return checks


def _check_door(address: Address, server: int | None) -> str:
    """Look who listens where the door is to be."""
    host = _WILDCARDS.get(address.host, address.host)
    product = greeting(host, address.port, seconds=_SECONDS)
    if product is None:
        if server is None:
            return f"{address} is free"
        raise Problem(
            f"the server runs, but nothing listens at {address}",
            "look at its log; it may have been started with other settings",
        )
    if not product.startswith(DOOR_PRODUCT):
        raise Problem(
            f"{product or 'another program'} listens at {address}",
            "stop it, or choose another address in [door]",
        )
    if server is None:
        raise Problem(
            f"the door of another Pulpit server is open at {address}",
            "stop that server, or choose another address in [door]",
        )
    return f"open at {address}"


def _broker(url: str, settings: Settings) -> Iterator[Finding]:
    """Yield what is found about one broker."""
    messaging = settings.messaging
    options = LinkOptions(
        cacert=messaging.cacert,
        clientcert=messaging.clientcert if messaging.auth_enabled else None,
        timeout=_SECONDS,
    )
    try:
        (address,) = parse_addresses(url)
    except ConfigurationError as error:
        problem = Problem(error.message, "correct it")
        yield from examine("Broker", [Check(name="url", title="URL", answer=_raising(problem))])
        return
    broker = Broker(address, options)
    try:
        yield from examine(f"Broker {address}", broker.checks())
    finally:
        broker.close()


def _raising(problem: Problem) -> Callable[[], str]:
    """Return a check that finds a problem."""

    def answer() -> str:
        raise problem

    return answer
