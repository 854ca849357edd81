"""A project of one spider on a site of its own, for tests with real processes of crawls."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scraper.jobs.job import Job
from scraper.jobs.process import Processes
from scraper.jobs.record import JobRun
from scraper.testing.site import Site

ROOT = Path(__file__).parents[2]
SPIDER = """
import os, subprocess, sys, time
from scraper import Spider, arg

class Shop(Spider):
    name = "shop"
    settings = {{"delay": 0, "per_host": 2, "commit_every": 0.05, "robots": False, "backoff": 0.01, **{settings}}}
    url: str = "{url}"
    token: str = arg("", secret=True)

    async def start(self):
        yield self.url

    def parse(self, response):
        {body}
        yield {{"url": response.url, "token": self.token}}
        yield response.follow_all(css="a[href]")
"""
PAGES = 12


@dataclass
class Place:
    """The folders of a server and of its project."""

    folder: Path
    site: Site
    jobs: dict[str, Job] = field(default_factory=dict)
    good: str = ""

    def __post_init__(self) -> None:
        self.root, self.home = self.folder / "output", self.folder / "output" / ".jobs"
        self.home.mkdir(parents=True, exist_ok=True)
        (self.folder / "spiders").mkdir(exist_ok=True)
        self.spider()
        self.site.tree(pages=PAGES, delay=0.02)

    def spider(self, body: str = "pass", **settings: Any) -> None:
        """Write the spider; `body` is done for each page."""
        text = SPIDER.format(url=self.site.url(), body=body, settings=settings)
        (self.folder / "spiders" / "shop.py").write_text(text)

    def runner(self, *secrets: str) -> Processes:
        """The runner of a server here."""
        return Processes(
            self.root, self.home, self.folder, job_of=self.jobs.get, baseline=lambda run, key: self.good,
            secrets=lambda: secrets,
        )  # fmt: skip

    def run(self, **given: Any) -> JobRun:
        """A planned run, with the crawl's id."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{given.get('id', 1)}-1"
        return JobRun(**{"id": 1, "job": "shop", "spider": "shop", "planned": 0.0, "run": name, **given})

    def said(self, run: JobRun) -> str:
        """What its processes have written."""
        return (self.home / "runs" / f"{run.id}.log").read_text()

    def items(self, run: JobRun) -> list[Any]:
        """The items of its crawl."""
        path = self.root / "shop" / run.run / "items.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]


def there(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def marked(folder: Path) -> list[int]:
    """The processes that servers have begun for runs below this folder, and theirs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            text = path.read_bytes()
        except OSError:
            continue
        if f"JOB_PROCESS={folder}".encode() in text and there(int(path.parent.name)):
            found.append(int(path.parent.name))
    return found


Until = Callable[[], bool]
assert os.name == "posix"
