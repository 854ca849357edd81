"""Names are looked up by the crawl, where it was given a resolver of its own."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from .messages import Answer


class Resolver(AbstractResolver):
    """Asks the crawl, by `ask`."""

    def __init__(self) -> None:
        self.ask: Callable[..., Awaitable[Answer]] | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises OSError."""
        assert self.ask is not None
        answer = await self.ask(0, "resolve", f"{host} {port} {int(family)}")
        if not answer.yes:
            raise OSError(None, answer.text)
        found: list[Any] = msgspec.json.decode(answer.text)
        return found

    async def close(self) -> None:
        """Nothing is open."""
