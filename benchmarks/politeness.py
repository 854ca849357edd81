"""Politeness as the servers see it: `python -m benchmarks.politeness`, exit code 1 on any violation.

Eleven hosts with delays of 0.05 to 0.5 s and 1 to 4 places are crawled while they answer with errors, redirects,
rests, slow pages and dead connections. Judged by nothing but the servers' own stamps, every request counted:
least gap against delay, most parallel against limit, visits while a host was to be left alone. The stamps are
as good as the servers get the processor: run as root on Linux they go ahead of all else, else a busy machine
makes gaps look short (`our own` is the gap between departures, for comparison).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from scraper import Request, Response, Spider
from scraper.program import Result, crawl
from scraper.testing.answers import Answer
from scraper.testing.hits import Hit, during, parallel, spacing
from scraper.testing.process import SiteProcess
from scraper.testing.resolve import Loopback

from .site import Cores, pinned

HOSTS = 10
CRAWL_DELAY = {7: 0.4}  # of robots.txt, in seconds
RESTS = {3: (429, 2.0), 4: (503, 1.0), 6: (429, 3.0)}  # status and Retry-After, whole seconds (RFC 9110 10.2.3)
STALE, STALE_PAGES = "stale.test", 30
CROSSING = 0.005  # seconds in which a request that is under way may cross the answer that asks for a rest


class Host(msgspec.Struct):
    """What is asked of us at one host, and what is there. `delay` in seconds."""

    name: str
    delay: float
    per_host: int
    pages: int
    robots_delay: float = 0.0
    rests: dict[str, float] = {}  # path -> Retry-After of its first answer

    @property
    def gap(self) -> float:
        """The least time between two requests."""
        return max(self.delay, self.robots_delay)


class Guest(Spider):
    """Follows every link; some of its callbacks are slow, some fetch, some hold the loop."""

    name = "guest"
    hosts: str

    async def start(self):  # type: ignore[no-untyped-def]
        """Begin at every host at once."""
        for host in self.hosts.split():
            yield Request(f"http://{host}/")

    async def parse(self, response: Response):  # type: ignore[no-untyped-def]
        """An item and links, now or later."""
        number = len(response.url) * 7 + response.request.depth + response.wire_bytes
        if response.url.endswith("3"):
            await asyncio.sleep(0.3)
        elif response.url.endswith("4"):
            time.sleep(0.02)  # noqa: ASYNC251  a callback that computes
        elif response.url.endswith("5") and STALE not in response.url:
            own = await self.fetch(response.join("/own?" + response.url[-2:]))
            number += own.status
        yield {"url": response.url, "number": number}
        yield response.follow_all(css="a[href]")


def furnish(site: SiteProcess) -> list[Host]:
    """Declare the pages of every host."""
    hosts = []
    for number in range(HOSTS):
        delay = round(0.05 + 0.45 * number / (HOSTS - 1), 3)
        host = Host(f"h{number}.test", delay, 1 + number % 4, min(60, int(9 / delay)))
        _pages(site, host, number)
        robots = (
            f"User-agent: *\nDisallow: /no\nCrawl-delay: {CRAWL_DELAY[number]}" if number in CRAWL_DELAY else 404
        )
        host.robots_delay = CRAWL_DELAY.get(number, 0.0)
        site.robots(robots, host=host.name, delay=0.5 if number == 8 else 0.0)
        hosts.append(host)
    return hosts


def _pages(site: SiteProcess, host: Host, number: int) -> None:
    links = "".join(f'<a href="/p/{page}">{page}</a>' for page in range(host.pages))
    site.page("/", f"<title>{host.name}</title>{links}", host=host.name)
    site.page("/own", "mine", host=host.name, delay=0.1)
    status, rest = RESTS.get(number, (0, 0.0))
    for page in range(host.pages):
        path = f"/p/{page}"
        times: list[Answer] = []
        if rest and page in (4, 9):
            times = [Answer(status, "later", {"Retry-After": f"{rest:g}"})]
            host.rests[path] = rest
        elif page % 7 == 6:
            times = [Answer(500, "oops")]
        slow = 0.4 if page % 3 == 0 and host.per_host > 1 else 0.0
        if page % 11 == 10:
            site.redirect(path, f"/moved/{page}", host=host.name)
            site.page(f"/moved/{page}", "here", host=host.name)
        elif page % 13 == 12:
            site.redirect(path, f"http://h{(number + 1) % HOSTS}.test/from/{number}/{page}", host=host.name)
            site.page(f"/from/{number}/{page}", "abroad", host=f"h{(number + 1) % HOSTS}.test")
        else:
            site.page(path, f"<p>{page}</p>", host=host.name, times=times, delay=slow)


@contextmanager
def _stale(hits: list[Hit]) -> Iterator[int]:
    """The stale server's port; its hits are in the list afterwards."""
    command = [sys.executable, "-m", "benchmarks.stale", str(STALE_PAGES)]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    assert child.stdout is not None
    yield int(child.stdout.readline())
    told, _ = child.communicate("")
    hits.extend(Hit.load(hit) for hit in json.loads(told))


