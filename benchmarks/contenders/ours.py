"""The framework as a user runs it: `spiders/docsite.py`, a run folder, robots, gate, cookies, log, everything."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from scraper.cli.running import collect_less
from scraper.discover import find
from scraper.folder import RunFolder
from scraper.program import settings_for
from scraper.run import Run

from .lap import run

SPIDER = Path(__file__).parents[2] / "spiders" / "docsite.py"
SETTINGS = {"delay": 0, "per_host": 32, "concurrency": 32}


async def main(given: argparse.Namespace, durability: str = "process") -> int:
    """Crawl the site into a run folder; its journal becomes `--items`."""
    collect_less()  # as `scraper crawl` does
    spider = find(str(SPIDER), SPIDER.parent)(url=given.start)
    with tempfile.TemporaryDirectory() as root:
        folder = RunFolder.make(Path(root), spider.name, time.time())
        report = await Run(
            spider, settings_for(spider, ("benchmark", SETTINGS | {"durability": durability})), folder=folder
        ).execute()
        if given.items:
            os.replace(folder.items, given.items)
    return report.stats.done + report.stats.failed


if __name__ == "__main__":
    run(main)
