"""Spiders that break, block, hang and flood, and outputs that are slow (faults 62, 63, 65)."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scraper import FetchError, Request, Response, Retry
from scraper.reasons import Reason
from scraper.testing.site import Site
from tests.cli.command import scraper
from tests.faults.web import Walk, hunt, page


def raised() -> list[BaseException]:
    return [
        KeyError("price"), AssertionError(), StopIteration(1), StopAsyncIteration(), RecursionError(),
        MemoryError(), SystemExit(3), asyncio.CancelledError(), TimeoutError(), OSError(28, "disk full"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ExceptionGroup("several", [ValueError(1), KeyError(2)]),
        FetchError(Reason.RESET), ConnectionResetError(), Exception("\x1b[31m\r\nforged line"),
    ]  # fmt: skip


def names(errors: list[BaseException]) -> list[str]:
    return [getattr(error, "__name__", type(error).__name__) for error in errors]


@pytest.mark.parametrize("form", ["function", "generator", "coroutine", "async generator"])
@pytest.mark.parametrize("number", range(len(raised())), ids=names(raised()))
async def test_whatever_a_callback_raises_in_any_form_costs_its_page_only(
    site: Site, number: int, form: str
) -> None:
    error = raised()[number]

    class Raises(Walk):
        def parse(self, response: Response) -> Any:
            if not response.url.endswith("/bad"):
                return super().parse(response)
            return {
                "function": self.function, "generator": self.generator, "coroutine": self.coroutine,
                "async generator": self.stream,
            }[form]()  # fmt: skip

        def function(self) -> Any:
            raise error

        def generator(self) -> Any:
            yield {"lost": True}
            raise error

        async def coroutine(self) -> Any:
            await asyncio.sleep(0)
            raise error

        async def stream(self) -> AsyncIterator[Any]:
            yield {"lost": True}
            raise error

    site.page("/", page(["/bad", "/good"]))
    site.page("*", page())
    web = await hunt(site, Raises(), retries=1)
    assert sorted(item["url"] for item in web.result.items) == ["http://a.test/", "http://a.test/good"]
    assert web.result.report.stats.failed == 1
    assert web.ends()["http://a.test/bad"][0] == "failed"
    assert len(site.hits_of(path="/bad")) == 1


@pytest.mark.parametrize("after", [-5.0, 0.0, float("nan"), None])
async def test_a_retry_asked_for_at_an_odd_time_is_made(site: Site, after: float | None) -> None:
    class Asks(Walk):
        def parse(self, response: Response) -> Any:
            if response.request.tries == 0:
                raise Retry("odd", after=after)
            yield {"tries": response.request.tries}

    site.page("/", page())
    web = await hunt(site, Asks())
    assert web.result.items == [{"tries": 1}]


async def test_a_retry_asked_for_for_ever_is_given_up(site: Site) -> None:
    class Asks(Walk):
        def parse(self, response: Response) -> Any:
            raise Retry("never good", after=0)

    site.page("/", page())
    web = await hunt(site, Asks(), retries=3)
    assert len(site.hits_of(path="/")) == 4
    assert web.of("http://a.test/") is Reason.ASKED


async def test_a_callback_that_blocks_the_loop_is_named(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    class Blocks(Walk):
        def parse(self, response: Response) -> Any:
            yield Request("http://a.test/detail", callback=self.detail)

        def detail(self, response: Response) -> Any:
            time.sleep(1.1)
            yield {"url": response.url}

    site.page("*", page())
    with caplog.at_level(logging.WARNING):
        web = await hunt(site, Blocks())
    assert web.result.items == [{"url": "http://a.test/detail"}]
    [told] = [record.getMessage() for record in caplog.records if "held the event loop" in record.getMessage()]
    assert "'detail'" in told
    assert "http://a.test/detail" in told


async def test_two_hundred_thousand_items_of_one_page_all_arrive(site: Site, tmp_path: Path) -> None:
    class Floods(Walk):
        def parse(self, response: Response) -> Any:
            yield from ({"n": n} for n in range(200_000))

    site.page("/", page())
    web = await hunt(site, Floods(), folder=tmp_path)
    assert web.result.folder is not None
    lines = (web.result.folder / "items.jsonl").read_bytes().splitlines()
    assert len(lines) == web.result.report.stats.items == 200_000
    assert (json.loads(lines[0]), json.loads(lines[-1])) == ({"n": 0}, {"n": 199_999})


async def test_items_are_as_they_were_when_they_were_yielded(site: Site) -> None:
    shared: dict[str, Any] = {"n": 0, "list": []}

    class Mutates(Walk):
        def parse(self, response: Response) -> Any:
            for number in range(3):
                shared["n"] = number
                shared["list"].append(number)
                yield shared
            shared["n"] = "changed"
            response.request.cb_kwargs["injected"] = shared
            response.headers.__init__([("x", "y")])  # type: ignore[misc]
            response.body = b""

    site.page("/", page())
    web = await hunt(site, Mutates())
    assert web.result.items == [{"n": n, "list": list(range(n + 1))} for n in range(3)]


async def test_keywords_are_not_shared_between_pages(site: Site) -> None:
    class Shares(Walk):
        def parse(self, response: Response) -> Any:
            seen: list[str] = ["start"]
            for number in range(3):
                yield Request(f"http://a.test/{number}", callback=self.more, cb_kwargs={"seen": seen})

        def more(self, response: Response, seen: list[str]) -> Any:
            seen.append(response.url)
            yield {"seen": seen}

    site.page("*", page())
    web = await hunt(site, Shares(), concurrency=1)
    assert [len(item["seen"]) for item in web.result.items] == [2, 2, 2]


async def test_a_callback_that_meddles_with_the_spider_and_the_loop_ends_nothing(site: Site) -> None:
    class Meddles(Walk):
        async def parse(self, response: Response) -> Any:
            self.name = "other"  # type: ignore[misc]
            task = asyncio.current_task()
            assert task is not None
            if response.request.depth:
                task.set_name("mine")
            yield response.follow_all(css="a[href]")
            yield {"url": response.url}

    site.page("/", page(f"/{n}" for n in range(10)))
    site.page("*", page())
    web = await hunt(site, Meddles())
    assert len(web.result.items) == 11


async def test_on_error_that_breaks_costs_nothing_more(site: Site) -> None:
    class Breaks(Walk):
        def on_error(self, request: Request, error: FetchError) -> Any:
            yield {"lost": True}
            raise SystemExit(request.url)

    site.page("/", page(["/gone", "/good"]))
    site.page("/good", page())
    web = await hunt(site, Breaks())
    assert len(web.result.items) == 2
    assert web.of("http://a.test/gone") is Reason.STATUS


async def test_closed_that_breaks_leaves_the_results(site: Site) -> None:
    class Breaks(Walk):
        async def closed(self, reason: str) -> None:
            raise RuntimeError("after the last page")

    site.page("/", page())
    web = await hunt(site, Breaks())
    assert len(web.result.items) == 1
    assert "after the last page" in web.result.report.said[0]


HANGS = """
import time
from scraper import Spider

