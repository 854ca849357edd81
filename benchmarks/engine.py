"""What the engine costs beside fetching and parsing: `python -m benchmarks.engine [--known 10000000]`.

A whole crawl without a socket: the stack that fetches is replaced by one that answers at once (after one turn of
the event loop, as any answer takes), and the callback follows a list of hrefs made before. Everything else is
what `scraper crawl` uses: gate, intake, seen set, queue, commit, journal and, with `process`, the state on the
disk. Every page leads to one new one. Its other links are known already: `repeated` are a menu, the same hrefs on
all pages of a folder; `anywhere` lead to pages drawn from all that are known, each page being a folder, so that
each is joined and looked up.

With `--known` the same crawl goes on from so many answered URLs and from 10,000. They are written by SQL of its
own in one go, with the fingerprints of real URLs, and half of the known links lead to them.
Times are of the processor, all threads, the least of several laps, each in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from scraper.blackbox import BlackBox
from scraper.clock import Clock
from scraper.crawl import Crawl
from scraper.events import Events
from scraper.fetch.cookies import Jars
from scraper.fetch.departure import DEPARTURE
from scraper.frontier import schema
from scraper.frontier.memory import MemoryStore
from scraper.frontier.sqlite import SqliteStore
from scraper.outputs.journal import Journal, MemoryJournal
from scraper.program import settings_for
from scraper.request import Request
from scraper.response import Follow, Headers, Response
from scraper.runner import settle
from scraper.settings import HostRules
from scraper.spider import Spider
from scraper.url import digest

HOST = "http://engine.test"
SETTINGS = {"delay": 0, "per_host": 32, "concurrency": 32, "robots": False}
HEADERS = Headers((("Content-Type", "text/html; charset=utf-8"),))
BODY = b"<title>page</title>"
LINKS = (0, 10, 100)
SHAPES = ("repeated", "anywhere")
FEW = 10_000
Lap = dict[str, float]


def main() -> None:
    """Measure and print; nothing is judged here."""
    given = _arguments()
    if given.lap:
        lap = asyncio.run(crawl(given)) if given.no_uvloop else _runner().run(crawl(given))
        print(json.dumps(lap))
        return
    result: dict[str, Any] = {"pages": given.pages}
    result["engine"] = _engine(given)
    result["rows"] = _rows(result["engine"])
    if given.known:
        result["known"] = _known(given)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _rows(engine: dict[str, Any]) -> list[dict[str, Any]]:
    """The same as a table: microseconds a page by its number of known links, and those of one link."""
    rows = []
    for name, each in engine.items():
        durability, shape = name.split()
        row = {"durability": durability, "known links": shape}
        row |= {f"{number} links": round(cost, 1) for number, cost in each["us_per_page"].items()}
        if each["us_per_known_link"] is not None:
            row["a link"] = round(each["us_per_known_link"], 3)
        rows.append(row)
    return rows


# -- one lap ----------------------------------------------------------------------------------------


class Walk(Spider):
    """Follows the hrefs that were made for a page."""

    name = "walk"

    def __init__(self, pages: dict[str, list[str]]) -> None:
        super().__init__()
        self._pages = pages

    async def start(self) -> AsyncIterator[str]:
        """The first page."""
        yield next(iter(self._pages))

    def parse(self, response: Response) -> Follow:
        """Everything on the page."""
        return response.follow_all(self._pages[response.url])


async def fetch(request: Request) -> Response:
    """An answer as soon as the loop has turned."""
    departure = DEPARTURE.get()
    departure.depart(reused=True)
    departure.sent()
    await asyncio.sleep(0)
    return Response(request.url, headers=HEADERS, body=BODY, request=request, wire_bytes=len(BODY))


def site(number: int, links: int, shape: str, known: int) -> dict[str, list[str]]:
    """The pages by URL, with their hrefs: in tens, so that the queue is as long as that of a usual site.

    Page n leads to 10 n + 1 to 10 n + 10 if these are pages, and so many known ones: its own menu, or any.
    """
    chance = random.Random(number)
    names = [f"p/{n}.html" if shape == "repeated" else f"p/{n}/index.html" for n in range(number)]
    menu = [name.rpartition("/")[2] for name in names[:links]]
    old = [f"/k/{chance.randrange(known)}/index.html" for _ in range(50_000 if known else 0)]
    pages = {}
    for n, name in enumerate(names):
        new = names[10 * n + 1 : 10 * n + 11]
        hrefs = [f"/{each}" for each in new]
        if shape == "repeated":
            hrefs += menu if n > links else []
        elif n:
            half = links // 2 if old else 0
            hrefs += [f"../{chance.randrange(n)}/index.html" for _ in range(links - half)]
            hrefs += chance.choices(old, k=half) if half else []
        pages[f"{HOST}/{name}"] = hrefs
    return pages


async def crawl(given: argparse.Namespace) -> Lap:
    """One crawl: seconds of the processor and of the clock, bytes of memory, links that were dropped."""
    pages = site(given.pages, given.links, given.shape, given.known)
    settle()  # as `scraper crawl` does
    clock = Clock()
    before = memory()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if given.state:
            shutil.copyfile(given.state, folder / "state.sqlite")
        durable = given.lap == "process"
        store = SqliteStore(folder / "state.sqlite", clock) if durable else MemoryStore(clock)
        items, rejected = [Journal(folder / n) if durable else MemoryJournal() for n in ("items", "rejected")]
        opening = time.perf_counter()
        recovered = await store.open()
        if isinstance(store, MemoryStore):
            store.seen.update((mark(n) for n in range(given.known)), number=given.known)
        opening = time.perf_counter() - opening
        opened = memory()
        for journal in (items, rejected):
            await journal.open(0)
        spider = Walk(pages)
        rules = HostRules(settings_for(spider, ("benchmark", SETTINGS | {"durability": given.lap})))
        line = Crawl(
            spider, rules, store, recovered, items, rejected, fetch, Jars(), clock=clock, events=Events(),
            trust=lambda *_: None, note=BlackBox(folder / "box").note if durable else _nowhere, folder=folder,
        )  # fmt: skip
        wall, cpu = time.perf_counter(), time.process_time()
        await line.run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        for room in (store, items, rejected):
            await room.close()
    assert line.stats.done == given.pages, (line.stats.done, line.why)
    return {
        "cpu": cpu, "seconds": wall, "opening": opening, "dropped": sum(line.intake.drops.values()),
        "before": before, "opened": opened, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }  # fmt: skip


def _nowhere(token: int, slot: int) -> None:
    """As a run in memory has it."""


def memory() -> int:
    """The bytes that this process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def mark(number: int) -> int:
    """The fingerprint of a URL that was known before."""
    return digest(b"%s/k/%d/index.html" % (HOST.encode(), number))


