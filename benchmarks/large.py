"""How long large pages hold up the others: `python -m benchmarks.large [--pages 100] [--json PATH]`.

A generated site: pages of 1 to 3 MB with 5,000 to 20,000 links each, and ten times as many small ones, crawled with
32 in flight. A probe that wants the event loop every PROBE seconds measures how late it gets it; what runs on the
loop in one go is timed beside it, by its stage. Times are seconds, of one core where there are several.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from scraper import Request, Response, Spider, arg
from scraper.commit import Commit
from scraper.crawl import Crawl
from scraper.frontier.intake import Intake
from scraper.parse.selector import Selection
from scraper.program import crawl
from scraper.reading import Reading
from scraper.runner import settle

from .contenders.lap import go_first
from .site import Cores, free_port, pinned, process, wait_until_open

PROBE = 0.005  # seconds
SMALL = 10  # small pages for each large one
LINKS = (5_000, 20_000)
SIZE = (1_000_000, 3_000_000)  # bytes
STAGES: tuple[tuple[type, str], ...] = (
    (Selection, "getall"), (Response, "follow_all"), (Intake, "links"), (Crawl, "_settle"), (Commit, "add"),
    (Reading, "_prepare"),
)  # fmt: skip


class Large(Spider):
    """Reads what a page links to, as most spiders do."""

    name = "large"
    url: str = arg(help="page to start from")

    async def start(self) -> Any:
        """The front page."""
        yield Request(self.url)

    def parse(self, response: Response) -> Any:
        """Its links, and its title."""
        hrefs = response.css("a[href]::attr(href)").getall()
        yield {"url": response.url, "title": response.css("title::text").get(""), "links": len(hrefs)}
        yield response.follow_all(hrefs)


def generate(root: Path, pages: int) -> int:
    """Write the site; gives the number of its pages."""
    chance = random.Random(1)
    small = pages * SMALL
    for number in range(small):
        links = "".join(f'<li><a href="small-{(number * 7 + step) % small}.html">x</a>' for step in range(30))
        text = f"<!doctype html><title>Small {number}</title><ul>{links}</ul>"
        (root / f"small-{number}.html").write_text(text, encoding="utf-8")
    for number in range(pages):
        count, size = chance.randint(*LINKS), chance.randint(*SIZE)
        filler = "and <em>text</em>, plain " * max(0, (size // count - 60) // 25)
        rows = [
            f'<div class="row"><a href="small-{chance.randrange(small)}.html#{step}">{step}</a> {filler}</div>\n'
            for step in range(count)
        ]
        text = f"<!doctype html><title>Large {number}</title>{''.join(rows)}"
        (root / f"large-{number}.html").write_text(text, encoding="utf-8")
    links = "".join(
        f'<a href="large-{number}.html">l</a><a href="small-{number * SMALL}.html">s</a>' for number in range(pages)
    )
    (root / "index.html").write_text(f"<!doctype html><title>Index</title>{links}", encoding="utf-8")
    return pages + small + 1


class Watch:
    """The longest waits for the loop, and the longest run of each stage."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self.stages: dict[str, list[float]] = defaultdict(list)
        self._began = 0.0

    async def probe(self) -> None:
        """Until cancelled."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(PROBE)
            self.gaps.append(time.perf_counter() - before - PROBE)

    def collecting(self, phase: str, _: dict[str, int]) -> None:
        """For gc.callbacks."""
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.stages["garbage collection"].append(time.perf_counter() - self._began)

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def measured(*args: Any, **kwargs: Any) -> Any:
            before = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.stages[name].append(time.perf_counter() - before)

        return measured

    def told(self) -> dict[str, Any]:
        """The figures, in milliseconds."""
        gaps = sorted(self.gaps)
        return {
            "longest_gap_ms": round(gaps[-1] * 1e3, 1),
            "gaps_over_100_ms": sum(gap > 0.1 for gap in gaps),
            "gap_99_ms": round(gaps[int(len(gaps) * 0.99)] * 1e3, 1),
            "stages_longest_ms": {
                name: [round(each * 1e3, 1) for each in sorted(spent)[-3:][::-1]]
                for name, spent in sorted(self.stages.items())
            },
        }


async def measure(start: str, folder: Path) -> dict[str, Any]:
    """Crawl the site under watch."""
    watch = Watch()
    for owner, name in STAGES:
        setattr(owner, name, watch.timed(f"{owner.__name__}.{name}", getattr(owner, name)))
    gc.callbacks.append(watch.collecting)
    spider = Large(url=start)
    settings = {"delay": 0, "per_host": 32, "concurrency": 32, "robots": False}
    probing = asyncio.create_task(watch.probe())
    began, cpu = time.perf_counter(), time.process_time()
    result = await crawl(spider, settings=settings, folder=folder)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    probing.cancel()
    with suppress(asyncio.CancelledError):
        await probing
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    done = result.report.stats.done
    return {"pages": done, "seconds": round(seconds, 2), "cpu": round(cpu, 2), "peak_mb": peak >> 20} | watch.told()


def main() -> None:
    """Generate, serve, crawl, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=100, help="large ones")
    parser.add_argument("--json", type=Path, help="where the figures go as well")
    given = parser.parse_args()
    cores = Cores.pick()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        root = work / "site"
        root.mkdir()
        generate(root, given.pages)
        port = free_port()
        command = [sys.executable, "-m", "scraper.testing.static", str(root), "--port", str(port)]
        with process(command, cores.server) as server, pinned(cores.contender):
            wait_until_open(port, server)
            go_first()
            settle()  # as the command does
            told = asyncio.run(measure(f"http://127.0.0.1:{port}/index.html", work / "run"))
    text = json.dumps(told, indent=2)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
