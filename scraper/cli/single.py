"""Single fetches for a person at a terminal: the real stack, without queue, robots and retries."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack

from .. import url as urls
from ..clock import Clock
from ..errors import FetchError, StatusError, UsageError
from ..fetch.cookies import Jars
from ..fetch.guard import Guard
from ..fetch.http import Http
from ..fetch.origin import REDIRECTS, follow, location
from ..fetch.stack import build
from ..parse.reader import Reader
from ..request import Request
from ..response import Response
from ..settings import HostRules, Settings

Tell = Callable[[str], None]


class Single:
    """`async with Single(settings, tell) as single: await single.open(url)`; `tell` hears of redirects.

    Requests to one host are still `delay` seconds apart.
    """

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self._settings = settings
        self._rules = HostRules(settings)
        self._guard = Guard(allow_private=settings.allow_private)
        self._http = Http(self._rules, self._guard)
        self._stack = build(self._http, self._rules, Jars(), Clock())
        self._reader = Reader(nofollow=settings.nofollow, max_links=settings.max_links)
        self._tell = tell
        self._pace: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._last: dict[str, float] = {}
        self._rooms = AsyncExitStack()

    async def __aenter__(self) -> Single:
        for proxy in (self._settings.proxy, *(rule.proxy for rule in self._settings.hosts.values())):
            if proxy:
                self._guard.trust(urls.netloc(urls.canonical(proxy)))
        await self._rooms.enter_async_context(self._http)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._rooms.aclose()

    async def open(self, request: Request) -> Response:
        """Fetch what a person typed: its address may be private, as that of a seed. Raises FetchError."""
        self._rules.seeds.add(urls.origin(request.url))
        self._guard.trust(request.host)
        return await self._follow(request)

    async def fetch(self, request: Request) -> Response:
        """A callback's own fetch. Raises FetchError, StatusError for a status nobody accepts."""
        response = await self._follow(request)
        refuse_status(response, request, self._settings)
        return response

    async def _follow(self, request: Request) -> Response:
        while True:
            response = await self._send(request)
            response.request = request
            target = None
            if response.status in REDIRECTS and response.status not in request.accept_status:
                target = location(response.headers.getall("location"), request.url)
            if target is None:
                response.reader = self._reader
                return response
            self._tell(f"{response.status} {urls.printable(request.url)} -> {urls.printable(target)}")
            request = follow(request, response.status, target, limit=self._settings.max_redirects)

    async def _send(self, request: Request) -> Response:
        """One exchange, `delay` seconds after the last one to this host began."""
        host = request.host
        async with self._pace[host]:
            since = time.monotonic() - self._last.get(host, float("-inf"))
            await asyncio.sleep(max(0.0, (self._rules[host].delay or 0.0) - since))
            self._last[host] = time.monotonic()
        return await self._stack(request)

    def read(self, response: Response) -> Response:
        """Make a response readable that came from a file."""
        response.reader = self._reader
        return response


def refuse_status(response: Response, request: Request, settings: Settings) -> None:
    """Raise StatusError for a status that is neither 2xx nor accepted."""
    status = response.status
    if not 200 <= status < 300 and status not in (*request.accept_status, *settings.accept_status):
        raise StatusError(status)


def typed(url: str) -> Request:
    """A request for what a person typed. Raises UsageError."""
    try:
        return Request(url)
    except urls.BadURL as error:
        hint = f"; did you mean https://{url}?" if "://" not in url and "." in url else ""
        raise UsageError(f"{urls.printable(url)!r} is no http or https URL{hint}") from error


def why(error: FetchError, url: str) -> str:
    """An error with its kind and the address it is about."""
    return f"{urls.printable(url)}: {error}"
