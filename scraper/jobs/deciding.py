"""Decisions that are judged on the runs in the store, in the transaction that adds to them.

Commands, pages and the scheduler add runs at the same time: so each sees what the other has added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from ..errors import UsageError
from . import plan
from .history import RAN
from .plan import Entry, Situation
from .record import Act, Attempt, JobRun, Kept, State
from .store import Jobs

BACK = "back"  # what is noted of a job: since when the clock is behind the time up to which it is planned, and that
SERVER = "the server"
STEP = 0.001  # seconds between two runs of a job that would have the same time


def ticked(store: Jobs, entry: Entry, now: float) -> list[JobRun] | None:
    """Plan the runs of a job whose time has come; gives those that are new, None when the job is another by now."""
    name = entry.job.name
    with store.change():
        kept = _kept(store, name)
        if kept is None or kept.job != entry.job or kept.paused:
            return None
        taken = store.taken(name, kept.upto, now)
        rows = plan.tick(Entry(kept, entry.times), store.open_runs(name), now, taken)
        return store.planned(name, now, rows)


def taken_back(store: Jobs, entries: Sequence[Entry], now: float) -> dict[str, float]:
    """Plan jobs anew from the time at which the clock came back that was ahead, once that is certain.

    Gives it by the name of the job; O(jobs), as a clock is ahead for all of them. When it was first seen so is on
    record: `run-due` and a server that is started anew look at it once.
    """
    found = {}
    with store.change():
        before, ran = store.noted(BACK), store.noted(RAN)
        seen = dict(before)
        for entry in entries:
            name, kept = entry.job.name, _kept(store, entry.job.name)
            if kept is None:
                continue
            since, upto = seen.get(name, (now, kept.upto))
            if upto != kept.upto or since > now:
                since = now
            seen[name] = [since, kept.upto]
            if kept.job != entry.job:
                continue
            start = plan.from_where(Entry(kept, entry.times), now, since, ran.get(name, 0.0))
            if start is not None:
                found[name] = start
                del seen[name]
                gone = store.take_back(name, start, entry.times)
                detail = f"{len(gone)} that were said to be missed or skipped had not come yet"
                store.act(Act(at=now, who=SERVER, what="plan again", job=name, detail=detail))
        if seen != before:
            store.note_down(BACK, seen)
    return found


def _kept(store: Jobs, name: str) -> Kept | None:
    """A job as it stands, None when it is gone."""
    try:
        return store.job(name)
    except UsageError:
        return None


def recorded(
    store: Jobs, situation: Situation, run: JobRun, attempt: Attempt | None
) -> tuple[JobRun, list[JobRun]]:
    """Write how a run stands, and when it has finished the runs that come after it; gives it and them."""
    with store.change():
        kept = store.update(run, attempt=attempt)
        if kept.state is not State.FINISHED:
            return kept, []
        then = plan.chained(replace(situation, runs=store.open_runs()), kept)
        return kept, [made for each in then if (made := added(store, each)) is not None]


def recorded_waiting(store: Jobs, run: JobRun, old: JobRun | None = None) -> JobRun | None:
    """Write how a run stands that has waited, and the end of the `old` one whose place it takes; gives the first.

    None when it has ended just now, cancelled with its job, or is gone.
    """
    with store.change():
        try:
            if not store.run(run.id).open:
                return None
        except UsageError:
            return None
        if old is not None:
            store.update(old)
        return store.update(run)


def run_now(store: Jobs, job: str, now: float, who: str, args: Mapping[str, Any]) -> JobRun:
    """Add a run that somebody wants now. Raises UsageError where there is no such job or `overlap` forbids it."""
    with store.change():
        declared = store.job(job).job
        made = added(store, plan.by_hand(declared, store.open_runs(job), now, who, args))
    assert made is not None  # the job is there
    return made


def added(store: Jobs, run: JobRun) -> JobRun | None:
    """Add a run that a person or another run wants, a little later when its job has one at that time.

    None when its job is gone.
    """
    while (made := store.plan(run)) is None:
        if store.by_time(run.job, run.planned) is None:
            return None
        run = replace(run, planned=run.planned + STEP)
    return made
