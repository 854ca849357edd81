"""A crawl of many hosts with a delay each: `python -m benchmarks.broad`; exit code 1 when a host was hurried.

What limits it is to be the delay, not the engine: 1,000 hosts with 0.5 s each could give 2,000 pages a second.
Then some hosts hang (they accept and never answer): the others are to notice nothing. All names are served by one
small process on a core of its own, which keeps the record that everything is judged by: arrivals, not our word.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from scraper import Request, Response, Spider
from scraper.program import crawl
from scraper.testing.resolve import Loopback

from .site import Cores, pinned

LATE = 0.005  # seconds by which the server itself may see the first of two requests late
WARM = 3  # seconds at the beginning that are not measured: robots.txt and first pages
BODY = "<title>page</title><p>" + "some words that nobody reads. " * 20


class Seen(msgspec.Struct):
    """What one host has seen. Times in seconds."""

    requests: int = 0
    last: float = 0.0
    least_gap: float = 1e9
    out: int = 0
    most_parallel: int = 0


class Row(msgspec.Struct):
    """One run: pages a second of the hosts that answer, against what their delay allows; gaps as the server saw."""

    hosts: int
    hung: int
    rate: float
    share: float
    robots: int
    robots_seconds: float
    worst_ms: float
    hurried: int
    most_parallel: int
    cpu_us: float
    pages: int


class Wide(Spider):
    """Follows every link of every host."""

    name = "wide"
    hosts: int
    hung: int

    async def start(self):  # type: ignore[no-untyped-def]
        """Begin at every host; those that hang are spread among the others."""
        every = self.hosts // self.hung if self.hung else self.hosts + 1
        for number in range(self.hosts):
            kind = "hung" if number % every == every - 1 else "h"
            yield Request(f"http://{kind}{number}.test/")

    async def parse(self, response: Response):  # type: ignore[no-untyped-def]
        """Links only."""
        yield response.follow_all(css="a[href]")


# -- the server -------------------------------------------------------------------------------------


class Answering(asyncio.Protocol):
    """One connection: HTTP/1.1 without a body in the request, one request at a time."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._data = b""

    def connection_made(self, transport: Any) -> None:
        """Keep where the answers go."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request, unless its host is one that hangs."""
        now = time.monotonic()
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head, self._data = self._data[:end], self._data[end + 4 :]
            target = head.split(b" ", 2)[1]
            host = head.lower().partition(b"\r\nhost:")[2].partition(b"\r\n")[0].strip().decode()
            answer = self._record.take(host, target, now)
            if answer:
                self._transport.write(answer)


class Record:
    """What every host has seen, and how many pages came in each second."""

    def __init__(self, links: int) -> None:
        self.hosts: dict[str, Seen] = {}
        self.pages: Counter[int] = Counter()
        self.first = 0.0
        self.robots = (0, 0.0)  # and when the last of them came
        links_html = "".join(f'<a href="/p/{n}">{n}</a>' for n in range(links))
        self._root, self._page, self._none = _answer(BODY + links_html), _answer(BODY), _answer("", "404 Not Found")

    def take(self, host: str, target: bytes, now: float) -> bytes:
        """Note a request; gives its answer, empty for none."""
        self.first = self.first or now
        seen = self.hosts.setdefault(host, Seen())
        if seen.requests:
            seen.least_gap = min(seen.least_gap, now - seen.last)
        seen.requests += 1
        seen.last = now
        if host.startswith("hung"):
            seen.out += 1
            seen.most_parallel = max(seen.most_parallel, seen.out)
            return b""
        if target == b"/robots.txt":
            self.robots = self.robots[0] + 1, now - self.first
            return self._none
        self.pages[int(now - self.first)] += 1
        return self._root if target == b"/" else self._page

    def told(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "hosts": msgspec.to_builtins(self.hosts),
            "pages": {str(second): number for second, number in self.pages.items()},
            "robots": self.robots,
        }


