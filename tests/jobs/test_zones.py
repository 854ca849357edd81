"""Local time and the changes of clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.convert import Unfit
from scraper.jobs.zones import change, dated, local, moment_of, plain, zone_named
from tests.jobs.walk import MOVES, ZONES, around

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Berlin", "did you mean 'Europe/Berlin'"), ("europe/berlin", "did you mean 'Europe/Berlin'"),
        ("Europe/Berln", "did you mean 'Europe/Berlin'"), ("New York", "did you mean 'America/New_York'"),
        ("utc", "did you mean 'UTC'"), ("Kathmandoo", "did you mean 'Asia/Kathmandu'"), ("CEST", "such as"),
        ("", "such as"), ("+02:00", "such as"), ("Europe", "such as"), ("../../etc/passwd", "such as"),
        ("/etc/localtime", "such as"), ("a" * 5000, "such as"), ("\0", "such as"), ("zone.tab", "such as"),
        ("x\ud800", "such as"), ("Mars/Olympus_Mons", "such as"),
    ],
)  # fmt: skip
def test_a_zone_that_is_not_there_is_told_with_what_is_near(name: str, meant: str) -> None:
    with pytest.raises(Unfit, match=meant) as told:
        zone_named(name)
    assert len(str(told.value)) < 300


def test_the_zone_of_the_machine_is_the_one_of_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":Asia/Kathmandu")
    assert zone_named("local").key == "Asia/Kathmandu"
    monkeypatch.setenv("TZ", "/usr/share/zoneinfo/Europe/Berlin")
    assert zone_named("local").key == "Europe/Berlin"
    monkeypatch.setenv("TZ", "Nowhere/Land")
    with pytest.raises(Unfit, match="TZ='Nowhere/Land' is not the name of a time zone"):
        zone_named("local")


def test_the_zone_of_the_machine_is_else_what_its_clock_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)
    zone = zone_named("local")
    assert local(1.8e9, zone) == datetime.fromtimestamp(1.8e9)


@pytest.mark.parametrize(("name", "day"), MOVES)
def test_a_change_is_found_to_the_second(name: str, day: str) -> None:
    zone = ZoneInfo(name)
    a, b = around(name, day)
    moved = change(a, b, zone)
    assert moved is not None
    assert local(moved, zone) - local(moved - 1, zone) != local(a + 1, zone) - local(a, zone)
    assert change(a, moved, zone) == moved
    assert change(a, moved - 1, zone) is None
    assert change(moved, b, zone) is None


def test_changes_are_found_over_years() -> None:
    a, b, found = dated("2020-01-01", BERLIN), dated("2030-01-01", BERLIN), 0
    while (moved := change(a, b, BERLIN)) is not None:
        a, found = moved, found + 1
    assert found == 20
    assert change(a, b, ZoneInfo("UTC")) is None


@settings(max_examples=200)
@given(st.sampled_from(ZONES), st.integers(1_600_000_000, 2_000_000_000))
def test_a_moment_is_that_of_its_local_time(name: str, moment: int) -> None:
    zone = ZoneInfo(name)
    shown = local(moment, zone)
    assert moment in (moment_of(shown, zone, fold=0), moment_of(shown, zone, fold=1))


def test_a_skipped_time_is_the_end_of_the_gap_and_a_repeated_one_the_first() -> None:
    gap = moment_of(datetime(2026, 3, 29, 3), BERLIN)
    assert moment_of(datetime(2026, 3, 29, 2), BERLIN) == moment_of(datetime(2026, 3, 29, 2, 59, 59), BERLIN) == gap
    assert moment_of(datetime(2026, 3, 29, 2, 30), BERLIN, fold=1) == gap
    twice = datetime(2026, 10, 25, 2, 30)
    assert moment_of(twice, BERLIN, fold=1) - moment_of(twice, BERLIN) == 3600
    assert moment_of(datetime(2011, 12, 30, 8), ZoneInfo("Pacific/Apia")) == plain(datetime(2011, 12, 30, 10))


def test_dates_and_times_are_read_in_the_zone() -> None:
    assert dated("2026-12-24 18:00", BERLIN) == datetime(2026, 12, 24, 17, tzinfo=UTC).timestamp()
    assert dated("2026-12-24T8:00", BERLIN) == datetime(2026, 12, 24, 7, tzinfo=UTC).timestamp()
    assert dated("2026-12-24T18:00Z", BERLIN) == datetime(2026, 12, 24, 18, tzinfo=UTC).timestamp()
    assert dated("2026-12-24 18:00+05:45", BERLIN) == datetime(2026, 12, 24, 12, 15, tzinfo=UTC).timestamp()
    assert dated(" 2026-12-24 ", BERLIN) == datetime(2026, 12, 23, 23, tzinfo=UTC).timestamp()
    assert dated("2026-12-24", BERLIN, last=True) == dated("2026-12-25", BERLIN) - 1
    assert dated("2026-12-24 18:00", BERLIN, last=True) == dated("2026-12-24 18:00", BERLIN)


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2026-02-30", "24.12.2026", "2026-12-24 25:00", "1969-01-01", "9999-01-01"]
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(Unfit, match="must be"):
        dated(text, BERLIN)
