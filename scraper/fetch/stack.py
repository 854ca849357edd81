"""The layers between the line and the wire: cookies, header fields, transport. `await fetch(request)` each."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from .. import url as urls
from ..clock import Clock
from ..request import Request
from ..response import Response
from ..settings import HostRules
from .cookies import Jars
from .decode import ACCEPT_ENCODING
from .head import field_line, field_lines
from .origin import MAX_REFERER, referer

Fetch = Callable[[Request], Awaitable[Response]]
ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
_ADDED = frozenset({"cookie", "referer"})


class Transport(Protocol):
    """What sends a request and its answer brings; `lines` are ready header lines, b"": those of the request."""

    def __call__(self, request: Request, lines: bytes = b"") -> Awaitable[Response]: ...


def build(transport: Transport, rules: HostRules, jars: Jars, clock: Clock) -> Fetch:
    """The whole stack, outermost first: Cookies -> Fields -> transport."""
    fields = Fields(transport, rules)
    return Cookies(fields, jars, clock) if rules.settings.cookies else fields


class Cookies:
    """Sends the cookies of the request's session and keeps what comes back (RFC 6265bis)."""

    def __init__(self, inner: Fields, jars: Jars, clock: Clock) -> None:
        self._inner = inner
        self._jars = jars
        self._clock = clock

    async def __call__(self, request: Request) -> Response:
        """The exchange, with cookies; a jar without any costs a lookup."""
        jar = self._jars.jar(request.session)
        cookie = jar.header(request.url, self._clock.wall()) if len(jar) else ""
        response = await self._inner(request, cookie)
        lines = response.headers.getall("set-cookie")
        if lines and jar.store(request.url, lines, self._clock.wall()):
            self._jars.touch(request.session)
        return response


class _Common(NamedTuple):
    """What every request to an origin carries, as pairs and as bytes."""

    root: str  # the origin with its slash
    fields: tuple[tuple[str, str], ...]
    lines: bytes
    special: bool  # among them is what a request adds itself


class Fields:
    """Adds the header fields that every request carries, weakest first: ours, settings, host, request.

    The lines of an origin are made once; a request adds its Referer and its cookies to them.
    """

    def __init__(self, inner: Transport, rules: HostRules) -> None:
        self._inner = inner
        self._rules = rules
        self._memo: dict[str, _Common] = {}
        self._seeded: dict[str, _Common] = {}  # an origin may become a seed, it never ceases to be one

    async def __call__(self, request: Request, cookie: str = "") -> Response:
        """The exchange, with all fields. Raises FetchError(BAD_REQUEST) for one that is no line."""
        url = request.url
        place = urls.origin(url)
        seeded = place in self._rules.seeds
        common = (self._seeded if seeded else self._memo).get(place) or self._common(place, seeded)
        came_from = request.referer
        if came_from and not _plain(came_from, common.root):
            came_from = referer(came_from, url)
        if request.headers or common.special:
            return await self._inner(request, _merged(common, request, came_from, cookie))
        lines = common.lines
        if came_from:
            lines += field_line("Referer", came_from)
        if cookie:
            lines += field_line("Cookie", cookie)
        return await self._inner(request, lines)

    def _common(self, place: str, seeded: bool) -> _Common:
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
        memo = self._seeded if seeded else self._memo
        if len(memo) > 10_000:
            memo.clear()
        pairs = tuple(fields.values())
        special = not _ADDED.isdisjoint(fields)
        made = memo[place] = _Common(place + "/", pairs, field_lines(pairs, urls.netloc(place)), special)
        return made


def _merged(common: _Common, request: Request, came_from: str, cookie: str) -> bytes:
    """The lines of a request with fields of its own, which replace ours; cookies join those it has itself."""
    own = {name.lower() for name, _ in request.headers}
    fields = [field for field in common.fields if field[0].lower() not in own]
    if came_from and "referer" not in own:
        fields = [*(field for field in fields if field[0].lower() != "referer"), ("Referer", came_from)]
    fields += request.headers
    if cookie:
        given = [value for name, value in request.headers if name.lower() == "cookie"]
        fields = [field for field in fields if field[0].lower() != "cookie"]
        fields.append(("Cookie", "; ".join((*given, cookie))))
    return field_lines(fields, urls.netloc(common.root))


def _plain(came_from: str, root: str) -> bool:
    """Whether a Referer goes as it is, which is the common case: same origin, not too long, no fragment."""
    return came_from.startswith(root) and len(came_from) <= MAX_REFERER and "#" not in came_from


def basic(auth: str) -> str:
    """The Authorization value for `user:password` (RFC 7617)."""
    return "Basic " + base64.b64encode(auth.encode()).decode("ascii")
