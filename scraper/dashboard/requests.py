"""The log of requests: a JSON line each, in which nothing that was sent can forge another."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from ..logs import append
from .guard import address, who
from .metrics import METRICS

NAME = "requests.log"
MOST = 10 * 2**20  # bytes; then it becomes requests.log.1, in place of the one before
LONGEST = 300  # characters of a path
log = logging.getLogger("scraper.dashboard")


class Log:
    """Keeps nothing."""

    def __call__(self, entry: dict[str, object]) -> None:
        """Here is an entry."""


class RequestLog(Log):
    """Writes entries to a file. A full disk costs lines, never an answer."""

    def __init__(self, home: Path, most: int = MOST) -> None:
        self._path = home / NAME
        self._most = most
        self._file = self._opened()
        self._told = False

    def __call__(self, entry: dict[str, object]) -> None:
        """Write one line."""
        try:
            append(self._file, msgspec.json.encode(entry) + b"\n")
            if os.fstat(self._file).st_size > self._most:
                self._path.replace(self._path.with_name(f"{NAME}.1"))
                before, self._file = self._file, self._opened()
                os.close(before)
        except OSError as error:
            if not self._told:
                self._told = True
                log.warning("cannot write %s: %s", self._path, error.strerror)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            os.close(self._file)

    def _opened(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        return os.open(self._path, flags, 0o600)


LOG: web.AppKey[Log] = web.AppKey("log", Log)


@web.middleware
async def logged(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count a request and write a line about it. Its query is left out: it may be what somebody looks for."""
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
        if route != "/events":  # it lasts as long as somebody looks
            request.app[METRICS].count(route, request.method, status, seconds)
        request.app[LOG](_entry(request, status, size, seconds))


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
