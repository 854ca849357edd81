"""An independent judge of the scheduler: walks through planned times one by one and sees every change of the store.

It knows the rules of `Job` and nothing of plan.py. Each assertion says what was broken.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from scraper.folder import ENDED
from scraper.jobs.ends import NEWER
from scraper.jobs.job import CatchUp, Job, Overlap, Server
from scraper.jobs.record import OPEN, Cause, JobRun, Kept, State
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
        self.changed: dict[str, float] = {}
        self.accounted: dict[str, set[float]] = {}  # every planned time that has come
        self.many: dict[tuple[str, float], list[float]] = {}  # the times of a row that stands for more than its own
        self.vain: dict[str, dict[float, tuple[State, list[float]]]] = {}  # rows of late that took no place
        self.reached: dict[str, float] = {}  # `upto`, in seconds of the world
        self.backs: list[tuple[float, float]] = []  # when the clock was set back, by the world and by it
        self.ahead: dict[str, tuple[float, float]] = {}  # since when (monotonic) a job is planned up to what time
        self.anew = 0  # how often a job was planned anew after a clock was set back
        self.until = 0.0  # the wall-clock second at which the last server was stopped
        self.open: dict[int, JobRun] = {}
        self.over: Counter[State] = Counter()
        self.children: Counter[int] = Counter()
        # Of a job, the runs whose turn has not come, and those that newer ones have replaced since it came
        self.waits: defaultdict[str, dict[int, JobRun]] = defaultdict(dict)
        self.worked: dict[int, list[Body]] = {}  # the processes of a run that were told to begin or at least stood

    def put(self, kept: Kept) -> None:
        """A job has come, or is another now."""
        name = kept.job.name
        self.jobs[name] = kept.job, Schedule.parse(kept.job)
        self.upto[name], self.changed[name] = kept.upto, kept.changed
        self.reached.setdefault(name, self.world.now)

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
        newest = max(self.walk(name, now), default=now)
        times = self.come(name, now)
        if len(times) > 1000:
            bulk, *made = made
            assert (bulk.state, bulk.count) == (State.MISSED, len(times) - 1000)
            assert (bulk.planned, bulk.due) == (times[0], times[-1001])
            self.took_none(name, State.MISSED, times[:-1000])
            self.over[State.MISSED] += 1
            times = times[-1000:]
        assert [run.planned for run in made] == times, f"{name}: other times than planned"
        before = self.unfinished(name)
        for run in made:
            late = now - schedule.begins(run.planned) > 60
            wanted = {CatchUp.NONE: False, CatchUp.LATEST: run.planned == newest, CatchUp.ALL: True}[job.catch_up]
            caught = late and wanted and now - run.planned <= job.catch_up_within
            assert (run.cause is Cause.CATCH_UP) == caught
            assert (run.state is State.MISSED) == (late and not caught)
            if run.state is not State.MISSED:
                assert (run.state is State.SKIPPED) == self.hindered(job, before, now), f"{run} after {before}"
            if not run.open:
                self.took_none(name, run.state, [run.planned])
            if run.open and not late:
                before.append(run)
            self.added(run)

    def come(self, name: str, now: float) -> list[float]:
        """The planned times that have come, from here on accounted for."""
        seen = self.accounted.setdefault(name, set())
        times = [at for at in self.walk(name, now) if at not in seen]
        if now > self.upto[name]:
            self.upto[name], self.reached[name] = now, self.world.now
        seen.update(times)
        return times

    def took_none(self, name: str, state: State, times: list[float]) -> None:
        """A row for times at which nothing ran; of the last hours it may turn out that they had not come."""
        vain = self.vain.setdefault(name, {})
        vain[times[0]] = state, times
        if len(times) > 1:
            self.many[name, times[0]] = times
        for planned in [each for each, (_, of) in vain.items() if of[-1] < self.world.now - 3 * 3600]:
            del vain[planned]

    def left(self, name: str, now: float) -> None:
        """Nobody will come to the times that have passed: one row is for all of them."""
        if times := self.come(name, now):
            self.took_none(name, State.MISSED, times)
            self.over[State.MISSED] += 1

    def taken_back(self, name: str, start: float, gone: list[float]) -> None:
        """What was said of times to come while the clock was ahead is not true any more."""
        now, vain = self.world.wall(), self.vain.get(name, {})
        self.anew += 1
        assert name not in self.paused
        assert self.upto[name] > now + 60
        assert self.changed[name] < now
        since = min(wall for at, wall in self.backs if at >= self.reached[name])
        assert since <= start <= now - 600, "a clock that was set is believed at once"
        assert gone == sorted(planned for planned in vain if planned > start)
        self.upto[name], self.reached[name] = start, self.world.now
        for planned, (state, times) in [*vain.items()]:
            came = [at for at in times if at <= start]
            self.accounted[name].difference_update(times[len(came) :])
            if not came:
                self.over[state] -= 1
                del vain[planned]
                self.many.pop((name, planned), None)
            elif len(times) > 1:
                vain[planned], self.many[name, planned] = (state, came), came

    def walk(self, name: str, now: float) -> Iterator[float]:
        """The planned times that have come and are not accounted for."""
        at: float | None = self.upto[name]
        while at is not None and (at := self.jobs[name][1].after(at)) is not None and at <= now:
            yield at

    def hindered(self, job: Job, before: list[JobRun], now: float) -> bool:
        """Whether `overlap` lets no further run take place; what is planned for later is not before it."""
        before = [run for run in before if run.planned <= now or run.attempts]
        waits = sum(run.state is State.QUEUED and run.attempts == 0 for run in before)
        most = {Overlap.SKIP: len(before), Overlap.QUEUE_ONE: waits}.get(job.overlap, 0)
        return most > 0 or waits >= 1000

    def added(self, run: JobRun) -> None:
        """A new row."""
        if run.open:
            self.open[run.id] = run
            self.waits[run.job][run.id] = run
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
        waits = self.waits[run.job]
        if run.stopped_by != NEWER:
            for id in [id for id in waits if id == run.id or id not in self.open]:
                del waits[id]
        elif not self.ready(before) or any(
            each.job == run.job and each.state is State.RUNNING and each.planned > run.planned
            for each in self.open.values()
        ):
            waits.pop(run.id, None)

    def begins(self, run: JobRun) -> None:
        """A run's turn has come: no limit is broken, and it is not out of line."""
        now, (job, schedule) = self.world.wall(), self.jobs[run.job]
        assert run.run
        assert self.due(self.open[run.id]) <= now
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
        for id in [id for id, each in waits.items() if id not in self.open or each.planned <= run.planned]:
            del waits[id]

    def ready(self, run: JobRun) -> bool:
        """Whether it waits for its turn alone."""
        if run.job not in self.jobs or run.state is not State.QUEUED:
            return False
        now, (_, schedule) = self.world.wall(), self.jobs[run.job]
        dark = run.cause is not Cause.HAND and free(now, schedule.blackout, schedule.zone) > now
        return self.due(run) <= now and not dark

    def due(self, run: JobRun) -> float:
        """When it is due; at once when the clock was set back since that was said."""
        asked = run.cause in (Cause.HAND, Cause.AFTER) and not run.attempts
        said = run.planned if asked else run.started if run.attempts else 0.0
        return 0.0 if said > self.world.wall() + 60 else run.due

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
            now = self.world.wall()
            for name in self.jobs.keys() - self.paused:
                seen = self.accounted.get(name, set())
                assert not [at for at in self.walk(name, now) if at not in seen], f"{name} has unplanned times"
                if self.upto[name] > now + 60 and self.changed[name] < now:
                    upto, since = self.ahead.setdefault(name, (self.upto[name], self.world.now))
                    assert upto != self.upto[name] or self.world.now - since < 3 * 3600, f"{name} is not planned"
                    self.ahead[name] = self.upto[name], since if upto == self.upto[name] else self.world.now

    def could_begin(self, run: JobRun) -> bool:
        """Whether nothing stands against the beginning of a run that waits (somebody's wish is left out)."""
        if run.state is not State.QUEUED or run.job not in self.jobs:
            return False
        now, (job, schedule) = self.world.wall(), self.jobs[run.job]
        if self.due(run) > now or free(now, schedule.blackout, schedule.zone) > now:
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
            rows = store.rows(
                "SELECT planned, count, due FROM run WHERE job = ? AND cause IN ('schedule', 'catch_up')", name
            )
            found: list[float] = []
            for planned, count, due in rows:
                stands_for = self.many.get((name, planned), [planned])
                assert (len(stands_for), stands_for[0]) == (count, planned)
                assert count == 1 or stands_for[-1] == due
                found += stands_for
            assert sorted(found) == sorted(times), f"{name}: times without a row, or with two"
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
