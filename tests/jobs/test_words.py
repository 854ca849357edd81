"""Durations, sizes, days and times of day as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.convert import Unfit
from scraper.jobs.words import (
    CENTURY,
    duration,
    size,
    spell,
    spell_days,
    spell_time,
    time_of_day,
    weekdays,
)

DURATIONS: list[tuple[Any, float]] = [
    (90, 90), (0.5, 0.5), (0, 0), ("90", 90), ("90s", 90), ("90 seconds", 90), ("30 minutes", 1800), ("1 min", 60),
    ("1h30m", 5400), ("1 h 30 min", 5400), ("1 hour and 30 minutes", 5400), ("1 hour, 30 minutes", 5400),
    ("2 days", 172800), ("1.5 hours", 5400), ("1 week", 604800), ("500 ms", 0.5), (" 2 Hours ", 7200),
]  # fmt: skip
SIZES: list[tuple[Any, int]] = [
    (0, 0), (1024, 1024), ("500", 500), ("500 MB", 500_000_000), ("500mb", 500_000_000), ("1 GiB", 2**30),
    ("1.5 GiB", 3 * 2**29), ("64 KiB", 65536), ("2 kB", 2000), ("1 TB", 10**12), ("7 bytes", 7), ("1 TiB", 2**40),
]  # fmt: skip
NO_DURATIONS: list[Any] = [
    "", "soon", "-5", "- 5 minutes", "5 parsecs", "1h 1h", "h", "1h30", "30 1h", ", 5 minutes", "1 month", "1e3",
    "inf", "nan", "²", "10:00", "101 years", "40000 days", None, True, [], float("inf"), float("nan"), -1, 10**400,
    "9" * 5000, "5 minutes ago",
]  # fmt: skip
NO_SIZES: list[Any] = [
    "", "big", "-1", "2G", "2 m", "1 XB", "0.5 bytes", "1,5 GB", True, None, -1, 0.5, float("inf"), 2**70, "1e9",
    "9" * 15 + " TB",
]  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_a_duration_is_read(text: Any, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(("text", "number"), SIZES)
def test_a_size_is_read(text: Any, number: int) -> None:
    assert size(text) == number


@pytest.mark.parametrize("value", NO_DURATIONS)
def test_what_is_no_duration_is_refused_in_a_short_sentence(value: Any) -> None:
    with pytest.raises(Unfit, match=r"^must ") as told:
        duration(value)
    assert len(str(told.value)) < 250


@pytest.mark.parametrize("value", NO_SIZES)
def test_what_is_no_size_is_refused_in_a_short_sentence(value: Any) -> None:
    with pytest.raises(Unfit, match=r"^must ") as told:
        size(value)
    assert len(str(told.value)) < 250


def test_an_error_says_what_is_near() -> None:
    with pytest.raises(Unfit, match="did you mean 'minutes'"):
        duration("5 minuts")
    with pytest.raises(Unfit, match="'month' has no fixed length"):
        duration("1 month")
    with pytest.raises(Unfit, match=r"GB \(1000\) or GiB \(1024\)"):
        size("2g")
    with pytest.raises(Unfit, match="did you mean 'thursday'"):
        weekdays("mon, thusday")
    with pytest.raises(Unfit, match="did you mean '08:00'"):
        time_of_day("8")


@given(st.integers(0, int(CENTURY)))
def test_a_spelled_duration_reads_as_itself(seconds: int) -> None:
    assert duration(spell(seconds)) == seconds


def test_durations_are_spelled_shortly() -> None:
    assert [spell(each) for each in (0, 1, 90, 3600, 5400, 86400, 604800, 777600, 0.25)] == [
        "0 seconds", "1 second", "1 minute 30 seconds", "1 hour", "1 hour 30 minutes", "1 day", "1 week", "9 days",
        "0.25 seconds",
    ]  # fmt: skip


DAYS = [
    ("mon", {0}), ("Monday", {0}), ("mondays", {0}), ("mon, thu", {0, 3}), ("mon and thu", {0, 3}),
    ("mon-fri", {0, 1, 2, 3, 4}), ("weekdays", {0, 1, 2, 3, 4}), ("weekend", {5, 6}), ("fri-mon", {4, 5, 6, 0}),
    ("mon - wed, sun", {0, 1, 2, 6}), ("mon to wed", {0, 1, 2}), ("tues\u2013thurs", {1, 2, 3}),
    ("mon thu", {0, 3}), ("daily", {0, 1, 2, 3, 4, 5, 6}), ("sun-sat", {0, 1, 2, 3, 4, 5, 6}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "days"), DAYS)
def test_days_of_the_week_are_read(text: str, days: set[int]) -> None:
    assert weekdays(text) == days


@pytest.mark.parametrize("text", ["", ",", "mon-", "-mon", "mo", "1", "mon-fri-sun", "someday"])
def test_what_are_no_days_is_refused(text: str) -> None:
    with pytest.raises(Unfit, match="must be days"):
        weekdays(text)


def test_days_are_spelled_as_what_comes_after_every() -> None:
    spelled = [spell_days(weekdays(text)) for text in ("day", "mon-fri", "sat, sun", "thu, mon", "tue")]
    assert spelled == ["day", "weekday", "Saturday and Sunday", "Monday and Thursday", "Tuesday"]


TIMES = [
    ("08:30", 30600), ("8:30", 30600), ("8:30:15", 30615), ("00:00", 0), ("23:59:59", 86399), ("8 am", 28800),
    ("12 am", 0), ("12:30 pm", 45000), ("6pm", 64800),
]  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), TIMES)
def test_a_time_of_day_is_read_and_spelled(text: str, seconds: int) -> None:
    assert time_of_day(text) == seconds
    assert time_of_day(spell_time(seconds)) == seconds


@pytest.mark.parametrize(
    "text", ["", "8", "24:00", "25:00", "8:60", "8:5", "8.30", "13 pm", "0 am", "noonish", "٨:٣٠"]
)
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(Unfit, match="must be a time"):
        time_of_day(text)


def test_the_end_of_a_day_is_a_time_only_where_it_may_end_something() -> None:
    assert time_of_day("24:00", last=True) == 86400
    with pytest.raises(Unfit, match="24:00"):
        time_of_day("24:01", last=True)
