"""When a job runs."""

from __future__ import annotations

import math
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.errors import UsageError
from scraper.jobs.job import Job
from scraper.jobs.schedule import Schedule
from scraper.jobs.zones import dated, local
from tests.jobs.walk import MOVES, ZONES, around

BERLIN = ZoneInfo("Europe/Berlin")
DAY = 86400.0
TEXTS = [
    "30 2 * * *", "*/10 1-3 * * *", "0 */3 * * *", "15,45 30 2 * * *", "@hourly", "@daily", "every 25 minutes",
    "every day at 02:30 and 02:45", "every weekday at 08:30", "every 2 days at 2:00", "once 2026-10-25 02:30",
    "30 2 * * *; every day at 02:30; every 6 hours", "0 * * * *; */30 2 * * *", "0 0 29 2 *",
]  # fmt: skip


def schedule(text: str, zone: str = "Europe/Berlin", **more: Any) -> Schedule:
    return Schedule.parse(Job(name="shop", spider="shop", schedule=text, timezone=zone, **more))


def shown(plan: Schedule, a: str, b: str, most: int = 100) -> list[str]:
    found = plan.between(dated(a, plan.zone), dated(b, plan.zone), most)
    return [f"{local(moment, plan.zone):%d %H:%M}" for moment in found]


moves = st.one_of(st.sampled_from(MOVES), st.tuples(st.sampled_from(ZONES), st.just("2026-06-10")))
shares = st.floats(0, 1)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(TEXTS), moves, shares, shares, shares)
def test_what_is_planned_does_not_depend_on_how_it_is_asked_for(
    text: str, move: tuple[str, str], one: float, two: float, three: float
) -> None:
    low, high = around(*move)
    a, middle, b = sorted(low + share * (high - low) for share in (one, two, three))
    plan = schedule(text, move[0])
    whole = list(plan.between(a, b, 10**9))
    assert all(earlier < later for earlier, later in pairwise(whole))
    assert all(a < each <= b for each in whole)
    assert [*plan.between(a, middle, 10**9), *plan.between(middle, b, 10**9)] == whole
    assert list(plan.between(a, b, 3)) == whole[:3]
    assert plan.count(a, b) == len(whole)
    assert plan.count(a, middle) + plan.count(middle, b) == len(whole)
    chain, t = [], plan.after(a)
    while t is not None and t <= b:
        chain.append(t)
        t = plan.after(t)
    assert chain == whole
    fresh = schedule(text, move[0])
    for t in (b, middle, a, middle, low, b):  # what is remembered does not change what is told
        assert plan.after(t) == fresh.after(t) == schedule(text, move[0]).after(t)


@given(st.sampled_from(TEXTS), st.sampled_from(ZONES), st.floats(0, 4e9))
@settings(max_examples=100, deadline=None)
def test_the_next_time_is_later(text: str, zone: str, t: float) -> None:
    after = schedule(text, zone).after(t)
    assert after is None or (after > t and after == int(after))


def test_no_moment_is_too_early_or_too_late_to_ask() -> None:
    plan = schedule("@daily")
    assert plan.after(-math.inf) == plan.after(-1e18) == plan.after(0.0)
    assert plan.after(math.inf) is plan.after(1e18) is None
    assert plan.count(-math.inf, 0) == 0
    assert next(plan.between(1.8e9, math.inf, 1)) == plan.after(1.8e9)


def test_several_schedules_are_one_and_no_time_comes_twice() -> None:
    plan = schedule("every weekday at 08:30; 0 10 * * sat; 30 8 * * mon;")
    assert shown(plan, "2026-06-05", "2026-06-09") == ["05 08:30", "06 10:00", "08 08:30"]


def test_a_skipped_time_runs_right_after_the_gap_and_a_repeated_one_once() -> None:
    for text in ("30 2 * * *", "every day at 02:30", "0 30 2 * * *"):
        assert shown(schedule(text), "2026-03-28", "2026-03-31") == ["28 02:30", "29 03:00", "30 02:30"]
        assert shown(schedule(text), "2026-10-24", "2026-10-27") == ["24 02:30", "25 02:30", "26 02:30"]


def test_a_wildcard_follows_the_clock() -> None:
    assert shown(schedule("*/30 2 * * *"), "2026-03-29", "2026-03-29 12:00") == []
    assert len(shown(schedule("*/30 2 * * *"), "2026-10-25", "2026-10-25 12:00")) == 4


def test_start_and_end_are_part_of_it() -> None:
    plan = schedule("every day at 08:30", start="2026-06-02", end="2026-06-04")
    assert shown(plan, "2026-01-01", "2027-01-01") == ["02 08:30", "03 08:30", "04 08:30"]
    assert plan.count(0, 9e9) == 3
    assert plan.after(dated("2026-06-04 08:30", BERLIN)) is None
    exact = schedule("every day at 08:30", start="2026-06-02 08:30", end="2026-06-02 08:30")
    assert shown(exact, "2026-01-01", "2027-01-01") == ["02 08:30"]


def test_a_job_without_a_schedule_has_no_times() -> None:
    plan = schedule("")
    assert plan.after(0) is None
    assert list(plan.between(0, 9e9, 5)) == []
    assert plan.count(0, 9e9) == 0
    assert plan.said() == "by hand"
    assert schedule(" ; ", after=("links", "prices")).said() == "after links, prices"


