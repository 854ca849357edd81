"""What the durable frontier costs: `python -m benchmarks.frontier [--urls 1000000] [--hosts 1 1000]`.

For each number of hosts: queue so many URLs (add and commit, 1,000 at a time), close, open again in a new process,
then claim and commit all of them, each answered with one row. Times of the machine, memory of the process
at its highest; the file is in the system's temporary folder unless TMPDIR says otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scraper.clock import Clock
from scraper.frontier.sqlite import SqliteStore
from scraper.frontier.store import Batch, Finished, Step
from scraper.outcome import End, Outcome
from scraper.request import Request, raw

BATCH = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--urls", type=int, default=1_000_000)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 1000])
    parser.add_argument("--step", choices=("fill", "drain", "walk"), help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        asyncio.run(STEPS[given.step](given.path, given.urls, given.hosts[0]))
        return
    for hosts in given.hosts:
        print(f"{given.urls:,} URLs of {hosts:,} hosts")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state.sqlite"
            for step in STEPS:
                if step == "walk":
                    path = Path(folder) / "walk.sqlite"
                arguments = ["--step", step, "--path", str(path), "--urls", str(given.urls), "--hosts", str(hosts)]
                subprocess.run([sys.executable, "-m", "benchmarks.frontier", *arguments], check=True)


async def fill(path: Path, urls: int, hosts: int) -> None:
    """Queue everything, and close."""
    store = SqliteStore(path, Clock())
    await store.open()
    with told("add and commit", urls):
        for start in range(0, urls, BATCH):
            added = store.add(page(i, hosts) for i in range(start, min(start + BATCH, urls)))
            await store.commit(Batch(steps=[Step(None, added)], seeds_done=start + BATCH >= urls))
    with told("close"):
        await store.close()
    print(f"  file {os.stat(path).st_size / urls:,.0f} bytes a URL, {memory()}")


async def drain(path: Path, urls: int, hosts: int) -> None:
    """Open, and answer everything."""
    store = SqliteStore(path, Clock())
    with told("open and first claim"):
        recovered = await store.open()
        got = await store.claim(BATCH)
    assert recovered.queued == urls
    answered = 0
    with told("claim and commit", urls):
        while not isinstance(got, Finished):
            steps = [Step(done(request)) for lease in got for request in lease.requests]
            await store.commit(Batch(steps=steps))
            answered += len(steps)
            got = await store.claim(BATCH)
    assert answered == urls
    await store.close()
    print(f"  {memory()}")


async def walk(path: Path, urls: int, hosts: int) -> None:
    """A crawl whose every page has one new link: what a page costs all in."""
    store = SqliteStore(path, Clock())
    await store.open()
    first = store.add(page(i, hosts) for i in range(BATCH))
    await store.commit(Batch(steps=[Step(None, first)], seeds_done=True))
    number = BATCH
    with told("a page with one new link", urls):
        while not isinstance(got := await store.claim(BATCH), Finished):
            steps = []
            for lease in got:
                for request in lease.requests:
                    links = [page(number, hosts)] if number < urls else []
                    number += len(links)
                    steps.append(Step(done(request), store.add(links)))
            await store.commit(Batch(steps=steps))
    await store.close()
    print(f"  {memory()}")


STEPS = {"fill": fill, "drain": drain, "walk": walk}


def page(number: int, hosts: int) -> Request:
    """A URL of usual length, with what a link of a page has."""
    host = f"www{number % hosts}.example.com"
    return raw(
        url=f"https://{host}/catalogue/section-{number % 97}/page/{number}.html", depth=2 + number % 5,
        parent=number // 40, scope="example.com", referer=f"https://{host}/catalogue/section-{number % 97}/",
    )  # fmt: skip


def done(request: Request) -> Outcome:
    """A page that was read."""
    return Outcome(request=request, end=End.DONE, status=200, took=0.1, wire=4000, size=20_000)


@contextmanager
def told(what: str, number: int = 0) -> Iterator[None]:
    """Print what a step took, in all and of the processor, which the requests themselves are part of."""
    start, cpu = time.perf_counter(), time.process_time()
    yield
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    each = f", {took / number * 1e6:.1f} us each, {cpu / number * 1e6:.1f} of the processor" if number else ""
    print(f"  {what}: {took:.2f} s{each}", flush=True)


def memory() -> str:
    """The most memory this process had."""
    return f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB of memory"


if __name__ == "__main__":
    main()
