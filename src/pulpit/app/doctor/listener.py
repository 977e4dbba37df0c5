"""One listener: whether it is told at all, how its deliveries go, and all that lies on the way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pulpit.app.doctor.broker import Broker
from pulpit.app.doctor.findings import Check, Note, Problem, examine
from pulpit.app.doctor.mail_server import MailServer
from pulpit.app.doctor.reaching import SECONDS
from pulpit.app.doctor.receiver import Receiver
from pulpit.config import Settings
from pulpit.domain.clock import utc_now
from pulpit.domain.findings import Finding
from pulpit.domain.listeners import Listener, NotifierType, OpenListener
from pulpit.errors import ConfigurationError, PulpitError
from pulpit.events.amqp.addresses import parse_addresses
from pulpit.events.amqp.link import LinkOptions
from pulpit.events.notifiers.networks import Networks
from pulpit.ports import Notifier, Storage

__all__ = ["ListenerDoctor", "diagnose_listener"]

#: What waits for longer than this is worth a word.
_LONG = timedelta(minutes=10)
#: Listeners that are looked at at a time, for who asks by the API.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerDoctor:
    """Looks at any listener, for who asks by the API."""

    settings: Settings
    storage: Storage
    notifiers: Mapping[NotifierType, Notifier]
    now: Callable[[], datetime] = utc_now
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def __call__(self, opened: OpenListener) -> Sequence[Finding]:
        """Return what is found of the listener; see ``diagnose_listener``."""
        waiting = await asyncio.to_thread(self._oldest_pending)
        async with self._turns:
            return await diagnose_listener(
                opened,
                settings=self.settings,
                notifier=self.notifiers[opened.listener.notifier_type],
                oldest_pending=waiting.get(opened.listener.id),
                now=self.now,
            )

    def _oldest_pending(self) -> Mapping[str, datetime]:
        with self.storage.read() as transaction:
            return transaction.deliveries.oldest_pending()


async def diagnose_listener(
    opened: OpenListener,
    *,
    settings: Settings,
    notifier: Notifier,
    oldest_pending: datetime | None,
    now: Callable[[], datetime] = utc_now,
) -> Sequence[Finding]:
    """Return what is found of a listener; nothing is changed anywhere, and nothing delivered.

    It looks from this machine, in a thread. What it connects to is what deliveries may go to.

    Args:
        opened: the listener, with its secrets; no finding holds one.
        settings: of this server.
        notifier: of the listener's type, whose ``check`` judges the configuration.
        oldest_pending: when the oldest of its pending deliveries was created.
        now: the present time.
    """

    def look() -> Sequence[Finding]:
        return [
            *examine("Listener", _checks(opened.listener, notifier, oldest_pending, now)),
            *_on_the_way(opened, settings, now),
        ]

    return await _apart(look)


async def _apart(look: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    """Return what is found in a thread of its own.

    Receivers may let a look take long; neither the threads that the database is asked in nor the
    end of the process wait for that.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Sequence[Finding]] = loop.create_future()

    def tell(findings: Sequence[Finding], error: Exception | None) -> None:
        if found.done():
            return
        if error is None:
            found.set_result(findings)
        else:
            found.set_exception(error)

    def run() -> None:
        findings: Sequence[Finding] = ()
        failed: Exception | None = None
        try:
            findings = look()
        except Exception as error:  # noqa: BLE001 - it is raised where the findings are awaited
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, findings, failed)

    threading.Thread(target=run, name="listener-doctor", daemon=True).start()
    return await found


def _checks(
    listener: Listener,
    notifier: Notifier,
    oldest_pending: datetime | None,
    now: Callable[[], datetime],
) -> Sequence[Check]:
    """Return what there is to look at of the listener itself."""

    def configuration() -> str:
        try:
            notifier.check(listener.config)
        except PulpitError as error:
            update = f"correct it: `pulpit listener update {listener.id}`"
            raise Problem(error.message, update) from error
        return f"of type {listener.notifier_type.value}, for {', '.join(listener.event_types)}"

    def enabled() -> str:
        if listener.is_enabled:
            return "it is told of events"
        when = f" since {_moment(listener.disabled_at)}" if listener.disabled_at else ""
        raise Problem(
            f"it is disabled{when}: {listener.disabled_reason}",
            f"mend that, then run `pulpit listener enable {listener.id}`",
        )

    def pending() -> str:
        if oldest_pending is None:
            return "no delivery waits"
        since = f"the oldest delivery that waits is from {_moment(oldest_pending)}"
        if now() - oldest_pending > _LONG:
            raise Note(since, f"`pulpit listener deliveries {listener.id} --state pending`")
        return since

    return (
        Check(name="configuration", title="Configuration", answer=configuration),
        Check(name="enabled", title="Enabled", answer=enabled),
        Check(name="health", title="Deliveries", answer=lambda: _health(listener)),
        Check(name="pending", title="Waiting", answer=pending),
    )


def _health(listener: Listener) -> str:
    """Look how deliveries go."""
    health = listener.health
    if health.failing_since is not None:
        raise Problem(
            f"all attempts since {_moment(health.failing_since)} have failed: "
            f"{health.last_reason or 'nobody knows why'}",
            f"see what is found below, and `pulpit listener deliveries {listener.id}`",
        )
    if health.last_delivered is None:
        return "nothing was delivered yet"
    return f"the last one succeeded at {_moment(health.last_delivered)}"


def _on_the_way(
    opened: OpenListener,
    settings: Settings,
    now: Callable[[], datetime],
) -> Iterator[Finding]:
    """Yield what is found between here and whoever is told."""
    match opened.listener.notifier_type:
        case NotifierType.HTTP:
            networks = Networks(settings.listeners.allow_networks)
            receiver = Receiver(opened=opened, networks=networks, now=now)
            yield from examine("Receiver", receiver.checks())
        case NotifierType.EMAIL:
            server = MailServer(listener=opened.listener, settings=settings.email)
            yield from examine("Mail server", server.checks())
        case NotifierType.AMQP:
            yield from _brokers(opened.listener, settings)


def _brokers(listener: Listener, settings: Settings) -> Iterator[Finding]:
    """Yield what is found of each broker that may be told."""
    messaging = settings.messaging
    options = LinkOptions(
        cacert=messaging.cacert, clientcert=messaging.certificate_to_show, timeout=SECONDS
    )
    exchange = str(listener.config.get("exchange") or messaging.topic_exchange)
    for url in messaging.broker_urls:
        try:
            (address,) = parse_addresses(url)
        except ConfigurationError as error:
            problem = Problem(error.message, "correct it")
            yield from examine("Broker", [Check(name="url", title="URL", answer=_raise(problem))])
            continue
        broker = Broker(address, options, exchange=exchange)
        try:
            yield from examine(f"Broker {address}", broker.checks())
        finally:
            broker.close()


def _raise(problem: Problem) -> Callable[[], str]:
    """Return a check that finds a problem."""

    def answer() -> str:
        raise problem

    return answer


def _moment(time: datetime) -> str:
    """Return a time as findings tell it."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