def test_jitter_is_the_same_after_a_restart_and_differs_by_job_and_time() -> None:
    plan, again = schedule("@hourly", jitter=600.0), schedule("@hourly", jitter=600.0)
    times = list(plan.between(1.8e9, 1.8e9 + 30 * DAY, 10**9))
    late = [plan.begins(each) - each for each in times]
    assert late == [again.begins(each) - each for each in times]
    assert all(0 <= each < 600 for each in late)
    assert len(set(late)) == len(late)
    assert 270 < sum(late) / len(late) < 330
    other = Schedule.parse(Job(name="other", spider="shop", schedule="@hourly", jitter=600.0))
    assert other.begins(times[0]) != plan.begins(times[0])
    assert schedule("@hourly").begins(times[0]) == times[0]


def test_a_run_in_a_blackout_begins_at_its_end() -> None:
    plan = schedule("@hourly", blackout=("22:00-06:00", "sat"))
    assert plan.begins(dated("2026-06-04 21:00", BERLIN)) == dated("2026-06-04 21:00", BERLIN)
    assert plan.begins(dated("2026-06-04 22:00", BERLIN)) == dated("2026-06-05 06:00", BERLIN)
    assert plan.begins(dated("2026-06-05 23:00", BERLIN)) == dated("2026-06-07 06:00", BERLIN)
    jittered = schedule("@hourly", blackout=("22:00-06:00",), jitter=7200.0)
    for planned in jittered.between(1.8e9, 1.8e9 + 20 * DAY, 10**9):
        begins = jittered.begins(planned)
        assert begins >= planned
        assert 6 <= datetime.fromtimestamp(begins, BERLIN).hour < 22


SAID = [
    ("30 8 * * *", {}, "every day at 08:30 Europe/Berlin"),
    ("every weekday at 8:30 and 17:00", {}, "every weekday at 08:30 and 17:00 Europe/Berlin"),
    ("every 30 minutes", {}, "every 30 minutes"),
    ("@weekly", {}, "at 00:00 on Sunday, Europe/Berlin"),
    ("@daily; every mon at 6:00", {}, "every day at 00:00; every Monday at 06:00 Europe/Berlin"),
    ("@daily", {"start": "2026-06-02"}, "every day at 00:00 Europe/Berlin, from 2026-06-02"),
    ("@daily", {"end": "2026-06-02"}, "every day at 00:00 Europe/Berlin, until 2026-06-02"),
    ("@daily", {"after": ("links",)}, "every day at 00:00 Europe/Berlin; after links"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "more", "said"), SAID)
def test_a_schedule_is_said_for_people(text: str, more: dict[str, Any], said: str) -> None:
    assert schedule(text, **more).said() == said


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"schedule": "99 * * * *"}, r"schedule '99 \* \* \* \*': the minute must be 0 to 59, not '99'"),
    ({"schedule": "@daily; every 5 minuts"}, "schedule 'every 5 minuts': .* did you mean 'minutes'"),
    ({"schedule": "daily"}, "schedule 'daily': .* did you mean '@daily'"),
    ({"schedule": "mon at 6:00"}, "did you mean 'every mon at 6:00'"),
    ({"schedule": "evry day at 6:00"}, "did you mean 'every day at 6:00'"),
    ({"schedule": "2026-12-24 18:00"}, "did you mean 'once 2026-12-24 18:00'"),
    ({"schedule": "whenever"}, "or write 'every ...' or 'once ...'"),
    ({"schedule": "0 0 30 2 *"}, "schedule .* never comes"),
    ({"schedule": "once 2026-06-01", "end": "2026-05-31"}, "schedule .* never comes with end '2026-05-31'"),
    ({"schedule": "0 0 29 2 *", "start": "2026-01-01", "end": "2027-01-01"}, "never comes with start .* and end"),
    ({"schedule": "x" * 1001}, "schedule must have at most 1000 characters"),
    ({"timezone": "Europe/Berln"}, "timezone must be the name of a time zone, not 'Europe/Berln'; did you mean"),
    ({"start": "soon"}, "start must be a date or time"),
    ({"end": "2026-13-01"}, "end must be a date or time"),
    ({"start": "2026-06-02", "end": "2026-06-01"}, "end '2026-06-01' is before start '2026-06-02'"),
    ({"blackout": ("22-6",)}, r"blackout\[0\] '22-6' must be a time"),
    ({"blackout": ("mon-sun",)}, "blackout: mon-sun leaves no time"),
    ({"jitter": -1.0}, "jitter must be"),
    ({"jitter": math.nan}, "jitter must be"),
]


@pytest.mark.parametrize(("fields", "told"), WRONG)
def test_what_is_wrong_is_told_with_its_key(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=f"^{told}" if told.startswith(("start", "end", "jitter")) else told):
        Schedule.parse(Job(name="shop", spider="shop", **fields))


@settings(max_examples=150, deadline=None)
@given(st.text("every once@dailymon thu 0123456789:*/-;,.²ß\ud800", max_size=30))
def test_any_text_is_a_schedule_or_an_error(text: str) -> None:
    try:
        plan = schedule(text)
    except UsageError:
        return
    assert plan.said()
    plan.after(1.8e9)
