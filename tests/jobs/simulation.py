"""A world in simulated time: a clock that jumps to what happens next, crawls without pages, kills of the server.

Processes live on when the server is killed, as real ones do. What the world knows of them (when each ended and how)
is the truth that the history is compared with.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from scraper.clock import Clock
from scraper.errors import UsageError
from scraper.folder import BROKE_RULE, ENDED, FAILED, FINISHED, INTERRUPTED, RUNNING
from scraper.jobs.job import Job
from scraper.jobs.record import JobRun
from scraper.jobs.runner import Ask, Ended

T = TypeVar("T")
STATES = {0: FINISHED, 1: FAILED, 3: BROKE_RULE, 130: INTERRUPTED}


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder in memory, where there is such a place."""
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


class Crash(Exception):
    """The server is killed at this line."""


class Crawl:
    """What run.json and the state of a crawl would say."""

    def __init__(self, work: float, code: int) -> None:
        self.work = work  # seconds
        self.code = code  # with which it exits when the work is done
        self.done = 0.0
        self.state = ""

    @property
    def pages(self) -> int:
        """One in ten seconds."""
        return int(self.done / 10)


class Body:
    """A process, as the system knows it, and as a server holds it."""

    def __init__(self, world: World, pid: int, run: JobRun, job: Job) -> None:
        self.world, self.pid, self.run, self.job = world, pid, run, job
        self.birth = f"{world.now:.3f}"
        self.told = False
        self.fruitless = False
        self.gained = 0  # pages
        self.began = world.now
        self.at = 0.0  # when it ended, by the wall clock
        self.code: int | None = None  # None: it lives
        self.seen = True  # whether its end was seen by the server that had started it
        self.waiting: list[asyncio.Future[Ended]] = []

    @property
    def ended(self) -> asyncio.Future[Ended]:
        """Done when it is gone."""
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        if self.code is not None:
            self.tell()
        return future

    def tell(self) -> None:
        """Let those know who wait for its end, as far as its files can be read."""
        for future in self.waiting:
            if future.done():
                continue
            if self.world.unreadable:
                self.world.unreadable -= 1
                future.set_exception(OSError("its files cannot be read"))
            else:
                future.set_result(self.last())

    def last(self) -> Ended:
        """How it ended, and how its crawl stands."""
        crawl = self.world.crawls.get(self.run.run) or Crawl(0, 0)
        code = self.code if self.seen else None
        return Ended(at=self.at, exit_code=code, state=crawl.state, pages=crawl.pages, items=crawl.pages * 2)

    def go(self) -> None:
        """Work, to whatever end chance has for it."""
        self.world.danger()
        if self.code is not None:
            return
        self.world.tell(self)
        self.world.danger()

    def ask(self, how: Ask) -> None:
        """Most crawls obey within seconds."""
        self.world.danger()
        chance = self.world.chance
        if how is Ask.KILL:
            self.world.at(0.0, self.end, -9)
        elif not self.world.deaf and (self.world.calm or chance.random() < 0.9):
            self.world.at(chance.uniform(0, 9), self.end, 130)
        self.world.danger()

    def memory(self) -> int:
        """Some crawls leak."""
        if self.world.leak:
            return int(self.world.leak * (self.world.now - self.began))
        return {50: 10**9, 0: 12 * 10**7}.get(self.pid % 100, 10**6)

    def end(self, code: int, state: str = "") -> None:
        """It is gone, and has left its crawl in this state (usually that of the code)."""
        if self.code is not None:
            return
        world = self.world
        self.code, self.at = code, world.wall()
        del world.alive[self.pid]
        if self.told:
            crawl = world.crawls[self.run.run]
            before = crawl.pages
            crawl.done += 0.0 if self.fruitless else world.now - self.began
            self.gained = crawl.pages - before
            crawl.state = state or STATES.get(code, RUNNING)
        self.tell()


