"""The whole diagnosis: the configuration, the house, the API, the door and each broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pulpit.app.doctor.broker import Broker
from pulpit.app.doctor.findings import Check, Note, Problem, Skip, examine
from pulpit.app.doctor.house import House
from pulpit.app.doctor.server_certificate import OwnCertificate
from pulpit.app.doctor.web import Api, Web
from pulpit.app.plans import LOCAL, Plan, Way, local_plan, settled
from pulpit.config import Address, Settings
from pulpit.domain.findings import Finding, Outcome
from pulpit.errors import ConfigurationError
from pulpit.events.amqp.addresses import parse_addresses
from pulpit.events.amqp.inspection import greeting
from pulpit.events.amqp.link import LinkOptions
from pulpit.events.amqp.refusals import DOOR_PRODUCT

__all__ = ["Api", "diagnose"]

_SECONDS = 3.0


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
    chosen = _plan(settings[0])
    house = House(settings[0], publishes=bool(chosen.broker))
    yield from examine("This machine", house.checks())
    found = api(settings[0])
    certificate = OwnCertificate(settings=settings[0], cafile=found.cafile)
    yield from examine("Certificate", certificate.checks())
    for finding in examine("API", Web(found, lambda: house.server).checks()):
        if finding.check == "api" and finding.outcome is Outcome.OK and house.server is None:
            # with a shared database the data folder does not tell
            house.server = 0
        yield finding
    yield from examine("AMQP", _amqp(chosen, house, tls=settings[0].door.tls))
    for url in chosen.broker:
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


def _plan(settings: Settings) -> Plan:
    """Return where events go, as the server would decide it."""
    if (chosen := settled(settings)) is not None:
        return chosen
    # what listens may be the door that a server has opened there
    product = greeting(*LOCAL, seconds=_SECONDS)
    return local_plan(broker=product is not None and not product.startswith(DOOR_PRODUCT))


def _amqp(chosen: Plan, house: House, *, tls: bool) -> Sequence[Check]:
    """Return the checks of what is open here.

    Args:
        chosen: where events go.
        house: whose server opens the door.
        tls: whether the door speaks TLS.
    """

    def way() -> str:
        if chosen.way is Way.OFF:
            raise Skip("events by AMQP are off (event_notifications_enabled in [messaging])")
        told = ["to a broker"] if chosen.broker else []
        return f"events go {' and '.join([*told, *(['through the door'] if chosen.door else [])])}"

    checks = [Check(name="way", title="Events", answer=way)]
    if address := chosen.door:

        def door() -> str:
            return _check_door(address, house.server, tls=tls)

        checks.append(Check(name="door", title="Door", answer=door))
    return checks


def _check_door(address: Address, server: int | None, *, tls: bool) -> str:
    """Look who listens where the door is to be."""
    product = greeting(*address.reached, seconds=_SECONDS, tls=tls)
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
        clientcert=messaging.certificate_to_show,
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
