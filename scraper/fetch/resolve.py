"""From a host's name to the addresses that may be dialled: DNS with a deadline, a cache and the guard.

It replaces aiohttp's DNS cache (`TCPConnector(resolver=..., use_dns_cache=False)`): what `resolve` answers
is what is dialled, so an address is judged once, at the moment it is used, and no rebinding comes between.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from ..clock import Clock
from ..errors import FetchError
from ..reasons import Reason
from .guard import Guard, literal

__all__ = ["GuardedResolver", "Names", "literal"]

TTL = 60.0  # seconds an answer is used
NEGATIVE_TTL = 5.0  # seconds a failure is repeated without asking again
HOSTS = 4096  # answers kept
THREADS = 64  # questions to the system at once
PER_FAMILY = 8  # addresses kept of each family: nobody tries two hundred

_NO_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}  # Windows has but one

Key = tuple[str, int, int]  # host, port, family
Answer = tuple[ResolveResult, ...] | str  # addresses, or why there are none


class Names(AbstractResolver):
    """The system's resolver, in threads of its own.

    A name that nobody answers for holds its thread for many seconds. The loop's own few threads, which write the
    outputs too, would soon be full of such. `look` is getaddrinfo; the threads are made as they are needed.
    """

    def __init__(self, look: Callable[..., Sequence[Any]] = socket.getaddrinfo, *, threads: int = THREADS) -> None:
        self._look = look
        self._threads = ThreadPoolExecutor(threads, "dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All addresses of a name. Raises OSError."""
        loop, flags = asyncio.get_running_loop(), socket.AI_ADDRCONFIG
        found = await loop.run_in_executor(
            self._threads, self._look, host, port, family, socket.SOCK_STREAM, 0, flags
        )
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host, host=address[0], port=address[1], family=kind, proto=protocol, flags=numeric
            )
            for kind, _, protocol, _, address in found
            if not (kind == socket.AF_INET6 and len(address) < 4)  # Python without IPv6: an address of bytes
        ]

    async def close(self) -> None:
        """Wait for no answer any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedResolver(AbstractResolver):
    """Asks `inner` and lets only those addresses through that the guard allows to host and port.

    `timeout` is in seconds. Concurrent questions for one host are asked once. Raises FetchError: DNS when
    there is no answer, LOCAL when this machine is out of file descriptors, PRIVATE_ADDRESS. They pass
    through aiohttp as they are, because it wraps nothing but OSError.
    """

    def __init__(
        self, inner: AbstractResolver, guard: Guard, *, timeout: float = 10.0, clock: Clock | None = None
    ) -> None:
        self._inner = inner
        self._guard = guard
        self._timeout = timeout
        self._clock = clock or Clock()
        self._cache: dict[Key, tuple[float, Answer]] = {}  # least recently asked first
        self._asking: dict[Key, asyncio.Event] = {}

    def __len__(self) -> int:
        return len(self._cache)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host that may be dialled at this port. Raises FetchError."""
        host = host.lower().rstrip(".")
        answer = await self._answer((host, port, int(family)), family)
        if isinstance(answer, str):
            raise FetchError(Reason.DNS, f"{host}: {answer}")
        allowed = set(self._guard.filter(f"{host}:{port}", [found["host"] for found in answer]))
        return [found for found in answer if found["host"] in allowed]

    async def close(self) -> None:
        """Close the resolver within."""
        self._cache.clear()
        await self._inner.close()

    async def _answer(self, key: Key, family: socket.AddressFamily) -> Answer:
        """The kept answer, or a new one; whoever comes while it is being asked waits for it."""
        while True:
            kept = self._kept(key)
            if kept is not None:
                return kept
            other = self._asking.get(key)
            if other is None:
                break
            await other.wait()  # if the asker was cancelled, the first to wake asks again
        done = self._asking[key] = asyncio.Event()
        try:
            answer = await self._ask(key[0], key[1], family)
            self._keep(key, answer)
            return answer
        finally:
            del self._asking[key]
            done.set()

    def _kept(self, key: Key) -> Answer | None:
        entry = self._cache.pop(key, None)
        if entry is None or entry[0] <= self._clock.monotonic():
            return None
        self._cache[key] = entry
        return entry[1]

    def _keep(self, key: Key, answer: Answer) -> None:
        ttl = NEGATIVE_TTL if isinstance(answer, str) else TTL
        self._cache[key] = (self._clock.monotonic() + ttl, answer)
        while len(self._cache) > HOSTS:
            del self._cache[next(iter(self._cache))]

    async def _ask(self, host: str, port: int, family: socket.AddressFamily) -> Answer:
        try:
            async with asyncio.timeout(self._clock.real(self._timeout)):
                found = await self._inner.resolve(host, port, family)
        except TimeoutError:
            return f"no answer within {self._timeout:g} s"
        except UnicodeError:
            return "not a name that DNS can be asked for"
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE) and not isinstance(error, socket.gaierror):
                raise FetchError(Reason.LOCAL, "no file descriptors left to resolve names") from error
            return _why(error)
        return _few(found) or "no address"


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror) and error.errno in _NO_NAME:
        return "no such name"
    return error.strerror or str(error) or type(error).__name__


def _few(found: Sequence[ResolveResult]) -> tuple[ResolveResult, ...]:
    """The first addresses of each family, in the order of the answer."""
    left: dict[int, int] = {}
    few: list[ResolveResult] = []
    for result in found:
        family = result["family"]
        left[family] = left.get(family, PER_FAMILY) - 1
        if left[family] >= 0:
            few.append(result)
    return tuple(few)
