"""Cancelled at any await, a crawl leaves nothing behind and goes on from there with the same result."""

from __future__ import annotations

import asyncio
import csv
import gc
import json
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from scraper import Request, Response, Spider
from scraper.crawl import Crawl
from scraper.program import Result, _prepare, crawl
from scraper.run import Report
from scraper.testing.answers import Answer
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site
from tests.suspensions import Place, Suspensions, Task, foreign, where

ALL = bool(os.environ.get("SCRAPER_TEST_EVERY_AWAIT"))  # minutes: each suspension, not one of each place
SOON = 20.0  # seconds that an end may take
SETTINGS: dict[str, Any] = {
    "delay": 0, "backoff": 0.01, "max_backoff": 0.02, "allow_private": True, "timeout": 10, "commit_every": 0.02,
}  # fmt: skip
PAGES = ("/", "/2", "/a", "/b", "/target", "/flaky", "/own", "/post")


Cut = Callable[[Place, int, int], bool]  # a place, its number there, the number of all before


def never(place: Place, number: int, total: int) -> bool:
    return False


class Small(Spider):
    """A little of everything."""

    name = "small"
    base: str

    async def opened(self) -> None:
        await asyncio.sleep(0)

    async def login(self) -> None:
        await self.fetch(Request(self.base + "/login", method="POST", form={"user": "a"}))

    async def start(self) -> AsyncIterator[Request]:
        yield Request(self.base + "/")
        await asyncio.sleep(0)
        yield Request(self.base + "/2")

    async def parse(self, response: Response) -> AsyncIterator[Any]:
        yield {"path": response.url.removeprefix(self.base), "failed": ""}
        yield response.follow_all(css="a[href]")
        if response.url.endswith("/2"):
            yield Request(self.base + "/own", callback=self.own)
            yield Request(self.base + "/post", method="POST", form={"a": "b"}, callback=self.sync)

    async def own(self, response: Response) -> Any:
        await asyncio.sleep(0)
        inner = await self.fetch(response.url.replace("/own", "/inner"))
        return {"path": "/own", "failed": "" if inner.text == "inner" else "no inner"}

    def sync(self, response: Response) -> Any:
        yield {"path": response.url.removeprefix(self.base), "failed": ""}

    async def on_error(self, request: Request, error: Exception) -> Any:
        return {"path": request.url.removeprefix(self.base), "failed": str(error)}

    async def closed(self, why: str) -> None:
        await asyncio.sleep(0)


def furnished(site: Site) -> Site:
    """The pages of `Small`, as if nobody had been there."""
    site.robots("User-agent: *\nDisallow: /secret", delay=0.005)
    site.page("/", "<a href=/a>a</a><a href=/b>b</a><a href=/moved>m</a><a href=/flaky>f</a>")
    site.page("/2", "two")
    site.page("/a", "a")
    site.page("/b", "b", delay=0.02)
    site.redirect("/moved", "/target")
    site.page("/target", "here")
    site.page("/flaky", "well", times=[Answer(500)])
    site.page("/own", "own")
    site.page("/inner", "inner")
    site.page("/post", "posted")
    site.page("/login", "welcome")
    return site


class Trial:
    """One crawl in a folder; where `cut` says so, `whom` is cancelled: the crawl, the task there, or all tasks."""

    def __init__(self, site: Site, folder: Path, cut: Cut = never, whom: str = "crawl") -> None:
        self.site = furnished(site)
        self.folder = folder
        self.steps = Suspensions(self._at)
        self.crawls: list[Crawl] = []
        self.report: Report | None = None
        self._cut = cut
        self._whom = whom
        self.at: Place | None = None  # where it was cancelled
        self._main: asyncio.Task[Report]

    def _at(self, place: Place, number: int, task: Task) -> None:
        if self.at is not None or not self._cut(place, number, self.steps.total):
            return
        self.at = place
        if self._whom == "all":
            self.steps.cancel_all()
        else:
            (task if self._whom == "inner" else self._main).cancel()

    async def run(self) -> str:
        """Crawl until it ends by itself or by the cancellation; tells how it ended."""
        outputs = [str(self.folder / "a.jsonl"), str(self.folder / "b.csv")]
        options = {"resolver": Loopback(self.site.port)}
        spider = Small(base=self.site.url(""))
        run = _prepare(spider, outputs, SETTINGS, self.folder / "runs", options, resume=True)
        run.started.append(self.crawls.append)
        with self.steps.watching():
            self._main = asyncio.get_running_loop().create_task(run.execute())
            await asyncio.wait((self._main,), timeout=SOON)
        assert self._main.done(), [*map(where, asyncio.all_tasks())]
        if self._main.cancelled():
            return "cancelled"
        self.report = self._main.result()
        return self.report.state


