"""The log of requests: a JSON line each, in which nothing that was sent can forge another."""

from __future__ import annotations

import logging
import time

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from .guard import address, who
from .metrics import METRICS

log = logging.getLogger("scraper.requests")
LONGEST = 300  # characters of a path


@web.middleware
async def logged(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count a request and write a line about it. Its query is left out: people search for what they search for."""
    began = time.monotonic()
    status, size = 499, 0  # who asked has left
    try:
        answer = await handler(request)
        status, size = answer.status, answer.body_length
        return answer
    except web.HTTPException as going:
        status = going.status
        raise
    finally:
        seconds = time.monotonic() - began
        route = _route(request)
        if route != "/events":
            request.app[METRICS].count(route, request.method, status, seconds)
        log.info("%s", msgspec.json.encode(_entry(request, status, size, seconds)).decode())


def _entry(request: web.Request, status: int, size: int, seconds: float) -> dict[str, object]:
    return {
        "time": round(time.time(), 3),
        "method": request.method[:20],
        "path": request.path[:LONGEST],
        "status": status,
        "bytes": size,
        "ms": round(seconds * 1000, 1),
        "who": who(request).name,
        "address": address(request),
    }


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"
