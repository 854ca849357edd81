"""`kill -9` of a server at random moments while jobs run: its history is the truth, and no crawl notices.

Two kills in the suite, twenty with `--slow`; `-s` shows the figures, `SERVER_KILLS_SEED` repeats the moments.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from scraper.jobs.ends import DEATHS, DYING
from scraper.jobs.job import CatchUp, Job, Overlap, Server
from scraper.jobs.record import JobRun, State
from scraper.jobs.schedule import Schedule
from scraper.jobs.store import Jobs
from scraper.testing.process import SiteProcess
from tests.cli.command import begin, ended
from tests.jobs.place import marked

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them"),
    pytest.mark.timeout(400),
]
PAGES = 12
PATIENCE = 90.0  # seconds for the runs that are left when the last server was killed
# Each run asks for pages of its own, so that the site's record tells them apart.
SPIDER = """
import sys
from scraper import Spider

class Shop(Spider):
    name = "shop"
    settings = {{"delay": 0, "per_host": 2, "commit_every": 0.05, "robots": False, "allow_private": True}}

    async def start(self):
        run = sys.argv[sys.argv.index("--run") + 1]
        for number in range({pages}):
            yield f"{url}{{run}}/{{number}}"

    def parse(self, response):
        yield {{"url": response.url}}
"""


class Trouble:
    """A project whose server is killed, over and over. `hard` kills take the crawls along, as a machine does."""

    def __init__(self, folder: Path, site: SiteProcess, chance: random.Random) -> None:
        self.folder = folder
        self.home = folder / "output" / ".jobs"
        self.site = site
        self.chance = chance
        self.kills = self.hard = self.warned = 0
        self.limits: dict[str, tuple[float, float]] = {}
        (folder / "spiders").mkdir()
        (folder / "spiders" / "shop.py").write_text(SPIDER.format(pages=PAGES, url=site.url("/")))

    def declare(self, *jobs: Job, seconds: float) -> None:
        """Plan these for so many seconds from now."""
        now = time.time()
        end = datetime.fromtimestamp(int(now + seconds), UTC).isoformat()
        with Jobs(self.home) as store:
            store.set_server(Server(parallel=3), now, "test")
            for job in jobs:
                kept = store.put(replace(job, end=end.removesuffix("+00:00")), now=now, who="test")
                self.limits[job.name] = (kept.upto, now + seconds)

    @asynccontextmanager
    async def server(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """A server; it is killed when the block ends, unless it has ended."""
        with (self.folder / "server.err").open("ab") as err:
            process = await begin("serve", "--no-web", cwd=self.folder, err=err.fileno())
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await ended(process)

    async def killed(self, *, hard: bool, warned: bool = False) -> None:
        """A server that is killed at a random moment of its first seconds; `warned` in the midst of its end."""
        async with self.server() as process:
            await asyncio.sleep(self.chance.choice((0.3, 1.0, 2.5)) * self.chance.random() + (1.5 if hard else 0.3))
            assert process.returncode is None, (self.folder / "server.err").read_text()
            if warned:
                self.warned += 1
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.5 * self.chance.random())
        self.kills += 1
        if hard:
            self.hard += 1
            for pid in marked(self.home):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    async def finishes(self) -> None:
        """A last server, until every run is over; it ends in good order."""
        async with self.server() as process, asyncio.timeout(PATIENCE):
            with Jobs(self.home, read_only=True) as store:
                while time.time() < max(end for _, end in self.limits.values()) + 1 or store.open_runs():
                    assert process.returncode is None, (self.folder / "server.err").read_text()
                    await asyncio.sleep(0.2)
            # with nothing left to do it may not listen to signals yet
            while f"(pid {process.pid})" not in (self.folder / "server.err").read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            assert (await ended(process)).code == 0

    # -- judging ------------------------------------------------------------------------------------

    def faults(self) -> list[str]:
        """Every difference from the truth."""
        with Jobs(self.home, read_only=True) as store:
            runs = [run for page in self._pages(store) for run in page]
            attempts = {run.id: store.attempts(run.id) for run in runs}
            jobs = {kept.job.name: kept.job for kept in store.jobs()}
        found = [f"process {pid} is left" for pid in marked(self.home)]
        for job in jobs.values():
            found += self._planned(job, [run for run in runs if run.job == job.name])
        hits = Counter(tuple(hit.path.strip("/").split("/")) for hit in self.site.hits)
        for run in runs:
            if run.state is not State.SKIPPED:
                found += self._one(run, hits)
            if len(attempts[run.id]) != run.attempts:
                found.append(f"run {run.id} has {run.attempts} attempts, {len(attempts[run.id])} are on record")
        folders = {
            path.parent.name for path in self.folder.glob("output/shop/*/run.json") if not path.parent.is_symlink()
        }
        found += [f"folder {name} belongs to no run" for name in folders - {run.run for run in runs}]
        asked = {run for run, _ in hits}
        found += [f"{name} was crawled and belongs to no run" for name in asked - {run.run for run in runs}]
        return found

    def _pages(self, store: Jobs) -> list[list[JobRun]]:
        pages, before = [], None
        while page := store.runs(limit=50, before=before):
            pages.append([*page])
            before = page[-1].id
        return pages

    def _planned(self, job: Job, runs: list[JobRun]) -> list[str]:
        """Each planned time has one run."""
        after, end = self.limits[job.name]
        wanted = Counter(Schedule.parse(job).between(after, end, 10_000))
        held = Counter(run.planned for run in runs)
        lost, more = sorted(wanted - held), sorted(held - wanted)
        return [f"{job.name}: lost {lost}"] * bool(lost) + [f"{job.name}: too many {more}"] * bool(more)

    def _one(self, run: JobRun, hits: Counter[tuple[str, ...]]) -> list[str]:
        """The run, its folder and the site's record agree."""
        name = f"run {run.id} ({run.run})"
        if run.state is State.FAILED and self.hard and run.why == DYING and run.attempts >= DEATHS:
            return []  # so it was
        if run.state is not State.FINISHED:
            return [f"{name} is {run.state}: {run.why}"]
        folder = self.folder / "output" / "shop" / run.run
        info = json.loads((folder / "run.json").read_text())
        items = [json.loads(line)["url"] for line in (folder / "items.jsonl").read_text().splitlines()]
        found = []
        if (info["state"], info["items"], info["pages"]) != ("finished", run.items, run.pages):
            found.append(f"{name}: {run.items} items of {run.pages} pages, its record says {info}")
        wanted = {self.site.url(f"/{run.run}/{number}") for number in range(PAGES)}
        if Counter(items) != Counter(wanted):
            found.append(f"{name}: the items are {Counter(items)}")
        asked = [hits[run.run, str(number)] for number in range(PAGES)]
        if 0 in asked or (not self.hard and set(asked) != {1}):
            found.append(f"{name}: its pages were asked for {asked} times")
        if not self.hard and not self.warned and info["starts"] != 1:
            found.append(f"{name}: {info['starts']} processes have worked on it")
        return found


