"""Connections by origin: how each is dialled, and those that wait for their next request."""

from __future__ import annotations

import asyncio
import functools

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from yarl import URL

from ..settings import HostRules
from .guard import Guard
from .head import field_line
from .resolve import GuardedResolver
from .wire import Wire

KEEPALIVE = 15.0  # seconds an idle connection is kept: shorter than what servers commonly keep
SWEEP = 5.0  # seconds between two looks for those that have been idle for longer
PLACES = 10_000  # origins remembered; those with idle connections stay
NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=None)  # deadlines are kept by the transport

Idle = tuple[float, Connection, Wire]  # since when, in seconds of the loop's clock


class Place:
    """One origin: what aiohttp's connector takes for a dial, and the idle connections, last used last."""

    __slots__ = ("asked", "idle", "netloc", "origin", "prefix", "proxied")

    def __init__(self, origin: str, asked: aiohttp.ClientRequest) -> None:
        self.origin = origin
        self.asked = asked
        self.idle: list[Idle] = []
        self.netloc = origin.partition("//")[2]
        plain_proxy = asked.proxy is not None and not asked.is_ssl()
        self.prefix = origin if plain_proxy else ""  # such a proxy is told the whole URL (RFC 9112 3.2.2)
        self.proxied = b""  # a header line for it


class Pool:
    """Dials through aiohttp's connector (TLS, proxies, happy eyeballs) and keeps what may be used again."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, rules: HostRules, guard: Guard, resolver: AbstractResolver
    ) -> None:
        self._loop = loop
        self._rules = rules
        self._guard = guard
        self._places: dict[str, Place] = {}
        self._most = PLACES  # how many there may be before the next look for those that can go
        self._sweeper: asyncio.TimerHandle | None = None
        self._connector = aiohttp.TCPConnector(
            limit=0, use_dns_cache=False, resolver=GuardedResolver(resolver, guard), keepalive_timeout=KEEPALIVE
        )
        self._connector._factory = functools.partial(Wire, loop=loop)  # type: ignore[assignment]

    def place(self, origin: str) -> Place:
        """What is known of an origin. Raises ValueError for one that cannot be dialled."""
        found = self._places.get(origin)
        if found is None:
            if len(self._places) >= self._most:
                self._places = {key: place for key, place in self._places.items() if place.idle}
                self._most = max(PLACES, 2 * len(self._places))
            found = self._places[origin] = self._new(origin)
        return found

    def _new(self, origin: str) -> Place:
        rule = self._rules[origin.partition("//")[2]]
        asked = aiohttp.ClientRequest(
            "GET",
            URL(origin + "/", encoded=True),
            loop=self._loop,
            ssl=bool(rule.verify),
            proxy=URL(rule.proxy) if rule.proxy else None,
        )
        return Place(origin, asked)

    def take(self, place: Place) -> tuple[Connection, Wire] | None:
        """The connection that was idle for the shortest time, None when a new one has to be dialled."""
        while place.idle:
            since, connection, wire = place.idle.pop()
            if wire.is_connected() and self._loop.time() - since <= KEEPALIVE:
                return connection, wire
            connection.close()
        return None

    async def dial(self, place: Place) -> tuple[Connection, Wire]:
        """A new connection. Raises FetchError, and what aiohttp raises."""
        self._guard.check_url(place.origin + "/")
        connection = await self._connector.connect(place.asked, [], NO_TIMEOUT)
        wire = connection.protocol
        if not isinstance(wire, Wire):
            connection.close()
            raise RuntimeError(f"aiohttp {aiohttp.__version__} makes connections without BaseConnector._factory")
        if place.prefix and (secret := place.asked.headers.get("Proxy-Authorization")):
            place.proxied = field_line("Proxy-Authorization", secret)
        return connection, wire

    def give(self, place: Place, connection: Connection, wire: Wire) -> None:
        """Let a connection wait for the next request to its place, if it may carry one."""
        if not wire.done() or self._places.get(place.origin) is not place:  # it may have been forgotten
            connection.close()
            return
        place.idle.append((self._loop.time(), connection, wire))
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long. O(origins)."""
        self._sweeper = None
        old = self._loop.time() - KEEPALIVE
        left = False
        for place in self._places.values():
            if not place.idle:
                continue  # the most of them
            for since, connection, wire in place.idle:
                if since < old or not wire.is_connected():
                    connection.close()
            place.idle = [idle for idle in place.idle if not idle[1].closed]
            left = left or bool(place.idle)
        if left:
            self._sweeper = self._loop.call_later(SWEEP, self._sweep)

    async def close(self) -> None:
        """Close every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        try:
            await self._connector.close()  # waits for the ends of all that it has made
        finally:
            for place in self._places.values():
                for _, connection, _ in place.idle:
                    connection.close()
                place.idle.clear()
