"""Cron lines, judged by cronsim and by a walk along the clock."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.convert import Unfit
from scraper.errors import UsageError
from scraper.jobs.cron import NAMED, Cron
from tests.jobs.walk import MOVES, ZONES, Matches, around, walked

FIXED = [
    "30 2 * * *", "0 2,3 * * *", "0,30 1-3 * * *", "0 0 * * *", "30 8 * * mon-fri", "0 0 1,15 * fri",
    "0 12 L * *", "0 12 * * sun#1", "0 0 29 2 *", "45 1 * MAR,OCT 7", "0 0 LW * *", "10 23 * * 6L",
]  # fmt: skip
WILD = ["*/30 2 * * *", "0 */3 * * *", "*/20 1-3 1 * *", "0 * 28-31 3,10,11 *"]
BEGIN, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
# A leap day, and clocks that are moved three times; all four years with --slow.
YEARS = pytest.mark.parametrize(
    "end",
    [
        pytest.param(datetime(2025, 4, 8, tzinfo=UTC), id="15 months"),
        pytest.param(END, id="years", marks=pytest.mark.slow),
    ],
)


def by_cronsim(line: str, zone: str, begin: datetime = BEGIN, end: datetime = END) -> list[float]:
    found: list[float] = []
    for at in CronSim(line, begin.astimezone(ZoneInfo(zone))):
        if at > end:
            return found
        found.append(at.timestamp())
    return found


def by_us(line: str, zone: str, a: float = BEGIN.timestamp(), b: float = END.timestamp()) -> list[float]:
    found = []
    for moment in Cron(line, ZoneInfo(zone)).times(a):
        if moment > b:
            break
        found.append(moment)
    return found


@YEARS
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("line", FIXED)
def test_lines_at_fixed_times_run_when_cronsim_says_for_years(line: str, zone: str, end: datetime) -> None:
    assert by_us(line, zone, b=end.timestamp()) == by_cronsim(line, zone, end=end)


@YEARS
@pytest.mark.parametrize("zone", [zone for zone in ZONES if zone != "Australia/Lord_Howe"])
@pytest.mark.parametrize("line", [*WILD, "0 */30 2 * * *", "15,45 */30 2 * * *"])
def test_wildcard_lines_run_when_cronsim_says_for_years(line: str, zone: str, end: datetime) -> None:
    assert by_us(line, zone, b=end.timestamp()) == by_cronsim(line, zone, end=end)


def test_a_run_that_cronsim_loses_at_a_gap_of_half_an_hour_takes_place() -> None:
    at = datetime(2026, 10, 4, 3, tzinfo=ZoneInfo("Australia/Lord_Howe")).timestamp()
    begin, end = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    assert at not in by_cronsim("0 */3 * * *", "Australia/Lord_Howe", begin, end)
    assert at in by_us("0 */3 * * *", "Australia/Lord_Howe", begin.timestamp(), end.timestamp())


LINES: list[tuple[str, bool, Matches]] = [
    ("30 2 * * *", False, lambda at: (at.hour, at.minute) == (2, 30)),
    ("15 0 * * *", False, lambda at: (at.hour, at.minute) == (0, 15)),
    ("0,20,40 0-3 * * *", False, lambda at: at.minute in (0, 20, 40) and at.hour < 4),
    ("*/20 0-3 * * *", True, lambda at: at.minute in (0, 20, 40) and at.hour < 4),
    ("0 * * * *", True, lambda at: at.minute == 0),
    ("5 */2 * * *", True, lambda at: at.minute == 5 and at.hour % 2 == 0),
    ("* 1 * * sun", True, lambda at: at.hour == 1 and at.weekday() == 6),
    ("0 0,1 * * 0,1", False, lambda at: at.hour < 2 and at.minute == 0 and at.weekday() in (6, 0)),
]


@pytest.mark.parametrize(("zone", "day"), MOVES)
@pytest.mark.parametrize(("line", "wild", "matches"), LINES, ids=[line for line, _, _ in LINES])
def test_a_line_runs_when_a_walk_along_the_clock_says(
    line: str, wild: bool, matches: Matches, zone: str, day: str
) -> None:
    a, b = around(zone, day)
    assert by_us(line, zone, a, b) == walked(matches, wild, a, b, zone)


FIELD = st.one_of(
    st.sampled_from(["*", "*/2", "*/7"]),
    st.lists(st.integers(0, 23), min_size=1, max_size=4).map(lambda all_: ",".join(map(str, all_))),
)


def values(field: str, top: int) -> set[int]:
    if field.startswith("*"):
        return set(range(0, top, int(field[2:] or 1)))
    return {int(each) for each in field.split(",")}


@settings(max_examples=40, deadline=None)
@given(FIELD, FIELD, st.sampled_from(MOVES))
def test_any_line_runs_when_a_walk_says(minute: str, hour: str, move: tuple[str, str]) -> None:
    minutes, hours = values(minute, 60), values(hour, 24)
    a, b = around(*move, days=1)
    wild = minute.startswith("*") or hour.startswith("*")
    found = walked(lambda at: at.minute in minutes and at.hour in hours, wild, a, b, move[0])
    line = f"{minute} {hour} * * *"
    assert by_us(line, move[0], a, b) == found
    assert Cron(line, ZoneInfo(move[0])).count(a, b) == len(found)


def test_fixed_times_with_seconds_survive_changes_of_the_clock_too() -> None:
    zone = ZoneInfo("Europe/Berlin")
    spring = by_us("15,45 30 2 * * *", "Europe/Berlin", *around("Europe/Berlin", "2026-03-29", 1))
    autumn = by_us("15,45 30 2 * * *", "Europe/Berlin", *around("Europe/Berlin", "2026-10-25", 1))
    assert [str(datetime.fromtimestamp(at, zone))[8:19] for at in spring[2:]] == ["29 03:00:00"]
    assert [str(datetime.fromtimestamp(at, zone))[8:] for at in autumn[2:]] == [
        "25 02:30:15+02:00",
        "25 02:30:45+02:00",
    ]


def test_what_begins_in_a_repeated_hour_goes_only_forward() -> None:
    zone = ZoneInfo("Europe/Berlin")
    again = datetime(2026, 10, 25, 2, 10, tzinfo=zone, fold=1).timestamp()
    assert next(CronSim("30 2 * * *", datetime.fromtimestamp(again, zone))).timestamp() < again
    assert next(Cron("30 2 * * *", zone).times(again)) == datetime(2026, 10, 26, 2, 30, tzinfo=zone).timestamp()


@pytest.mark.parametrize("line", ["* * * * *", "*/7 3-5 * * *", "30 2 * * *", "0 0 1 * *", "*/40 */7 * * * *"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut"])
def test_a_count_is_that_of_a_walk(line: str, zone: str) -> None:
    a, b = datetime(2026, 3, 26, 5, 6, 7, tzinfo=UTC).timestamp(), datetime(2026, 4, 7, tzinfo=UTC).timestamp()
    assert Cron(line, ZoneInfo(zone)).count(a, b) == len(by_us(line, zone, a, b))
    assert Cron(line, ZoneInfo(zone)).count(b, a) == 0


@pytest.mark.parametrize("name", NAMED)
def test_a_named_line_is_its_line(name: str) -> None:
    first = next(Cron(name.upper(), ZoneInfo("Europe/Berlin")).times(1.8e9))
    assert first == next(Cron(NAMED[name], ZoneInfo("Europe/Berlin")).times(1.8e9))


WRONG = [
    ("99 * * * *", "minute must be 0 to 59, not '99'"), ("* 24 * * *", "hour must be 0 to 23, not '24'"),
    ("60 * * * * *", "second must be 0 to 59"), ("0 0 0 * *", "day of month must be 1 to 31"),
    ("0 0 * 13 *", "month must be 1 to 12"), ("0 0 * * 8", "day of week must be 0 to 7"),
    ("0 0 * jly *", "month must .* did you mean 'jul'"), ("0 0 * * 1,thr", "not 'thr'; did you mean 'thu'"),
    ("0 0 * * monday", "did you mean 'mon'"), ("0 0 ? * *", r"write '\*'"), ("*/0 * * * *", "step of 1 or more"),
    ("*/x * * * *", "step of 1 or more"), ("*/² * * * *", "step of 1 or more"), ("0 22-2 * * *", "'22-23,0-2'"),
    ("0 0 * * fri-mon", "write 'fri-6,0-mon'"), ("*/90 * * * *", "every 90 minutes"), ("0 0 , * *", "day of month"),
    ("0 0 30 2 *", "never comes"), ("0 0 31 4,6,9,11 *", "never comes"), ("* * */20 * 1L", "never comes"),
    ("0 0 * *", "this has 4"), ("0 0 0 * * * 2026", "this has 7"), ("", "this has 0"), ("@dayly", "'@daily'"),
    ("@reboot", "there are only"), ("0 0 * * 5L/2", "day of week"), ("0 0 * * mon#6", "day of week"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "told"), WRONG)
def test_a_wrong_line_names_its_field(line: str, told: str) -> None:
    with pytest.raises(Unfit, match=told):
        Cron(line, ZoneInfo("UTC"))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text("0123456789*/,-#LWlwmonSU²?ß ", max_size=6), max_size=7).map(" ".join))
def test_any_text_is_a_line_or_an_error(line: str) -> None:
    try:
        cron = Cron(line, ZoneInfo("UTC"))
    except Unfit:
        return
    first = next(cron.times(1.8e9))
    assert first == next(CronSim(line, datetime.fromtimestamp(1.8e9, UTC))).timestamp()
    assert cron.said()


@settings(max_examples=80)
@given(st.text("0123456789*/,-#LW", min_size=1, max_size=5))
def test_what_cronsim_refuses_is_refused(field: str) -> None:
    line = f"0 0 {field} * *"
    try:
        CronSim(line, BEGIN)
    except CronSimError:
        with pytest.raises(Unfit):
            Cron(line, ZoneInfo("UTC"))


def test_a_leap_day_on_a_monday_is_waited_for() -> None:
    assert datetime.fromtimestamp(next(Cron("0 0 * 2 mon#5", ZoneInfo("UTC")).times(1.8e9)), UTC).year == 2044


def test_a_line_is_said_in_words() -> None:
    said = [
        Cron(line, ZoneInfo("UTC")).said() for line in ("30 8 * * *", "0 30 8 * * 1-5", "*/5 * * * *", "@monthly")
    ]
    assert said == [
        "every day at 08:30", "at 08:30 on Monday through Friday", "every fifth minute of every hour",
        "at 00:00 on the first day of every month",
    ]  # fmt: skip


def test_without_cronsim_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cronsim", None)
    with pytest.raises(UsageError, match=r"extra `server`"):
        Cron("@daily", ZoneInfo("UTC"))
