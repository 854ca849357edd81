"""Which runs are planned, which begin, which must end: pure decisions, from what is on record and the time.

In the words of Temporal's schedules: a planned time is an action, `overlap` its overlap policy, `catch_up` and
`catch_up_within` its catch-up policy and window. What a run's end means is in ends.py. Times are wall-clock
seconds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from ..errors import UsageError
from .job import CatchUp, Job, Overlap, Server
from .record import Cause, JobRun, Kept, State
from .schedule import Schedule
from .unplanned import Unplanned
from .windows import free

LATE = 60.0  # seconds after its time at which a run that has not been planned was missed
MOST = 1000  # rows a job and look, more missed times than that share one row; and runs of a job that wait
STEADY = 600.0  # seconds for which a clock that was set back must have gone on before it is believed
ASLEEP = "no server was awake at this time"


class Entry(msgspec.Struct, frozen=True):
    """A job as it stands, with its schedule."""

    kept: Kept
    times: Schedule

    @property
    def job(self) -> Job:
        """As declared."""
        return self.kept.job

    @property
    def next(self) -> float:
        """The next planned time, infinite when there is none."""
        planned = None if self.kept.paused else self.times.after(self.kept.upto)
        return math.inf if planned is None else planned

    def free(self, t: float) -> float:
        """The first moment from `t` on that is outside of its blackout."""
        return free(t, self.times.blackout, self.times.zone) if self.times.blackout else t


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """All that decisions are made from: the jobs by name, the runs that are not over, and the time."""

    now: float
    jobs: Mapping[str, Entry]
    runs: Sequence[JobRun]
    server: Server
    free_from: dict[str, float] = {}  # worked out once a look: when the blackout of a job ends that holds now

    def of(self, job: str) -> list[JobRun]:
        """The unfinished runs of a job, oldest first."""
        return sorted((run for run in self.runs if run.job == job), key=age)


def age(run: JobRun) -> tuple[float, int]:
    """Sorts the runs of a job from the oldest to the newest."""
    return run.planned, run.id


def line(run: JobRun) -> tuple[bool, int, float, int]:
    """Sorts runs as they wait for their turn; those that have it come first."""
    return run.state is not State.RUNNING, -run.priority, run.planned, run.id


def ahead(entry: Entry, now: float) -> bool:
    """Whether a job is planned up to a time that is to come: the clock was ahead then, or is behind now.

    By up to LATE seconds it may be: in so little nothing was taken for missed, and soon it has passed.
    """
    return entry.times.planned and not entry.kept.paused and entry.kept.upto > now + LATE


def from_where(entry: Entry, now: float, since: float, ran: float) -> float | None:
    """From when on the times of a job are planned anew that is planned too far ahead; None: not now, or not at all.

    `since` is when the clock was first seen so, `ran` the newest planned time of those runs of the job that have
    been deleted: nothing says which times before that have run. A clock that shows less than when the job was
    changed is behind itself, and so may one be that was started just now.
    """
    if not ahead(entry, now) or now <= entry.kept.changed or now - since < STEADY:
        return None
    start = max(since, ran)
    return start if start < entry.kept.upto - LATE else None


def tick(entry: Entry, unfinished: Sequence[JobRun], now: float, taken: Collection[float] = ()) -> list[JobRun]:
    """The rows for the times of a job in (upto, now], oldest first, but for those that are `taken`: have one.

    A run is late when it could have begun more than LATE seconds ago. Late ones were missed; of them `catch_up`
    takes none, the newest planned time of all (when that is late, too), or all, where they are no older than
    `catch_up_within`. Of more than MOST times the first share one row, which was missed: `planned` and `due` are
    the first and the last of them and `count` is their number. The runs that are made up for in one look do not
    count as overlapping one another, nor the times that are not late: they wait for their turn one after the
    other, where `all` would otherwise be one.
    """
    job = entry.job
    left = Unplanned(entry.times, entry.kept.upto, now, taken)
    many, passed = _passed(job, left)
    newest = max([*passed[-1:], *left.taken], default=now)
    late = {t for t in passed if now - entry.times.begins(t) > LATE}
    caught = {t for t in late if _caught(job, t, newest, now)}
    before = list(unfinished)
    made = [] if many is None else [many]
    for t in passed:
        run = _row(job, t, Cause.CATCH_UP if t in caught else Cause.SCHEDULE, entry.times.begins(t))
        if t in late and t not in caught:
            run = replace(run, state=State.MISSED, why=ASLEEP, ended=now)
        elif why := hindered(job, before, now):
            run = replace(run, state=State.SKIPPED, why=why, ended=now)
        elif t not in late:
            before.append(run)
        made.append(run)
    return made


def _caught(job: Job, t: float, newest: float, now: float) -> bool:
    if job.catch_up is CatchUp.NONE or now - t > job.catch_up_within:
        return False
    return job.catch_up is CatchUp.ALL or t == newest


def _row(job: Job, planned: float, cause: Cause, due: float) -> JobRun:
    return JobRun(
        id=0, job=job.name, spider=job.spider, planned=planned, cause=cause, due=due, priority=job.priority
    )


def _passed(job: Job, left: Unplanned) -> tuple[JobRun | None, list[float]]:
    """The last MOST of them, and one row for those before; in memory that MOST bounds."""
    found = left.first(MOST + 1)
    if len(found) <= MOST:
        return None, found
    tail = left.last(MOST + 1, LATE)
    return bulk(job, found[0], tail[0], left.count() - MOST, left.now, ASLEEP), tail[1:]


def bulk(job: Job, first: float, last: float, count: int, now: float, why: str) -> JobRun:
    """One row for all of the times from the first to the last that were missed."""
    run = _row(job, first, Cause.SCHEDULE, last)
    return replace(run, state=State.MISSED, why=why, ended=now, count=count)


def hindered(job: Job, unfinished: Sequence[JobRun], now: float) -> str:
    """Why a further run of a job does not take place, "" when it does; judged on its unfinished runs.

    One that has not begun and is planned for later, as after a clock was set back, is not before it. With
    `queue_one` a run waits that has not begun; one that is to be retried, or goes on, does not count. No more than
    MOST wait.
    """
    unfinished = [run for run in unfinished if run.planned <= now or run.attempts]
    if job.overlap is Overlap.SKIP and unfinished:
        return f"the run before was not over{_which(unfinished[0])}"
    waiting = [run for run in unfinished if run.state is State.QUEUED and not run.attempts]
    if job.overlap is Overlap.QUEUE_ONE and waiting:
        return f"another run waits already{_which(waiting[0])}"
    if len(waiting) >= MOST:
        return f"{MOST} runs wait already"
    return ""


def _which(run: JobRun) -> str:
    return f" (run {run.id})" if run.id else ""


def by_hand(job: Job, unfinished: Sequence[JobRun], now: float, who: str, args: Mapping[str, Any]) -> JobRun:
    """The run that somebody wants now, whatever its blackout. Raises UsageError where `overlap` forbids it."""
    if why := hindered(job, unfinished, now):
        raise UsageError(f"job {job.name!r} is not run now: {why}, and its overlap is {job.overlap.value!r}")
    return replace(_row(job, now, Cause.HAND, now), by=who, args=dict(args))


def chained(situation: Situation, parent: JobRun) -> list[JobRun]:
    """The runs of the jobs that come after this one, which has finished; paused jobs have none."""
    made = []
    for entry in situation.jobs.values():
        job = entry.job
        if parent.job in job.after and not entry.kept.paused:
            run = replace(_row(job, parent.ended, Cause.AFTER, parent.ended), parent=parent.id)
            others = [each for each in situation.of(job.name) if each.id != parent.id]
            if why := hindered(job, others, situation.now):
                run = replace(run, state=State.SKIPPED, why=why, ended=situation.now)
            made.append(run)
    return made


def may_begin(situation: Situation, run: JobRun) -> float:
    """From when on a run may begin: when it is due and, but for one that was asked for by hand, outside of the
    blackout of its job. Before it is due the blackout is left out; infinite when its job is gone."""
    entry = situation.jobs.get(run.job)
    if entry is None:
        return math.inf
    due = _due(run, situation.now)
    if run.cause is Cause.HAND or due > situation.now:
        return due
    if run.job not in situation.free_from:
        situation.free_from[run.job] = entry.free(situation.now)
    return situation.free_from[run.job]


def _due(run: JobRun, now: float) -> float:
    """When a run is due; at once where the clock was set back by much since that was said: when its last process
    had begun, or it was asked for."""
    asked = run.planned if run.cause in (Cause.HAND, Cause.AFTER) else 0.0
    return min(run.due, now) if (run.started or asked) > now + LATE else run.due


def turns(situation: Situation) -> list[JobRun]:
    """The runs that begin now, in this order: by priority, planned time and id, within all limits.

    The runs of a job begin one after the other, each when those before it are over with all their retries; only
    those that a blackout holds let pass who was asked for by hand. With `overlap = "allow"` so many run at once as
    `parallel` says. Who waits for a limit of his own holds up no other. A newer run stands where the one stands
    that makes place for it (see outdated).
    """
    running = [run for run in situation.runs if run.state is State.RUNNING]
    room = situation.server.parallel - len(running)
    groups = Counter(group for run in running if (group := _group(situation, run.job)))
    ahead: Counter[str] = Counter()
    held: Counter[str] = Counter()  # of those ahead
    begin: list[JobRun] = []
    for run in _lined_up(situation):
        entry = situation.jobs.get(run.job)
        if entry is None or run.state is State.RUNNING:
            ahead[run.job] += 1
            continue
        before = ahead[run.job] - (held[run.job] if run.cause is Cause.HAND else 0)
        group = entry.job.group
        free = len(begin) < room and before < at_once(entry.job) and groups[group] < limit(situation.server, group)
        if free and not run.stop and may_begin(situation, run) <= situation.now:
            begin.append(run)
            groups[group] += 1 if group else 0
            ahead[run.job] += 1
        elif entry.job.overlap is not Overlap.ALLOW:
            ahead[run.job] += 1
            held[run.job] += run.due <= situation.now < may_begin(situation, run)
    return begin


def at_once(job: Job) -> int:
    """How many runs of a job may have a process at one time."""
    return max(1, job.parallel) if job.overlap is Overlap.ALLOW else 1


def limit(server: Server, group: str) -> float:
    """How many runs of a group may have a process at one time."""
    return server.groups.get(group, 1) if group else math.inf


def _group(situation: Situation, job: str) -> str:
    entry = situation.jobs.get(job)
    return entry.job.group if entry else ""


def outdated(situation: Situation) -> Iterator[tuple[JobRun, str]]:
    """The runs that make place for a newer one of their job, and how: "cancel" or "kill".

    The newer one must be able to begin but for them, so a run is not ended long before. Of two runs that are made
    up for neither ends the other. The oldest that waits is not among them: it keeps the place in the line until the
    newer one begins (see places). Jobs that are planned more often than their turn comes would never run, else.
    """
    for name, old in _old(situation).items():
        for run in old.runs:
            if run is not old.place:
                yield run, situation.jobs[name].job.overlap.value


def places(situation: Situation) -> dict[int, JobRun]:
    """Which run's place in the line a newer run of its job has, by the id of the newer one; it ends the older one
    when it begins."""
    return _places(_old(situation))


def _places(old: Mapping[str, _Old]) -> dict[int, JobRun]:
    return {each.first: each.place for each in old.values() if each.place is not None}


class _Old(msgspec.Struct, frozen=True):
    """The runs of a job that make place; which of them keeps it, and for which (its id)."""

    runs: Sequence[JobRun]
    place: JobRun | None = None
    first: int = 0


def _old(situation: Situation) -> dict[str, _Old]:
    """By job, where newer runs end older ones and there are some; O(runs)."""
    now = situation.now
    theirs: dict[str, list[JobRun]] = {}
    for run in situation.runs:
        entry = situation.jobs.get(run.job)
        if entry is not None and entry.job.overlap in (Overlap.CANCEL, Overlap.KILL):
            theirs.setdefault(run.job, []).append(run)
    found = {}
    for name, runs in theirs.items():
        if len(runs) == 1:
            continue
        runs.sort(key=lambda run: _seniority(run, now))
        ready = [run for run in runs if _comes(situation, run)]
        waiting = [run for run in ready if run.state is State.QUEUED]
        old = _older(runs, ready, now)
        past = {run.id for run in _older(runs, [run for run in runs if run.state is State.RUNNING], now)}
        ids = {run.id for run in old}
        place = next((run for run in waiting if run.id in ids and run.id not in past), None)
        if old:
            found[name] = _Old(old, place, next((run.id for run in waiting if run.id not in ids), 0))
    return found


def _older(runs: Sequence[JobRun], ready: Sequence[JobRun], now: float) -> list[JobRun]:
    """Those than which one that is ready is newer; but for those of which both are made up for."""
    none = (False, -math.inf, 0)
    newest = max((_seniority(run, now) for run in ready), default=none)
    other = max((_seniority(run, now) for run in ready if run.cause is not Cause.CATCH_UP), default=none)
    return [run for run in runs if _seniority(run, now) < (other if run.cause is Cause.CATCH_UP else newest)]


def _seniority(run: JobRun, now: float) -> tuple[bool, float, int]:
    """Sorts the runs of a job as `age` does, but that those are the oldest which began, or were asked for, by a
    clock that was ahead."""
    by_then = run.planned > now and (run.attempts > 0 or run.cause in (Cause.HAND, Cause.AFTER))
    return not by_then, run.planned, run.id


def _lined_up(situation: Situation) -> list[JobRun]:
    """The runs in the order of their turns, without those that wait and make place for a newer one."""
    old = _old(situation)
    gone = {run.id for each in old.values() for run in each.runs if run.state is State.QUEUED}
    place = {id: age(run) for id, run in _places(old).items()}
    left = (run for run in situation.runs if run.id not in gone)
    return sorted(left, key=lambda run: line(run)[:2] + min(age(run), place.get(run.id, age(run))))


def _comes(situation: Situation, run: JobRun) -> bool:
    """Whether a run has begun, or may."""
    return not run.stop and (run.state is State.RUNNING or may_begin(situation, run) <= situation.now)


def next_time(situation: Situation) -> float:
    """When a run that waits may begin by itself: the end of a jitter, of the time before a retry, of a blackout."""
    waiting = (may_begin(situation, run) for run in situation.runs if run.state is State.QUEUED)
    return min((t for t in waiting if t > situation.now), default=math.inf)