class Hangs(Spider):
    name = "hangs"
    start_urls = ["{url}/hang", "{url}/good"]

    def parse(self, response):
        if response.url.endswith("/hang"):
            {how}
        yield {{"url": response.url}}
"""


@pytest.mark.parametrize("how", ["time.sleep(60)", "while True: pass", "sum(1 for _ in iter(int, 1))"])
async def test_the_command_line_interrupts_a_callback_that_hangs(tmp_path: Path, how: str) -> None:
    async with Site() as site:
        site.page("*", page())
        (tmp_path / "hangs.py").write_text(HANGS.format(url=site.url("").rstrip("/"), how=how))
        began = time.monotonic()
        done = await scraper("crawl", "hangs.py", "-s", "delay=0", "-s", "callback_timeout=0.5", cwd=tmp_path)
    assert time.monotonic() - began < 10
    assert done.code == 0, done.err
    items = (tmp_path / "output/hangs/latest/items.jsonl").read_text().splitlines()
    assert [json.loads(item)["url"].rpartition("/")[2] for item in items] == ["good"]
    assert "callback_timeout" in done.err
    assert "hangs.py:11 in " in done.err


async def test_a_flood_of_equal_failures_does_not_flood_the_log(site: Site, tmp_path: Path) -> None:
    site.page("/", page(f"/{n}" for n in range(2_000)))
    web = await hunt(site, Walk(), folder=tmp_path, concurrency=64, per_host=64, robots=False)
    assert web.result.report.stats.failed == 2_000
    assert web.result.folder is not None
    log = (web.result.folder / "log.jsonl").read_text().splitlines()
    assert len(log) < 100
    assert len((web.result.folder / "stats.json").read_text()) < 20_000
