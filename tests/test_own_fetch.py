"""`self.fetch` within a callback: through the same gate, without deadlock, redone with its page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from scraper import FetchError, Reason, Request, Response, Spider, StatusError
from scraper.outcome import End
from scraper.testing.answers import Answer
from scraper.testing.hits import parallel, spacing
from scraper.testing.site import Site

from .conftest import Crawl


class Details(Spider):
    """Fetches a detail of every page from within its callback."""

    name = "details"
    host: str = "a.test"
    most: int = 1

    async def start(self) -> AsyncIterator[Request | str]:
        for n in range(12):
            yield f"http://{self.host}/page/{n}"

    async def parse(self, response: Response) -> Any:
        number = response.url.rpartition("/")[2]
        got = await asyncio.gather(
            *(self.fetch(f"http://{self.host}/detail/{number}/{part}") for part in range(self.most))
        )
        return {"page": number, "details": [each.text for each in got]}


@pytest.mark.parametrize("concurrency", [1, 2, 7, 64])
@pytest.mark.parametrize("open_pages", [1, 256])
async def test_it_works_at_any_concurrency(site: Site, go: Crawl, concurrency: int, open_pages: int) -> None:
    site.page("*", "detail")
    async with asyncio.timeout(20):
        result = await go(Details(most=3), concurrency=concurrency, per_host=1, max_open_pages=open_pages)
    assert sorted(int(item["page"]) for item in result.items) == list(range(12))
    assert all(item["details"] == ["detail"] * 3 for item in result.items)
    hits = [hit for hit in site.hits if hit.path != "/robots.txt"]
    assert len(hits) == 12 + 36
    assert parallel(hits) == 1


async def test_it_keeps_the_delay_of_its_host(site: Site, go: Crawl) -> None:
    site.page("*", "detail")
    result = await go(Details(), concurrency=8, per_host=4, delay=0.03)
    assert len(result.items) == 12
    assert min(spacing(site.hits)) >= 0.03 - 0.002
    assert result.report.proofs["a.test"].early == 0


async def test_its_redirects_and_retries_are_its_own(site: Site, go: Crawl) -> None:
    site.page("/page/*", "page")
    site.redirect("/detail/3/0", "http://b.test/moved")
    site.page("/moved", "moved", host="b.test")
    site.page("/detail/4/0", times=[Answer(503), Answer(body="came back")])
    site.page("/detail/*", "detail")
    result = await go(Details())
    texts = {item["page"]: item["details"][0] for item in result.items}
    assert texts["3"] == "moved"
    assert texts["4"] == "came back"


class Careful(Details):
    async def parse(self, response: Response) -> Any:
        if response.url.endswith("/1"):
            await self.fetch("http://a.test/gone")
        try:
            await self.fetch("http://a.test/gone")
        except StatusError as error:
            return {"status": error.status}
        return None


async def test_what_it_raises_can_be_caught_and_else_fails_the_page(site: Site, go: Crawl) -> None:
    site.page("/page/*", "page")
    result = await go(Careful(), robots=False)
    assert result.items == [{"status": 404}] * 11
    [cause] = result.report.stats.sorted_causes()
    assert (cause.reason, cause.detail, cause.url) == (Reason.STATUS, "404", "http://a.test/page/1")


class Free(Details):
    async def start(self) -> AsyncIterator[Request | str]:
        yield "http://a.test/page/0"

    async def parse(self, response: Response) -> Any:
        again = await self.fetch(response.url)
        elsewhere = await self.fetch("http://elsewhere.test/x")
        try:
            await self.fetch("http://elsewhere.test/private")
        except FetchError as error:
            return {"again": again.status, "elsewhere": elsewhere.status, "private": error.reason.value}


async def test_it_obeys_robots_and_ignores_scope_and_seen(site: Site, go: Crawl) -> None:
    site.robots("User-agent: *\nDisallow: /private", host="elsewhere.test")
    site.page("*", "x")
    result = await go(Free())
    assert result.items == [{"again": 200, "elsewhere": 200, "private": "robots"}]
    assert not site.hits_of("elsewhere.test", "/private")


class Slow(Details):
    async def start(self) -> AsyncIterator[Request | str]:
        yield "http://a.test/page/0"

    async def parse(self, response: Response) -> Any:
        for _ in range(3):
            await self.fetch(Request("http://a.test/slow", again=True))
        await asyncio.sleep(0.1)
        return {"done": True}


async def test_the_callbacks_time_stands_still_while_it_waits(site: Site, go: Crawl) -> None:
    site.page("/slow", "x", delay=0.3)
    site.page("*", "x")
    result = await go(Slow(), callback_timeout=0.8)
    assert result.items == [{"done": True}]


class Once(Details):
    async def start(self) -> AsyncIterator[Request | str]:
        yield "http://a.test/page/0"

    async def parse(self, response: Response) -> Any:
        await self.fetch("http://b.test/detail")
        return {"done": True}


async def test_a_host_that_rests_longer_than_a_callback_may_take_turns_the_page_into_a_retry(
    site: Site, go: Crawl
) -> None:
    site.page("/page/0", "x")
    site.page("/detail", times=[Answer(503, headers={"Retry-After": "1"}), Answer(body="x")])
    result = await go(Once(), callback_timeout=0.3)
    assert result.items == [{"done": True}]
    assert result.report.stats.ends[End.RETRY] >= 1
    assert len(site.hits_of("a.test", "/page/0")) == 2


class Twice(Details):
    async def start(self) -> AsyncIterator[Request | str]:
        yield "http://a.test/page/0"

    async def parse(self, response: Response) -> AsyncIterator[Any]:
        yield {"before": 1}
        await self.fetch("http://b.test/detail")
        yield {"after": 1}


async def test_items_of_a_page_whose_fetch_fails_are_not_kept_twice(site: Site, go: Crawl) -> None:
    site.page("/page/0", "x")
    site.page("/detail", times=[Answer(503, headers={"Retry-After": "1"}), Answer(body="x")])
    result = await go(Twice(), callback_timeout=0.3)
    assert result.items == [{"before": 1}, {"after": 1}]


@pytest.mark.alone(reason="one page waits for what another has left in memory")
async def test_a_fetch_that_its_callback_left_behind_ends_well(site: Site, go: Crawl) -> None:
    left: list[asyncio.Task[Response]] = []

    class Leaves(Spider):
        name = "leaves"
        start_urls = ("http://a.test/",)

        async def parse(self, response: Response) -> Any:
            left.append(asyncio.create_task(self.fetch("http://a.test/slow")))
            await asyncio.sleep(0.05)
            return response.follow("/2", callback=self.wait)

        async def wait(self, response: Response) -> Any:
            return {"left": (await left[0]).text}

    site.page("/", "")
    site.page("/2", "", delay=0.1)
    site.page("/slow", "came", delay=0.3)
    result = await go(Leaves())
    assert result.items == [{"left": "came"}]


class Tokens(Spider):
    name = "tokens"
    start_urls = ("http://a.test/", "http://a.test/2")

    async def prepare(self, request: Request) -> Request:
        if request.url.endswith("/token"):
            return request
        token = (await self.fetch("http://a.test/token")).text
        return request.replace(headers=(("X-Token", token),))

    def parse(self, response: Response) -> Any:
        return {"url": response.url}


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_prepare_may_fetch_from_the_very_host(site: Site, go: Crawl, concurrency: int) -> None:
    site.page("*", "")
    site.page("/token", "sesame")
    result = await asyncio.wait_for(go(Tokens(), concurrency=concurrency, per_host=1, delay=0.05), 30)
    assert result.report.stats.done == 2
    assert {hit.headers.get("X-Token") for hit in site.hits_of(path="/2")} == {"sesame"}
    assert result.report.proofs["a.test"].early == 0
    assert parallel(site.hits) == 1


class Hangs(Spider):
    name = "hangs"
    start_urls = ("http://a.test/",)

    async def prepare(self, request: Request) -> Request:
        await asyncio.sleep(60)
        return request


async def test_a_prepare_that_hangs_costs_its_page(site: Site, go: Crawl) -> None:
    result = await asyncio.wait_for(go(Hangs(), callback_timeout=0.1), 30)
    assert result.report.stats.failed == 1
