"""An independent judge of the scheduler: walks through planned times one by one and sees every change of the store.

It knows the rules of `Job` and nothing of plan.py. Each assertion says what was broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from scraper.folder import ENDED
from scraper.jobs.ends import NEWER
from scraper.jobs.job import CatchUp, Job, Overlap, Server
from scraper.jobs.record import OPEN, Attempt, Cause, JobRun, Kept, State
from scraper.jobs.schedule import Schedule
from scraper.jobs.store import Jobs
from scraper.jobs.windows import free

from .simulation import Body, World

NEVER = float("inf")


class Judge:
    """Sees what is written, in order, and compares it with the rules and with the world."""

    def __init__(self, world: World, server: Server) -> None:
        self.world, self.server = world, server
        self.jobs: dict[str, tuple[Job, Schedule]] = {}
        self.paused: set[str] = set()
        self.upto: dict[str, float] = {}
        self.accounted: dict[str, list[float]] = {}  # every planned time that has come
        self.until = 0.0  # the wall-clock second at which the last server was stopped
        self.open: dict[int, JobRun] = {}
        self.over: Counter[State] = Counter()
        self.children: Counter[int] = Counter()
        self.waits: dict[str, dict[int, JobRun]] = {}  # of a job, the runs whose turn has not come, see `place`
        self.worked: dict[int, list[Body]] = {}  # the processes of a run that were told to begin or at least stood

    def put(self, kept: Kept) -> None:
        """A job has come, or is another now."""
        name = kept.job.name
        self.jobs[name] = kept.job, Schedule.parse(kept.job)
        self.upto[name] = kept.upto

    def removed(self, name: str, still_open: Sequence[JobRun]) -> None:
        """A job has gone, and with it its runs that waited."""
        del self.jobs[name]
        self.paused.discard(name)
        self.waits.pop(name, None)
        for run in [each for each in self.open.values() if each.job == name and each.state is State.QUEUED]:
            del self.open[run.id]
            self.over[State.CANCELLED] += 1
        assert {run.id for run in still_open} == set(self.open)

    def unfinished(self, job: str) -> list[JobRun]:
        """By planned time."""
        theirs = (run for run in self.open.values() if run.job == job)
        return sorted(theirs, key=lambda run: (run.planned, run.id))

    # Planned times.

    def planned(self, name: str, now: float, made: list[JobRun]) -> None:
        """Every planned time up to now has one row, of the right kind."""
        job, schedule = self.jobs[name]
        assert name not in self.paused
        times = list(self.walk(name, now))
        self.upto[name] = max(now, self.upto[name])
        self.accounted.setdefault(name, []).extend(times)
        if len(times) > 1000:
            bulk, *made = made
            assert (bulk.state, bulk.count) == (State.MISSED, len(times) - 1000)
            assert (bulk.planned, bulk.due) == (times[0], times[-1001])
            self.over[State.MISSED] += 1
            times = times[-1000:]
        assert [run.planned for run in made] == times, f"{name}: other times than planned"
        before = self.unfinished(name)
        for run in made:
            late = now - schedule.begins(run.planned) > 60
            wanted = {CatchUp.NONE: False, CatchUp.LATEST: run.planned == times[-1], CatchUp.ALL: True}[
                job.catch_up
            ]
            caught = late and wanted and now - run.planned <= job.catch_up_within
            assert (run.cause is Cause.CATCH_UP) == caught
            assert (run.state is State.MISSED) == (late and not caught)
            if run.state is not State.MISSED:
                assert (run.state is State.SKIPPED) == self.hindered(job, before), f"{name}: {run} after {before}"
            if run.open and not late:
                before.append(run)
            self.added(run)

    def walk(self, name: str, now: float) -> Iterator[float]:
        """The planned times that have come and are not accounted for."""
        at: float | None = self.upto[name]
        while at is not None and (at := self.jobs[name][1].after(at)) is not None and at <= now:
            yield at

    def hindered(self, job: Job, before: list[JobRun]) -> bool:
        """Whether `overlap` lets no further run take place."""
        waits = sum(run.state is State.QUEUED and run.attempts == 0 for run in before)
        most = {Overlap.SKIP: len(before), Overlap.QUEUE_ONE: waits}.get(job.overlap, 0)
        return most > 0 or waits >= 1000

    def added(self, run: JobRun) -> None:
        """A new row."""
        if run.open:
            self.open[run.id] = run
            self.waits.setdefault(run.job, {})[run.id] = run
        else:
            self.over[run.state] += 1
        if run.cause is Cause.AFTER:
            self.children[run.parent] += 1

    # What becomes of runs.

    def updated(self, run: JobRun) -> None:
        """A row stands otherwise."""
        before = self.open[run.id]
        if run.state is State.RUNNING and before.state is State.QUEUED:
            self.begins(run)
        elif run.state is State.RUNNING:
            self.lives(before, run)
        elif before.state is State.RUNNING:
            self.ends(before, run)
            if run.open and run.job in self.jobs:
                self.waits[run.job][run.id] = run
        else:
            assert run.state is State.CANCELLED
            assert run.stop or run.job not in self.jobs
            self.gives_up(before, run)
        if run.open:
            self.open[run.id] = run
        else:
            del self.open[run.id]
            self.over[run.state] += 1

    def gives_up(self, before: JobRun, run: JobRun) -> None:
        """A run waits no more: its place in the line is left to a newer one, or to nobody."""
        waits = self.waits.get(run.job, {})
        if run.stopped_by != NEWER:
            for id in [id for id in waits if id == run.id or id not in self.open]:
                del waits[id]
        elif not self.ready(before):
            del waits[run.id]

    def begins(self, run: JobRun) -> None:
        """A run's turn has come: no limit is broken, and it is not out of line."""
        now, (job, schedule) = self.world.wall(), self.jobs[run.job]
        assert run.run
        assert run.due <= now
        assert not run.stop
        assert run.cause is Cause.HAND or free(now, schedule.blackout, schedule.zone) == now
        others = [each for each in self.open.values() if each.id != run.id]
        assert all(each.run != run.run for each in others), "two runs with one crawl"
        running = [each for each in others if each.state is State.RUNNING]
        assert len(running) < self.server.parallel
        group = [each for each in running if job.group and self.group(each.job) == job.group]
        assert len(group) < self.server.groups.get(job.group, 1)
        same = [each for each in running if each.job == run.job]
        assert len(same) < (job.parallel if job.overlap is Overlap.ALLOW else 1)
        if job.overlap in (Overlap.QUEUE_ALL, Overlap.QUEUE_ONE, Overlap.SKIP) and run.cause is not Cause.HAND:
            older = [each for each in others if each.job == run.job and self.before(each, run)]
            assert not older, f"{run} begins before {older}"
        some = self.world.chance.random() < 0.1 or len(others) < 40
        if some and self.world.refused < self.world.now:
            place = self.place(run)
            ready = [each for each in others if not each.stop and self.ready(each)]
            first = [each for each in ready if self.place(each) < place and self.could_begin(each)]
            assert not first, f"{run} begins before {first}"
        waits = self.waits[run.job]
        for each in [each for each in waits.values() if (each.planned, each.id) <= (run.planned, run.id)]:
            del waits[each.id]

    def ready(self, run: JobRun) -> bool:
        """Whether it waits for its turn alone."""
        if run.job not in self.jobs or run.state is not State.QUEUED:
            return False
        now, (_, schedule) = self.world.wall(), self.jobs[run.job]
        dark = run.cause is not Cause.HAND and free(now, schedule.blackout, schedule.zone) > now
        return run.due <= now and not dark

    def place(self, run: JobRun) -> tuple[int, float, int]:
        """Where a run stands in the line: a newer one where the oldest stood that it replaces, and whose turn had
        not come."""
        place = (run.planned, run.id)
        if self.jobs[run.job][0].overlap in (Overlap.CANCEL, Overlap.KILL):
            for each in self.waits[run.job].values():
                both = run.cause is each.cause is Cause.CATCH_UP
                if each.id not in self.open or (self.ready(self.open[each.id]) and not both):
                    place = min(place, (each.planned, each.id))
        return -run.priority, *place

    def before(self, one: JobRun, other: JobRun) -> bool:
        return (-one.priority, one.planned, one.id) < (-other.priority, other.planned, other.id)

    def group(self, job: str) -> str:
        return self.jobs[job][0].group if job in self.jobs else ""

    def lives(self, before: JobRun, run: JobRun) -> None:
        """Its process is on record, or it is to be ended for a limit."""
        if not before.pid:
            body = self.world.bodies[run.pid, run.birth]
            assert not body.told, "it was told before its pid was on record"
            self.worked.setdefault(run.id, []).append(body)

    def ends(self, before: JobRun, run: JobRun) -> None:
        """The end of a process is told as it was."""
        if not before.pid:  # it could not be started, or the server died before it was
            assert run.state in (State.QUEUED, State.FAILED, State.CANCELLED)
            return
        body = self.world.bodies[before.pid, before.birth]
        assert body.code is not None, f"{run} is over, its process is not"
        crawl = self.world.crawls.get(before.run)
        if crawl is not None and body.told:
            assert run.pages == crawl.pages
        code = body.code if body.seen or (crawl and crawl.state in ENDED) else None
        wanted = self.expected(before, run, code)
        assert run.state is wanted, f"{run} should be {wanted}: {before}, {code}"
        if run.state is State.QUEUED and run.run:
            assert self.jobs[run.job][0].resume
            assert crawl is None or crawl.state not in ENDED
        if run.state is State.FINISHED:
            chained = [job.name for job, _ in self.jobs.values() if run.job in job.after]
            self.children[run.id] -= sum(name not in self.paused for name in chained)

    def expected(self, before: JobRun, run: JobRun, code: int | None) -> State:
        """What the rules make of an exit code."""
        if code == 0 or code == 3:
            return State.FINISHED if code == 0 else State.RULE_BROKEN
        if before.stop:
            return State.CANCELLED
        job = self.jobs[before.job][0] if before.job in self.jobs else None
        if before.why in ("timeout", "memory") or code in (1, 2, -11):
            assert run.failures == before.failures + 1
            return State.QUEUED if job and run.failures <= job.retries and code != 2 else State.FAILED
        if job is None:
            return State.CANCELLED
        if run.state is State.FAILED:
            assert run.deaths == 5
            assert all(not body.gained or not job.resume for body in self.worked[run.id][-5:])
            return State.FAILED
        return State.QUEUED

    # While nothing happens, and at the end.

    def idle(self) -> None:
        """The scheduler goes to sleep: nothing waits that could begin, nothing that has come is unplanned."""
        some = list(self.open.values())
        some = some if len(some) < 100 else self.world.chance.sample(some, 20)
        able = [run for run in some if self.could_begin(run)]
        assert not able, f"{able} could begin"
        if self.world.chance.random() < 0.02:
            for name in self.jobs.keys() - self.paused:
                assert not list(self.walk(name, self.world.wall())), f"{name} has unplanned times"

    def could_begin(self, run: JobRun) -> bool:
        """Whether nothing stands against the beginning of a run that waits (somebody's wish is left out)."""
        if run.state is not State.QUEUED or run.job not in self.jobs:
            return False
        now, (job, schedule) = self.world.wall(), self.jobs[run.job]
        if run.due > now or free(now, schedule.blackout, schedule.zone) > now:
            return False
        running = [each for each in self.open.values() if each.state is State.RUNNING]
        if len(running) >= self.server.parallel:
            return False
        group = [each for each in running if job.group and self.group(each.job) == job.group]
        if job.group and len(group) >= self.server.groups.get(job.group, 1):
            return False
        if job.overlap is Overlap.ALLOW:
            return sum(each.job == run.job for each in running) < job.parallel
        same = [each for each in self.open.values() if each.job == run.job and each.id != run.id]
        return not any(each.state is State.RUNNING or self.before(each, run) for each in same)

    def final(self, store: Jobs) -> None:
        """The whole history: each planned time once, every process on record, chains complete."""
        assert not [run for run, missing in self.children.items() if missing]
        for name, times in self.accounted.items():
            assert len(set(times)) == len(times)
            rows = store.rows(
                "SELECT planned, count, due, state FROM run WHERE job = ? AND cause IN ('schedule', 'catch_up')"
                " ORDER BY planned",
                name,
            )
            found = iter(times)
            for planned, count, due, _ in rows:
                stands_for = [next(found) for _ in range(count)]
                assert stands_for[0] == planned
                assert count == 1 or stands_for[-1] == due
            assert next(found, None) is None, f"{name}: times without a row"
        for name, (_, schedule) in self.jobs.items():
            kept = store.job(name)
            assert kept.upto == self.upto[name]
            assert name in self.paused or (schedule.after(kept.upto) or NEVER) > self.until
        for id, bodies in self.worked.items():
            self._attempts(store, id, bodies)
        assert {run.id for run in store.open_runs()} == set(self.open)
        open_states = tuple(state.value for state in OPEN)
        for state, number in store.counts().items():
            if state.value not in open_states:
                assert self.over[state] == number

    def _attempts(self, store: Jobs, id: int, bodies: list[Body]) -> None:
        kept = store.attempts(id)
        theirs = {attempt.pid: attempt for attempt in kept if attempt.pid}
        assert sorted(theirs) == sorted(body.pid for body in bodies), f"run {id}: {kept}"
        for body in bodies:
            attempt = theirs[body.pid]
            if body.code is None:
                assert not attempt.ended
            elif body.seen and id not in self.open:
                assert attempt.exit_code == body.code
                assert attempt.run == body.run.run


