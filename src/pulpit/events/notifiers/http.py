"""Listeners of type http: a POST that is signed, and goes where it may and nowhere else."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Protocol

import aiohttp
from multidict import CIMultiDict

from pulpit.config.settings import Listeners
from pulpit.domain.clock import utc_now
from pulpit.domain.deliveries import REASON_KEPT, Parcel, Receipt, Verdict
from pulpit.domain.listeners import OpenListener
from pulpit.errors import RequestError
from pulpit.events.notifiers.answers import (
    exchange_of,
    read_head,
    retry_after,
    shown_body,
    verdict_of,
)
from pulpit.events.notifiers.attempts import ATTEMPT, Attempted
from pulpit.events.notifiers.bodies import cloudevent
from pulpit.events.notifiers.configuration import Route, check_config, make_route
from pulpit.events.notifiers.connecting import Guard, Lookup, Request, Resolver, look_up
from pulpit.events.notifiers.networks import Networks
from pulpit.events.notifiers.reasons import reason_of, reason_of_status, reason_of_timeout
from pulpit.events.notifiers.signing import signature
from pulpit.events.notifiers.trust import Trust, Unusable
from pulpit.ports import Clock

__all__ = ["HttpNotifier"]

#: Seconds for which a connection is kept that nobody uses, and how many before none is.
_KEEP_ALIVE, _MOST_KEPT = 15.0, 512
#: Kept connections that may turn out to be closed before one is opened for the attempt.
_MOST_STALE = 3
#: Bytes of an answer that wait unread, of one line of its head, and how many lines that has.
_WAITING, _LONGEST_LINE, _MOST_HEADERS = 8 << 10, 8_190, 100
#: Bytes of a body beyond which it is sent piece by piece.
_LARGE = 1 << 20
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
        self._resolver = Resolver(self._networks, lookup)
        self._session: aiohttp.ClientSession | None = None

    def check(self, config: Mapping[str, Any]) -> None:
        check_config(config, self._networks)

    async def deliver(
        self, listener: OpenListener, parcel: Parcel, *, trace: bool = False
    ) -> Receipt:
        attempt = Attempted(wants_lines=trace)
        token = ATTEMPT.set(attempt)
        try:
            try:
                route = self._route(listener)
            except (RequestError, ValueError) as error:
                return _failed(str(error))
            return await self._deliver(route, parcel, attempt)
        except Exception:  # noqa: BLE001 - a notifier raises nothing
            self._log.error(
                "a delivery by http failed by an error of the server's own",
                delivery_id=parcel.id,
                exc_info=True,
            )
            return _failed("an error of this server's own; its log has more")
        finally:
            ATTEMPT.reset(token)

    async def close(self) -> None:
        session, self._session = self._session, None
        self._routes.clear()
        if session is not None:
            await session.close()
        await self._resolver.close()

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
        answer: aiohttp.ClientResponse | None = None
        verdict, status, response, pause = Verdict.FAILED, None, "", None
        try:
            async with asyncio.timeout(self._timeout) as limit:
                answer = await self._post(route, parcel, attempt)
            status, headers = answer.status, answer.headers
            verdict = verdict_of(status)
            reason = "" if verdict is Verdict.DELIVERED else reason_of_status(status)
            pause = retry_after(status, headers.get("Retry-After"), now=self._clock())
            body = await read_head(answer, until=limit.when())
            response = shown_body(body, headers.get("Content-Encoding", ""), route.mask)
        except TimeoutError:
            reason = reason_of_timeout(attempt, self._timeout)
        except Unusable as error:
            reason = str(error)
        except (aiohttp.ClientError, OSError) as error:
            reason = reason_of(error, route.target, attempt, route.files)
        finally:
            if answer is not None and not answer.closed:
                answer.close()
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

    async def _post(
        self, route: Route, parcel: Parcel, attempt: Attempted
    ) -> aiohttp.ClientResponse:
        """Return the head of the answer.

        A connection that was kept may have been closed by the receiver at this moment, which says
        nothing about the receiver; another one is tried then, with the same id.
        """
        body, headers = self._signed(route, parcel)
        secure = route.target.scheme == "https"
        for stale in itertools.count():
            try:
                return await self._opened().post(
                    route.url,
                    data=body if len(body) <= _LARGE else BytesIO(body),
                    headers=headers,
                    allow_redirects=False,
                    ssl=await self._trust.context(route.files) if secure else True,
                )
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if attempt.is_fresh or stale == _MOST_STALE:
                    raise
        raise AssertionError("it ends by an answer or an error")

    def _signed(self, route: Route, parcel: Parcel) -> tuple[bytes, CIMultiDict[str]]:
        """Return what is sent, and its headers."""
        body = parcel.body
        if route.is_cloudevent:
            body = cloudevent(parcel, source=self._source)
        now = self._clock()
        headers = route.headers.copy()
        headers["webhook-id"] = parcel.id
        headers["webhook-timestamp"] = str(int(now.timestamp()))
        if signed := signature(route.keys, delivery_id=parcel.id, now=now, body=body):
            headers["webhook-signature"] = signed
        if self._guard.count > _MOST_KEPT:
            headers["Connection"] = "close"
        return body, headers

    def _opened(self) -> aiohttp.ClientSession:
        """Return the session of all listeners.

        Connections are shared by those alone who have the same host and the same TLS; who delivers
        bounds how many there are at a time.
        """
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,
                use_dns_cache=False,
                resolver=self._resolver,
                socket_factory=self._guard,
                keepalive_timeout=_KEEP_ALIVE,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                request_class=Request,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                # the whole attempt has a time; see _deliver
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                read_bufsize=_WAITING,
                max_line_size=_LONGEST_LINE,
                max_field_size=_LONGEST_LINE,
                max_headers=_MOST_HEADERS,
            )
        return self._session


def _failed(reason: str) -> Receipt:
    """Return the receipt of an attempt that came to nothing."""
    return Receipt(verdict=Verdict.FAILED, reason=reason[:REASON_KEPT])
