"""Blackout and quiet hours."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.errors import UsageError
from scraper.jobs.windows import Window, free, windows
from scraper.jobs.zones import moment_of
from tests.jobs.walk import MOVES, ZONES, around

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return moment_of(datetime.fromisoformat(text), zone, fold)


def test_a_window_across_midnight_holds_on_both_days() -> None:
    night = Window.parse("22:00-06:00")
    assert night.holds(at("2026-06-01 22:00"), BERLIN)
    assert night.holds(at("2026-06-02 05:59:59"), BERLIN)
    assert not night.holds(at("2026-06-02 06:00"), BERLIN)
    assert not night.holds(at("2026-06-01 21:59:59"), BERLIN)
    assert night.ends(at("2026-06-01 23:00"), BERLIN) == night.ends(at("2026-06-02 01:00"), BERLIN)
    assert night.ends(at("2026-06-01 23:00"), BERLIN) == at("2026-06-02 06:00")
    assert night.ends(at("2026-06-01 12:00"), BERLIN) == at("2026-06-01 12:00")


def test_days_are_those_on_which_it_begins() -> None:
    window = Window.parse("fri 22:00-06:00")
    assert window.holds(at("2026-06-06 05:00"), BERLIN)  # a Saturday
    assert not window.holds(at("2026-06-05 05:00"), BERLIN)
    assert not window.holds(at("2026-06-06 23:00"), BERLIN)


def test_whole_days_and_work_hours_are_windows() -> None:
    assert Window.parse("sat, sun") == Window("sat, sun", frozenset({5, 6}), 0, 86400)
    assert Window.parse("sat 00:00-24:00") == Window("sat 00:00-24:00", frozenset({5}), 0, 86400)
    work = Window.parse("mon-fri 9:00\u201317:00")
    assert (work.days, work.begin, work.end) == (frozenset(range(5)), 9 * 3600, 17 * 3600)
    assert Window.parse("weekdays 9 am to 5 pm").end == 17 * 3600


WRONG = [
    ("", "must be times such as"), ("8:00", "must be times such as"), ("25:00-26:00", "00:00 to 23:59:59"),
    ("22:00-25:00", "00:00 to 24:00"), ("mon-fry 9:00-10:00", "not 'fry'"), ("8:00-8:00", "00:00-24:00"),
    ("24:00-06:00", "00:00 to 23:59:59"), ("9-17", "did you mean '09:00'"), ("9:00-17:00 mon", "must be a time"),
    ("x" * 300, "must be times such as"), ("1:00-2:00-3:00", "must be a time"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_what_is_no_window_is_told_by_key_and_number(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=rf"^quiet\[1\].*{told}"):
        windows(["22:00-23:00", text], "quiet")


@pytest.mark.parametrize(
    "texts", [["00:00-24:00"], ["06:00-22:00", "22:00-06:00"], ["mon-sun"], ["weekdays", "sat", "sun 0:00-24:00"]]
)
def test_windows_that_leave_no_time_are_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError, match="leaves no time of the week"):
        windows(texts, "blackout")


def test_windows_that_leave_a_second_are_taken() -> None:
    among = windows(["mon-sat", "sun 00:00-23:59:59"], "blackout")
    assert free(at("2026-06-01 00:00"), among, BERLIN) == at("2026-06-07 23:59:59")


def test_free_goes_on_from_window_to_window() -> None:
    among = windows(["22:00-06:00", "mon 06:00-07:00", "mon 06:30-08:00"], "blackout")
    assert free(at("2026-05-31 23:00"), among, BERLIN) == at("2026-06-01 08:00")
    assert free(at("2026-06-01 12:00"), among, BERLIN) == at("2026-06-01 12:00")
    assert free(at("2026-06-01 12:00"), (), BERLIN) == at("2026-06-01 12:00")


def test_a_window_begins_with_the_first_and_ends_with_the_last_of_a_repeated_time() -> None:
    window = Window.parse("02:15-02:45")
    begins, ends = at("2026-10-25 02:15"), at("2026-10-25 02:45", fold=1)
    assert ends - begins == 5400
    assert window.holds(begins, BERLIN)
    assert not window.holds(begins - 1, BERLIN)
    assert window.ends(begins, BERLIN) == ends
    assert Window.parse("00:00-03:00").ends(begins, BERLIN) == at("2026-10-25 03:00")
    assert Window.parse("00:00-02:00").ends(at("2026-10-25 01:00"), BERLIN) == at("2026-10-25 02:00")


def test_a_skipped_time_stands_for_the_end_of_the_gap() -> None:
    gap = at("2026-03-29 03:00")
    assert Window.parse("01:00-02:30").ends(gap - 1, BERLIN) == gap
    assert not Window.parse("02:10-02:50").holds(gap, BERLIN)
    assert Window.parse("02:30-04:00").holds(gap, BERLIN)
    assert not Window.parse("02:30-04:00").holds(gap - 1, BERLIN)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(MOVES),
    st.integers(0, 95),
    st.integers(1, 95),
    st.integers(0, 4 * 86400 // 300),
)
def test_a_window_holds_whenever_the_clock_shows_a_time_in_it(
    move: tuple[str, str], begin: int, length: int, step: int
) -> None:
    zone = ZoneInfo(move[0])
    window = Window("", frozenset(range(7)), begin * 900, (begin + length) * 900)
    t = around(*move)[0] + step * 300
    shown = datetime.fromtimestamp(t, zone).replace(tzinfo=None)
    since = (shown - datetime.combine(shown, datetime.min.time())) // timedelta(seconds=1)
    if window.begin <= since < window.end or window.begin <= since + 86400 < window.end:
        assert window.holds(t, zone)
        assert window.ends(t, zone) > t
    ends = window.ends(t, zone)
    assert ends - t <= 86400 + 7200
    if not window.holds(t, zone):
        assert ends == t


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.lists(st.tuples(st.integers(0, 23), st.integers(1, 12)), min_size=1, max_size=3),
    st.integers(1_760_000_000, 1_800_000_000),
)
def test_what_is_free_is_in_no_window_and_the_first_such_moment(
    name: str, hours: list[tuple[int, int]], t: int
) -> None:
    zone = ZoneInfo(name)
    among = tuple(Window("", frozenset({0, 2, 5}), begin * 3600, (begin + more) * 3600) for begin, more in hours)
    moved = free(t, among, zone)
    assert moved >= t
    assert not any(window.holds(moved, zone) for window in among)
    if moved > t:
        assert any(window.holds(moved - 1, zone) for window in among)
        assert all(any(window.holds(each, zone) for window in among) for each in range(t, int(moved), 1800))
