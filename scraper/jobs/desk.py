"""The desk: every verb about jobs that a page, the API and a command share, with plain values in and out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from ..clock import Clock
from ..convert import among
from ..discover import listed
from ..errors import StoreError, UsageError
from . import secret
from .access import Role
from .admission import Admission
from .checking import Described
from .deciding import run_now
from .declared import args_from
from .difference import Change
from .files import NotThere as NotThere
from .job import Server
from .outlook import Outlook, upcoming
from .record import OPEN, Act, Alert, Delivery, JobRun, Kept, State
from .runfiles import RunFiles
from .scheduler import Scheduler
from .secret import Veil
from .shown import Dot, Health, JobLine, JobPage, RunsPage, SpiderLine
from .space import check_writable, least
from .store import Conflict as Conflict
from .store import Jobs

T = TypeVar("T")
MOST = 500  # rows of a page
RECENT = 30  # runs of a sparkline
OTHERWISE = "with other arguments an operator gives that too, or lets an admin start it"
# by the index of jobs, which is in the order of ids
DOTS = """SELECT id, state, pages, items, failed, ended - began FROM run
WHERE job = ? AND began > 0 AND ended > 0 ORDER BY id DESC LIMIT ?"""


class NotAllowed(UsageError):
    """Somebody may do this in general, and not with what he asks for."""


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
        super().__init__(store, root, project)
        self.clock = clock or Clock()
        self.scheduler = scheduler  # of the server that this is in, if it is
        self._outlook = Outlook()
        self.admission = Admission(store, root=root, project=project)

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
        Raises Conflict when it is not, Mistakes naming the keys.
        """
        job, about = await self.admission.checked(data, new=version == 0)
        return await self._off(
            self.store.put, job, now=self.clock.wall(), who=who, version=version, declares=about.declares
        )

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
        about = await self.admission.described(spider)
        await self._off(self.store.learn, about.declares)
        return about

    # -- jobs.toml ----------------------------------------------------------------------------------

    async def pending(self) -> list[Change]:
        """What applying the project's jobs.toml would change. Raises UsageError naming the place."""
        return await self._off(lambda: self.store.pending(self.admission.declared(), self._sources.declares()))

    async def apply(self, who: str) -> list[Change]:
        """Make the jobs what the project's jobs.toml says; all of it or, when it raises, nothing."""
        declared, declares = await self.admission.applied()
        return await self._off(self.store.apply, declared, self.clock.wall(), who, declares)

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
        return await self._off(lambda: [*map(self.veil().run, self.store.series(job, _limited(most)))])

    async def start(
        self, name: str, who: str, args: Mapping[str, Any] | None = None, *, role: Role = Role.OPERATOR
    ) -> JobRun:
        """Run a job now, with `args` over its own. Raises NotThere, and UsageError when its overlap forbids it
        or its spider does not take them.

        Who is less than an admin may not have what the job keeps secret sent elsewhere, as by `url=`: with other
        arguments it runs for him only when he gives those that are secret himself. Raises NotAllowed.
        """
        job = (await self._off(self._of, name)).job
        given = args_from(job.name, args or {})
        if given:
            about = await self.admission.check(replace(job, args={**job.args, **given}), [*given])
            await self._off(self.store.learn, about.declares)
            if role < Role.ADMIN and about.keeps:
                raise NotAllowed(f"job {name!r} keeps {', '.join(about.keeps)} secret: {OTHERWISE}")
        if self.scheduler is not None:
            run = await self.scheduler.start(job.name, who, given)
        else:
            run = await self._off(run_now, self.store, job.name, self.clock.wall(), who, given)
        return await self._off(lambda: self.veil().run(run))

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

    async def deliveries(
        self, before: int | None = None, limit: int = 50, *, given_up: bool = False
    ) -> list[Delivery]:
        """Messages to people, newest first; with `given_up` only those."""
        return await self._off(self.store.deliveries, before, _limited(limit), given_up=given_up)

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
        veil = self.veil()
        waiting: dict[str, list[JobRun]] = {}
        for run in self.store.open_runs():
            waiting.setdefault(run.job, []).append(run)
        alarms: dict[str, int] = {}
        for alert in self.store.open_alerts():
            alarms[alert.job] = alarms.get(alert.job, 0) + 1
        return [
            self._line(kept, waiting.get(kept.job.name, []), alarms.get(kept.job.name, 0), veil)
            for kept in self.store.jobs()
        ]

    def _line(self, kept: Kept, waiting: list[JobRun], alarms: int, veil: Veil) -> JobLine:
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
            last=veil.run(last[0]) if last else None,
            open=[*map(veil.run, waiting)],
            recent=[Dot(*row) for row in self.store.rows(DOTS, job.name, RECENT)][::-1],
            alerts=alarms,
            trouble=seen.trouble,
        )

    def _job(self, name: str) -> JobPage:
        kept, veil = self._of(name), self.veil()
        alarms = self.store.open_alerts(name)
        return JobPage(
            line=self._line(kept, self.store.open_runs(name), len(alarms), veil),
            job=veil.job(kept.job),
            changed=kept.changed,
            upcoming=upcoming(kept, self.clock.wall()),
            counts={state.value: number for state, number in self.store.counts(name).items()},
            alerts=alarms,
        )

    def _runs(self, job: str, states: Collection[str], before: int | None, limit: int) -> RunsPage:
        wanted = []
        for state in states:
            if state not in set(State):
                raise UsageError(f"there is no state {state!r}{among(state, State)}")
            wanted.append(State(state))
        most = _limited(limit)
        found = self.store.runs(job=job, states=wanted, before=before, limit=most + 1)
        shown = [*map(self.veil().run, found[:most])]
        return RunsPage(runs=shown, next=found[most - 1].id if len(found) > most else None)

    def _stop(self, number: int, how: Any, who: str) -> JobRun:
        run = self.planned(number)
        if run.state not in OPEN or not self.store.ask_stop(number, how, who, self.clock.wall()):
            raise UsageError(f"run {number} of job {run.job!r} is over ({run.state.value.replace('_', ' ')})")
        return self.veil().run(self.store.run(number))

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
