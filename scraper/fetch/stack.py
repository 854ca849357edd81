"""The layers between the line and the wire: cookies, header fields, transport. `await fetch(request)` each."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

from .. import url as urls
from ..clock import Clock
from ..request import Request, altered
from ..response import Response
from ..settings import HostRules
from .cookies import Jars
from .decode import ACCEPT_ENCODING
from .origin import referer

Fetch = Callable[[Request], Awaitable[Response]]
ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def build(transport: Fetch, rules: HostRules, jars: Jars, clock: Clock) -> Fetch:
    """The whole stack, outermost first: Cookies -> Fields -> transport."""
    fetch: Fetch = Fields(transport, rules)
    if rules.settings.cookies:
        fetch = Cookies(fetch, jars, clock)
    return fetch


class Cookies:
    """Sends the cookies of the request's session and keeps what comes back (RFC 6265bis)."""

    def __init__(self, inner: Fetch, jars: Jars, clock: Clock) -> None:
        self._inner = inner
        self._jars = jars
        self._clock = clock

    async def __call__(self, request: Request) -> Response:
        """The exchange, with cookies."""
        jar = self._jars.jar(request.session)
        header = jar.header(request.url, self._clock.wall())
        sent = request
        if header:
            own = [(name, value) for name, value in request.headers if name.lower() != "cookie"]
            given = [value for name, value in request.headers if name.lower() == "cookie"]
            sent = altered(request, headers=(*own, ("Cookie", "; ".join((*given, header)))))
        response = await self._inner(sent)
        lines = response.headers.getall("set-cookie")
        if lines and jar.store(request.url, lines, self._clock.wall()):
            self._jars.touch(request.session)
        response.request = request
        return response


class Fields:
    """Adds the header fields that every request carries, weakest first: ours, settings, host, request."""

    def __init__(self, inner: Fetch, rules: HostRules) -> None:
        self._inner = inner
        self._rules = rules
        self._memo: dict[tuple[str, bool], tuple[tuple[str, str], ...]] = {}

    async def __call__(self, request: Request) -> Response:
        """The exchange, with all fields."""
        place = urls.origin(request.url)
        seeded = place in self._rules.seeds  # it may still become one
        fields = self._memo.get((place, seeded)) or self._common(place, seeded)
        came_from = referer(request.referer, request.url) if request.referer else ""
        if came_from:
            fields = (*fields, ("Referer", came_from))
        if request.headers:
            own = {name.lower() for name, _ in request.headers}
            fields = (*(field for field in fields if field[0].lower() not in own), *request.headers)
        return await self._inner(altered(request, headers=fields))

    def _common(self, place: str, seeded: bool) -> tuple[tuple[str, str], ...]:
        settings = self._rules.settings
        fields = {
            "user-agent": ("User-Agent", settings.agent()),
            "accept": ("Accept", ACCEPT),
            "accept-language": ("Accept-Language", "en,*;q=0.5"),
            "accept-encoding": ("Accept-Encoding", ACCEPT_ENCODING),
        }
        auth = self._rules.credentials(place)
        if auth:
            fields["authorization"] = ("Authorization", basic(auth))
        for name, value in self._rules.fields(place).items():
            fields[name.lower()] = (name, value)
        if len(self._memo) > 10_000:
            self._memo.clear()
        made = self._memo[place, seeded] = tuple(fields.values())
        return made


def basic(auth: str) -> str:
    """The Authorization value for `user:password` (RFC 7617)."""
    return "Basic " + base64.b64encode(auth.encode()).decode("ascii")
