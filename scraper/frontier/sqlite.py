"""The durable store: a run's state in one SQLite file, written by one thread, a group of outcomes at a time.

What is claimed stays queued on the disk until its outcome is committed, so a crash needs no repair: whoever
opens the file next finds everything that was not answered. In memory are the fingerprints of all URLs and a
window of the queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from heapq import heappop, heappush
from pathlib import Path
from typing import TypeVar

from ..clock import Clock
from ..request import Request, altered
from .lanes import LATER, NOTHING, Lane, moment, rank, share
from .records import Records
from .store import Batch, Finished, Lease, Recovered

T = TypeVar("T")
COMMIT = 0.1  # seconds until what is not on the disk yet is looked for again


class SqliteStore:
    """The frontier of one run in one file.

    `max_wait` is in seconds: later work ends the crawl resumable. With `power` every commit is forced to the
    disk. Raises StoreError, which names the file and says what to do.
    """

    def __init__(self, path: Path, clock: Clock, *, max_wait: float = 3600.0, power: bool = False) -> None:
        self.seen: set[int] = set()
        self._clock = clock
        self._max_wait = max_wait
        self._records = Records(path, clock, power=power)
        self._thread = ThreadPoolExecutor(1, "state")
        self._lanes: dict[str, Lane] = {}
        self._new_hosts: list[tuple[int, str]] = []
        self._later = Lane(0)
        self._waiting: list[tuple[float, int, Request]] = []  # held, and not due yet
        self._ready: deque[Request] = deque()
        self._where: dict[int, Lane] = {}  # token -> the lane it is held for, until its outcome is committed
        self._wanting: dict[Lane, None] = {}  # lanes with more on the disk
        self._freed = True  # some may hold more than when they were last looked at
        self._active = 0  # lanes with anything queued
        self._token = 0
        self._pending = 0
        self._seeds_done = False
        self._news = asyncio.Event()

    async def open(self, suspects: Collection[int] = ()) -> Recovered:
        """Make or open the file, and tell what an earlier process left."""
        left = await self._work(lambda: self._records.open(suspects, self.seen))
        self._lanes, self._later, self._token = left.hosts, left.later, left.token
        self._pending = left.recovered.queued
        self._seeds_done = left.recovered.seeds_done
        stored = [lane for lane in (*left.hosts.values(), left.later) if lane.stored]
        self._wanting = dict.fromkeys(stored)
        self._active = len(stored)
        return left.recovered

    def add(self, requests: Iterable[Request]) -> list[Request]:
        """Mark as seen and queue: in memory while there is room, else with the next commit on the disk only."""
        now = self._clock.wall()
        added = []
        for request in requests:
            token = request.token
            if token:
                self._free(self._where.pop(token))
            else:
                token = self._token = self._token + 1
                self.seen.add(request.fingerprint)
                self._pending += 1
            due = now + request.after if request.after else request.due
            # Whether it waits is decided here: its row on the disk will be in that very lane.
            request = altered(request, token=token, due=due if due > now else 0.0, after=0.0)
            added.append(request)
            self._place(request)
        self._news.set()
        return added

    def _place(self, request: Request) -> None:
        lane, order, room = self._lane(request.host), rank(request), share(self._active)
        if request.due:
            lane, order, room = self._later, moment(request.due), LATER
        if lane.takes(order, room) or (request.counted and lane is not self._later):
            self._hold(request, lane)
        else:
            lane.store(order)
            self._wanting[lane] = None

    def _hold(self, request: Request, lane: Lane) -> None:
        self._active += not (lane.held or lane.stored)
        lane.held += 1
        self._where[request.token] = lane
        if lane is self._later:
            heappush(self._waiting, (request.due, request.token, request))
        else:
            self._ready.append(request)

    def _free(self, lane: Lane) -> None:
        lane.held -= 1
        self._active -= not (lane.held or lane.stored)

    def _lane(self, host: str) -> Lane:
        lane = self._lanes.get(host)
        if lane is None:
            lane = self._lanes[host] = Lane(len(self._lanes) + 1)
            self._new_hosts.append((lane.number, host))
        return lane

    # -- what is lent -------------------------------------------------------------------------------

    async def claim(self, limit: int) -> list[Lease] | Finished:
        """Take what is due; waits until there is some, or every request has been answered and committed."""
        while True:
            self._wake_due()
            if self._ready:
                return self._take(limit)
            if self._freed and self._wanting:
                await self._refill(limit)
                continue
            self._news.clear()
            if self._pending == 0 and self._seeds_done:
                return Finished()
            due = self.next_due()
            if due is not None and self._ends(due):
                return Finished(resumable=True, due=due)
            until = None if due is None else self._clock.monotonic() + due - self._clock.wall()
            await self._clock.wait(self._news, until)

    def _ends(self, due: float) -> bool:
        """Whether all that is left is due in more than `max_wait`."""
        late = due - self._clock.wall() > self._max_wait
        return self._seeds_done and late and self._pending == self._later.held + self._later.stored

    def next_due(self) -> float | None:
        """The wall-clock second at which a claim would give something."""
        if self._ready or (self._freed and self._wanting):
            return 0.0
        held = self._waiting[0][0] if self._waiting else None
        stored = self._later.best / 1e6 if self._later.stored else None
        return held if stored is None else stored if held is None else min(held, stored)

    def _wake_due(self) -> None:
        now = self._clock.wall()
        while self._waiting and self._waiting[0][0] <= now:
            request = heappop(self._waiting)[2]
            self._free(self._later)
            self._hold(request, self._lane(request.host))
        if self._later.stored and self._later.best <= moment(now):
            self._freed = True

    def _take(self, limit: int) -> list[Lease]:
        hosts: dict[str, list[Request]] = {}
        for _ in range(min(limit, len(self._ready))):
            request = self._ready.popleft()
            hosts.setdefault(request.host, []).append(request)
        return [Lease(host, requests) for host, requests in hosts.items()]

    async def _refill(self, limit: int) -> None:
        """Read from the disk for the lanes that hold half of what they may, in turns. O(what is read)."""
        self._freed = False
        now = moment(self._clock.wall())
        left = limit
        for lane in [*self._wanting]:
            late = lane is self._later
            room = (LATER if late else share(self._active)) - lane.held
            if left <= 0:
                self._freed = True
                return
            if lane.held > room and not (late and lane.best <= now):
                continue
            number = min(max(room, 1), left)
            got, more = await self._work(self._reads(lane, number))
            left -= len(got)
            for request in got:
                self._hold(request, lane)
            lane.stored -= len(got)
            del self._wanting[lane]
            if not lane.stored:
                lane.best = NOTHING
                continue
            self._wanting[lane] = None  # at the end of the line; what is not found waits for its commit
            if more:
                lane.best = moment(got[-1].due) if late else rank(got[-1])
            elif late:
                lane.best = max(lane.best, now + moment(COMMIT))

    def _reads(self, lane: Lane, number: int) -> Callable[[], tuple[list[Request], bool]]:
        return lambda: self._records.read(lane.number, number, self._where, lane.held)

    # -- what is durable ----------------------------------------------------------------------------

    async def commit(self, batch: Batch) -> Collection[int]:
        """One transaction with all of a batch."""
        hosts, self._new_hosts = self._new_hosts, []
        await self._work(lambda: self._records.write(batch, hosts, self._lanes))
        for step in batch.steps:
            if step.outcome is not None and step.outcome.final:
                self._free(self._where.pop(step.outcome.request.token))
                self._pending -= 1
        self._seeds_done = self._seeds_done or batch.seeds_done
        self._freed = True
        self._news.set()
        return ()

    async def renew(self, tokens: Collection[int]) -> Collection[int]:
        """The file has one process, whose leases do not end."""
        return ()

    async def close(self) -> None:
        """Let go of the file."""
        try:
            await self._work(self._records.close)
        finally:
            self._thread.shutdown(wait=False)

    async def _work(self, step: Callable[[], T]) -> T:
        """Run a step in the thread, and await its end even when cancelled: nothing may go on behind our back."""
        task = asyncio.get_running_loop().run_in_executor(self._thread, step)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                with suppress(asyncio.CancelledError):  # once more
                    await asyncio.wait((task,))
            if not task.cancelled():
                task.exception()  # seen; the cancellation is what counts now
            raise
