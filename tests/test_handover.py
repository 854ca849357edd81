"""What is handed over from process to process, in one process: a crawl that is cut off, and its next life."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from scraper import FetchError, Request, Response, Spider
from scraper.clock import Clock
from scraper.crawl import Crawl
from scraper.outcome import End, dropped, failed
from scraper.program import Result, crawl, stream
from scraper.reasons import Reason
from scraper.request import raw
from scraper.stats import Stats
from scraper.testing.answers import Answer
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site

from .conftest import QUICK

FAST: dict[str, Any] = {**QUICK, "commit_every": 0.02, "log_level": "error", "robots": False}


class Walk(Spider):
    name = "walk"
    start_urls = ("http://a.test/",)
    lines: ClassVar[list[Crawl]] = []

    def opened(self) -> Any:
        line: Any = self._line
        if hasattr(line, "_line"):  # not in a worker
            Walk.lines.append(line._line)

    def parse(self, response: Response) -> Any:
        yield {"url": response.url}
        yield response.follow_all(css="a[href]")


def page(*links: str) -> str:
    return "".join(f'<a href="{link}">x</a>' for link in links)


async def life(site: Site, root: Path, spider: Spider, **settings: Any) -> Result:
    """Go on with the run to its end."""
    clock = settings.pop("clock", None)
    return await crawl(
        spider, settings={**FAST, **settings}, folder=root, resume=True, resolver=Loopback(site.port), clock=clock
    )


async def cut(site: Site, root: Path, spider: Spider, when: Callable[[], bool], **settings: Any) -> None:
    """Go on until something is true of the site's record; what is not committed by then is lost."""
    task = asyncio.create_task(life(site, root, spider, **settings))
    await site.until(when)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


# -- stats ------------------------------------------------------------------------------------------


def test_stats_are_handed_over_whole() -> None:
    before, request = Stats(100.0), raw(url="http://a.test/")
    before.count(failed(request, Reason.STATUS, "404", status=404))
    before.count(failed(request, Reason.CALLBACK_ERROR, "ValueError: x", where="s.py:1 in parse", trace="t"))
    before.count(dropped(request, Reason.ROBOTS))
    before.own_fetches = 3
    after = Stats(500.0)
    after.restore(before.kept(160.0), before.kept_causes())
    after.ended, before.ended = 540.0, 200.0
    told, expected = after.as_data(), before.as_data()
    assert (told["started"], told["ended"], told["seconds"]) == (100.0, 540.0, 100.0)
    for name in expected.keys() - {"started", "ended", "seconds"}:
        assert told[name] == expected[name], name
    after.count(failed(request, Reason.STATUS, "404", status=404))
    assert [cause.count for cause in after.sorted_causes()] == [1, 2]
    assert after.ends[End.FAILED] == 3


# -- the line ---------------------------------------------------------------------------------------


async def test_a_second_life_counts_nothing_twice(site: Site, tmp_path: Path) -> None:
    site.tree(pages=80, fanout=4, delay=0.005)
    for number in (10, 25, 45):
        await cut(site, tmp_path, Walk(), lambda number=number: len(site.hits) > number)  # type: ignore[misc]
    result = await life(site, tmp_path, Walk())
    stats = result.report.stats
    assert (stats.done, stats.items, stats.statuses) == (80, 80, {200: 80})
    folders = [path for path in (tmp_path / "walk").iterdir() if not path.is_symlink()]
    assert folders == [result.folder]
    line = Walk.lines[-1]
    assert (line.limits.open, line.limits.begun, line.limits.pages) == (0, 80, 80)
    assert line.gate.host("a.test").answered == 80


