"""How values are written on a page."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.dashboard import charts, written
from scraper.jobs.record import JobRun
from scraper.jobs.shown import Dot


@given(st.text())
def test_nothing_that_deceives_the_eye_is_left(text: str) -> None:
    shown = written.visible(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t" for c in shown)
    assert not any("\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069" for c in shown)
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize("text", ["Ünïcödé", "日本語", "\U0001f469\u200d\U0001f52c", "a\nb\tc"])
def test_what_people_write_stays(text: str) -> None:
    assert written.visible(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)", "JavaScript:alert(1)", " http://a.test/", "java\nscript:x", "data:text/html,x",
        "//a.test/", "/path", "ftp://a.test/", "http://a.test/ b", 'http://a.test/"x', "http://a.test/<x>", "http://a\x00.test/",
        "http:", "", None, 3, "http://a.test/\u2028", "vbscript:x", "https:javascript:x",
    ],
)  # fmt: skip
def test_only_a_web_address_becomes_a_link(text: object) -> None:
    assert written.address(text) == ""


def test_a_web_address_is_a_link() -> None:
    for text in ("http://a.test/", "https://a.test:8443/b?c=d&e#f", "HTTPS://a.test/ü"):
        assert written.address(text) == text


@pytest.mark.parametrize(
    ("away", "said"),
    [
        (-2, "now"),
        (-60, "60 s ago"),
        (-600, "10 min ago"),
        (7200, "in 2 h"),
        (86400 * 3, "in 3 days"),
        (-5400, "2 h ago"),
    ],
)
def test_how_long_ago_is_short(away: float, said: str) -> None:
    assert written.ago(1e9 + away, 1e9) == said


@pytest.mark.parametrize(
    ("at", "zone", "said"),
    [
        (1_800_000_000.0, "Europe/Berlin", "2027-01-15 09:00:00 CET"),
        (1_800_000_000.0, "America/New_York", "2027-01-15 03:00:00 EST"),
        (1_800_000_000.0, "no/zone", "2027-01-15 08:00:00 UTC"),
        (1_800_000_000.0, "../../etc/passwd", "2027-01-15 08:00:00 UTC"),
        (0.0, "UTC", written.NONE),
        (None, "UTC", written.NONE),
        (1e30, "UTC", "second 1000000000000000019884624838656"),
    ],
)
def test_times_are_those_of_the_zone(at: float | None, zone: str, said: str) -> None:
    assert written.absolute(at, zone) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1234567, "1,234,567"),
        (0, "0"),
        (0.5, "0.5"),
        (12.3456, "12.3"),
        (None, written.NONE),
        ("x", "x"),
        (True, "True"),
    ],
)
def test_numbers_have_what_counts_of_them(value: object, said: str) -> None:
    assert written.number(value) == said


def test_a_sparkline_has_a_bar_for_each_run_and_words_for_who_does_not_see_it() -> None:
    picture = charts.spark([Dot(1, "finished", 5, 10, 0, 1.0), Dot(2, "failed", 0, 0, 1, 2.0)])
    assert picture is not None
    assert picture.paths == [("finished", "M0 26v-26h5V26z"), ("failed", "M7 26v-2h5V26z")]
    assert picture.said == "items of the last 2 runs: from 0 to 10, last 0; 1 ended badly"
    assert charts.spark([]) is None


def test_without_items_a_sparkline_tells_how_long_runs_took() -> None:
    picture = charts.spark([Dot(1, "finished", 5, 0, 0, 4.0), Dot(2, "finished", 5, 0, 0, 2.0)])
    assert picture is not None
    assert picture.said.startswith("seconds of")
    assert picture.paths == [("finished", "M0 26v-26h5V26zM7 26v-14h5V26z")]


def test_moments_tell_pages_a_second() -> None:
    found = charts.rates([{"at": 1.0, "pages": 2}, {"at": 3.0, "pages": 8}, {"at": "x"}, {"at": 3.0, "pages": 9}])
    assert [each["rate"] for each in found] == [None, 3.0, None]


@given(st.integers(1, 2000), st.integers(2, 100))
def test_thinned_points_keep_both_ends(many: int, most: int) -> None:
    points = [{"at": number} for number in range(many)]
    left = charts.thinned(points, most)
    assert len(left) == min(many, most)
    assert (left[0], left[-1]) == (points[0], points[-1])


def test_a_plot_carries_its_numbers_as_json() -> None:
    run = JobRun(id=1, job="</script>", spider="x", planned=1.0, began=2.0, ended=5.0, items=3)
    assert '"y":[3]' in charts.history([run], "UTC")