def seed(path: Path, known: int) -> None:
    """The state of a crawl that has answered so many pages, as the store would have written it."""
    with closing(schema.connect(path)) as base:
        base.create_function("mark", 1, mark, deterministic=True)
        base.execute("PRAGMA journal_mode = OFF")
        base.execute("PRAGMA synchronous = OFF")
        base.execute("BEGIN")
        base.execute("INSERT INTO host VALUES (1, ?)", (HOST.removeprefix("http://"),))
        numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)"
        for table, values in SEEDED.items():
            base.execute(f"{numbers} INSERT INTO {table} SELECT {values} FROM n", (known,))
        base.execute("COMMIT")


SEEDED = {
    "request": f"i + 1, mark(i), 1, '{HOST}/k/' || i || '/index.html', i / 40, 0, 1.7e9,"
    f""" '{{"depth":7,"scope":"engine.test","referer":"{HOST}/k/' || (i / 40) || '/index.html"}}'""",
    "answer": "i + 1, 'done', 'ok', '', 200, 1.7e9, 0, 0.05, 5000, 20000, 1, 0, 0, ''",
}


# -- all of them ------------------------------------------------------------------------------------


def _engine(given: argparse.Namespace) -> dict[str, Any]:
    """Microseconds a page for each durability, shape and number of links, and a known link by their slope."""
    found: dict[str, Any] = {}
    print(f"{given.pages:,} pages, microseconds of the processor (pages/s)")
    print(f"{'durability':12}{'known links':12}" + "".join(f"{n:>8} links" for n in LINKS) + "   a link")
    for durability in given.durability:
        for shape in SHAPES:
            laps = {links: _least(given, durability, links, shape) for links in LINKS if links in given.links_of}
            costs = {links: lap["cpu"] / given.pages * 1e6 for links, lap in laps.items()}
            most = max(costs)
            slope = (costs[most] - costs[0]) / most if most and 0 in costs else None
            row = "".join(
                f"{costs[n]:7.1f}{given.pages / laps[n]['seconds']:7,.0f}" if n in costs else " " * 14
                for n in LINKS
            )
            print(f"{durability:12}{shape:12}{row}" + ("" if slope is None else f"{slope:9.3f}"), flush=True)
            found[f"{durability} {shape}"] = {"us_per_page": costs, "us_per_known_link": slope, "laps": laps}
    return found


