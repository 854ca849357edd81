"""Which runs are planned, which begin, which make place: decisions alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from scraper.errors import UsageError
from scraper.jobs import plan
from scraper.jobs.job import DAY, HOUR, MINUTE, CatchUp, Job, Overlap, Server
from scraper.jobs.plan import Entry, Situation
from scraper.jobs.record import Cause, JobRun, Kept, State
from scraper.jobs.schedule import Schedule

NOON = 1_767_268_800.0  # 2026-01-01 12:00 UTC


def entry(upto: float = NOON, **fields: Any) -> Entry:
    """A job that runs each hour."""
    job = msgspec.convert({"name": "shop", "spider": "shop", "schedule": "@hourly", **fields}, Job)
    return Entry(Kept(job=job, upto=upto), Schedule.parse(job))


def run(id: int, planned: float = NOON, **fields: Any) -> JobRun:
    return JobRun(**{"id": id, "job": "shop", "spider": "shop", "planned": planned, "due": planned, **fields})


def running(id: int, planned: float = NOON, **fields: Any) -> JobRun:
    return run(id, planned, state=State.RUNNING, attempts=1, pid=7, **fields)


def situation(*runs: JobRun, now: float = NOON, server: Server | None = None, **jobs: Any) -> Situation:
    entries = {name: entry(**{"name": name, **fields}) for name, fields in (jobs or {"shop": {}}).items()}
    return Situation(now=now, jobs=entries, runs=runs, server=server or Server())


def states(made: list[JobRun]) -> list[tuple[float, State, Cause]]:
    return [((each.planned - NOON) / HOUR, each.state, each.cause) for each in made]


def ids(runs: list[JobRun]) -> list[int]:
    return [each.id for each in runs]


def test_a_time_that_has_come_is_one_run() -> None:
    (made,) = plan.tick(entry(), [], NOON + HOUR)
    assert (made.planned, made.state, made.cause) == (NOON + HOUR, State.QUEUED, Cause.SCHEDULE)
    assert plan.tick(entry(upto=NOON + HOUR), [], NOON + HOUR) == []


@pytest.mark.parametrize(
    ("policy", "expected"), [("none", "mmm"), ("latest", "mmc"), ("all", "ccc")], ids=lambda text: str(text)
)
def test_what_was_missed_is_made_up_for_as_the_job_says(policy: str, expected: str) -> None:
    made = plan.tick(entry(catch_up=CatchUp(policy)), [], NOON + 3 * HOUR + 30 * MINUTE)
    letters = {(State.MISSED, Cause.SCHEDULE): "m", (State.QUEUED, Cause.CATCH_UP): "c"}
    assert "".join(letters[each.state, each.cause] for each in made) == expected


def test_what_was_missed_too_long_ago_is_not_made_up_for() -> None:
    made = plan.tick(entry(catch_up=CatchUp.ALL, catch_up_within=2 * HOUR), [], NOON + 4 * HOUR + 30 * MINUTE)
    assert [each.state for each in made] == [State.MISSED] * 2 + [State.QUEUED] * 2


def test_the_latest_needs_no_making_up_for_when_it_is_not_late() -> None:
    made = plan.tick(entry(), [], NOON + 3 * HOUR + 5)
    assert states(made)[-1] == (3, State.QUEUED, Cause.SCHEDULE)
    assert {each.state for each in made[:-1]} == {State.MISSED}


def test_a_run_whose_jitter_or_blackout_is_not_over_is_not_late() -> None:
    made = plan.tick(entry(blackout=("12:30-15:00",)), [], NOON + 2 * HOUR + 30 * MINUTE)
    assert states(made)[0] == (1, State.QUEUED, Cause.SCHEDULE)
    assert made[0].due == NOON + 3 * HOUR


def test_more_than_a_thousand_missed_times_share_a_row() -> None:
    often = entry(schedule="every 10 seconds", catch_up=CatchUp.ALL, catch_up_within=HOUR)
    bulk, *rest = plan.tick(often, [], NOON + DAY)
    assert (bulk.state, bulk.count, bulk.planned) == (State.MISSED, 8640 - 1000, NOON + 10)
    assert rest[0].planned == bulk.due + 10
    assert len(rest) == 1000
    assert sum(each.cause is Cause.CATCH_UP for each in rest) == 354  # those on time are none of them


def test_many_missed_times_with_long_gaps_are_counted_right() -> None:
    job = entry(schedule="* 9 * * *")  # sixty times, and nothing for 23 hours
    bulk, *rest = plan.tick(job, [], NOON + 30 * DAY)
    assert (bulk.count, len(rest)) == (30 * 60 - 1000, 1000)
    times = list(job.times.between(NOON, NOON + 30 * DAY, 10_000))
    assert [bulk.planned, bulk.due, rest[0].planned] == [times[0], times[799], times[800]]


@pytest.mark.parametrize("policy", list(Overlap))
def test_overlap_is_judged_on_the_run_that_is_not_over(policy: Overlap) -> None:
    skipped = {
        "none": [],
        "running": [Overlap.SKIP],
        "waiting": [Overlap.SKIP, Overlap.QUEUE_ONE],
        "retried": [Overlap.SKIP],
    }
    before = {"none": [], "running": [running(1)], "waiting": [run(1)], "retried": [run(1, attempts=1, failures=1)]}
    for how, unfinished in before.items():
        (made,) = plan.tick(entry(overlap=policy), unfinished, NOON + HOUR)
        assert (made.state is State.SKIPPED) == (policy in skipped[how]), how


def test_runs_that_are_made_up_for_do_not_skip_one_another_but_a_run_before_them_does() -> None:
    job = entry(catch_up=CatchUp.ALL)
    assert [each.state for each in plan.tick(job, [], NOON + 2.5 * HOUR)] == [State.QUEUED] * 2
    assert [each.state for each in plan.tick(job, [running(1)], NOON + 2.5 * HOUR)] == [State.SKIPPED] * 2


def test_two_times_in_one_look_are_judged_one_after_the_other() -> None:
    made = plan.tick(entry(schedule="every 20 seconds"), [], NOON + 45)
    assert [each.state for each in made] == [State.QUEUED, State.SKIPPED]


def test_a_job_that_is_planned_too_far_is_planned_anew_when_the_clock_has_stayed_back() -> None:
    far, now = entry(upto=NOON + DAY), NOON + 700
    assert plan.from_where(far, now, NOON, 0.0) == NOON
    assert plan.from_where(far, now, NOON + 101, 0.0) is None  # not for long enough
    assert plan.from_where(far, now, NOON, NOON + HOUR) == NOON + HOUR  # runs up to there may have been deleted
    assert plan.from_where(far, now, NOON, NOON + DAY) is None
    assert (
        plan.from_where(replace(far, kept=replace(far.kept, changed=now + 1)), now, NOON, 0.0) is None
    )  # the clock is behind
    assert plan.from_where(replace(far, kept=replace(far.kept, paused=True)), now, NOON, 0.0) is None
    assert plan.from_where(entry(upto=now + 60), now, NOON, 0.0) is None  # a step of a time server's


def test_a_time_that_has_a_run_is_left_out_and_is_the_latest_all_the_same() -> None:
    now = NOON + 3 * HOUR + 30 * MINUTE
    made = plan.tick(entry(), [], now, [NOON + HOUR, NOON + 3 * HOUR, NOON + 0.25])
    assert states(made) == [(2, State.MISSED, Cause.SCHEDULE)]
    often = entry(schedule="every 10 seconds")
    taken = [NOON + 10, NOON + 500, NOON + DAY]
    bulk, *rest = plan.tick(often, [], NOON + DAY, taken)
    assert (bulk.count, len(rest)) == (8640 - 3 - 1000, 1000)
    assert (bulk.planned, rest[-1].planned) == (NOON + 20, NOON + DAY - 10)


def test_what_is_planned_for_later_after_a_clock_was_set_back_is_no_run_before() -> None:
    later = run(1, NOON + DAY)
    assert [each.state for each in plan.tick(entry(), [later], NOON + HOUR)] == [State.QUEUED]
    assert plan.by_hand(entry().job, [later], NOON, "ann", {}).id == 0
    assert plan.turns(situation(later)) == []
    asked, retried = (
        run(2, NOON + DAY, cause=Cause.HAND),
        run(3, attempts=1, started=NOON + DAY, due=NOON + 2 * DAY),
    )
    assert [plan.may_begin(situation(each), each) for each in (asked, retried)] == [NOON, NOON]  # they wait no day


def test_run_now_is_refused_where_overlap_forbids_it_and_says_why() -> None:
    with pytest.raises(UsageError, match=r"job 'shop' is not run now: the run before was not over \(run 4\)"):
        plan.by_hand(entry().job, [running(4)], NOON, "ann", {})
    made = plan.by_hand(entry(overlap=Overlap.QUEUE_ALL).job, [running(4)], NOON, "ann", {"page": 2})
    assert (made.cause, made.by, made.args) == (Cause.HAND, "ann", {"page": 2})


def test_a_thousand_runs_that_wait_are_enough() -> None:
    many = [run(number) for number in range(1000)]
    assert plan.hindered(entry(overlap=Overlap.QUEUE_ALL).job, many, NOON) == "1000 runs wait already"


def test_higher_priority_is_first_and_then_the_older_run() -> None:
    jobs: dict[str, Any] = {name: {} for name in "abcd"}
    runs = [run(1, job="a"), run(2, job="b", priority=3), run(3, NOON - 5, job="c"), run(4, job="d")]
    assert ids(plan.turns(situation(*runs, server=Server(parallel=3), **jobs))) == [2, 3, 1]


def test_limits_hold_for_all_for_a_group_and_for_a_job() -> None:
    group = {"group": "shops"}
    jobs: dict[str, Any] = {"a": group, "b": group, "c": {"overlap": "allow", "parallel": 2}}
    runs = [running(1, job="a"), run(2, job="b"), *(run(number, job="c") for number in (3, 4, 5))]
    assert ids(plan.turns(situation(*runs, server=Server(parallel=9), **jobs))) == [3, 4]
    wide = Server(parallel=9, groups={"shops": 2})
    assert ids(plan.turns(situation(*runs, server=wide, **jobs))) == [2, 3, 4]
    assert ids(plan.turns(situation(*runs, server=Server(parallel=2, groups={"shops": 2}), **jobs))) == [2]


def test_two_of_a_group_do_not_begin_in_one_look() -> None:
    jobs: dict[str, Any] = {"a": {"group": "shops"}, "b": {"group": "shops"}}
    assert ids(plan.turns(situation(run(1, job="a"), run(2, job="b"), **jobs))) == [1]


def test_a_run_waits_for_the_retries_of_the_one_before() -> None:
    retried = run(1, due=NOON + 60, attempts=1, failures=1)
    queue: dict[str, Any] = {"shop": {"overlap": "queue_all"}}
    assert plan.turns(situation(retried, run(2, NOON), **queue)) == []
    assert ids(plan.turns(situation(retried, run(2, NOON), now=NOON + 60, **queue))) == [1]
    both: dict[str, Any] = {"shop": {"overlap": "allow", "parallel": 2}}
    assert ids(plan.turns(situation(retried, run(2, NOON), **both))) == [2]


def test_nothing_begins_in_a_blackout_but_what_was_asked_for_by_hand() -> None:
    dark: dict[str, Any] = {"shop": {"blackout": ("11:00-13:00",), "overlap": "queue_all"}}
    runs = run(1), run(2), run(3, cause=Cause.HAND)
    now = situation(*runs, **dark)
    assert ids(plan.turns(now)) == [3]
    assert plan.may_begin(now, runs[0]) == NOON + HOUR == plan.next_time(now)


@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_a_newer_run_ends_the_one_before_once_it_can_begin_itself(how: str) -> None:
    job: dict[str, Any] = {"shop": {"overlap": how}}
    old, new = running(1), run(2, NOON + 10)
    assert list(plan.outdated(situation(old, new, **job))) == []
    assert [(each.id, so) for each, so in plan.outdated(situation(old, new, now=NOON + 10, **job))] == [(1, how)]
    made_up = [run(number, cause=Cause.CATCH_UP) for number in (1, 2)]
    assert list(plan.outdated(situation(*made_up, **job))) == []


def test_a_newer_run_has_the_place_in_the_line_of_the_one_that_waits_before_it() -> None:
    jobs: dict[str, Any] = {name: {"overlap": "cancel"} for name in ("shop", "other")}
    runs = [run(1, NOON - 9), run(2, NOON - 8, job="other"), run(3, NOON - 6), run(4, NOON - 5)]
    now = situation(*runs, server=Server(parallel=1), **jobs)
    assert [each.id for each, _ in plan.outdated(now)] == [3]  # the oldest keeps the place until the newest begins
    assert ids(plan.turns(now)) == [4]
    assert {id: each.id for id, each in plan.places(now).items()} == {4: 1}
    assert ids(plan.turns(situation(*runs[1:], server=Server(parallel=1), **jobs))) == [2]
    begun = situation(runs[0], running(4, NOON - 5), run(5), **jobs)  # whose turn was meanwhile
    assert [each.id for each, _ in plan.outdated(begun)] == [1, 4]
    assert plan.places(begun) == {}
    retried = situation(run(1, NOON - 9, due=NOON + 60, attempts=1, failures=1), run(2, NOON - 8), **jobs)
    assert [each.id for each, _ in plan.outdated(retried)] == [1]  # it is not in the line
    assert plan.places(retried) == {}


def test_a_run_of_a_clock_that_was_ahead_is_older_than_one_of_now() -> None:
    job: dict[str, Any] = {"shop": {"overlap": "cancel"}}
    begun, asked, to_come = running(1, NOON + DAY), run(2, cause=Cause.HAND), run(3, NOON + 2 * DAY)
    assert [each.id for each, _ in plan.outdated(situation(begun, asked, to_come, **job))] == [1]
    assert ids(plan.turns(situation(asked, to_come, **job))) == [2]


def test_what_comes_after_a_run_comes_once_for_each_job_that_says_so() -> None:
    jobs: dict[str, Any] = {"shop": {}, "prices": {"after": ("shop",)}, "busy": {"after": ("shop",)}, "other": {}}
    parent = run(1, state=State.FINISHED, ended=NOON + 5)
    made = plan.chained(situation(running(1), running(2, job="busy"), now=NOON + 6, **jobs), parent)
    assert [(each.job, each.state, each.parent, each.planned) for each in made] == [
        ("prices", State.QUEUED, 1, NOON + 5),
        ("busy", State.SKIPPED, 1, NOON + 5),
    ]


def test_the_next_time_is_that_of_the_first_run_that_waits_for_nothing_else() -> None:
    assert (
        plan.next_time(situation(run(1, due=NOON + 90), run(2, due=NOON + 60), run(3, due=NOON - 5))) == NOON + 60
    )
