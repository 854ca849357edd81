from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from scraper.errors import StoreError, UsageError
from scraper.jobs.record import OPEN, Attempt, Cause, JobRun, State
from scraper.jobs.schedule import Schedule
from scraper.jobs.store import Jobs

from .world import SHOP, planned


@pytest.fixture
def jobs(jobs: Jobs) -> Jobs:
    """A store with the shop in it."""
    jobs.put(SHOP, now=0.0, who="ann")
    return jobs


def one(jobs: Jobs, at: float, **fields: object) -> JobRun:
    made = jobs.plan(planned(at, **fields))
    assert made is not None
    return made


def test_a_run_comes_back_as_it_was_planned(jobs: Jobs) -> None:
    run = one(jobs, 10.5, cause=Cause.CATCH_UP, due=12.0, priority=-3, count=4, args={"shelf": ["art"]})
    assert jobs.run(run.id) == run == jobs.by_time("shop", 10.5)
    with pytest.raises(UsageError, match="no run 99"):
        jobs.run(99)


def test_a_job_has_one_run_at_one_time(jobs: Jobs) -> None:
    assert one(jobs, 10.0).id
    assert jobs.plan(planned(10.0, spider="other")) is None
    assert jobs.number() == 1


def test_runs_and_the_time_they_account_for_are_kept_together(jobs: Jobs) -> None:
    first = jobs.planned("shop", 30.0, [planned(10.0, state=State.MISSED), planned(20.0)])
    assert [run.planned for run in first] == [10.0, 20.0]
    assert jobs.job("shop").upto == 30.0
    assert jobs.planned("shop", 25.0, [planned(5.0), planned(22.0)]) == []
    assert jobs.job("shop").upto == 30.0
    with pytest.raises(StoreError, match="would not be true"):
        jobs.planned("shop", 50.0, [planned(40.0), planned(50.0, stop="gently")])
    assert (jobs.job("shop").upto, jobs.number()) == (30.0, 2)


def test_what_was_said_of_times_to_come_is_taken_back(jobs: Jobs) -> None:
    rows = [
        planned(10.0, state=State.MISSED, count=5, due=50.0), planned(60.0, state=State.MISSED, count=3, due=80.0),
        planned(90.0, state=State.SKIPPED), planned(100.0), planned(120.0, state=State.MISSED, cause=Cause.HAND),
    ]  # fmt: skip
    jobs.planned("shop", 110.0, rows)
    began = jobs.update(replace(one(jobs, 95.0), state=State.FINISHED, began=5.0))
    assert jobs.take_back("shop", 30.0, Schedule.parse(replace(SHOP, schedule="every 10 seconds"))) == [60.0, 90.0]
    left = sorted((run.planned, run.count, run.due) for run in jobs.runs())
    assert left == [(10.0, 3, 30.0), (95.0, 1, 0.0), (100.0, 1, 0.0), (120.0, 1, 0.0)]
    assert jobs.job("shop").upto == 30.0
    assert jobs.taken("shop", 30.0, 100.0) == [began.planned, 100.0]


def test_a_run_that_has_ended_never_opens_again(jobs: Jobs) -> None:
    run = one(jobs, 10.0)
    jobs.update(replace(run, state=State.RUNNING, pid=7))
    ended = jobs.update(replace(run, state=State.FINISHED, ended=20.0, items=3))
    for state in State:
        if state is not State.FINISHED:
            with pytest.raises(StoreError, match="never opens again"):
                jobs.update(replace(ended, state=state))
    with pytest.raises(StoreError, match="never opens again"):
        jobs.update(replace(ended, items=4))
    assert jobs.run(run.id) == ended
    assert jobs.update(replace(ended, added=1, changed=2, removed=0)) == jobs.run(run.id)


def test_nor_does_the_file_itself_let_it(jobs: Jobs) -> None:
    jobs.update(replace(one(jobs, 10.0), state=State.FAILED))
    with sqlite3.connect(jobs.path) as base:
        for change in ("state = 'queued'", "planned = 11", "job = 'other'", "id = 5"):
            with pytest.raises(sqlite3.IntegrityError):
                base.execute(f"UPDATE run SET {change}")
    base.close()


@pytest.mark.parametrize(
    "change",
    [
        {"job": "other"},
        {"planned": 11.0},
        {"cause": Cause.HAND},
        {"by": "eve"},
        {"parent": 3},
        {"args": {"code": "hush"}},
    ],
)
def test_what_a_run_is_stays(jobs: Jobs, change: dict[str, object]) -> None:
    run = one(jobs, 10.0)
    with pytest.raises(StoreError, match="stays so") as error:
        jobs.update(replace(run, **change))
    assert "hush" not in str(error.value)