def _known(given: argparse.Namespace) -> dict[str, Any]:
    """The same crawl with few and with many known URLs: speed, memory, and how long it takes to open."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        states = {}
        for number in (FEW, given.known):
            states[number] = Path(temporary) / f"{number}.sqlite"
            took = time.perf_counter()
            seed(states[number], number)
            print(f"{number:,} answered URLs were written by SQL in {time.perf_counter() - took:.0f} s")
        print(
            "\nknown before    durability   us a page   opens in s   MB opened   MB at most   (10 links, anywhere)"
        )
        for durability in given.durability:
            costs = []
            for number, state in states.items():
                lap = _least(given, durability, 10, "anywhere", "--known", str(number), "--state", str(state))
                costs.append(lap["cpu"] / given.pages * 1e6)
                row = f"{number:12,}    {durability:10}{costs[-1]:12.1f}{lap['opening']:13.1f}"
                print(row + f"{lap['opened'] / 1e6:12.0f}{lap['peak'] / 1e6:13.0f}", flush=True)
                found[f"{durability} {number}"] = lap
            found[f"{durability} speed"] = costs[0] / costs[1]
            print(f"{'':16}{durability:10} {costs[0] / costs[1]:.3f} of the speed")
    return found


def _least(given: argparse.Namespace, durability: str, links: int, shape: str, *more: str) -> Lap:
    command = [
        sys.executable, "-m", "benchmarks.engine", "--lap", durability, "--links", str(links), "--shape", shape,
        "--pages", str(given.pages), *(["--no-uvloop"] if given.no_uvloop else []), *more,
    ]  # fmt: skip
    laps: list[Lap] = []
    for _ in range(given.laps):
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
        laps.append(json.loads(done.stdout))
    return {name: min(lap[name] for lap in laps) for name in laps[0]}


def _runner() -> asyncio.Runner:
    """The loop of the command: uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pages", type=int, default=20_000)
    parser.add_argument("--laps", type=int, default=3)
    parser.add_argument("--known", type=int, default=0, help="URLs known before, beside 10,000")
    parser.add_argument("--durability", nargs="+", choices=("none", "process"), default=("none", "process"))
    parser.add_argument("--links-of", type=int, nargs="+", choices=LINKS, default=LINKS, help="only these numbers")
    parser.add_argument("--no-uvloop", action="store_true", help="the loop of the standard library")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--lap", choices=("none", "process"), help=argparse.SUPPRESS)
    parser.add_argument("--links", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--shape", choices=SHAPES, default="repeated", help=argparse.SUPPRESS)
    parser.add_argument("--state", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
