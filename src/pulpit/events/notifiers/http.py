"""Listeners of type http: a POST that is signed, and goes where it may and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from pulpit.config.settings import Listeners
from pulpit.domain.clock import utc_now
from pulpit.domain.deliveries import REASON_KEPT, Parcel, Receipt, Verdict
from pulpit.domain.listeners import OpenListener
from pulpit.errors import RequestError
from pulpit.events.notifiers.answers import exchange_of, retry_after, shown_body, verdict_of
from pulpit.events.notifiers.attempts import Attempted, Phase
from pulpit.events.notifiers.bodies import cloudevent
from pulpit.events.notifiers.configuration import Route, check_config, make_route
from pulpit.events.notifiers.connecting import Guard, Lookup, Resolver, look_up, shown_peer
from pulpit.events.notifiers.http_connection import Answer, BadAnswer, Connection
from pulpit.events.notifiers.http_pool import Pool
from pulpit.events.notifiers.networks import Networks
from pulpit.events.notifiers.reasons import reason_of, reason_of_status, reason_of_timeout
from pulpit.events.notifiers.signing import signature
from pulpit.events.notifiers.trust import Trust, Unusable
from pulpit.ports import Clock

__all__ = ["HttpNotifier"]

#: Connections beyond which none is kept.
_MOST_KEPT = 512
#: Kept connections that may turn out to be closed before one is opened for the attempt.
_MOST_STALE = 3
#: Listeners whose routes are remembered.
_MOST_ROUTES = 2_000


class _Log(Protocol):
    """What is needed of the log."""

    def error(self, event: str, /, **fields: Any) -> Any: ...


class HttpNotifier:
    """Delivers by HTTP; see ``pulpit.ports.Notifier``. For use in one event loop.

    Redirects are not followed, cookies not kept, proxies of the environment not used.

    Args:
        settings: how long an attempt may take, and which networks it may reach.
        event_source: URI of this server, CloudEvents' ``source``.
        log: where errors of our own are told.
        clock: the present time.
        lookup: resolves names.
    """

    def __init__(
        self,
        settings: Listeners,
        *,
        event_source: str,
        log: _Log,
        clock: Clock = utc_now,
        lookup: Lookup = look_up,
    ) -> None:
        self._timeout, self._source = settings.timeout, event_source
        self._clock, self._log = clock, log
        self._networks = Networks(settings.allow_networks)
        self._trust = Trust()
        self._guard = Guard(self._networks)
        self._routes: dict[str, Route] = {}
        self._pool = Pool(Resolver(self._networks, lookup), self._guard)

    def check(self, config: Mapping[str, Any]) -> None:
        check_config(config, self._networks)

    async def deliver(
        self, listener: OpenListener, parcel: Parcel, *, trace: bool = False
    ) -> Receipt:
        try:
            try:
                route = self._route(listener)
            except (RequestError, ValueError) as error:
                return _failed(str(error))
            return await self._deliver(route, parcel, Attempted(wants_lines=trace))
        except Exception:  # noqa: BLE001 - a notifier raises nothing
            self._log.error(
                "a delivery by http failed by an error of the server's own",
                delivery_id=parcel.id,
                exc_info=True,
            )
            return _failed("an error of this server's own; its log has more")

    async def close(self) -> None:
        self._routes.clear()
        await self._pool.close()

    def _route(self, opened: OpenListener) -> Route:
        """Return how a listener is told, as of its revision."""
        listener = opened.listener
        route = self._routes.get(listener.id)
        if route is None or route.revision != listener.revision:
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            route = self._routes[listener.id] = make_route(opened, self._networks)
        return route

    async def _deliver(self, route: Route, parcel: Parcel, attempt: Attempted) -> Receipt:
        """Make the attempt within its time."""
        answer: Answer | None = None
        verdict, status, response, pause = Verdict.FAILED, None, "", None
        try:
            answer = await self._post(route, parcel, attempt)
            status = answer.status
            verdict = verdict_of(status)
            reason = "" if verdict is Verdict.DELIVERED else reason_of_status(status)
            pause = retry_after(status, answer.header(b"retry-after"), now=self._clock())
            if answer.body:
                encoding = answer.header(b"content-encoding") or ""
                response = shown_body(answer.body, encoding, route.mask)
        except Unusable as error:
            reason = str(error)
        except (BadAnswer, OSError) as error:
            if _is_out_of_time(error):
                reason = reason_of_timeout(attempt, self._timeout)
            else:
                reason = reason_of(error, route.target, attempt, route.files)
        return Receipt(
            verdict=verdict,
            status=status,
            reason=reason[:REASON_KEPT],
            response=response,
            retry_after=pause,
            exchange=exchange_of(attempt, answer, response, route.mask)
            if attempt.wants_lines
            else None,
        )

    async def _post(self, route: Route, parcel: Parcel, attempt: Attempted) -> Answer:
        """Return what is answered.

        A connection that was kept may have been closed by the receiver at this moment, which says
        nothing about the receiver; another one is tried then, with the same id.
        """
        head, body = self._signed(route, parcel)
        target, context = route.target, None
        until = asyncio.get_running_loop().time() + self._timeout
        if target.scheme == "https":
            async with asyncio.timeout_at(until):
                context = await self._trust.context(route.files, attempt)
        for _ in range(_MOST_STALE):
            if (connection := self._pool.take(target, context)) is None:
                break
            try:
                return await self._exchange(connection, attempt, head, body, until)
            except OSError as error:
                if _is_out_of_time(error):
                    raise
            finally:
                self._pool.keep(target, context, connection)
        async with asyncio.timeout_at(until):
            connection = await self._pool.open(target, context, attempt)
        try:
            return await self._exchange(connection, attempt, head, body, until)
        finally:
            self._pool.keep(target, context, connection)

    async def _exchange(
        self, connection: Connection, attempt: Attempted, head: bytes, body: bytes, until: float
    ) -> Answer:
        """Return what is answered on a connection."""
        attempt.phase = Phase.ANSWER
        if attempt.wants_lines:
            attempt.peer = shown_peer(connection.peer)
            attempt.sent = tuple(head.decode().splitlines()[:-1])
        return await connection.exchange(head, body, until=until)

    def _signed(self, route: Route, parcel: Parcel) -> tuple[bytes, bytes]:
        """Return head and body of what is sent."""
        body = parcel.body
        if route.is_cloudevent:
            body = cloudevent(parcel, source=self._source)
        now = self._clock()
        head = (
            f"webhook-id: {parcel.id}\r\nwebhook-timestamp: {int(now.timestamp())}\r\n"
            f"Content-Length: {len(body)}\r\n"
        )
        if signed := signature(route.keys, delivery_id=parcel.id, now=now, body=body):
            head += f"webhook-signature: {signed}\r\n"
        if self._guard.count > _MOST_KEPT:
            head += "Connection: close\r\n"
        return route.head + f"{head}\r\n".encode(), body


def _is_out_of_time(error: Exception) -> bool:
    """Tell whether our own time is over, not that of the system's network."""
    return isinstance(error, TimeoutError) and error.errno is None


def _failed(reason: str) -> Receipt:
    """Return the receipt of an attempt that came to nothing."""
    return Receipt(verdict=Verdict.FAILED, reason=reason[:REASON_KEPT])
