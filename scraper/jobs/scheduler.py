"""How jobs run: one loop that looks, decides and acts, and then sleeps until something is due or happens.

    what has ended -> what was planned -> what must end -> what begins -> sleep

Each step reads what is on record (store.py), decides (plan.py, ends.py: pure), writes the decision in one
transaction, and only then touches a process (runner.py). So a server may be killed between any two lines: what is
on record is what the next one goes on with. The loop alone writes how runs stand; commands and pages add runs and
wishes to the store and wake it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from ..clock import Clock
from ..errors import StoreError, UsageError
from . import ends, plan
from .deciding import recorded, recorded_waiting, run_now, taken_back, ticked
from .job import Job, Server
from .plan import Entry, Situation
from .record import Attempt, JobRun, Kept, State
from .runner import Ask, Ended, Process, Runner
from .runs import Impossible
from .schedule import Schedule
from .store import Jobs
from .working import Working

RECHECK = 60.0  # seconds at most between two looks: the wall clock may jump, the machine may have slept
LEAST = 0.001  # seconds between two looks

log = logging.getLogger("scraper.jobs")
T = TypeVar("T")


class News(msgspec.Struct, frozen=True):
    """What listeners are told: a run as it stands now, or (None) that the job has changed, come or gone."""

    job: str
    run: JobRun | None = None


class Apart(Protocol):
    """Runs what may block (SQLite waits for the disk and for other processes) where it holds up nobody."""

    def __call__(self, work: Callable[..., T], /, *args: Any, **options: Any) -> Awaitable[T]:
        """What `work` gives."""


class Scheduler:
    """Runs the jobs of a store, of which it must be the only one.

    `run` raises StoreError when the store fails: what cannot be recorded is not done. Processes outlive that, and
    the next scheduler finds them. What is wrong with one run (somebody has changed its row, its files cannot be
    read) is logged, and the others go on.
    """

    def __init__(
        self, store: Jobs, runner: Runner, clock: Clock | None = None, apart: Apart = asyncio.to_thread
    ) -> None:
        self.store = store
        self.runner = runner
        self.clock = clock or Clock()
        self.working: dict[int, Working] = {}  # by the id of the run
        self._apart = apart
        self._server = Server()
        self._jobs: dict[str, Entry] = {}
        self._runs: dict[int, JobRun] = {}  # those that are not over
        self._due: list[tuple[float, str]] = []  # a heap of the next planned time of each job that has one
        self._free_from: dict[str, float] = {}  # see Situation
        self._now = 0.0  # wall-clock second of this look
        self._listeners: list[Callable[[News], None]] = []
        self._news = asyncio.Event()
        self._changed = True  # the jobs, since they were read
        self._read_at = self._looked_at = 0.0  # monotonic
        self._seen: tuple[int, int] | None = None  # the stamp of the store when the jobs were read
        self._ahead: float | None = None  # of the wall clock before the monotonic one
        self._stopping: Ask | None = None

    async def run(self) -> None:
        """Run jobs until `stop`, and then end what runs in good order."""
        async with asyncio.TaskGroup() as self._watchers:
            await self._take_over()
            while self._stopping is None:
                self._news.clear()
                await self._look()
                await self._settle()
                await self._tick()
                await self._end()
                await self._begin()
                await self.clock.wait(self._news, self._until())
            await self._leave()

    # What others may do.

    def wake(self) -> None:
        """The store has been changed by another: look at it."""
        self._changed = True
        self._news.set()

    def stop(self, *, at_once: bool = False) -> None:
        """Let `run` return: crawls are ended in good order (`at_once`: killed) and go on at the next start."""
        self._stopping = Ask.KILL if at_once else Ask.CANCEL
        self._news.set()

    def listen(self, callback: Callable[[News], None]) -> Callable[[], None]:
        """Call back with every change from now on; what is returned ends that."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def late(self) -> float:
        """By how many seconds the loop has not looked when it should have; much before its first look."""
        return max(0.0, self.clock.monotonic() - self._looked_at - RECHECK)

    async def start(self, job: str, who: str, args: Mapping[str, Any] | None = None) -> JobRun:
        """Run a job now, with these arguments over its own. Raises UsageError where its `overlap` forbids it."""
        made = await self._apart(run_now, self.store, job, self.clock.wall(), who, args or {})
        self._tell(News(job, made))
        self.wake()
        return made

    async def cancel(self, id: int, who: str) -> bool:
        """End a run in good order; false when it is over. Raises UsageError when there is none."""
        return await self._ask_stop(id, Ask.CANCEL, who)

    async def kill(self, id: int, who: str) -> bool:
        """End a run at once; false when it is over. Raises UsageError when there is none."""
        return await self._ask_stop(id, Ask.KILL, who)

    async def _ask_stop(self, id: int, how: Ask, who: str) -> bool:
        done = await self._apart(self.store.ask_stop, id, how.value, who, self.clock.wall())
        self.wake()
        return done

    # The steps of the loop.

    async def _take_over(self) -> None:
        """Find the processes of the runs that an earlier server has begun."""
        for run in await self._apart(self.store.open_runs):
            if run.state is not State.RUNNING:
                continue
            if not run.pid:
                await self._write(ends.undone(run))
                continue
            process = await self.runner.adopt(run)
            passed = max(0.0, self.clock.wall() - run.started)
            self._follow(run, process, self.clock.monotonic() - passed)

    async def _look(self) -> None:
        """See what is on record, and what time it is."""
        self._now, self._looked_at = self.clock.wall(), self.clock.monotonic()
        self._notice_jump()
        if self._changed or self.clock.monotonic() - self._read_at >= RECHECK:
            self._changed = False
            self._read_at = self.clock.monotonic()
            await self._apart(self.store.check_place)
            await self._read_jobs()
        self._runs = {run.id: run for run in await self._apart(self.store.open_runs)}
        self._free_from = {}

    async def _settle(self) -> None:
        """Write down what became of the runs whose process has ended, with the runs that come after them."""
        for working in [each for each in self.working.values() if each.ended is not None]:
            run, ended = self._runs.get(working.run.id), working.ended
            assert ended is not None
            if run is None:
                log.error("run %d of job %r was ended by another: what came of it is not on record", *_of(working))
                del self.working[working.run.id]
                continue
            after = ends.verdict(run, self._job(run), ended, stopping=self._stopping is not None)
            if await self._write(after, ends.attempt(run, ended, after.why)) is not None:
                del self.working[run.id]

    async def _tick(self) -> None:
        """Plan the runs whose time has come."""
        while self._due and self._due[0][0] <= self._now:
            _, name = heappop(self._due)
            entry = self._jobs[name]
            made = await self._apart(ticked, self.store, entry, self._now)
            if made is None:
                self._seen = None  # what is known of it is no longer so
                self.wake()
                continue
            for run in made:
                self._told(run)
            self._jobs[name] = entry = Entry(replace(entry.kept, upto=self._now), entry.times)
            if (planned := entry.next) < math.inf:
                heappush(self._due, (planned, name))

    async def _end(self) -> None:
        """End the runs that must not go on: somebody or a newer run wants it, or they are beyond a limit."""
        for run, how in plan.outdated(self._situation()):
            if run.stop not in (how, Ask.KILL):
                await self._apart(self.store.ask_stop, run.id, how, ends.NEWER, self._now)
                self._told(replace(run, stop=how, stopped_by=ends.NEWER))
        for run in [each for each in self._runs.values() if each.state is State.QUEUED]:
            if run.stop or run.job not in self._jobs:
                why = ends.stopped_by(run) if run.stop else ends.REMOVED
                await self._write_waiting(ends.over(run, State.CANCELLED, self._now, why))
        for working in self.working.values():
            run = self._runs.get(working.run.id, working.run)
            job, now = self._job(run), self.clock.monotonic()
            if (beyond := working.beyond(job, now)) and not run.why:
                run = working.run = replace(run, why=beyond)
                run = await self._write(run) or run
            working.ask(run, job, now, self._stopping)

    async def _begin(self) -> None:
        """Begin the runs whose turn it is."""
        situation = self._situation()
        turns = plan.turns(situation)
        places = plan.places(situation) if turns else {}
        for waiting in turns:
            if (working := self.working.get(waiting.id)) is not None:
                working.doubt()
                continue
            job = self._jobs[waiting.job].job
            run = await self._write_waiting(ends.begun(waiting, self.clock.wall()), places.get(waiting.id))
            if run is None:
                continue
            try:
                process = await self.runner.start(run, job)
            except (UsageError, OSError) as error:
                code = ends.USAGE if isinstance(error, UsageError) else 1
                ended = Ended(at=self.clock.wall(), exit_code=code, why=str(error))
                after = ends.verdict(run, job, ended)
                await self._write(after, ends.attempt(run, ended, after.why))
                self._news.set()  # its turn, or another's, may be now
                continue
            run = replace(run, pid=process.pid, birth=process.birth)
            if (kept := await self._write(run, ends.attempt(run))) is None:
                process.ask(Ask.KILL)  # it was told nothing
                continue
            run = kept
            process.go()
            self._follow(run, process, self.clock.monotonic())

    def _until(self) -> float:
        """The monotonic second of the next look, should nothing happen before."""
        now, waits = self.clock.monotonic(), [RECHECK]
        due = self._due[0][0] if self._due else math.inf
        waits.append(min(due, plan.next_time(self._situation())) - self.clock.wall())
        waits += [each.again(self._job(each.run), now) for each in self.working.values()]
        return now + max(LEAST, min(waits))

    async def _leave(self) -> None:
        """End what runs; it waits in the store for the next start."""
        while self.working:
            self._news.clear()
            await self._look()
            await self._settle()
            for working in self.working.values():
                run, now = self._runs.get(working.run.id, working.run), self.clock.monotonic()
                working.beyond(self._job(run), now)
                working.ask(run, self._job(run), now, self._stopping)
            if self.working:
                await self.clock.wait(self._news, self._until())

    # What the steps are made of.

    def _situation(self) -> Situation:
        return Situation(
            now=self._now, jobs=self._jobs, runs=[*self._runs.values()], server=self._server,
            free_from=self._free_from,
        )  # fmt: skip

    def _job(self, run: JobRun) -> Job | None:
        entry = self._jobs.get(run.job)
        return None if entry is None else entry.job

    async def _read_jobs(self) -> None:
        """Read what is declared, unless nothing in the store has changed: thousands of jobs take a while."""
        before, seen = self._jobs, self._seen
        self._seen = await self._apart(self.store.stamp)
        if seen != self._seen:
            self._server = await self._apart(self.store.server)
            kept = {each.job.name: each for each in await self._apart(self.store.jobs)}
            self._jobs = {name: _entry(each, before.get(name)) for name, each in kept.items()}
        ahead = [each for each in self._jobs.values() if plan.ahead(each, self._now)]
        if seen == self._seen and not ahead:
            return
        if ahead:
            await self._take_back(ahead, before)
        planned = ((entry.next, name) for name, entry in self._jobs.items())
        self._due = [each for each in planned if each[0] < math.inf]
        heapify(self._due)
        for name in before.keys() | self._jobs.keys():
            old, new = before.get(name), self._jobs.get(name)
            if old is None or new is None or old.kept.version != new.kept.version:
                self._tell(News(name))

    async def _take_back(self, ahead: Sequence[Entry], before: Mapping[str, Entry]) -> None:
        """Plan jobs anew that were planned by a clock that was ahead."""
        for entry in ahead:
            name, old = entry.job.name, before.get(entry.job.name)
            if old is None or old.kept != entry.kept:
                seconds = entry.kept.upto - self._now
                log.warning("job %r is planned %.0f s ahead: the clock was wrong then, or is now", name, seconds)
        for name, start in (await self._apart(taken_back, self.store, ahead, self._now)).items():
            log.warning("job %r is planned anew: the clock has been back for %.0f s", name, self._now - start)
            self._jobs[name] = Entry(replace(self._jobs[name].kept, upto=start), self._jobs[name].times)

    async def _write(self, run: JobRun, attempt: Attempt | None = None) -> JobRun | None:
        """Put on record how a run stands, an attempt, and the runs that come after it; gives it as it is kept.

        None when its row is not as it was a moment ago: that is left as it is, others go on.
        """
        try:
            kept, made = await self._apart(recorded, self.store, self._situation(), run, attempt)
        except Impossible as error:
            log.error("%s; it is left so", error)
            self._runs.pop(run.id, None)
            return None
        if run.id in self.working:
            self.working[run.id].run = kept
        for each in (kept, *made):
            self._told(each)
        return kept

    async def _write_waiting(self, run: JobRun, place: JobRun | None = None) -> JobRun | None:
        """The same for a run that has waited, which a command may have cancelled with its job: None then.

        `place` is the older run whose place in the line it had, and which ends with that.
        """
        old = ends.replaced(place, self._now) if place is not None else None
        try:
            kept = await self._apart(recorded_waiting, self.store, run, old)
        except Impossible as error:
            log.error("%s; it is left so", error)
            kept = None
        if kept is None:
            self.wake()
            return None
        for each in (kept, *([old] if old is not None else ())):
            self._told(each)
        return kept

    def _told(self, run: JobRun) -> None:
        if run.state is not State.RUNNING or run.pid:
            log.info("run %d of job %r is %s%s", run.id, run.job, run.state, f": {run.why}" if run.why else "")
        if run.open:
            self._runs[run.id] = run
        else:
            self._runs.pop(run.id, None)
        self._tell(News(run.job, run))

    def _tell(self, news: News) -> None:
        for listener in [*self._listeners]:
            listener(news)

    def _follow(self, run: JobRun, process: Process, since: float) -> None:
        """Be woken when a process has ended."""
        working = self.working[run.id] = Working(run, process, since)

        async def watch() -> None:
            try:
                working.ended = await process.ended
            except StoreError:
                raise
            except Exception as error:  # what its files hold, say: that is no reason to end the others
                log.exception("how run %d of job %r ended cannot be told", *_of(working))
                why = f"how its process ended cannot be told: {error}"
                working.ended = Ended(at=self.clock.wall(), why=why)
            self._news.set()

        self._watchers.create_task(watch())

    def _notice_jump(self) -> None:
        """Say that the wall clock was set, or the machine slept; nothing else is needed, for all is judged anew."""
        ahead = self.clock.wall() - self.clock.monotonic()
        if self._ahead is not None and abs(ahead - self._ahead) > RECHECK:
            log.warning("the clock has jumped by %.0f s", ahead - self._ahead)
        self._ahead = ahead


def _of(working: Working) -> tuple[int, str]:
    """For the log."""
    return working.run.id, working.run.job


def _entry(kept: Kept, before: Entry | None) -> Entry:
    """A job with its schedule, which is read once; one that cannot be read any more never comes."""
    if before is not None and before.job == kept.job:
        return before if before.kept == kept else Entry(kept, before.times)
    try:
        return Entry(kept, Schedule.parse(kept.job))
    except UsageError as error:
        log.error("job %r is not planned: %s", kept.job.name, error)
        return Entry(kept, Schedule.parse(Job(name=kept.job.name, spider=kept.job.spider)))
