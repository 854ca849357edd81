"""Logging in and out; and how many passwords are compared or made at once, as each takes a third of a second."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from aiohttp import web

from ..jobs.access import ABSOLUTE, Role, TooMany, network
from ..jobs.tries import KNOWN
from ..logs import clean
from .events import HUB
from .given import filled
from .guard import ACCESS, OPTIONS, address, cookie, scheme, who
from .metrics import METRICS
from .routes import DESK, Routes
from .view import page

log = logging.getLogger("scraper.dashboard")
routes = Routes()
T = TypeVar("T")
EACH, ALL = 8, 64  # strangers that wait to log in: from one address, and altogether


class Lanes:
    """One password at a time (32 MB) for everybody, and one for who is known: strangers that come in numbers wait
    for each other, and hold up nobody who has logged in from here before."""

    def __init__(self) -> None:
        self.strangers = asyncio.Semaphore(1)
        self.known = asyncio.Semaphore(1)
        self._waiting: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, request: web.Request, *, known: bool) -> AsyncIterator[None]:
        """The turn of who logs in. Raises HTTPException when too many wait, ConnectionError when he has left."""
        if known:
            async with self.known:
                yield
            return
        place = network(address(request))
        if self._waiting[place] >= EACH or self._waiting.total() >= ALL:
            text = "too many log in at once: try again in some seconds"
            raise web.HTTPServiceUnavailable(text=text, headers={"Retry-After": "5"})
        self._waiting[place] += 1
        try:
            async with self.strangers:
                if request.transport is None:  # else who only comes and goes would keep us busy
                    raise ConnectionResetError("left before his turn")
                yield
        finally:
            self._waiting[place] -= 1
            self._waiting += Counter()  # only those above zero stay


LANES: web.AppKey[Lanes] = web.AppKey("lanes", Lanes)


async def costly(request: web.Request, verb: Callable[..., T], *values: object) -> T:
    """What a verb gives that makes or compares a password, for somebody who is logged in."""
    async with request.app[LANES].known:
        return await asyncio.to_thread(verb, *values)


@routes.get("/login", Role.NOBODY)
async def asked(request: web.Request) -> web.StreamResponse:
    """The page to log in; who is logged in goes on."""
    onward = inside(request.query.get("next", "/"))
    if who(request).name:
        raise web.HTTPSeeOther(onward)
    return page(request, "login.html", error="", name="", next=onward)


@routes.post("/login", Role.NOBODY)
async def login(request: web.Request) -> web.StreamResponse:
    """Log in with `name` and `password`, and go on to `next`."""
    form = await filled(request)
    name, word, onward = (form.get(key, "") for key in ("name", "password", "next"))
    access, old = request.app[ACCESS], request.cookies.get(cookie(request), "")
    device = request.cookies.get(_device(request), "")[:100]
    known = bool(device) and await asyncio.to_thread(access.knows, device, name)
    error, status, fields = "the name or the password is wrong", 401, {}
    try:
        async with request.app[LANES].turn(request, known=known):
            found = await asyncio.to_thread(access.login, name, word, address(request), old, device)
        request.app[METRICS].logins.labels("wrong" if found is None else "right").inc()
    except TooMany as many:
        request.app[METRICS].logins.labels("too_many").inc()
        found, error, status, fields = None, str(many), 429, {"Retry-After": f"{max(1, many.after):.0f}"}
    if found is None:
        log.warning("login of %s from %s refused", clean(name)[:80] or "nobody", clean(address(request)))
        answer = page(request, "login.html", status=status, error=error, name=name[:64], next=inside(onward))
        answer.headers.update(fields)
        return answer
    await request.app[DESK].acted(found.name, "login", address(request))
    going = web.HTTPSeeOther(inside(onward))
    secure = scheme(request) == "https"
    going.set_cookie(
        cookie(request),
        found.session,
        max_age=int(ABSOLUTE),
        path="/",
        httponly=True,
        samesite="Lax",
        secure=secure,
    )
    if not known:
        device = await asyncio.to_thread(access.remember, found.name)
        going.set_cookie(
            _device(request),
            device,
            max_age=int(KNOWN),
            path="/login",
            httponly=True,
            samesite="Lax",
            secure=secure,
        )
    raise going


def _device(request: web.Request) -> str:
    """The name of the cookie by which a browser is known; it opens nothing."""
    return f"scraper_device_{request.app[OPTIONS].port}"


@routes.post("/logout", Role.VIEWER)
async def logout(request: web.Request) -> web.StreamResponse:
    """End the session."""
    own = who(request)
    await asyncio.to_thread(request.app[ACCESS].logout, own.session)
    await request.app[DESK].acted(own.name, "logout", address(request))
    request.app[HUB].recheck()
    going = web.HTTPSeeOther("/login")
    going.del_cookie(cookie(request), path="/", secure=scheme(request) == "https")
    raise going


def inside(path: str) -> str:
    """A path of ours to go on to; "/" instead of what may lead elsewhere."""
    fine = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if fine and not path.startswith(("/login", "/logout")) else "/"