def test_who_has_not_heard_of_a_stop_does_not_undo_it(jobs: Jobs) -> None:
    run = one(jobs, 10.0)
    assert jobs.ask_stop(run.id, "cancel", "ann", 11.0)
    kept = jobs.update(replace(run, state=State.RUNNING, pid=7))
    assert (kept.stop, kept.stopped_by, kept.pid) == ("cancel", "ann", 7)
    assert jobs.ask_stop(run.id, "kill", "ben", 12.0)
    assert jobs.ask_stop(run.id, "cancel", "cat", 13.0)
    assert (jobs.run(run.id).stop, jobs.run(run.id).stopped_by) == ("kill", "ben")
    jobs.update(replace(kept, state=State.CANCELLED))
    assert not jobs.ask_stop(run.id, "kill", "ann", 14.0)
    assert not jobs.ask_stop(99, "kill", "ann", 14.0)
    assert [act.what for act in jobs.acts()] == ["kill", "cancel", "add"]


def test_attempts_are_kept_with_the_run(jobs: Jobs) -> None:
    run = one(jobs, 10.0)
    first = Attempt(number=1, run="a", pid=5, started=11.0)
    jobs.update(replace(run, state=State.RUNNING, attempts=1), attempt=first)
    ended = Attempt(number=1, run="a", pid=5, started=11.0, ended=12.0, exit_code=1, why="it broke")
    jobs.update(replace(run, attempts=1), attempt=ended)
    second = Attempt(number=2, run="a", pid=6, started=13.0)
    jobs.update(replace(run, state=State.RUNNING, attempts=2), attempt=second)
    assert jobs.attempts(run.id) == [ended, second]


def test_what_is_open_comes_in_the_order_of_its_turn(jobs: Jobs) -> None:
    late, early = one(jobs, 20.0), one(jobs, 10.0)
    urgent = one(jobs, 30.0, priority=5)
    over = jobs.update(replace(one(jobs, 5.0), state=State.SKIPPED))
    assert jobs.open_runs() == jobs.open_runs("shop") == [urgent, early, late]
    assert over not in jobs.open_runs()
    assert jobs.open_runs("other") == []


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.sampled_from(State)), max_size=12))
def test_ids_rise_and_are_never_given_again(rows: list[tuple[float, State]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, Jobs(Path(folder)) as jobs:
        jobs.put(replace(SHOP, keep=1), now=0.0, who="ann")
        last = 0
        for at, state in rows:
            made = jobs.plan(planned(at, state=state))
            jobs.prune(at + 1)
            if made is not None:
                assert made.id > last
                last = made.id
            assert {run.id for run in jobs.open_runs()} == {run.id for run in jobs.runs(states=OPEN, limit=99)}


def test_threads_share_one_store(jobs: Jobs) -> None:
    made: list[JobRun | None] = []

    def plan() -> None:
        made.extend(jobs.plan(planned(float(at))) for at in range(20))

    threads = [threading.Thread(target=plan) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([run for run in made if run]) == len(made) / 4 == jobs.number() == 20


RACE = """
import sys
from pathlib import Path
from scraper.jobs.record import JobRun
from scraper.jobs.job import Job
from scraper.jobs.store import Jobs
with Jobs(Path(sys.argv[1])) as jobs:
    jobs.put(Job(name="shop", spider="shop"), now=0.0, who="x")
    for at in range(1, 41):
        mine = jobs.planned("shop", at, [JobRun(id=0, job="shop", spider="shop", planned=at)])
        print(*(run.planned for run in mine))
"""


def test_no_time_runs_twice_when_processes_make_the_file_and_plan_at_once(home: Path) -> None:
    words = [sys.executable, "-c", RACE, str(home)]
    racing = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [word for process in racing for word in process.communicate()[0].split()]
    assert [process.returncode for process in racing] == [0, 0, 0]
    assert sorted(map(float, said)) == [float(at) for at in range(1, 41)]


def test_a_store_that_somebody_else_holds_for_long_says_so(jobs: Jobs) -> None:
    jobs._base.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(jobs.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="is locked by another program"):
        jobs.plan(planned(10.0))
    assert jobs.open_runs() == []  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    assert one(jobs, 10.0)
