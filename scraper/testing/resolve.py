"""Names for tests: every host is on loopback, but for those that have no address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping, Sequence

from aiohttp.abc import AbstractResolver, ResolveResult

from .routes import LOOPBACK


class Loopback(AbstractResolver):
    """A resolver for aiohttp that finds every host name on 127.0.0.1.

    `ports`: the port that stands for 80 and 443, one for all names or one for each, so that
    `http://shop.test/` reaches a test server. `addresses`: the addresses of single names, several where
    one has several. `failing`: names that do not exist (OSError). `delay`: seconds that an answer takes.
    `asked` lists the names in the order they were looked up.
    """

    def __init__(
        self,
        ports: int | Mapping[str, int] | None = None,
        *,
        addresses: Mapping[str, Sequence[str]] | None = None,
        failing: Iterable[str] = ("nx.test",),
        delay: float = 0.0,
    ) -> None:
        self._ports = ports
        self._addresses = addresses or {}
        self._failing = frozenset(failing)
        self._delay = delay
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name. Raises OSError for one that does not exist."""
        self.asked.append(host)
        if self._delay:
            await asyncio.sleep(self._delay)
        if host in self._failing:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [self._result(host, address, port) for address in self._addresses.get(host, (LOOPBACK,))]

    def _result(self, host: str, address: str, port: int) -> ResolveResult:
        if port in (80, 443) and self._ports is not None:
            port = self._ports if isinstance(self._ports, int) else self._ports.get(host, port)
        return ResolveResult(
            hostname=host,
            host=address,
            port=port,
            family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            proto=0,
            flags=socket.AI_NUMERICHOST,
        )

    async def close(self) -> None:
        """Nothing to close."""
