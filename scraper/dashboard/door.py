"""Where browsers come in: how many at once, how long one may stand there, and what of it is logged.

The scheduler is in the same process: whoever only opens connections must not take the files from it that it needs
to start a crawl.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable

from aiohttp import web
from aiohttp.http import HttpProcessingError

MOST = 160  # connections; one of a browser is open as long as a page of it follows events
BACKLOG = 32  # that wait to be accepted
PATIENCE = 30.0  # seconds until a request must be there, whole but for its body
BEHIND_PROXY = 75.0  # the same: longer than proxies keep a connection that is idle
FAREWELL = 3.0  # seconds that answers under way have when the door is closed
log = logging.getLogger("scraper.dashboard.http")


class Door:
    """Answers for an application from `open` on until `close`."""

    def __init__(self, app: web.Application, *, most: int = MOST, patience: float = PATIENCE) -> None:
        self._most = most
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=FAREWELL,
            keepalive_timeout=patience,
            auto_decompress=False,  # what is packed is refused, not unpacked first
            logger=log,
        )
        self._listening: list[asyncio.Server] = []

    async def open(self, doors: Iterable[socket.socket]) -> None:
        """Let them in by sockets that listen."""
        log.addFilter(_worth)
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        for each in doors:
            self._listening.append(await loop.create_server(self._next, sock=each, backlog=BACKLOG))

    async def close(self) -> None:
        """Let nobody in any more, and see off who is there."""
        for each in self._listening:
            each.close()
        await self._runner.cleanup()

    def _next(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None or len(server.connections) >= self._most:
            return _Full()
        return server()


class _Full(asyncio.Protocol):
    """For one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _worth(record: logging.LogRecord) -> bool:
    """Whether something is to be logged: not what is no HTTP, of which anybody can send as much as he likes, nor
    that somebody has left before he had his answer."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | ConnectionError))
