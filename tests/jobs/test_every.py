"""Schedules in words."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from scraper.convert import Unfit
from scraper.jobs.every import every, once
from scraper.jobs.schedule import Rule
from scraper.jobs.zones import dated, local
from tests.jobs.walk import MOVES, around

BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")


def shown(rule: Rule, after: str, number: int, zone: ZoneInfo = BERLIN) -> list[str]:
    return [f"{local(moment, zone):%a %d %H:%M}" for moment in islice(rule.times(dated(after, zone)), number)]


WORDS = [
    ("30 minutes", ["Wed 10 12:30", "Wed 10 13:00"]),
    ("90 seconds", ["Wed 10 12:01", "Wed 10 12:03"]),
    ("2 hours", ["Wed 10 13:00", "Wed 10 15:00"]),  # summer time: even hours in winter are odd ones now
    ("1h30m", ["Wed 10 13:00", "Wed 10 14:30"]),
    ("hour", ["Wed 10 13:00", "Wed 10 14:00"]),
    ("second", ["Wed 10 12:00", "Wed 10 12:00"]),
    ("day", ["Thu 11 00:00", "Fri 12 00:00"]),
    ("day at 08:30", ["Thu 11 08:30", "Fri 12 08:30"]),
    ("1 day at 08:30", ["Thu 11 08:30", "Fri 12 08:30"]),
    ("day at 8:30, 13:00 and 6 pm", ["Wed 10 13:00", "Wed 10 18:00", "Thu 11 08:30"]),
    ("weekday at 08:30 and 17:00", ["Wed 10 17:00", "Thu 11 08:30", "Thu 11 17:00"]),
    ("weekday at 08:30", ["Thu 11 08:30", "Fri 12 08:30", "Mon 15 08:30"]),
    ("mon, thu at 6:00", ["Thu 11 06:00", "Mon 15 06:00"]),
    ("monday and thursday at 6:00", ["Thu 11 06:00", "Mon 15 06:00"]),
    ("sat-mon at 6:00", ["Sat 13 06:00", "Sun 14 06:00", "Mon 15 06:00", "Sat 20 06:00"]),
    ("weekend at 6:00", ["Sat 13 06:00", "Sun 14 06:00", "Sat 20 06:00"]),
    ("week", ["Mon 15 00:00", "Mon 22 00:00"]),
    ("week on tue, fri at 6:00", ["Fri 12 06:00", "Tue 16 06:00"]),
    ("2 weeks on tue at 6:00", ["Tue 16 06:00", "Tue 30 06:00"]),
    ("2 days at 6:00", ["Thu 11 06:00", "Sat 13 06:00"]),
    ("other day", ["Thu 11 00:00", "Sat 13 00:00"]),
    ("1.5 days", ["Thu 11 13:00", "Sat 13 01:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("words", "times"), WORDS)
def test_words_are_planned(words: str, times: list[str]) -> None:
    assert shown(every(words, BERLIN), "2026-06-10 12:00", len(times)) == times


WRONG = [
    ("", "after 'every' comes"), ("5 minuts", "did you mean 'minutes'"), ("30", "every 30 minutes"),
    ("0 minutes", "whole seconds, 1 at least"), ("0.5 seconds", "whole seconds"), ("0.1 minutes 0.5 s", "whole"),
    ("month", "@monthly"), ("3 months at 6:00", "@monthly"), ("blue moon", "not 'blue'"),
    ("mothn", "did you mean 'month'"), ("thrusday at 6:00", "did you mean 'thursday'"),
    ("hour at 08:30", "'at' goes with days"), ("30 minutes at 08:30", "'at' goes with days"),
    ("day at", "after 'at' must be a time"), ("day at 8", "did you mean '08:00'"), ("day at 24:00", "23:59:59"),
    ("day at 8:00 and", "must be a time"), ("200 years", "no fixed length"), ("99999 days", "100 years"),
    ("-5 minutes", "after 'every' comes"), ("2 weeks on blursday", "not 'blursday'"), ("5 min 5 min", "once"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "told"), WRONG)
def test_wrong_words_are_told(words: str, told: str) -> None:
    with pytest.raises(Unfit, match=told):
        every(words, BERLIN)


@pytest.mark.parametrize(("zone", "day"), MOVES)
def test_intervals_stay_the_same_where_clocks_are_moved(zone: str, day: str) -> None:
    a, b = around(zone, day)
    rule = every("40 minutes", ZoneInfo(zone))
    times = list(islice(rule.times(a), 200))
    assert {later - earlier for earlier, later in pairwise(times)} == {2400.0}
    assert rule.count(a, b) == sum(1 for each in times if each <= b)


def test_an_interval_counts_from_a_monday_at_midnight_of_the_zone() -> None:
    for zone in (BERLIN, LORD_HOWE, ZoneInfo("Asia/Kathmandu")):
        monday = dated("2024-01-01", zone)
        assert next(every("7 hours", zone).times(monday - 1)) == monday
        assert next(every("7 hours", zone).times(monday)) == monday + 7 * 3600
        assert next(every("7 hours", zone).times(monday - 7 * 3600)) == monday
        assert shown(every("3 days at 5:00", zone), "2024-01-01", 2, zone) == ["Mon 01 05:00", "Thu 04 05:00"]
        assert shown(every("2 weeks", zone), "2023-12-31", 2, zone) == ["Mon 01 00:00", "Mon 15 00:00"]


def test_days_count_on_where_clocks_are_moved() -> None:
    times = [
        local(each, BERLIN)
        for each in islice(every("2 days at 02:30", BERLIN).times(dated("2026-03-20", BERLIN)), 200)
    ]
    assert {(later.date() - earlier.date()).days for earlier, later in pairwise(times)} == {2}


@pytest.mark.parametrize(("zone", "day"), MOVES)
def test_a_skipped_or_repeated_time_of_day_runs_once(zone: str, day: str) -> None:
    a, b = around(zone, day)
    for words in ("day at 00:00", "day at 00:01", "day at 00:30", "day at 01:45", "day at 02:00", "day at 02:15"):
        times = [each for each in islice(every(words, ZoneInfo(zone)).times(a), 10) if each <= b]
        assert 3 <= len(times) <= 4
        assert len({local(each, ZoneInfo(zone)).date() for each in times}) >= len(times) - (zone == "Pacific/Apia")


def test_words_are_said_as_they_are_read() -> None:
    for words in ("day at 08:30", "weekday at 08:30 and 17:00", "3 days at 06:00", "30 minutes", "hour"):
        assert every(words, BERLIN).said() == f"every {words}"
    assert every("thu, mon at 6:00", BERLIN).said() == "every Monday and Thursday at 06:00"
    assert every("2 weeks", BERLIN).said() == "every 2 weeks on Monday at 00:00"
    assert once("2026-12-24 at 8:00", BERLIN).said() == "once on 2026-12-24 at 08:00"
    assert (
        every(every("2 weeks on sun at 6 am", BERLIN).said().lower()[6:], BERLIN).said().endswith("Sunday at 06:00")
    )


def test_once_is_once() -> None:
    rule = once("2026-12-24 18:00", BERLIN)
    moment = datetime(2026, 12, 24, 17, tzinfo=UTC).timestamp()
    assert list(rule.times(0)) == [moment]
    assert list(rule.times(moment)) == []
    assert [rule.count(0, moment), rule.count(moment, 9e9), rule.count(0, moment - 1)] == [1, 0, 0]
    with pytest.raises(Unfit, match="after 'once' must be a date or time"):
        once("upon a time", BERLIN)
