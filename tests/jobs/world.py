"""Words that the tests of jobs share."""

from __future__ import annotations

from typing import Any

from scraper.jobs.job import Job
from scraper.jobs.record import JobRun

SHOP = Job(name="shop", spider="shop")


def planned(at: float, **fields: Any) -> JobRun:
    """A run of the shop at a planned time, not in any store yet."""
    return JobRun(**{"id": 0, "job": "shop", "spider": "shop", "planned": at, **fields})
