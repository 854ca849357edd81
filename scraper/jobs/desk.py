"""The desk: every verb about jobs that a page, the API and a command share, with plain values in and out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from ..clock import Clock
from ..convert import near
from ..discover import listed
from ..errors import StoreError, UsageError
from . import secret
from .checking import Described, checked, described
from .deciding import run_now
from .declared import job_from, read
from .difference import Change, Declared
from .files import NotThere as NotThere
from .job import Job, Output, Server
from .outlook import Outlook, upcoming
from .owned import Destinations, destination, spare
from .record import OPEN, Act, Alert, Delivery, JobRun, Kept, State
from .runfiles import RunFiles
from .scheduler import Scheduler
from .serving import secrets
from .shown import Dot, Health, JobLine, JobPage, RunsPage, SpiderLine
from .space import check_writable, least
from .store import Conflict as Conflict
from .store import Jobs

T = TypeVar("T")
MOST = 500  # rows of a page
FILE = "jobs.toml"
CHECKS = 2  # spiders imported at once
RECENT = 30  # runs of a sparkline
# by the index of jobs, which is in the order of ids
DOTS = """SELECT id, state, pages, items, failed, ended - began FROM run
WHERE job = ? AND began > 0 AND ended > 0 ORDER BY id DESC LIMIT ?"""


class Desk(RunFiles):
    """Jobs and their runs below the output folder `root`, of the spiders of `project`.

    Its verbs leave the loop free. They raise UsageError for what is wrong (NotThere for what is not there) and
    StoreError; nothing is half done then. `who` is written into the audit log.
    """

    def __init__(
        self,
        store: Jobs,
        *,
        root: Path,
        project: Path,
        clock: Clock | None = None,
        scheduler: Scheduler | None = None,
    ) -> None:
        super().__init__(store, root)
        self.project = project
        self.clock = clock or Clock()
        self.scheduler = scheduler  # of the server that this is in, if it is
        self._outlook = Outlook()
        self._few = asyncio.Semaphore(CHECKS)

    async def _off(self, verb: Callable[..., T], *values: Any, **named: Any) -> T:
        return await asyncio.to_thread(verb, *values, **named)

    # -- jobs ---------------------------------------------------------------------------------------

    async def jobs(self) -> list[JobLine]:
        """All jobs by name, each with how it stands."""
        return await self._off(self._jobs)

    async def job(self, name: str) -> JobPage:
        """One job. Raises NotThere, with a name that is near."""
        return await self._off(self._job, name)

    async def put(self, data: Mapping[str, Any], who: str, version: int | None = None) -> Kept:
        """Add a job or replace the one of its name, as `[jobs.NAME]` of jobs.toml has it, and its `name`.

        "***" stands for the value before. With `version` only while the job is of that version, 0: new.
        Raises Conflict when it is not, UsageError naming the key.
        """
        job = await self._checked(data)
        return await self._off(self.store.put, job, now=self.clock.wall(), who=who, version=version)

    async def remove(self, name: str, who: str) -> None:
        """Take a job away; its history stays, what waits is cancelled. Raises NotThere."""
        await self._off(self._of, name)
        await self._off(self.store.remove, name, self.clock.wall(), who)

    async def pause(self, name: str, why: str, who: str) -> None:
        """Plan no more runs of a job. Raises NotThere."""
        await self._off(self._of, name)
        await self._off(self.store.pause, name, why[:500], self.clock.wall(), who)

    async def unpause(self, name: str, who: str) -> None:
        """Plan runs of a job again, from now on. Raises NotThere."""
        await self._off(self._of, name)
        await self._off(self.store.unpause, name, self.clock.wall(), who)

    async def spiders(self) -> list[SpiderLine]:
        """The spiders of the project, as their files tell; nothing is imported."""
        found = await self._off(listed, self.project)
        return [
            SpiderLine(name=each.name, file=each.path.relative_to(self.project).as_posix(), said=each.summary)
            for each in found
        ]

    async def describe(self, spider: str) -> Described:
        """A spider with its arguments, for a form. Its file is imported, in a process of its own."""
        await self._registered(spider, "spider")
        async with self._few:
            return await described(spider, self.project, environ=await self._off(self._environ))

    # -- jobs.toml ----------------------------------------------------------------------------------

    async def pending(self) -> list[Change]:
        """What applying the project's jobs.toml would change. Raises UsageError naming the place."""
        return await self._off(lambda: self.store.pending(self._declared()))

    async def apply(self, who: str) -> list[Change]:
        """Make the jobs what the project's jobs.toml says; all of it or, when it raises, nothing."""
        declared = await self._off(self._declared)
        changed = [each.job for each in await self._off(self.store.pending, declared) if each.what != "remove"]
        checks = (self._check(declared.jobs[name]) for name in changed if name)
        for found in await asyncio.gather(*checks, return_exceptions=True):
            if found is not None:
                raise found
        return await self._off(self.store.apply, declared, self.clock.wall(), who)

    async def server(self) -> Server:
        """What holds for all jobs; what may be secret is "***"."""
        return secret.hidden(await self._off(self.store.server))

    # -- runs ---------------------------------------------------------------------------------------

    async def runs(
        self, job: str = "", states: Collection[str] = (), before: int | None = None, limit: int = 50
    ) -> RunsPage:
        """Planned runs, newest first: of a job, in some states. Raises UsageError for a state there is none of."""
        return await self._off(self._runs, job, states, before, limit)

    async def series(self, job: str, most: int = 200) -> list[JobRun]:
        """The last runs of a job that crawled and are over, oldest first: for plots."""
        found = await self._off(self.store.series, job, _limited(most))
        return [secret.hidden_run(run) for run in found]

    async def start(self, name: str, who: str, args: Mapping[str, Any] | None = None) -> JobRun:
        """Run a job now, with `args` over its own. Raises NotThere, and UsageError when its overlap forbids it
        or its spider does not take them.
        """
        job = (await self._off(self._of, name)).job
        if args:
            asked = replace(job, args={**job.args, **args})
            await self._check(asked)
        if self.scheduler is not None:
            return secret.hidden_run(await self.scheduler.start(job.name, who, args))
        run = await self._off(run_now, self.store, job.name, self.clock.wall(), who, args or {})
        return secret.hidden_run(run)

    async def cancel(self, number: int, who: str) -> JobRun:
        """End a run in good order; gives how it stands. Raises NotThere, UsageError when it is over."""
        return await self._off(self._stop, number, "cancel", who)

    async def kill(self, number: int, who: str) -> JobRun:
        """End a run at once. Raises NotThere, UsageError when it is over."""
        return await self._off(self._stop, number, "kill", who)

    # -- what was told and done ---------------------------------------------------------------------

    async def alerts(self, before: int | None = None, limit: int = 50, job: str = "") -> list[Alert]:
        """Alerts, newest first; the next page is `before` the id of the last."""
        return await self._off(self.store.alerts, before, _limited(limit), job=job)

    async def open_alerts(self, job: str = "") -> list[Alert]:
        """Alerts that have not recovered, oldest first."""
        return await self._off(self.store.open_alerts, job)

    async def deliveries(self, before: int | None = None, limit: int = 50) -> list[Delivery]:
        """Messages to people, newest first."""
        return await self._off(self.store.deliveries, before, _limited(limit))

    async def acts(self, before: int | None = None, limit: int = 50, job: str = "") -> list[Act]:
        """Who did what, newest first."""
        return await self._off(self.store.acts, before, _limited(limit), job=job)

    async def acted(self, who: str, what: str, detail: str = "") -> None:
        """Write a line of the audit log, for what is done outside of here."""
        act = Act(at=self.clock.wall(), who=who, what=what, detail=detail)
        await self._off(self.store.act, act)

    async def health(self) -> Health:
        """Whether the scheduler goes and the store can be written."""
        return await self._off(self._health)

    # -- off the loop -------------------------------------------------------------------------------

    def _of(self, name: str) -> Kept:
        try:
            return self.store.job(name)
        except UsageError as error:
            raise NotThere(str(error)) from error

    def _jobs(self) -> list[JobLine]:
        waiting: dict[str, list[JobRun]] = {}
        for run in self.store.open_runs():
            waiting.setdefault(run.job, []).append(run)
        alarms: dict[str, int] = {}
        for alert in self.store.open_alerts():
            alarms[alert.job] = alarms.get(alert.job, 0) + 1
        return [
            self._line(kept, waiting.get(kept.job.name, []), alarms.get(kept.job.name, 0))
            for kept in self.store.jobs()
        ]

    def _line(self, kept: Kept, waiting: list[JobRun], alarms: int) -> JobLine:
        job, seen = kept.job, self._outlook.seen(kept, self.clock.wall())
        last = self.store.last(job.name, (), 1)
        return JobLine(
            name=job.name,
            spider=job.spider,
            said=seen.said,
            source=kept.source,
            paused=kept.paused,
            paused_why=kept.paused_why,
            note=job.note,
            group=job.group,
            priority=job.priority,
            version=kept.version,
            next=seen.next,
            last=secret.hidden_run(last[0]) if last else None,
            open=[secret.hidden_run(run) for run in waiting],
            recent=[Dot(*row) for row in self.store.rows(DOTS, job.name, RECENT)][::-1],
            alerts=alarms,
            trouble=seen.trouble,
        )

    def _job(self, name: str) -> JobPage:
        kept = self._of(name)
        alarms = self.store.open_alerts(name)
        return JobPage(
            line=self._line(kept, self.store.open_runs(name), len(alarms)),
            job=secret.hidden(kept.job),
            changed=kept.changed,
            upcoming=upcoming(kept, self.clock.wall()),
            counts={state.value: number for state, number in self.store.counts(name).items()},
            alerts=alarms,
        )

    async def _checked(self, data: Mapping[str, Any]) -> Job:
        name = str(data.get("name", ""))
        try:
            before = msgspec.to_builtins((await self._off(self._of, name)).job)
        except NotThere:
            before = {}
        given = {key: value for key, value in data.items() if key != "name"}
        where = f"job {name!r}" if name else "job"
        job = await self._off(job_from, name, secret.restored(given, before), where)
        names = await self._registered(job.spider, where)
        old = {each["path"] for each in before.get("output", ())}
        for output in job.output:
            if output.path not in old:
                await self._off(self._inside, job, output, where, names)
        await self._check(job)
        return job

    async def _check(self, job: Job) -> None:
        """See that its spider takes it; as many as are asked for wait for each other. Raises UsageError."""
        async with self._few:
            await checked(job, self.project, environ=await self._off(self._environ))

    async def _registered(self, spider: str, where: str) -> list[str]:
        """A spider is one of the project's by its name; no word of a form is the path of a file to be run.

        Gives the names of all of them.
        """
        names = [each.name for each in await self.spiders()]
        if spider not in names:
            raise UsageError(f"{where}: spider: there is no spider {spider!r}{near(spider, names)}")
        return names

    def _inside(self, job: Job, output: Output, where: str, spiders: Collection[str]) -> None:
        """Items go below the project or the output folder; elsewhere only by jobs.toml, which is its owner's.

        Nor do they go where a run keeps its own files, or where other programs look for what they are to do.
        """
        path, place = output.path, destination(job, output, self.project)
        within = [Path(os.path.realpath(each)) for each in (self.project, self.root)]
        parts = next((place.relative_to(each).parts for each in within if place.is_relative_to(each)), ())
        if not parts:
            raise UsageError(
                f"{where}: output: {path!r} is outside of the project: jobs.toml may have it, a form not"
            )
        try:
            spare(place, path, self.root.resolve(), self.store.home.resolve(), spiders)
        except UsageError as error:
            raise UsageError(f"{where}: output: {error}") from error
        if any(part.startswith(".") for part in parts):
            raise UsageError(f"{where}: output: {path!r} is hidden: jobs.toml may have it, a form not")

    def _environ(self) -> dict[str, str]:
        """What the code of a spider may see of our environment."""
        names = set(secrets(self.store.server()))
        return {name: value for name, value in os.environ.items() if name not in names}

    def _declared(self) -> Declared:
        declared = read(self.project / FILE)
        destinations = self.destinations()
        for job in declared.jobs.values():
            destinations.check(job)
        return declared

    def destinations(self) -> Destinations:
        """Checks where jobs of this project write."""
        spiders = [each.name for each in listed(self.project)]
        return Destinations(self.root, self.store.home, self.project, spiders)

    def _runs(self, job: str, states: Collection[str], before: int | None, limit: int) -> RunsPage:
        wanted = []
        for state in states:
            if state not in set(State):
                raise UsageError(f"there is no state {state!r}: {', '.join(State)}")
            wanted.append(State(state))
        most = _limited(limit)
        found = self.store.runs(job=job, states=wanted, before=before, limit=most + 1)
        shown = [secret.hidden_run(run) for run in found[:most]]
        return RunsPage(runs=shown, next=found[most - 1].id if len(found) > most else None)

    def _stop(self, number: int, how: Any, who: str) -> JobRun:
        run = self.planned(number)
        if run.state not in OPEN or not self.store.ask_stop(number, how, who, self.clock.wall()):
            raise UsageError(f"run {number} of job {run.job!r} is over ({run.state.value})")
        return secret.hidden_run(self.store.run(number))

    def _health(self) -> Health:
        trouble: list[str] = []
        running: list[bool] = []
        try:
            self.store.check_place()
            check_writable(self.store.home)  # the store's own lock would hold up who has something to write
            running = [run.state is State.RUNNING for run in self.store.open_runs()]
        except StoreError as error:
            trouble.append(str(error))
        lag = self.scheduler.late() if self.scheduler is not None else 0.0
        if lag > 60.0:
            trouble.append("the scheduler does not go on")
        return Health(
            ok=not trouble,
            trouble=trouble,
            lag=min(lag, 1e9),
            running=sum(running),
            queued=len(running) - sum(running),
            free=self.free(),
        )

    def free(self) -> int:
        """Bytes that are free on the disks of output folder and store, the least; 0 where nobody knows."""
        try:
            return least([self.root, self.store.home]).free
        except OSError:
            return 0


def _limited(most: int) -> int:
    return max(1, min(most, MOST))