class World:
    """Time, processes and dangers. It is the scheduler's runner, too."""

    def __init__(self, seed: int, start: float, durations: dict[str, float]) -> None:
        self.chance = random.Random(seed)
        self.now = start  # monotonic
        self.jumped = 0.0  # of the wall clock
        self.durations = durations  # of a job's crawl, on average
        self.crawls: dict[str, Crawl] = {}
        self.bodies: dict[tuple[int, str], Body] = {}
        self.alive: dict[int, Body] = {}
        self.crash_in = 0  # dangers from now; 0: not
        self.pid = 100
        self.idle: Callable[[], None] = lambda: None
        self.refused = 0.0  # when a process could not be started last
        self.calm = False  # nothing happens by chance
        self.deaf = False  # no process hears SIGTERM
        self.unreadable = 0  # so many ends of processes cannot be told
        self.leak = 0.0  # bytes a second by which each process grows
        self.fates: list[tuple[str, float]] = []  # of the next processes, with the second of their end
        self._order = 0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def wall(self) -> float:
        """Seconds since 1970, as the machine believes."""
        return self.now + self.jumped

    def at(self, seconds: float, do: Callable[..., None], *args: Any) -> None:
        """Let something happen so many seconds from now."""
        self._order += 1
        heapq.heappush(self._events, (self.now + seconds, self._order, do, args))

    def step(self, until: float) -> bool:
        """Go on to what happens next, or to `until` if that is sooner (false)."""
        if not self._events or self._events[0][0] > until:
            self.now = max(self.now, until)
            return False
        when, _, do, args = heapq.heappop(self._events)
        self.now = max(self.now, when)
        do(*args)
        return True

    def danger(self) -> None:
        """A line at which the server may be killed."""
        if self.crash_in:
            self.crash_in -= 1
            if not self.crash_in:
                raise Crash

    async def apart(self, work: Callable[..., T], /, *args: Any, **options: Any) -> T:
        """What the scheduler does with the store, with a danger before and after it."""
        self.danger()
        done = work(*args, **options)
        self.danger()
        return done

    def killed(self, *, machine: bool) -> None:
        """The server is gone, or all of the machine: nobody sees how its processes end."""
        for body in list(self.alive.values()):
            body.waiting.clear()
            body.seen = False
            if machine or not body.told:
                body.end(-9)

    def kill_server(self) -> None:
        """Here and now."""
        raise Crash

    def forget(self) -> None:
        """Let nothing of a server that is gone happen any more; processes go on."""
        self._events = [event for event in self._events if isinstance(getattr(event[2], "__self__", None), Body)]
        heapq.heapify(self._events)

    async def start(self, run: JobRun, job: Job) -> Body:
        """A process that waits to be told."""
        self.danger()
        if not self.calm and self.chance.random() < 0.003:
            self.refused = self.now
            raise self.chance.choice((OSError("no room for another process"), UsageError("the project is gone")))
        self.pid += 1
        body = self.alive[self.pid] = Body(self, self.pid, run, job)
        self.bodies[body.pid, body.birth] = body
        self.danger()
        return body

    async def adopt(self, run: JobRun) -> Body:
        """The process of a run, alive or not."""
        self.danger()
        return self.bodies[run.pid, run.birth]

    def tell(self, body: Body) -> None:
        """A process begins to crawl; no two may work on one crawl, nor one on a crawl that has ended."""
        same = [each for each in self.alive.values() if each.told and each.run.run == body.run.run]
        assert not same, f"two processes work on crawl {body.run.run}"
        crawl = self.crawls.get(body.run.run)
        if crawl is None:
            crawl = self.crawls[body.run.run] = self._crawl(self.durations[body.job.name])
        assert crawl.state not in ENDED, f"crawl {body.run.run} has ended and is crawled again"
        crawl.state, body.told, body.began = RUNNING, True, self.now
        self._fate(body, max(1.0, crawl.work - crawl.done), crawl.code)

    def _crawl(self, seconds: float) -> Crawl:
        if self.calm:
            return Crawl(seconds, 0)
        return Crawl(seconds * self.chance.lognormvariate(0, 0.4), self.chance.choices((0, 1, 3), (90, 6, 4))[0])

    def _fate(self, body: Body, left: float, code: int) -> None:
        ends = ("well", "crash", "killed", "fruitless", "cut", "hangs")
        fate = self.chance.choices(ends, (900, 25, 25, 20 + 300 * (body.run.deaths > 0), 15, 15))[0]
        part = left * self.chance.random()
        if self.calm:
            fate, part = self.fates.pop(0) if self.fates else ("well", 0.0)
        body.fruitless = fate == "fruitless"
        match fate:
            case "well":
                self.at(left, body.end, code)
            case "hangs":
                self.at(left * 5, body.end, code)
            case "crash":
                self.at(part, body.end, -11)
            case "cut":  # it says itself that it cannot go on now, as with a full disk
                self.at(part, body.end, 1, INTERRUPTED)
            case _:
                self.at(part, body.end, self.chance.choice((-9, -15, 130)))


class JumpingClock(Clock):
    """A clock of the world: who waits lets the world go on."""

    def __init__(self, world: World) -> None:
        self.world = world

    def monotonic(self) -> float:
        """Seconds of the world."""
        return self.world.now

    def wall(self) -> float:
        """Seconds since 1970, with the jumps."""
        return self.world.wall()

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        """Let happen what happens until then, or until the event."""
        assert until is not None
        await self._hear()
        if not event.is_set():
            self.world.idle()
        while not event.is_set() and self.world.step(until):
            await self._hear()

    async def _hear(self) -> None:
        for _ in range(3):  # who waits for a process hears of it
            await asyncio.sleep(0)
