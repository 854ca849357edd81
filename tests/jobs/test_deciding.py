"""What is judged on the store, in the transaction that writes it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from scraper.jobs import ends
from scraper.jobs.deciding import recorded_waiting, taken_back, ticked
from scraper.jobs.plan import Entry
from scraper.jobs.record import JobRun, State
from scraper.jobs.runs import Impossible
from scraper.jobs.schedule import Schedule
from scraper.jobs.store import Jobs

from .world import SHOP, planned

OFTEN = replace(SHOP, schedule="every 10 seconds")


def one(jobs: Jobs, at: float) -> JobRun:
    made = jobs.plan(planned(at))
    assert made is not None
    return made


def entry(jobs: Jobs, name: str = "shop") -> Entry:
    kept = jobs.job(name)
    return Entry(kept, Schedule.parse(kept.job))


def test_a_run_ends_the_one_whose_place_it_takes_or_does_not_begin(jobs: Jobs) -> None:
    jobs.put(SHOP, now=0.0, who="ann")
    first, second, third = (one(jobs, at) for at in (10.0, 20.0, 30.0))
    begun = recorded_waiting(jobs, ends.begun(second, 40.0), ends.replaced(first, 40.0))
    assert begun is not None
    assert (begun.state, jobs.run(first.id).state) == (State.RUNNING, State.CANCELLED)
    jobs.update(ends.over(begun, State.FAILED, 50.0, "by another"))
    with pytest.raises(Impossible):
        recorded_waiting(jobs, ends.begun(third, 60.0), ends.replaced(second, 60.0))
    assert jobs.run(third.id).state is State.QUEUED


def test_a_time_that_has_a_run_is_not_counted_among_those_that_were_missed(jobs: Jobs) -> None:
    jobs.put(OFTEN, now=0.0, who="ann")
    one(jobs, 500.0)
    made = ticked(jobs, entry(jobs), 20_000.0)
    assert made is not None
    assert (made[0].state, made[0].count) == (State.MISSED, 999)
    assert sum(run.count for run in jobs.runs(limit=5000)) == 2000


def test_all_jobs_that_are_planned_ahead_are_planned_anew_at_once(jobs: Jobs) -> None:
    names = ("shop", "books", "gone", "other")
    for name in names:
        jobs.put(replace(OFTEN, name=name), now=0.0, who="ann")
    with jobs.change() as base:
        base.execute("UPDATE job SET upto = 90000")
    entries = [entry(jobs, name) for name in names]
    jobs.remove("gone", 500.0, "ann")
    assert taken_back(jobs, entries, 1000.0) == {}
    jobs.put(replace(OFTEN, name="other", note="another by now"), now=1100.0, who="ann")
    assert taken_back(jobs, entries, 1700.0) == {"shop": 1000.0, "books": 1000.0}
    assert [jobs.job(name).upto for name in ("shop", "books", "other")] == [1000.0, 1000.0, 90_000.0]