def every(seconds: int, name: str, **more: Any) -> Job:
    fields: dict[str, Any] = {"spider": "shop", "catch_up": CatchUp.ALL, "overlap": Overlap.QUEUE_ALL, **more}
    return Job(name=name, schedule=f"every {seconds} seconds", **fields)


@pytest.fixture
def trouble(tmp_path: Path) -> Any:
    """With a seed, which a failing test shows."""
    seed = int(os.environ.get("SERVER_KILLS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"SERVER_KILLS_SEED={seed}")
    with SiteProcess() as site:
        site.page("/*", "<p>here</p>", delay=0.1)
        yield Trouble(tmp_path, site, random.Random(seed))


MODES = pytest.mark.parametrize("mode", ["the server", "the machine", "the server as it ends"])


async def kill_often(trouble: Trouble, kills: int, mode: str, seconds: float) -> None:
    trouble.declare(
        every(4, "queued"), every(5, "allowed", overlap=Overlap.ALLOW, parallel=2),
        every(3, "skipping", overlap=Overlap.SKIP), seconds=seconds,
    )  # fmt: skip
    began = time.monotonic()
    for number in range(kills):
        chosen = number == 0 or trouble.chance.random() < 0.5
        await trouble.killed(hard=chosen and mode == "the machine", warned=chosen and mode.endswith("ends"))
    await trouble.finishes()
    with Jobs(trouble.home, read_only=True) as store:
        counts = {state.value: number for state, number in store.counts().items() if number}
    how = f"{trouble.hard} with the crawls, {trouble.warned} at its end"
    print(f"{trouble.kills} kills, {how}, {time.monotonic() - began:.1f} s, {counts}")
    assert trouble.faults() == []


@MODES
async def test_a_server_that_is_killed_tells_the_truth_and_repeats_nothing(trouble: Trouble, mode: str) -> None:
    await kill_often(trouble, 2, mode, seconds=5)


@pytest.mark.slow
@MODES
async def test_killed_twenty_times_it_tells_the_truth_and_repeats_nothing(trouble: Trouble, mode: str) -> None:
    await kill_often(trouble, 20, mode, seconds=40)
