"""A store of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scraper.jobs.store import Jobs


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the store lies."""
    return tmp_path / "output" / ".jobs"


@pytest.fixture
def jobs(home: Path) -> Iterator[Jobs]:
    """An empty store."""
    with Jobs(home) as made:
        yield made
