from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from scraper.jobs.history import RAN
from scraper.jobs.job import DAY, Job, Server
from scraper.jobs.record import Act, Alert, Attempt, Delivery, JobRun, State
from scraper.jobs.runs import _INSERT, _values
from scraper.jobs.store import Jobs

from .world import SHOP, planned

ENDS = (State.FINISHED, State.FINISHED, State.FAILED, State.MISSED, State.SKIPPED)


def filled(jobs: Jobs, count: int, names: int = 1, *, step: float = 60.0) -> None:
    """So many runs, of so many jobs in turns; the newest is open."""
    for number in range(names):
        jobs.put(Job(name=f"job{number}", spider="s", keep=0), now=0.0, who="ann")

    def row(number: int) -> list[object]:
        state = State.QUEUED if number == count - 1 else ENDS[number // names % len(ENDS)]
        began = number * step if state in (State.FINISHED, State.FAILED) else 0.0
        run = JobRun(id=0, job=f"job{number % names}", spider="s", planned=number * step, state=state, began=began)
        return _values(run, JobRun.__struct_fields__[1:])

    with jobs.change() as base:
        base.executemany(_INSERT, (row(number) for number in range(count)))


def test_a_page_before_a_number_that_no_row_can_have_is_the_first(jobs: Jobs) -> None:
    filled(jobs, 3)
    assert jobs.runs(before=10**30) == jobs.runs()
    assert jobs.acts(before=10**30) == jobs.acts() != []


def test_pages_of_runs_hold_each_run_once_newest_first(jobs: Jobs) -> None:
    filled(jobs, 103, 2)
    for choice in ({}, {"job": "job1"}, {"states": (State.FAILED,)}, {"job": "job0", "states": ENDS}):
        seen: list[JobRun] = []
        while page := jobs.runs(**choice, before=seen[-1].id if seen else None, limit=10):
            seen += page
        assert seen == jobs.runs(**choice, limit=1000)
        assert [run.id for run in seen] == sorted({run.id for run in seen}, reverse=True)
        assert len(seen) == jobs.number(**choice)
    assert jobs.number() == 103


def test_the_last_runs_of_a_job_and_those_that_are_plotted(jobs: Jobs) -> None:
    filled(jobs, 20)
    assert [run.planned / 60 for run in jobs.last("job0", [State.FINISHED], 3)] == [16, 15, 11]
    assert [run.planned / 60 for run in jobs.series("job0", 4)] == [12, 15, 16, 17]
    assert jobs.last("none", [], 3) == []
    counts = {State.FINISHED: 8, State.FAILED: 4, State.MISSED: 4, State.SKIPPED: 3, State.QUEUED: 1}
    assert jobs.counts("job0") == counts


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """A store with 100,000 runs of 50 jobs."""
    with Jobs(tmp_path_factory.mktemp("long")) as jobs:
        filled(jobs, 100_000, 50)
        jobs.rows("ANALYZE")
        yield jobs


QUERIES: dict[str, Callable[[Jobs], object]] = {
    "page": lambda jobs: jobs.runs(before=50_000),
    "page of a job": lambda jobs: jobs.runs(job="job7", before=50_000),
    "page of states": lambda jobs: jobs.runs(states=(State.FAILED, State.MISSED), before=50_000),
    "page of a job's states": lambda jobs: jobs.runs(job="job7", states=(State.FAILED, State.MISSED), before=9),
    "no run of a state": lambda jobs: jobs.runs(states=(State.CANCELLED, State.RULE_BROKEN)),
    "last": lambda jobs: jobs.last("job7", [State.FINISHED], 7),
    "series": lambda jobs: jobs.series("job7", 50),
    "open": lambda jobs: jobs.open_runs(),
    "open of a job": lambda jobs: jobs.open_runs("job7"),
    "one": lambda jobs: jobs.run(77_777),
    "by time": lambda jobs: jobs.by_time("job7", 7 * 60.0),
    "attempts": lambda jobs: jobs.attempts(5),
    "planned": lambda jobs: jobs.planned("job7", 7.0, [planned(60.0, job="job7")]),
    "stop": lambda jobs: jobs.ask_stop(5, "cancel", "ann", 1.0),
    "acts": lambda jobs: jobs.acts(before=5, job="job7"),
    "alerts": lambda jobs: (
        jobs.alerts(9, job="job7"),
        jobs.open_alerts("job7"),
        jobs.last_alert("job7", "failed"),
    ),
    "deliveries": lambda jobs: (jobs.owed(), jobs.deliveries(9), jobs.untold()),
    "base": lambda jobs: (jobs.base("job7", "s", ["id"]), jobs.told("job7", "s")),
    "owed": lambda jobs: (jobs.owed("ops"), jobs.unjudged(), jobs.notes(5), jobs.first("job7")),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_of_a_long_history_finds_its_rows_by_an_index(long: Jobs, name: str) -> None:
    plans = explained(long, lambda: QUERIES[name](long))
    assert plans
    reading = {part for part, line in plans if line.startswith("SEARCH")}  # not what puts short pages together
    for part, line in plans:
        assert not line.startswith("SCAN run"), line
        assert "TEMP B-TREE" not in line or part not in reading or name.startswith("open"), line  # few are open


@pytest.mark.parametrize("job", ["", "job7"])
def test_runs_are_counted_in_an_index_alone(long: Jobs, job: str) -> None:
    plans = explained(long, lambda: long.counts(job))
    assert plans
    assert all("COVERING INDEX run_" in line for _, line in plans)


def test_pages_that_are_next_are_found_without_those_before(long: Jobs) -> None:
    """The steps of SQLite's machine that a page takes do not grow with how deep it is."""
    steps = []
    for before in (100_000, 50_000, 100):
        count = 0

        def tick() -> int:
            nonlocal count
            count += 1
            return 0

        long._base.set_progress_handler(tick, 10)
        long.runs(job="job7", states=(State.FAILED, State.FINISHED), before=before, limit=2)
        long._base.set_progress_handler(None, 0)
        steps.append(count)
    assert 0 < max(steps) < 100  # tens of steps


def explained(jobs: Jobs, verb: Callable[[], object]) -> list[tuple[int, str]]:
    """How SQLite goes about each statement of a verb: what each step is part of, and what it does."""
    said: list[str] = []
    jobs._base.set_trace_callback(said.append)
    verb()
    jobs._base.set_trace_callback(None)
    base = sqlite3.connect(jobs.path)
    plans = [
        (row[1], row[3])
        for text in said
        if text.startswith(("SELECT", "UPDATE", "DELETE"))
        for row in base.execute(f"EXPLAIN QUERY PLAN {text}")
    ]
    base.close()
    return plans


def test_a_job_keeps_so_many_runs_its_open_ones_and_its_last_good_one(jobs: Jobs) -> None:
    jobs.put(replace(SHOP, keep=2), now=0.0, who="ann")

    def add(at: float, state: State) -> int:
        run = jobs.plan(planned(at, state=state, began=at if state in (State.FINISHED, State.FAILED) else 0.0))
        assert run is not None
        return run.id

    waiting, good = add(1.0, State.QUEUED), add(3.0, State.FINISHED)
    old = [add(2.0, State.FINISHED), add(4.0, State.FAILED)]
    good = max(good, old[0])
    failed = [add(5.0, State.FAILED), add(6.0, State.FAILED)]
    skipped = [add(10.0 + number, State.SKIPPED) for number in range(5)]
    jobs.update(
        replace(jobs.run(waiting), state=State.RUNNING), attempt=Attempt(number=1, run="a", pid=1, started=1.0)
    )
    gone = jobs.prune(100.0)
    assert {run.id for run in jobs.runs()} == {waiting, good, *failed, *skipped[-2:]}
    assert [run.id for run in gone] == sorted(run.id for run in gone)
    assert jobs.attempts(waiting)
    assert jobs.prune(100.0) == []


def test_what_ran_by_a_clock_that_was_ahead_stays_until_its_time_and_what_goes_is_noted(jobs: Jobs) -> None:
    jobs.put(replace(SHOP, keep=1), now=0.0, who="ann")
    for at in (50.0, 60.0, 1.0, 2.0, 3.0):
        assert jobs.plan(planned(at, state=State.FINISHED, began=at)) is not None
    jobs.prune(10.0)
    assert sorted(run.planned for run in jobs.runs()) == [3.0, 50.0, 60.0]
    assert jobs.noted(RAN) == {"shop": 2.0}
    jobs.prune(55.0)
    assert sorted(run.planned for run in jobs.runs()) == [3.0, 60.0]
    assert jobs.noted(RAN) == {"shop": 50.0}


def test_what_is_too_old_is_deleted_with_what_was_noted_and_told(jobs: Jobs) -> None:
    jobs.set_server(Server(keep_days=10.0), 0.0, "ann")
    filled(jobs, 100, step=DAY / 4)
    with jobs.change() as base:
        base.execute("INSERT INTO attempt VALUES (1, 1, 'a', 5, 1.0, 2.0, 0, '')")
    jobs.act(Act(at=1.0, who="ann", what="login"))
    old = jobs.raise_alert(Alert(job="job0", rule="failed", at=1.0, text="it failed"))
    open_one = jobs.raise_alert(Alert(job="job0", rule="late", at=1.0, text="it is late"))
    jobs.end_alert(old.id, 2.0)
    jobs.deliver([Delivery(channel="ops", alerts=(old.id,), due=1.0, sent=2.0)])
    gone = jobs.prune(25 * DAY)
    assert {run.id for run in gone} == set(range(1, 61))
    assert jobs.attempts(1) == []
    assert jobs.acts() == []
    assert (jobs.alerts(), jobs.deliveries()) == ([open_one], [])


def test_history_of_a_job_that_is_gone_goes_by_its_age(jobs: Jobs) -> None:
    filled(jobs, 5, step=DAY)
    jobs.remove("job0", 5 * DAY, "ann")
    assert jobs.prune(300 * DAY) == []
    assert len(jobs.prune(500 * DAY)) == 5


def test_no_more_than_asked_for_is_deleted_at_once(jobs: Jobs) -> None:
    filled(jobs, 50, step=DAY)
    assert [len(jobs.prune(1000 * DAY, most=20)) for _ in range(4)] == [20, 20, 8, 0]


def test_alerts_are_told_once_to_each_channel(jobs: Jobs, home: Path) -> None:
    alert = jobs.raise_alert(Alert(job="shop", rule="failed", at=1.0, text="it failed"))
    assert jobs.untold() == jobs.open_alerts("shop") == [alert]
    queued = jobs.deliver(
        [Delivery(channel=name, alerts=(alert.id,), due=due) for name, due in (("a", 9.0), ("b", 5.0))],
        now=3.0,
        told=[alert.id],
    )
    assert jobs.untold() == []
    assert jobs.last_alert("shop", "failed", told=True) == replace(alert, told=3.0)
    assert [(each.channel, each.due) for each in jobs.owed()] == [("b", 5.0), ("a", 9.0)]
    jobs.update_delivery(replace(queued[1], tries=1, sent=6.0))
    jobs.update_delivery(replace(queued[1], tries=9))  # it stays sent
    assert jobs.owed() == [queued[0]]
    assert jobs.deliveries()[0].sent == 6.0
    assert jobs.end_alert(alert.id, 8.0, [Delivery(channel="a", recovered=(alert.id,), due=8.0)])
    assert not jobs.end_alert(alert.id, 9.0, [Delivery(channel="a", recovered=(alert.id,), due=8.0)])
    assert [each.recovered for each in jobs.owed("a")] == [(alert.id,), ()]
