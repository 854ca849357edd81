"""A real web site on loopback for tests: many hosts, declared pages, and a record of every visit.

    async with Site() as site:
        site.page("/", "<a href=/next>next</a>")
        ...
        assert min(spacing(site.hits_of("a.test"))) >= 0.5

It answers for every host by the Host header; a client reaches the hosts through `resolve.Loopback`.
When arrivals must be stamped to the millisecond while the test's own loop is busy, `SiteProcess`
(process.py) is the same site in a process of its own.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader
from multidict import CIMultiDict

from .answers import KINDS, Answer, Reply, Visit
from .hits import Hit, during, parallel, spacing
from .routes import LOOPBACK, Routes

__all__ = ["Answer", "Hit", "Site", "Visit", "during", "parallel", "spacing"]

MAX_REQUEST = 64 * 1024 * 1024  # bytes of a request body that is still recorded
PIECE = 64 * 1024  # bytes of a body that are sent at once
GRACE = 0.05  # seconds that open requests get when the site closes


class _Connection(web.RequestHandler):
    """One connection; remembers when the first bytes of the request it is about to serve came in."""

    __slots__ = ("arrived",)

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]
            max_line_size=65536,
            max_field_size=65536,
            auto_decompress=False,
        )
        self.arrived: float | None = None

    def data_received(self, data: bytes) -> None:
        if self.arrived is None:
            self.arrived = time.monotonic()
        super().data_received(data)


class _Visitor(web.BaseRequest):
    """A request and the moment it arrived."""

    arrived: float


class _Route:
    """A page and the number of its visits."""

    __slots__ = ("reply", "visits")

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.visits = count()


class Site(Routes):
    """A site in the running loop, on 127.0.0.1 to 127.0.0.`addresses`, all on one free port.

    `record=False` keeps no hits. With `ssl` it speaks https.
    """

    def __init__(
        self,
        *,
        addresses: int = 1,
        port: int = 0,
        ssl: ssl.SSLContext | None = None,
        record: bool = True,
    ) -> None:
        self.port = port
        self.scheme = "http" if ssl is None else "https"
        self._addresses = addresses
        self._ssl = ssl
        self._record = record
        self._hits: list[Hit] = []
        self._routes: dict[tuple[str | None, str], _Route] = {}
        self._below: list[tuple[str | None, str, _Route]] = []
        self._open = AsyncExitStack()
        self._change = asyncio.Event()

    async def __aenter__(self) -> Site:
        loop = asyncio.get_running_loop()
        # A client that goes away ends its request here too, so that `end` tells the truth.
        server = web.Server(self._answer, request_factory=self._visitor, handler_cancellation=True)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(server.shutdown, GRACE)
            for sock in _bound(self._addresses, self.port):
                self.port = sock.getsockname()[1]
                listening = await loop.create_server(
                    partial(_Connection, server, loop), sock=sock, ssl=self._ssl, backlog=1024
                )
                stack.callback(listening.close)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._open.aclose()

    @property
    def hits(self) -> list[Hit]:
        """Every request so far, in the order of arrival."""
        return sorted(self._hits, key=lambda hit: hit.start)

    def forget(self) -> None:
        """Empty the record of hits."""
        self._hits.clear()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something is true of the record; looked at whenever a request arrives or ends."""
        while not true():
            self._change.clear()
            await self._change.wait()

    def declare(self, kind: str, path: str, host: str | None, given: dict[str, Any]) -> None:
        """Answer `path` with a page of a kind of `answers.KINDS`, made from plain data."""
        self.answer(path, KINDS[kind](**given), host=host)

    def answer(self, path: str, reply: Callable[[Visit], Answer], *, host: str | None = None) -> None:
        """Answer `path` with what a function makes of each visit."""
        route = _Route(reply)
        if path.endswith("*"):
            self._below = [known for known in self._below if known[:2] != (host, path[:-1])]
            self._below.append((host, path[:-1], route))
            self._below.sort(key=lambda known: -len(known[1]))
        else:
            self._routes[host, path] = route

    def _visitor(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> _Visitor:
        assert isinstance(protocol, _Connection)
        loop = asyncio.get_running_loop()
        request = _Visitor(message, payload, protocol, writer, task, loop, client_max_size=MAX_REQUEST)
        request.arrived = protocol.arrived or time.monotonic()
        return request

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, _Visitor)
        host = request.headers.get("Host", "").rpartition("@")[2].lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        headers = CIMultiDict(request.headers)
        hit = Hit(request.arrived, name, request.method, request.raw_path, headers)
        if self._record:
            self._hits.append(hit)
            self._change.set()
        try:
            hit.body = await request.read()
            if isinstance(request.protocol, _Connection):
                request.protocol.arrived = None  # what comes in from now on is the next request
            return await self._send(request, hit)
        finally:
            hit.end = min(hit.end, time.monotonic())
            self._change.set()

    async def _send(self, request: web.BaseRequest, hit: Hit) -> web.StreamResponse:
        answer = self._find(hit)
        if answer.delay:
            await asyncio.sleep(answer.delay)
        hit.status = answer.status
        headers, body = CIMultiDict(answer.pairs), answer.content
        if len(body) <= PIECE or hit.method == "HEAD":
            response: web.StreamResponse = web.Response(status=answer.status, headers=headers, body=body)
            await response.prepare(request)
            hit.end = time.monotonic()
            await response.write_eof()
            return response
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[:-1])  # waits while the reader is slow: until the last byte it is open
        hit.end = time.monotonic()
        await response.write_eof(body[-1:])
        return response

    def _find(self, hit: Hit) -> Answer:
        route = self._route(hit)
        if route is None:
            return Answer(404, "no such page")
        visit = Visit(hit.method, hit.host, hit.target, hit.headers, hit.body, next(route.visits))
        return route.reply(visit)

    def _route(self, hit: Hit) -> _Route | None:
        for host in (hit.host, None):
            for path in (hit.target, hit.path):
                if (host, path) in self._routes:
                    return self._routes[host, path]
            for owner, prefix, route in self._below:
                if owner == host and hit.target.startswith(prefix):
                    return route
        return None


def _bound(addresses: int, port: int) -> list[socket.socket]:
    """Sockets on the first addresses of the loopback network, all on one port."""
    sockets: list[socket.socket] = []
    try:
        for number in range(1, addresses + 1):
            sock = socket.socket()
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((LOOPBACK if number == 1 else f"127.0.0.{number}", port))
            port = sock.getsockname()[1]
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets
