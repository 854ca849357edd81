"""A store in memory: for programs, tests, and crawls that need not survive the process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable
from heapq import heappop, heappush

from msgspec.structs import force_setattr, replace

from ..clock import Clock
from ..request import Request
from .seen import Seen
from .store import Batch, Finished, Lease, Recovered


class MemoryStore:
    """Everything in this process's memory. `max_wait` is in seconds: later work ends the crawl resumable."""

    def __init__(self, clock: Clock, *, max_wait: float = 3600.0) -> None:
        self.seen = Seen()
        self._clock = clock
        self._max_wait = max_wait
        self._fresh: deque[Request] = deque()
        self._later: list[tuple[float, int, Request]] = []
        self._number = 0
        self._token = 0
        self._pending = 0
        self._seeds_done = False
        self._news = asyncio.Event()

    async def open(self, suspects: Collection[int] = ()) -> Recovered:
        """A memory store is always new."""
        return Recovered()

    def add(self, requests: Iterable[Request], marks: Iterable[int] = ()) -> list[Request]:
        """Mark as seen and queue; one with `due` in the future waits until then."""
        now, left = self._clock.wall(), iter(marks)
        added = []
        for request in requests:
            if not request.token:
                self._token += 1
                mark = next(left, None)
                self.seen.add(request.fingerprint if mark is None else mark)
                self._pending += 1
                if request.after or request.due:
                    request = replace(request, token=self._token, due=_due(request, now), after=0.0)
                else:
                    force_setattr(request, "token", self._token)  # nobody else has it yet
            added.append(request)
            if request.due > now:
                self._number += 1
                heappush(self._later, (request.due, self._number, request))
            else:
                self._fresh.append(request)
        self._news.set()
        return added

    async def claim(self, limit: int) -> list[Lease] | Finished:
        """Take what is due; waits until there is some, or every added request has been committed."""
        while True:
            self._wake_due()
            if self._fresh:
                return self._take(limit)
            self._news.clear()
            if self._pending == 0 and self._seeds_done:
                return Finished()
            wait = None
            if self._later:
                wait = self._later[0][0] - self._clock.wall()
                if self._seeds_done and wait > self._max_wait and self._pending == len(self._later):
                    return Finished(resumable=True, due=self._later[0][0])
            await self._clock.wait(self._news, None if wait is None else self._clock.monotonic() + wait)

    def next_due(self) -> float | None:
        """The wall-clock second at which a claim would give something."""
        if self._fresh:
            return 0.0
        return self._later[0][0] if self._later else None

    def _wake_due(self) -> None:
        now = self._clock.wall()
        while self._later and self._later[0][0] <= now:
            self._fresh.append(heappop(self._later)[2])

    def _take(self, limit: int) -> list[Lease]:
        hosts: dict[str, list[Request]] = {}
        for _ in range(min(limit, len(self._fresh))):
            request = self._fresh.popleft()
            host = request.host
            if host in hosts:
                hosts[host].append(request)
            else:
                hosts[host] = [request]
        return [Lease(host, requests) for host, requests in hosts.items()]

    async def commit(self, batch: Batch) -> Collection[int]:
        """Count what was answered for good."""
        self._pending -= sum(step.outcome is not None and step.outcome.final for step in batch.steps)
        self._seeds_done = self._seeds_done or batch.seeds_done
        self._news.set()
        return ()

    async def renew(self, tokens: Collection[int]) -> Collection[int]:
        """Leases of memory never end."""
        return ()

    async def close(self) -> None:
        """Nothing to let go of."""


def _due(request: Request, now: float) -> float:
    return now + request.after if request.after else request.due