class Watched(Jobs):
    """A store that shows the judge each change once it is made; quick instead of safe from a loss of power."""

    def __init__(self, home: Path, judge: Judge) -> None:
        super().__init__(home)
        self._base.execute("PRAGMA synchronous = OFF")
        self.judge = judge

    def put(self, job: Job, **options: Any) -> Kept:
        kept = super().put(job, **options)
        self.judge.put(kept)
        return kept

    def remove(self, name: str, now: float, who: str) -> None:
        super().remove(name, now, who)
        self.judge.removed(name, self.open_runs())

    def pause(self, name: str, why: str, now: float, who: str) -> None:
        super().pause(name, why, now, who)
        self.judge.paused.add(name)
        self.judge.upto[name] = self.job(name).upto

    def unpause(self, name: str, now: float, who: str) -> None:
        super().unpause(name, now, who)
        self.judge.paused.discard(name)
        self.judge.upto[name] = self.job(name).upto

    def planned(self, job: str, upto: float, runs: Sequence[JobRun]) -> list[JobRun]:
        made = super().planned(job, upto, runs)
        if job in self.judge.jobs and job not in self.judge.paused:
            self.judge.planned(job, upto, made)
        return made

    def plan(self, run: JobRun) -> JobRun | None:
        made = super().plan(run)
        if made is not None:
            self.judge.added(made)
        return made

    def update(self, run: JobRun, *, attempt: Attempt | None = None) -> JobRun:
        kept = super().update(run, attempt=attempt)
        self.judge.updated(kept)
        return kept

    def ask_stop(self, id: int, how: Literal["cancel", "kill"], who: str, now: float) -> bool:
        done = super().ask_stop(id, how, who, now)
        if id in self.judge.open:
            self.judge.open[id] = self.run(id)
        return done

    def wake(self) -> None:
        """Nobody listens on a socket here."""
