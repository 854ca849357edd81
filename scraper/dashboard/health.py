"""Whether the server works, and its numbers for Prometheus."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

from aiohttp import web

from ..jobs.access import Role
from .answers import json
from .guard import OPTIONS, who
from .metrics import KIND, METRICS, Metrics
from .routes import DESK, Routes

routes = Routes()


def prepare(app: web.Application) -> None:
    """Give an application its numbers."""
    app[METRICS] = Metrics(app[DESK])


@routes.get("/healthz", Role.NOBODY)
async def healthz(request: web.Request) -> web.StreamResponse:
    """Whether it works: 200 or 503; how, only for who has logged in."""
    found = await request.app[DESK].health()
    return json(found if who(request).name else {"ok": found.ok}, 200 if found.ok else 503)


@routes.get("/metrics", Role.NOBODY)
async def metrics(request: web.Request) -> web.StreamResponse:
    """The numbers: with a token, or from this machine where that was allowed at the start."""
    if not who(request).name and not (request.app[OPTIONS].open_metrics and _from_here(request)):
        raise web.HTTPUnauthorized(text="give a token", headers={"WWW-Authenticate": 'Bearer realm="scraper"'})
    text = await asyncio.to_thread(request.app[METRICS].text)
    return web.Response(body=text, headers={"Content-Type": KIND})


def _from_here(request: web.Request) -> bool:
    """Whether a program on this machine asks, and not a proxy for somebody else."""
    try:
        here = ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
    return here and not any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "Via"))