def _answer(body: str, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


async def serve(links: int) -> None:
    """Serve on loopback until standard input ends, then tell the record on standard output."""
    loop = asyncio.get_running_loop()
    record = Record(links)
    server = await loop.create_server(lambda: Answering(record), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps(record.told()))
    server.close()


# -- one run ----------------------------------------------------------------------------------------


@contextmanager
def _serving(links: int, core: int | None, told: dict[str, Any]) -> Iterator[int]:
    """The port of a server in a process of its own; its record is in `told` afterwards."""
    command = [sys.executable, "-m", "benchmarks.broad", "--serve", str(links)]
    with pinned(core, first=True):
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        )
    assert child.stdout is not None
    yield int(child.stdout.readline())
    told.update(json.loads(child.communicate("")[0]))


def run(cores: Cores, hosts: int, hung: int, delay: float, seconds: float, concurrency: int) -> Row:
    """Crawl so many hosts, of which so many hang, for so many seconds."""
    told: dict[str, Any] = {}
    settings = {
        "scope": "host", "delay": delay, "concurrency": concurrency, "max_seconds": seconds, "grace": 0.2,
        "log_level": "error",
    }  # fmt: skip
    with _serving(int(seconds / delay) + 10, cores.server, told) as port, pinned(cores.contender):
        began = time.process_time()
        made = _loop(crawl(Wide(hosts=hosts, hung=hung), settings=settings, resolver=Loopback(port)))
        spent = time.process_time() - began
    seen = {name: msgspec.convert(data, Seen) for name, data in told["hosts"].items()}
    return _row(told, seen, delay, int(seconds), hung, spent, made.report.stats.done)


def _loop(work: Any) -> Any:
    """Run it on uvloop, as the command does where that is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _row(
    told: Mapping[str, Any],
    seen: Mapping[str, Seen],
    delay: float,
    seconds: int,
    hung: int,
    spent: float,
    done: int,
) -> Row:
    answering = len(seen) - hung
    measured = range(WARM, seconds - 1)
    rate = sum(told["pages"].get(str(second), 0) for second in measured) / len(measured)
    beyond = [host.least_gap - delay for host in seen.values() if host.requests > 1]
    number, last = told["robots"]
    return Row(
        hosts=len(seen), hung=hung, rate=round(rate, 1), share=round(rate * delay / answering, 3),
        robots=number, robots_seconds=round(last, 2), worst_ms=round(min(beyond) * 1000, 2),
        hurried=sum(gap < -LATE for gap in beyond),
        most_parallel=max((host.most_parallel for host in seen.values()), default=0),
        cpu_us=round(spent / max(done, 1) * 1e6, 1), pages=done,
    )  # fmt: skip


def main() -> int:
    """Three shapes: all hosts well, some of them hung, and the well ones of these alone."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broad", description="Many hosts, a delay each.")
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--delay", type=float, default=0.5, help="seconds")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--hung", type=int, default=50, help="hosts that accept and never answer")
    parser.add_argument(
        "--concurrency", type=int, default=256, help="the places that hosts which hang take included"
    )
    parser.add_argument("--rounds", type=int, default=1, help="of each the best counts: noise only slows")
    parser.add_argument("--json", type=Path, help="where the rows go")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        _loop(serve(given.serve))
        return 0
    cores = Cores.pick()
    shapes = [(given.hosts, 0), (given.hosts, given.hung), (given.hosts - given.hung, 0)][: 3 if given.hung else 1]
    rounds = []
    for _ in range(given.rounds):  # in turns, as the machine may be busy for some of them
        rounds += [run(cores, *shape, given.delay, given.seconds, given.concurrency) for shape in shapes]
    rows = [max(rounds[number :: len(shapes)], key=lambda row: row.rate) for number in range(len(shapes))]
    for row in rows:
        print(
            f"{row.hosts:6,} hosts, {row.hung:4} hung: {row.rate:8,.1f} pages/s, {row.share:.3f} of what the delay"
            f" allows; {row.cpu_us:.0f} us CPU a page; {row.robots:,} robots.txt in {row.robots_seconds:.1f} s;"
            f" worst gap {row.worst_ms:+.1f} ms, {row.hurried} hurried; hung hosts: {row.most_parallel} at once"
        )
    if given.hung:
        print(f"beside hosts that hang the others have {rows[1].rate / rows[-1].rate:.3f} of their rate alone")
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows)) + b"\n")
    return int(any(row.hurried for row in rounds))


if __name__ == "__main__":
    sys.exit(main())