class Ahead(Clock):
    """The machine's clock in some hours."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def wall(self) -> float:
        return time.time() + self._seconds


async def test_hosts_that_rest_for_hours_end_it_as_waiting_however_their_pages_wait(
    site: Site, tmp_path: Path
) -> None:
    hosts = ("a.test", "b.test")
    for host in hosts:
        links = [f"http://{each}/{n}" for each in hosts for n in range(20)]
        site.page("/", page(*links), host=host)
        site.page("*", "x", host=host)
        site.page("/5", "x", host=host, times=[Answer(503, headers={"Retry-After": "5000"})])
    settings = {"scope": "any", "concurrency": 4, "max_wait": 1000.0, "max_rest": 1e5}
    first = await life(site, tmp_path, Walk(), **settings)
    assert (first.report.why, first.report.exit_code) == ("waiting", 130)
    asked = len(site.hits)
    second = await life(site, tmp_path, Walk(), **settings)
    assert (second.report.why, len(site.hits)) == ("waiting", asked)
    last = await life(site, tmp_path, Walk(), **settings, clock=Ahead(6000))
    assert (last.report.state, last.report.stats.done) == ("finished", 41)
    assert [proof.rests for proof in last.report.proofs.values()] == [1, 1]


class Later(Walk):
    name = "later"

    async def start(self) -> AsyncIterator[Request | str]:
        yield "http://a.test/now"
        yield Request("http://a.test/later", after=5000)


async def test_retries_that_are_due_in_hours_end_it_as_waiting(site: Site, tmp_path: Path) -> None:
    site.page("*", "x")
    for why in ("waiting", "waiting"):
        result = await life(site, tmp_path, Later(), max_wait=1000.0)
        assert (result.report.why, result.report.stats.done) == (why, 1)
    result = await life(site, tmp_path, Later(), max_wait=1000.0, clock=Ahead(5001))
    assert (result.report.why, result.report.stats.done) == ("finished", 2)


@pytest.mark.alone(reason="its class is made for each case")
@pytest.mark.parametrize("hook", ["opened", "login"])
async def test_nothing_is_claimed_where_a_hook_breaks_in_a_later_process(
    site: Site, tmp_path: Path, hook: str
) -> None:
    class Breaks(Walk):
        name = "breaks"
        broken = False

        async def login(self) -> None:
            if Breaks.broken and hook == "login":
                raise ValueError("no entry")

        def opened(self) -> Any:
            if Breaks.broken and hook == "opened":
                raise ValueError("no entry")

    site.tree(pages=30, fanout=3, delay=0.02)
    await cut(site, tmp_path, Breaks(), lambda: len(site.hits) > 9)
    asked = len(site.hits)
    Breaks.broken = True
    result = await life(site, tmp_path, Breaks())
    assert (len(site.hits), result.report.exit_code) == (asked, 1)
    assert result.report.said[0] == "the spider broke: ValueError: no entry"


@pytest.mark.alone(reason="its callback writes into a list of the test")
async def test_on_error_speaks_once_for_a_page_over_all_lives(site: Site, tmp_path: Path) -> None:
    heard: list[str] = []

    class Hears(Walk):
        name = "hears"

        def on_error(self, request: Request, error: FetchError) -> Any:
            heard.append(request.url)
            yield {"failed": request.url}

    site.page("/", page("/gone", *(f"/{n}" for n in range(30))))
    site.page("/gone", "no", status=404)
    site.page("*", "x", delay=0.05)
    await cut(site, tmp_path, Hears(), lambda: len(site.hits) > 20, per_host=2)
    result = await life(site, tmp_path, Hears())
    assert heard == ["http://a.test/gone"]
    assert result.report.stats.items == 32


# -- without a folder there is nothing to hand over -------------------------------------------------


async def test_crawls_in_memory_begin_anew_each_time(site: Site) -> None:
    site.tree(pages=20, fanout=3)
    for _ in range(2):
        site.forget()
        result = await crawl(Walk(), settings=FAST, resolver=Loopback(site.port))
        assert (len(result.items), len(site.hits), result.report.why) == (20, 20, "finished")


async def test_a_stream_that_is_left_and_begun_again_gives_everything_again(site: Site) -> None:
    site.tree(pages=20, fanout=3)
    async for _ in stream(Walk(), settings=FAST, resolver=Loopback(site.port)):
        break
    items = [item async for item in stream(Walk(), settings=FAST, resolver=Loopback(site.port))]
    assert len(items) == len({item["url"] for item in items}) == 20


async def test_a_run_folder_without_durability_is_not_gone_on_with(site: Site, tmp_path: Path) -> None:
    site.tree(pages=20, fanout=3, delay=0.01)
    await cut(site, tmp_path, Walk(), lambda: len(site.hits) > 5, durability="none")
    result = await life(site, tmp_path, Walk(), durability="none")
    assert (result.report.stats.done, result.report.stats.items) == (20, 20)
    assert len([path for path in (tmp_path / "walk").iterdir() if not path.is_symlink()]) == 2
