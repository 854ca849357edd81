"""Limits are exact, also where a run goes on with smaller ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.frontier.limits import Limits
from scraper.settings import Settings


@given(st.integers(0, 50), st.integers(0, 80), st.integers(0, 80))
def test_no_more_places_are_given_than_there_are(most: int, used: int, wanted: int) -> None:
    limits = Limits(Settings(max_pages=most), 0.0)
    limits.pages = used
    given_out = sum(limits.reserve() for _ in range(wanted))
    assert given_out == (min(wanted, max(0, most - used)) if most else wanted)
    assert limits.open == given_out


@given(st.integers(0, 50), st.integers(0, 80), st.lists(st.integers(0, 20)))
def test_items_are_cut_exactly(most: int, used: int, wanted: list[int]) -> None:
    limits = Limits(Settings(max_items=most), 0.0)
    limits.items = used
    kept = [limits.take_items(number) for number in wanted]
    assert all(0 <= got <= number for got, number in zip(kept, wanted, strict=True))
    assert sum(kept) == (min(sum(wanted), max(0, most - used)) if most else sum(wanted))
    assert limits.items == used + sum(kept)


def test_the_pages_are_spent_when_the_last_has_been_answered() -> None:
    limits = Limits(Settings(max_pages=2), 0.0)
    for _ in range(2):
        assert not limits.spent()
        assert limits.reserve()
    assert not limits.reserve()
    limits.settle()
    assert not limits.spent()
    limits.settle()
    assert limits.spent()


def test_without_a_limit_nothing_is_ever_spent_or_reached() -> None:
    limits = Limits(Settings(), 0.0)
    limits.items = limits.bytes = 10**12
    assert limits.pages_left is None
    assert (limits.spent(), limits.reached(1e12), limits.deadline()) == (False, "", None)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Settings(max_items=3), "max_items"),
        (Settings(max_run_bytes=1000), "max_run_bytes"),
        (Settings(max_seconds=60.0), "max_seconds"),
    ],
)
def test_a_limit_is_reached_at_its_value_and_not_before(settings: Settings, name: str) -> None:
    limits = Limits(settings, 100.0)
    limits.items, limits.bytes = 2, 999
    assert limits.reached(159.9) == ""
    limits.items, limits.bytes = 3, 1000
    assert limits.reached(160.0) == name


def test_the_deadline_counts_from_the_start() -> None:
    assert Limits(Settings(max_seconds=60.0), 100.0).deadline() == 160.0
