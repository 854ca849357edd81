"""Somebody who is told: a real server for webhooks, and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from scraper.clock import Clock


class Hand(Clock):
    """A clock moved by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@dataclass
class Hook:
    """Records what it is told; answers with the next of `answers`, and 204 when there is none left."""

    port: int = 0
    answers: list[web.StreamResponse] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Take a message."""
        self.requests.append(({**request.headers}, await request.read()))
        self.came.set()
        return self.answers.pop(0) if self.answers else web.Response(status=204)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/T0/secret-path"

    @property
    def told(self) -> list[Any]:
        """The bodies, read."""
        return [json.loads(body) for _, body in self.requests]

    @property
    def texts(self) -> list[str]:
        """What people would read, by title."""
        return [each["title"] for each in self.told]


class _Mute(asyncio.Protocol):
    def __init__(self, met: list[asyncio.Transport]) -> None:
        self.met = met

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.met.append(transport)


@asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """The port of a server that takes connections and never says anything."""
    met: list[asyncio.Transport] = []
    server = await asyncio.get_running_loop().create_server(lambda: _Mute(met), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in met:
            each.abort()
        await asyncio.sleep(0)
