"""A crawl that is killed over and over until it has finished is exactly the crawl that nobody killed.

`pytest tests/kill -s --kills 500` makes 500 kills and shows the figures of each crawl.
"""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

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
        assert len(ordeal.runs()) == 1
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


@pytest.mark.timeout(0)
def test_with_worker_processes_it_is_as_exact(
    trial: TrialProcess, tmp_path: Path, chance: random.Random, request: pytest.FixtureRequest
) -> None:
    left, number = max(FEW, request.config.getoption("--kills", KILLS) // 5), 0
    while left > 0:
        trial.forget()
        number += 1
        ordeal = Ordeal(trial, tmp_path / f"work{number}")
        ordeal.finish(chance, lambda chance: later(spread(chance)), most=left, numbers=(2, 3, 1))
        print(ordeal.told(), flush=True)
        assert ordeal.faults() == []
        assert len(ordeal.runs()) == 1
        left -= ordeal.kills


def later(death: Death) -> Death:
    """Workers take a moment to begin."""
    return death._replace(seconds=2 * death.seconds)


@pytest.mark.parametrize("setting", ["max_items", "max_pages"])
def test_a_limit_is_exact_across_kills(
    trial: TrialProcess, tmp_path: Path, chance: random.Random, setting: str
) -> None:
    trial.forget()
    ordeal = Ordeal(trial, tmp_path / "work", more=("-s", f"{setting}=400"))
    ordeal.finish(chance, spread, most=FEW)
    print(ordeal.told())
    assert ordeal.limited_faults(**{setting: 400}) == []


@pytest.mark.timed
def test_a_process_that_goes_on_lets_each_host_wait_for_its_delay_first(
    small: list[TrialProcess], tmp_path: Path, chance: random.Random
) -> None:
    site, delay = small[0], 0.9
    site.forget()
    ordeal = Ordeal(site, tmp_path / "work", more=("-s", f"delay={delay}", "-s", "max_pages=6"))
    ordeal.finish(chance, lambda chance: Death(chance.uniform(0.1, 0.6), at_work=True), most=2)
    times = sorted(at for at, *_ in site.visits)
    for end in ordeal.ends[1:]:  # the one before it was killed, and nobody knows what it had sent last
        first = min((at for at in times if at > end.began), default=end.began + delay)
        assert first >= end.began + delay
