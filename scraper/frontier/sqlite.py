"""The durable store: a run's state in one SQLite file, written by one thread, a group of outcomes at a time.

What is claimed stays queued on the disk until its outcome is committed, so a crash needs no repair: whoever
opens the file next finds everything that was not answered. In memory are the fingerprints of all URLs and a
window of the queue.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from heapq import heappop, heappush
from pathlib import Path
from typing import TypeVar

from msgspec.structs import force_setattr, replace

from ..clock import Clock
from ..errors import StoreError
from ..outcome import End
from ..request import Request
from .lanes import NOWHERE, Lane, Window, rank
from .records import Got, Records, Want, Woken
from .seen import Seen
from .store import Batch, Finished, Lease, Recovered

T = TypeVar("T")


class SqliteStore:
    """The frontier of one run in one file.

    `max_wait` is in seconds: later work ends the crawl resumable. With `power` every commit is forced to the
    disk. Raises StoreError, which names the file and says what to do.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        max_wait: float = 3600.0,
        power: bool = False,
        window: Window | None = None,
    ) -> None:
        self.seen = Seen()
        self._clock = clock
        self._max_wait = max_wait
        self._window = window or Window()
        self._records = Records(path, clock, power=power)
        self._thread = ThreadPoolExecutor(1, "state")
        self._lanes: dict[str, Lane] = {}
        self._numbered: list[Lane] = []  # the lane of host n at n - 1
        self._new_hosts: list[tuple[int, str]] = []
        self._known: dict[int, tuple[int, int]] = {}  # what is not on the disk yet; see Records.write
        self._held = 0  # over all hosts
        self._where: dict[int, Lane] = {}  # token -> the lane it is held for, until its outcome is committed
        self._coming: dict[int, Request] = {}  # token -> what is on its way to the disk; the thread takes it off
        self._ready: deque[Request] = deque()
        self._hungry: dict[Lane, None] = {}  # lanes that should take some from the disk, in turns
        self._filling = False
        self._later = Lane(0)
        self._waiting: list[tuple[float, int, Request]] = []  # held, and not due yet
        self._due = math.inf  # of the first that is stored, and not due yet
        self._token = 0
        self._pending = 0
        self._seeds_done = False
        self._news = asyncio.Event()

    async def open(self, suspects: Collection[int] = ()) -> Recovered:
        """Make or open the file, and tell what an earlier process left."""
        left = await self._work(lambda: self._records.open(suspects, self.seen))
        self._lanes, self._later, self._due = left.hosts, left.later, left.due
        self._token = left.recovered.last
        self._numbered = sorted(left.hosts.values(), key=lambda lane: lane.number)
        self._hungry = {lane: None for lane in left.hosts.values() if lane.stored}
        self._pending = left.recovered.queued
        self._seeds_done = left.recovered.seeds_done
        return left.recovered

    def add(self, requests: Iterable[Request], marks: Iterable[int] = ()) -> list[Request]:
        """Mark as seen and queue: in memory while there is room, else with the next commit on the disk only.

        A new request gets its token in place: nobody else has it yet.
        """
        lanes, seen, known, now = self._lanes, self.seen, self._known, self._clock.wall()
        left = iter(marks)
        added = []
        for request in requests:
            if request.token:
                added.append(self._again(request, now))
                continue
            token = self._token = self._token + 1
            mark = next(left, None)
            if mark is None:
                mark = request.fingerprint
            seen.add(mark)
            host = request.host
            lane = lanes.get(host) or self._lane(host)
            known[token] = mark, lane.number
            self._pending += 1
            if request.after or request.due:
                request = self._timed(request, token, now)
            else:
                force_setattr(request, "token", token)
            added.append(request)
            self._place(request, lane)
        self._news.set()
        return added

    def _again(self, request: Request, now: float) -> Request:
        """Another try: it takes the place of the one before."""
        before = self._where.get(request.token)
        request = self._timed(request, request.token, now)
        self._place(request, self._lane(request.host))
        if before is not None:
            self._free(before)
        return request

    @staticmethod
    def _timed(request: Request, token: int, now: float) -> Request:
        """Whether a request waits is decided here: its row on the disk will be in that very lane."""
        due = now + request.after if request.after else request.due
        return replace(request, token=token, due=due if due > now else 0.0, after=0.0)

    def _place(self, request: Request, lane: Lane) -> None:
        order = rank(request)
        if request.due:
            lane = self._later
            if lane.held < self._window.later:
                heappush(self._waiting, (request.due, request.token, request))
                self._hold(request, lane, order)
                return
        else:
            place = (order, request.token)
            if request.counted or lane.takes(place, self._window.room(self._held)):
                self._ready.append(request)
                self._hold(request, lane, order)
                return
            lane.best = min(lane.best, place)
        lane.coming += 1
        self._coming[request.token] = request  # and only then no longer held: see Records.read
        self._where.pop(request.token, None)

    def _hold(self, request: Request, lane: Lane, order: int) -> None:
        self._where[request.token] = lane
        lane.hold(order)
        if lane is not self._later:
            self._held += 1

    def _free(self, lane: Lane) -> None:
        lane.free()
        if lane is not self._later:
            self._held -= 1
            self._look(lane)

    def _look(self, lane: Lane) -> None:
        """Whether a lane should be fed: to be asked whenever it has less in memory or more on the disk."""
        if lane.stored and lane.wants(self._window.room(self._held)):
            self._hungry[lane] = None

    def _lane(self, host: str) -> Lane:
        lane = self._lanes.get(host)
        if lane is None:
            lane = self._lanes[host] = Lane(len(self._lanes) + 1)
            self._numbered.append(lane)
            self._new_hosts.append((lane.number, host))
        return lane

    # -- what is lent -------------------------------------------------------------------------------

    async def claim(self, limit: int) -> list[Lease] | Finished:
        """Take what is due; waits until there is some, or every request has been answered and committed."""
        while True:
            self._wake_held()
            wants = not self._filling and (self._hungry or self._due <= self._clock.wall())
            # What is ready need not wait for the disk, unless there is always more of it than is taken.
            if wants and not 0 < len(self._ready) <= limit:
                await self._fill()
            if self._ready:
                return self._take(limit)
            if wants:
                continue
            self._news.clear()
            if self._pending == 0 and self._seeds_done:
                return Finished()
            due = self.next_due()
            if due is not None and self._ends(due):
                return Finished(resumable=True, due=due)
            if due is None or self._filling:
                await self._news.wait()
            else:
                await self._clock.wait(self._news, self._clock.monotonic() + due - self._clock.wall())

    def _ends(self, due: float) -> bool:
        """Whether all that is left is due in more than `max_wait`."""
        later = self._later
        late = due - self._clock.wall() > self._max_wait
        return self._seeds_done and late and self._pending == later.held + later.coming + later.stored

    def next_due(self) -> float | None:
        """The wall-clock second at which a claim would give something."""
        if self._ready or self._hungry or self._filling:
            return 0.0
        due = min(self._due, self._waiting[0][0]) if self._waiting else self._due
        return due if due < math.inf else None

    def _wake_held(self) -> None:
        now = self._clock.wall()
        while self._waiting and self._waiting[0][0] <= now:
            request = heappop(self._waiting)[2]
            self._later.free()
            self._ready.append(request)
            self._hold(request, self._lane(request.host), rank(request))

    def _take(self, limit: int) -> list[Lease]:
        hosts: dict[str, list[Request]] = {}
        for _ in range(min(limit, len(self._ready))):
            request = self._ready.popleft()
            host = request.host
            if host in hosts:
                hosts[host].append(request)
            else:
                hosts[host] = [request]
        return [Lease(host, requests) for host, requests in hosts.items()]

    # -- from the disk ------------------------------------------------------------------------------

    async def _fill(self) -> None:
        """Queue on the disk what waited there until now, and read a chunk for the lanes that should have some."""
        now, chunk = self._clock.wall(), self._window.chunk
        records, where, coming = self._records, self._where, self._coming
        wants = self._wants(chunk)
        late = self._due <= now

        def step() -> tuple[list[Got], Woken | None]:
            got = records.read(wants, where, coming)
            return got, records.wake(now, chunk, where, coming) if late else None

        self._filling = True
        try:
            await self._work(step, self._filled)
        except StoreError:
            self._filling = False
            raise

    def _wants(self, chunk: int) -> list[Want]:
        """What to read now: in turns, so much of each lane that many have their share. O(lanes that are fed)."""
        wants: list[Want] = []
        held = self._held
        most = max(self._window.least, chunk // max(1, len(self._hungry)))
        while self._hungry and chunk > 0:
            lane = next(iter(self._hungry))
            del self._hungry[lane]
            room = self._window.room(held)
            number = min(lane.wants(room), most, chunk, lane.stored)
            if number:
                below = NOWHERE[0] if lane.held <= room // 2 else lane.worst
                wants.append(Want(lane, lane.best, below, number))
                held += number
                chunk -= number
        return wants

    def _filled(self, done: tuple[list[Got], Woken | None]) -> None:
        self._filling = False
        got, woken = done
        for lane, requests, last in got:
            for request in requests:
                self._ready.append(request)
                self._hold(request, lane, rank(request))
            lane.got(len(requests), last)
            if requests:  # else there is nothing that it should have now
                self._look(lane)
        if woken is not None:
            self._due = woken.due
            for number, ranks in woken.ranks.items():
                lane = self._numbered[number - 1]
                lane.stored += len(ranks)
                lane.best = min(lane.best, (min(ranks), 0))
                self._later.stored -= len(ranks)
                self._look(lane)
        self._news.set()

    # -- what is durable ----------------------------------------------------------------------------

    async def commit(self, batch: Batch) -> Collection[int]:
        """One transaction with all of a batch."""
        hosts, self._new_hosts = self._new_hosts, []
        await self._work(
            lambda: self._records.write(batch, hosts, self._known, self._lanes, self._coming),
            lambda stored: self._committed(batch, stored),
        )
        return ()

    def _committed(self, batch: Batch, stored: list[Request]) -> None:
        for request in stored:
            lane = self._later if request.due else self._lane(request.host)
            lane.coming -= 1
            lane.stored += 1
            if request.due:
                self._due = min(self._due, request.due)
            else:
                self._look(lane)
        for step in batch.steps:
            outcome = step.outcome
            if outcome is not None and (outcome.end is End.DONE or outcome.final):
                self._free(self._where.pop(outcome.request.token))
                self._pending -= 1
        self._seeds_done = self._seeds_done or batch.seeds_done
        self._news.set()

    async def renew(self, tokens: Collection[int]) -> Collection[int]:
        """The file has one process, whose leases do not end."""
        return ()

    async def close(self) -> None:
        """Let go of the file."""
        try:
            await self._work(self._records.close)
        finally:
            self._thread.shutdown(wait=False)

    async def _work(self, step: Callable[[], T], note: Callable[[T], None] | None = None) -> T:
        """Run a step in the thread and take note of it, even when the caller is cancelled meanwhile.

        What was done is noted in the order in which it was done: futures of one thread end in their order.
        """
        loop = asyncio.get_running_loop()
        noted: asyncio.Future[T] = loop.create_future()  # and no task, which somebody could cancel

        def over(work: asyncio.Future[T]) -> None:
            try:
                done = work.result()
                if note is not None:
                    note(done)
            except Exception as error:  # noqa: BLE001  it is raised where it is awaited
                noted.set_exception(error)
            else:
                noted.set_result(done)

        loop.run_in_executor(self._thread, step).add_done_callback(over)
        try:
            return await asyncio.shield(noted)
        except asyncio.CancelledError:
            while not noted.done():
                with suppress(asyncio.CancelledError):  # once more
                    await asyncio.wait((noted,))
            noted.exception()  # seen; the cancellation is what counts now
            raise
