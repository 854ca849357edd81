"""A crawl that is killed over and over until it has finished is exactly the crawl that nobody killed.

`pytest tests/kill -s --kills 500` makes 500 kills and shows the figures of each crawl.
"""

from __future__ import annotations

import random
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from scraper.testing.trial import HOSTS
from scraper.testing.trial_site import TrialProcess

from .conftest import KILLS
from .harness import Death, Ordeal, spread

FEW = 6  # kills in the tests beside the main one


def test_left_alone_it_brings_home_the_truth(trial: TrialProcess, tmp_path: Path) -> None:
    trial.forget()
    ordeal = Ordeal(trial, tmp_path / "work")
    assert ordeal.once().code == 0, ordeal.ends[-1].said
    assert ordeal.faults() == []
    lines, rows = tmp_path / "work" / "a.jsonl", tmp_path / "work" / "b.csv"
    lines.write_bytes(lines.read_bytes()[:-30])  # and would it be seen?
    rows.write_bytes(rows.read_bytes() + rows.read_bytes().rpartition(b"\r\n127.")[2].join([b"127.", b""]))
    assert [fault.partition(":")[0] for fault in ordeal.faults()] == ["a.jsonl", "b.csv"]


@pytest.mark.timeout(0)
@pytest.mark.parametrize("half", [0, 1])  # for a processor each
def test_killed_at_random_instants_it_loses_nothing_and_repeats_nothing(
    trial: TrialProcess, tmp_path: Path, chance: random.Random, request: pytest.FixtureRequest, half: int
) -> None:
    left, number = (request.config.getoption("--kills", KILLS) + half) // 2, 0
    while left > 0:
        trial.forget()
        number += 1
        ordeal = Ordeal(trial, tmp_path / f"work{number}")
        ordeal.finish(chance, spread, most=left)
        print(ordeal.told(), flush=True)
        assert ordeal.faults() == []
        left -= ordeal.kills


def test_interrupted_in_good_order_it_is_as_exact(
    trial: TrialProcess, tmp_path: Path, chance: random.Random
) -> None:
    trial.forget()
    ordeal = Ordeal(trial, tmp_path / "work", more=("-s", "grace=0.2"))
    ordeal.finish(
        chance, lambda chance: Death(chance.uniform(0.0, 0.7), at_work=True), sign=signal.SIGTERM, most=FEW
    )
    print(ordeal.told())
    assert ordeal.faults() == []


@pytest.mark.parametrize("setting", ["max_items", "max_pages"])
def test_a_limit_is_exact_across_kills(
    trial: TrialProcess, tmp_path: Path, chance: random.Random, setting: str
) -> None:
    trial.forget()
    ordeal = Ordeal(trial, tmp_path / "work", more=("-s", f"{setting}=400"))
    ordeal.finish(chance, spread, most=FEW)
    print(ordeal.told())
    assert ordeal.limited_faults(**{setting: 400}) == []


def test_the_delay_of_a_host_holds_from_one_process_to_the_next(
    small: list[TrialProcess], tmp_path: Path, chance: random.Random
) -> None:
    site, delay = small[0], 0.8
    site.forget()
    ordeal = Ordeal(site, tmp_path / "work", more=("-s", f"delay={delay}", "-s", "max_pages=8"))
    ordeal.finish(chance, lambda chance: Death(chance.uniform(0.1, 1.2), at_work=True), most=3)
    gaps = [gap for host in HOSTS for gap in spacing_of(site, host)]
    print(f"{ordeal.told()}, least gap {min(gaps):.3f} s")
    assert min(gaps) >= delay - 0.02  # as the server sees it


def spacing_of(site: TrialProcess, host: str) -> list[float]:
    """Seconds between the visits of a host."""
    times = [at for at, _, place, _ in site.visits if place.startswith(f"{host}/")]
    return [later - earlier for earlier, later in pairwise(sorted(times))]