def open_files() -> Counter[str]:
    """What this process has open: files by name, sockets by number of them."""
    found: Counter[str] = Counter()
    for each in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            name = os.readlink(f"/proc/self/fd/{each}")
            found[name.partition(":")[0] if name.startswith("socket") else name] += 1
    return found


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("state", "parse"))]


@pytest.fixture
def clean() -> Iterator[None]:
    """What is collected from now on is of the test, and fast to collect."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def left_behind(files: Counter[str], tasks: set[Task]) -> str:
    """What a crawl has left in this process, once the server in it has seen its connections close."""
    left = ""
    for _ in range(400):
        more, others = open_files() - files, asyncio.all_tasks() - tasks
        gc.collect(0)
        if not more and not others and not threads():
            return ""
        left = f"{dict(more)} {threads()} {others}"
        await asyncio.sleep(0.005)
    return left


def places_taken(crawls: list[Crawl]) -> list[str]:
    """Hosts that still count a request as out or a task as waiting."""
    return [
        f"{host.name}: {host.out} of {each.gate.out} out, {host.boarding} boarding, {len(host.waiters)} waiting"
        for each in crawls
        for host in each.gate.hosts.values()
        if host.out or host.boarding or host.waiters or each.gate.out
    ]


async def checked(site: Site, folder: Path, cut: Cut, whom: str) -> str:
    """One trial, what it left behind, and its continuation; tells how the trial ended."""
    tasks, files = asyncio.all_tasks(), open_files()
    trial = Trial(site, folder, cut, whom)
    told = await trial.run()
    assert not places_taken(trial.crawls), trial.at
    assert not await left_behind(files, tasks), trial.at
    [run] = (folder / "runs" / "small").glob("*-*-*")
    state = json.loads((run / "run.json").read_text())["state"]
    assert state == ("interrupted" if told == "cancelled" else told)
    assert not [*run.glob("state.sqlite-*")]
    exact = [(lines, run / "items.jsonl"), (lines, folder / "a.jsonl"), (rows, folder / "b.csv")]
    if told == "failed":  # one of the outputs, which can be exported from the journal, as it says
        assert trial.report is not None
        broken = [path for path, error in trial.report.outputs.items() if "cancelled" in error]
        exact = [pair for pair in exact if str(pair[1]) not in broken]
        assert len(exact) == 2
    elif told != "finished":
        assert await Trial(site, folder).run() == "finished"
    for read, path in exact:
        found = Counter((item["path"], item["failed"].partition(":")[0]) for item in read(path))
        assert found == expected(run), (path.name, told, trial.at)
    return told


def expected(run: Path) -> Counter[tuple[str, str]]:
    """Every page once; a POST of which nobody knows whether it was sent is told as such."""
    pages = Counter((path, "") for path in PAGES)
    with closing(sqlite3.connect(run / "state.sqlite")) as base:
        if base.execute("SELECT count(*) FROM answer WHERE reason = 'unknown'").fetchone()[0]:
            pages["/post", "unknown"] = pages.pop(("/post", ""))
    return pages


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


def cuts(steps: Suspensions) -> Iterator[Cut]:
    """At every place the first time and the last; or with ALL, at every single suspension."""
    if ALL:
        yield from (partial(_at, steps=steps) for steps in range(1, steps.total + 1))
    else:
        for wanted, last in sorted(steps.places.items()):
            yield from (partial(_there, wanted, number) for number in {1, last})


def _at(place: Place, number: int, total: int, *, steps: int) -> bool:
    return total == steps


def _there(wanted: Place, count: int, place: Place, number: int, total: int) -> bool:
    return place == wanted and number == count


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="what is open is told by /proc")
@pytest.mark.parametrize("whom", ["crawl", "inner", "all"])
async def test_cancelled_at_any_await_it_leaves_nothing_behind_and_goes_on_exactly(
    site: Site, tmp_path: Path, clean: None, whom: str
) -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, about: complaints.append(about))
    before = asyncio.all_tasks()
    counting = Trial(site, tmp_path)
    assert await counting.run() == "finished"
    assert not await left_behind(open_files(), before)
    told: Counter[str] = Counter()
    for number, cut in enumerate(cuts(counting.steps)):
        told[await checked(site, made(tmp_path / f"{number}"), cut, whom)] += 1
    print(f"{counting.steps.total} suspensions at {len(counting.steps.places)} places: {dict(told)}")
    gc.collect()
    assert not complaints


async def test_cancelled_again_and_again_it_comes_to_its_end(site: Site, tmp_path: Path) -> None:
    before, files = asyncio.all_tasks(), open_files()
    for steps in range(4, 400, 4):
        trial = Trial(site, tmp_path, partial(_at, steps=steps), "all" if steps % 8 else "crawl")
        if await trial.run() == "finished":
            break
    [run] = (tmp_path / "runs" / "small").glob("*-*-*")
    for read, path in ((lines, run / "items.jsonl"), (lines, tmp_path / "a.jsonl"), (rows, tmp_path / "b.csv")):
        assert Counter((item["path"], item["failed"].partition(":")[0]) for item in read(path)) == expected(run)
    assert json.loads((run / "run.json").read_text())["starts"] > 5
    assert not await left_behind(files, before)


class Odd(Spider):
    """A spider that does `what` in its callback, and in `login`."""

    name = "odd"
    what: str = ""
    first: str

    async def start(self) -> AsyncIterator[str]:
        for url in (self.first, urljoin(self.first, "/slow")):
            yield url

    async def login(self) -> None:
        if self.what == "waits for what was cancelled":
            waited = asyncio.get_running_loop().create_future()
            waited.cancel()
            await waited

    async def parse(self, response: Response) -> AsyncIterator[Any]:
        if response.url.endswith("/large"):
            for number in range(18):
                yield {"number": number, "text": "x" * 2**20}
        if self.what == "cancels its own task":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)


def odd(site: Site, path: str, folder: Path, what: str = "", **settings: Any) -> asyncio.Task[Result]:
    spider = Odd(what=what, first=site.url(path))
    work = crawl(spider, folder=folder, settings=SETTINGS | {"robots": False} | settings)
    return asyncio.get_running_loop().create_task(work)


async def test_cancelled_it_waits_for_no_slow_page(site: Site, tmp_path: Path) -> None:
    site.page("/slow", "x", delay=60)
    site.page("/", "x")
    task = odd(site, "/", tmp_path)
    await site.until(lambda: len(site.hits) == 2)
    task.cancel()
    async with asyncio.timeout(SOON):
        await asyncio.wait((task,))
    assert task.cancelled()


async def test_a_page_with_many_items_that_is_not_committed_leaves_no_file(site: Site, tmp_path: Path) -> None:
    site.page("/slow", "x", delay=60)
    site.page("/large", "x")
    before = open_files()
    task = odd(site, "/large", tmp_path, commit_every=60, per_host=1)
    await site.until(lambda: len(site.hits) == 2)
    task.cancel()
    await asyncio.wait((task,))
    assert not await left_behind(before, asyncio.all_tasks())


async def test_a_callback_that_cancels_its_own_task_ends_the_crawl_resumable(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site.page("/slow", "x", delay=60)
    site.page("/", "x")
    async with asyncio.timeout(SOON):
        result = await odd(site, "/", tmp_path, "cancels its own task")
    assert (result.report.state, result.report.exit_code) == ("interrupted", 130)
    assert "something has cancelled its _worker" in caplog.text


async def test_a_login_that_waits_for_what_was_cancelled_breaks_the_spider(site: Site, tmp_path: Path) -> None:
    async with asyncio.timeout(SOON):
        result = await odd(site, "/", tmp_path, "waits for what was cancelled")
    assert result.report.state == "failed"
    assert "the spider broke: CancelledError" in result.report.said[0]


class Tidy(Spider):
    """Closes what it has opened, and says so."""

    name = "tidy"
    first: str

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.said: list[str] = []

    async def start(self) -> AsyncIterator[str]:
        try:
            yield self.first
            yield self.first + "2"
        finally:
            await asyncio.sleep(0.01)
            self.said.append("start")

    async def parse(self, response: Response) -> AsyncIterator[Any]:
        try:
            yield {"url": response.url}
            yield "junk"
        finally:
            await asyncio.sleep(0.01)
            self.said.append("parse")

    async def closed(self, why: str) -> None:
        self.said.append("closed")


async def test_generators_that_are_left_early_are_closed_in_the_crawl(site: Site) -> None:
    site.page("*", "x", delay=0.05)
    spider = Tidy(first=site.url("/"))
    before = asyncio.all_tasks()
    await crawl(spider, settings=SETTINGS | {"max_pages": 1, "robots": False})
    assert spider.said == ["start", "parse", "closed"]
    assert not [task for task in asyncio.all_tasks() - before if not foreign(task.get_coro())]
