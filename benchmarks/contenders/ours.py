"""The framework as a user runs it: `spiders/docsite.py`, a run folder, robots, gate, cookies, log, everything."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from scraper.discover import find
from scraper.folder import RunFolder
from scraper.program import settings_for
from scraper.run import Run
from scraper.runner import settle

from .lap import CONCURRENCY, run

SPIDER = Path(__file__).parents[2] / "spiders" / "docsite.py"
SETTINGS = {"delay": 0, "per_host": CONCURRENCY, "concurrency": CONCURRENCY}
ANYWHERE = {"scope": "any", "allow_private": True}  # the many hosts are addresses of loopback
TICK = 0.002  # seconds between two looks at the clock


async def main(given: argparse.Namespace, **more: Any) -> dict[str, Any]:
    """Crawl the site into a run folder; its journal becomes `--items`. `more` are further settings."""
    settle()  # as `scraper crawl` does
    spider = find(str(SPIDER), SPIDER.parent)(url=given.start)
    limits = {"max_pages": given.pages} | (ANYWHERE if given.any_host else {})
    gaps = Gaps()
    if given.gaps:
        gaps.begin()
    with tempfile.TemporaryDirectory() as root:
        folder = RunFolder.make(Path(root), spider.name, time.time())
        settings = settings_for(spider, ("benchmark", SETTINGS | limits | more))
        report = await Run(spider, settings, folder=folder).execute()
        if given.items:
            os.replace(folder.items, given.items)
    told = {"answered": report.stats.done + report.stats.failed}
    return told | ({"longest_gap": gaps.end()} if given.gaps else {})


class Gaps:
    """The longest time in which the event loop ran nothing else: how late a timer of `TICK` seconds fires."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Look at the clock again and again; costs some 5 us each."""
        self._last = time.perf_counter()
        self._timer = asyncio.get_running_loop().call_later(TICK, self._look)

    def _look(self) -> None:
        self.longest = max(self.longest, time.perf_counter() - self._last - TICK)
        self.begin()

    def end(self) -> float:
        """The longest gap, in seconds."""
        if self._timer is not None:
            self._timer.cancel()
        return self.longest


if __name__ == "__main__":
    run(main)
