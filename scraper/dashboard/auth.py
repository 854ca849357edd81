"""Logging in and out."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from ..jobs.access import ABSOLUTE, Role, TooMany
from ..logs import clean
from .events import HUB
from .given import filled
from .guard import ACCESS, address, cookie, scheme, who
from .metrics import METRICS
from .routes import DESK, Routes
from .view import page

log = logging.getLogger("scraper.dashboard")
routes = Routes()
AT_ONCE: web.AppKey[asyncio.Semaphore] = web.AppKey("at_once", asyncio.Semaphore)
PARALLEL = 2  # passwords compared at once: each takes 32 MB


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
    error, status, fields = "the name or the password is wrong", 401, {}
    try:
        async with request.app[AT_ONCE]:
            found = await asyncio.to_thread(access.login, name, word, address(request), old)
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
    going.set_cookie(
        cookie(request),
        found.session,
        max_age=int(ABSOLUTE),
        path="/",
        httponly=True,
        samesite="Lax",
        secure=scheme(request) == "https",
    )
    raise going


@routes.post("/logout", Role.VIEWER)
async def logout(request: web.Request) -> web.StreamResponse:
    """End the session."""
    own = who(request)
    await asyncio.to_thread(request.app[ACCESS].logout, own.session)
    await request.app[DESK].acted(own.name, "logout", address(request))
    request.app[HUB].recheck()
    going = web.HTTPSeeOther("/login")
    going.del_cookie(cookie(request), path="/")
    raise going


def inside(path: str) -> str:
    """A path of ours to go on to; "/" instead of what may lead elsewhere."""
    fine = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if fine and not path.startswith(("/login", "/logout")) else "/"
