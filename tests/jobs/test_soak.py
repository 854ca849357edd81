"""Months of jobs in simulated time, with kills of the server between any two of its steps, against a model.

`pytest tests/jobs/test_soak.py --slow -s` does the year of 200 jobs too, and prints what happened in it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from scraper.errors import UsageError
from scraper.jobs import plan, scheduler
from scraper.jobs.job import DAY, HOUR, MINUTE, CatchUp, Job, Overlap, Server
from scraper.jobs.record import State
from scraper.jobs.scheduler import Scheduler

from .judge import Judge
from .simulation import Crash, JumpingClock, World, quick_folder
from .watched import Watched

START = 1_767_225_600.0  # 2026-01-01
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata",
    "Africa/Casablanca", "Europe/Dublin",
)  # fmt: skip
SCHEDULES = (  # and about how long it is to the next
    ("*/40 * * * *", 40 * MINUTE), ("every 55 minutes", 55 * MINUTE), ("@hourly", HOUR),
    ("every 5 hours", 5 * HOUR), ("30 2 * * *", DAY), ("15 1,2,3 * * *", 2 * HOUR), ("@daily", DAY),
    ("0 9 * * mon-fri", DAY), ("every 11 hours", 11 * HOUR), ("0 4 1 * *", 30 * DAY), ("7 */8 * * *", 8 * HOUR),
    ("59 23 * * sun", 7 * DAY), ("0 0,12 * * *", 12 * HOUR), ("30 1 * * *; 30 14 * * sat", DAY),
)  # fmt: skip
RARE = 3  # the first so many schedules are frequent; few jobs have them


class Soak:
    """One simulation."""

    def __init__(self, seed: int, jobs: int, days: float) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.end = START + days * DAY
        self.durations: dict[str, float] = {}
        self.world = World(seed, START, self.durations)
        self.clock = JumpingClock(self.world)
        self.server = Server(parallel=jobs // 4 + 1, groups={"shops": jobs // 20 + 1, "news": jobs // 15 + 2})
        self.judge = Judge(self.world, self.server)
        self.declared = [self.job(number) for number in range(jobs)]
        self.crashes = self.stops = self.reboots = self.jumps = 0
        self.down = 0.0
        self.stopping = False
        self.scheduler: Scheduler | None = None
        self.store: Watched | None = None

    def job(self, number: int) -> Job:
        """Any job."""
        chance, name = self.chance, f"job{number}"
        schedule, apart = chance.choice(SCHEDULES[:RARE] if number % 20 == 0 else SCHEDULES[RARE:])
        overlap = list(Overlap)[number % 6]
        own: dict[str, Any] = {"schedule": schedule, "timezone": chance.choice(ZONES)}
        if number % 20 == 7:
            until = "2026-01-02T18:00" if number in (27, 47) else "2026-01-02T01:00"
            own |= {"schedule": "every 30 seconds", "start": "2026-01-02", "end": until}
            apart = 30.0
        if number % 20 == 11:
            own |= {"schedule": "", "after": (f"job{number - 1}", f"job{number - 3}")}
        own["group"] = chance.choice(("", "", "", "", "shops", "news"))
        if number in (3, 4, 9):  # there is one place for these, and each ends its own runs
            own |= {"schedule": "every 40 seconds", "start": "2026-01-03", "end": "2026-01-03T02:00"}
            own["group"], apart = "line", 40.0
        if number == 33:
            own |= {"memory": 10**8}
            apart = 10 * MINUTE  # a process with a limit is looked at every few seconds
        waits = overlap in (Overlap.QUEUE_ALL, Overlap.ALLOW)
        self.durations[name] = min(2 * HOUR, apart * (0.1 if waits else chance.choice((0.05, 0.1, 0.3, 1.2))))
        if chance.random() < 0.3:
            own["timeout"] = self.durations[name] * 1.8
        if chance.random() < 0.3:
            own["jitter"] = apart * chance.choice((0.1, 0.5))
        if chance.random() < 0.2:
            own["blackout"] = (chance.choice(("22:00-06:00", "sat 00:00-24:00", "01:30-03:30")),)
        return Job(
            name=name, spider="shop", overlap=overlap, catch_up=chance.choice(list(CatchUp)),
            catch_up_within=chance.choice((HOUR, DAY, 7 * DAY)), resume=chance.random() < 0.8,
            retries=chance.choice((0, 0, 1, 3)), retry_delay=chance.choice((0.0, MINUTE, HOUR)),
            priority=chance.choice((0, 0, 0, 5, -5)), parallel=chance.choice((1, 2, 3)),
            **own,
        )  # fmt: skip

    async def run(self, home: Path) -> None:
        """All of it."""
        with Watched(home, self.judge) as store:
            store.set_server(self.server, START, "test")
            for job in self.declared:
                store.put(job, now=START, who="test")
        self.world.at(self.chance.expovariate(1 / (6 * HOUR)), self.somebody)
        self.world.at(4 * DAY, self.jump)
        while self.world.now < self.end:
            await self.life(home)
            self.sleep()
        await self.life(home, calm=True)
        waiting = [*self.judge.open.values(), *(run for each in self.judge.waits.values() for run in each.values())]
        assert all(run.due > self.world.wall() - 2 * DAY for run in waiting), "it is starved"
        with Watched(home, self.judge) as store:
            self.judge.final(store)

    async def life(self, home: Path, *, calm: bool = False) -> None:
        """One server from its start to its end, in good order or not."""
        self.store = Watched(home, self.judge)
        self.scheduler = Scheduler(self.store, self.world, self.clock, self.world.apart)
        self.stopping = False
        self.judge.ahead.clear()
        self.world.idle = self.idle
        how = "calm" if calm else self.chance.choice(("stop", "crash", "steps", "steps", "few steps"))
        steps = {"steps": 40 * len(self.declared), "few steps": 60}.get(how, 0)
        self.world.crash_in = self.chance.randrange(1, steps) if steps else 0
        if how in ("stop", "crash"):
            self.world.at(self.chance.expovariate(1 / (2 * DAY)), self.ending, self.scheduler, how)
        if calm:
            self.world.at(8 * DAY, self.ending, self.scheduler, "stop")
        try:
            await self.scheduler.run()
            self.stops += 1
            assert not self.world.alive
        except* Crash:
            self.crashes += 1
            machine = self.chance.random() < 0.3
            self.reboots += machine
            self.world.killed(machine=machine)
        self.scheduler = None
        self.store.close()
        self.store = None
        self.world.crash_in = 0

    def idle(self) -> None:
        """The scheduler sleeps."""
        if self.scheduler is not None and not self.stopping:
            self.judge.idle()

    def ending(self, of: Scheduler, how: str) -> None:
        """The end of a server, while it sleeps."""
        if of is self.scheduler:
            if how == "stop":
                self.stopping = True
                self.judge.until = self.world.wall()
                of.stop(at_once=self.chance.random() < 0.2)
            else:
                raise Crash

    def sleep(self) -> None:
        """No server runs; the world goes on."""
        scale = self.chance.choice((1.0, 1.0, 30.0, 30.0, 10 * MINUTE, HOUR, 6 * HOUR, DAY))
        seconds = self.chance.expovariate(1 / scale)
        self.down += seconds
        until = self.world.now + seconds
        while self.world.step(until):
            pass

    def jump(self) -> None:
        """The wall clock is set wrongly, or right again."""
        if self.world.now > self.end:
            return
        self.jumps += 1
        before = self.world.jumped
        self.world.jumped = self.chance.choice((0.0, 2 * HOUR, -HOUR, DAY)) if not before else 0.0
        if self.world.jumped < before:
            self.judge.backs.append((self.world.now, self.world.wall()))
        self.world.at(self.chance.expovariate(1 / (4 * DAY)), self.jump)

    def somebody(self) -> None:
        """A person does something, by a command beside the server."""
        self.world.at(self.chance.expovariate(1 / (6 * HOUR)), self.somebody)
        if self.store is None:
            return
        now, store, job = self.world.wall(), self.store, self.chance.choice(self.declared)
        kept = store.job(job.name)
        match self.chance.choice(("start", "start", "cancel", "cancel", "kill", "pause", "edit", "remove")):
            case "start":
                try:
                    store.plan(plan.by_hand(kept.job, store.open_runs(job.name), now, "ann", {"page": 1}))
                except UsageError:
                    assert kept.job.overlap in (Overlap.SKIP, Overlap.QUEUE_ONE)
            case "cancel" | "kill" as how if self.judge.open:
                store.ask_stop(self.chance.choice(list(self.judge.open)), how, "ann", now)
            case "pause" if not self.chained(job):
                (store.unpause if kept.paused else lambda *a: store.pause(a[0], "a test", *a[1:]))(
                    job.name, now, "ann"
                )
            case "edit" if job.schedule:
                store.put(replace(job, timezone=self.chance.choice(ZONES)), now=now, who="ann")
            case "remove" if self.chance.random() < 0.1 and not self.chained(job):
                store.remove(job.name, now, "ann")
                store.put(job, now=max(now, kept.upto), who="ann")
        if self.scheduler is not None:
            self.scheduler.wake()

    def chained(self, job: Job) -> bool:
        """Whether it comes after others, or others after it."""
        return bool(job.after) or any(job.name in each.after for each in self.declared)

    def said(self, seconds: float) -> str:
        """What happened."""
        over = self.judge.over
        planned = sum(map(len, self.judge.accounted.values()))
        states = ", ".join(f"{state} {over[state]:,}" for state in State if over[state])
        return (
            f"seed {self.seed}: {planned:,} planned times ({states}), {len(self.world.bodies):,} processes, "
            f"{self.crashes} crashes ({self.reboots} of the machine), {self.stops} stops, "
            f"{self.down / DAY:.1f} days down, {self.jumps} jumps of the clock, after which jobs were planned anew "
            f"{self.judge.anew} times; {seconds:.1f} s"
        )


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """In memory; and a look each hour, when nothing happens, is done sooner than one each minute."""
    monkeypatch.setattr(scheduler, "RECHECK", HOUR)
    with quick_folder() as folder:
        yield folder


def soak(seed: int, jobs: int, days: float, home: Path) -> Soak:
    made = Soak(seed, jobs, days)
    print(f"seed {seed}")
    began = time.perf_counter()
    asyncio.run(made.run(home))
    print(made.said(time.perf_counter() - began))
    return made


def test_a_month_of_jobs_is_neither_lost_nor_doubled(home: Path) -> None:
    done = soak(random.SystemRandom().randrange(10**6), 20, 31, home)
    assert done.crashes > 5


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_year_of_200_jobs_is_neither_lost_nor_doubled(home: Path) -> None:
    done = soak(random.SystemRandom().randrange(10**6), 200, 365, home)
    assert done.crashes > 100
