"""Options, after `pytest tests/kill`: `--kills N` in the main test, `--every` operation fails once, `--seed N`."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scraper.testing.trial import Trial
from scraper.testing.trial_site import TrialProcess

from . import disk

KILLS = 40
AT_ONCE = 3  # crawls


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much is done."""
    parser.addoption("--kills", type=int, default=KILLS, help="kills of the crawl in tests/kill/test_kills.py")
    parser.addoption("--every", action="store_true", help="fail every single operation in tests/kill/test_steps.py")
    parser.addoption("--seed", type=int, default=0, help="of the instants of the kills; 0 draws one")


@pytest.fixture(autouse=True)
def _loopback() -> None:
    if sys.platform != "linux":
        pytest.skip("the trial needs 127.0.0.2 without asking for it, which only Linux has")


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Chance with a seed, which a failing test shows."""
    seed = request.config.getoption("--seed", 0) or random.SystemRandom().randrange(1, 10**6)
    print(f"--seed {seed}")
    return random.Random(seed)


@pytest.fixture(scope="session")
def trial() -> Iterator[TrialProcess]:
    """The whole trial; a test that uses it begins with `forget`."""
    with TrialProcess(Trial()) as running:
        yield running


@pytest.fixture(scope="session")
def small() -> Iterator[list[TrialProcess]]:
    """Some equal trials of thirty pages, none of them slow: one for each crawl at a time."""
    with ExitStack() as stack:
        yield [stack.enter_context(TrialProcess(Trial(30, pace=0.0))) for _ in range(AT_ONCE)]


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that meddles with files."""
    if disk.compiler() is None:
        pytest.skip("there is no C compiler to make the shim with")
    return disk.compiled(tmp_path_factory.mktemp("shim"))
