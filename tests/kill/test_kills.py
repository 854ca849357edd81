"""A crawl that is killed over and over until it has finished is exactly the crawl that nobody killed."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scraper.testing.trial import Trial, TrialProcess

from .harness import Ordeal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the trial needs 127.0.0.2, which only Linux has")


@pytest.fixture(scope="module")
def site() -> Iterator[TrialProcess]:
    with TrialProcess(Trial()) as running:
        yield running


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Chance with a seed, which a failing test shows."""
    seed = request.config.getoption("--seed", 0) or random.SystemRandom().randrange(1, 10**6)
    print(f"seed {seed}")
    return random.Random(seed)


def test_left_alone_it_brings_home_the_truth(site: TrialProcess, tmp_path: Path) -> None:
    site.forget()
    ordeal = Ordeal(site, tmp_path)
    assert ordeal.once().code == 0, ordeal.ends[-1].said
    assert ordeal.faults() == []