def visit(core: Cores) -> tuple[list[Host], list[Hit], Result]:
    """Crawl all hosts, and hand back what their servers recorded."""
    stale_hits: list[Hit] = []
    site = SiteProcess()
    hosts = furnish(site)
    with pinned(core.server, first=True):
        site.__enter__()
    try:
        with pinned(core.server, first=True):
            stale = _stale(stale_hits)
            port = stale.__enter__()
        hosts.append(Host(STALE, 0.1, 2, STALE_PAGES))
        resolver = Loopback({host.name: site.port for host in hosts} | {STALE: port})
        rules = {host.name: {"delay": host.delay, "per_host": host.per_host} for host in hosts}
        settings = {"scope": "any", "hosts": rules, "backoff": 0.2, "retries": 6}
        spider = Guest(hosts=" ".join(host.name for host in hosts))
        with pinned(core.contender):
            result = asyncio.run(crawl(spider, settings=settings, resolver=resolver))
        stale.__exit__(None, None, None)
        return hosts, site.hits + stale_hits, result
    finally:
        site.__exit__()


def judge(host: Host, hits: list[Hit]) -> dict[str, Any]:
    """What one server's record says. `shortfall_ms` below zero is a gap shorter than the delay."""
    asked = [(hit.end, hit.end + host.rests[hit.path]) for hit in hits if hit.status in (429, 503)]
    late = [hit.start - since for since, until in asked for hit in during(hits, since, until)]
    gaps = spacing(hits)
    return {
        "host": host.name,
        "requests": len(hits),
        "delay": host.gap,
        "least_gap": min(gaps),
        "shortfall_ms": round((min(gaps) - host.gap) * 1000, 2),
        "short_gaps": sum(gap < host.gap for gap in gaps),
        "per_host": host.per_host,
        "most_parallel": parallel(hits),
        "rests": len(asked),
        "crossed": sum(after <= CROSSING for after in late),
        "during_rest": sum(after > CROSSING for after in late),
    }


def violated(row: Mapping[str, Any]) -> bool:
    """Whether a row breaks a promise."""
    return bool(row["shortfall_ms"] < 0 or row["most_parallel"] > row["per_host"] or row["during_rest"])


def main() -> int:
    """Crawl, judge, print; 1 when any host was treated worse than promised."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.politeness", description="Judge by server stamps.")
    parser.add_argument("--json", type=Path, help="where the rows go")
    given = parser.parse_args()
    hosts, hits, result = visit(Cores.pick())
    proofs = result.report.proofs
    rows = [judge(host, [hit for hit in hits if hit.host == host.name]) for host in hosts]
    for row in rows:
        row["own_least_gap"] = proofs[row["host"]].least_gap
    print("host        requests  delay  least gap  beyond (ms)  our own  parallel  limit  rests  hits in them")
    for row in rows:
        print(
            f"{row['host']:11} {row['requests']:8} {row['delay']:6.3f} {row['least_gap']:10.4f}"
            f" {row['shortfall_ms']:12.2f} {row['own_least_gap']:8.4f} {row['most_parallel']:9} {row['per_host']:6}"
            f" {row['rests']:6}"
            f" {row['during_rest']:6} ({row['crossed']} crossed){'  VIOLATED' if violated(row) else ''}"
        )
    stats = result.report.stats
    early = sum(proof.early for proof in result.report.proofs.values())
    took = stats.ended - stats.started
    print(
        f"{len(hits)} requests in {took:.1f} s; {stats.done} pages, {stats.failed} failed; {early} departed early"
    )
    print(f"worst gap: {min(row['shortfall_ms'] for row in rows):+.2f} ms beyond its delay")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return int(any(map(violated, rows)))


if __name__ == "__main__":
    sys.exit(main())
