"""The trial for crawlee: `python crawlee_crawl.py URL`, again and again in one folder.

Its documented means of resuming: storage on the file system, `purge_on_start` off. Each process logs in first;
members' pages carry the pass as a header, as sessions do not outlive a process.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from crawlee import ConcurrencySettings, Request
from crawlee.configuration import Configuration
from crawlee.crawlers import BasicCrawlingContext, ParselCrawler, ParselCrawlingContext
from crawlee.errors import HttpStatusCodeError
from crawlee.http_clients import ImpitHttpClient
from crawlee.storage_clients import FileSystemStorageClient

from scraper.testing.trial import AGAIN, HOSTS, LOGIN, MEMBERS, PASSWORD, SEEDS, USER

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def main(url: str) -> None:
    """Crawl on from where the last process was ended."""
    port = urlsplit(url).port
    client = ImpitHttpClient()
    crawler = ParselCrawler(
        configuration=Configuration(purge_on_start=False),
        storage_client=FileSystemStorageClient(),
        http_client=client,
        max_request_retries=3,
        respect_robots_txt_file=True,
        retry_on_blocked=False,
        concurrency_settings=ConcurrencySettings(min_concurrency=16, desired_concurrency=16, max_concurrency=32),
        request_handler_timeout=timedelta(seconds=30),
    )
    there = f"http://{MEMBERS}:{port}{LOGIN}"
    form = urlencode({"user": USER, "password": PASSWORD}).encode()
    answer = await client.send_request(there, method="POST", payload=form, headers=FORM)
    cookie = answer.headers["set-cookie"].partition(";")[0]

    @crawler.pre_navigation_hook
    async def prepare(context: BasicCrawlingContext) -> None:
        if context.request.user_data.get("kind") == "member":
            context.request.headers = context.request.headers | {"Cookie": cookie}

    @crawler.router.default_handler
    async def parse(context: ParselCrawlingContext) -> None:
        data = context.request.user_data
        await context.add_requests(list(links(context)))
        kind = context.selector.css("body").attrib["class"]
        if kind in ("skips", "raises"):  # a handler that raises loses the links it gave
            return
        more: dict[str, Any] = {"time": data["time"]} if "time" in data else {}
        if data.get("kind") in ("detailed", "lost"):
            more = {"detail": await detail(context)}
        if "detail" not in more or more["detail"]:
            await context.push_data(items(context, more))

    @crawler.failed_request_handler
    async def failed(context: BasicCrawlingContext, error: Exception) -> None:
        if isinstance(error, HttpStatusCodeError):
            await context.push_data({"page": place(context.request.url), "error": error.status_code})

    seeds = [f"http://{seed.partition('/')[0]}:{port}/{seed.partition('/')[2]}" for seed in SEEDS]
    await crawler.run([*seeds, url])


async def detail(context: ParselCrawlingContext) -> str:
    """The title of the page that half of the item is on, "" when it is not there."""
    from parsel import Selector

    href = urljoin(
        context.request.loaded_url or context.request.url, context.selector.css("a.detail").attrib["href"]
    )
    for _ in range(4):
        response = await context.send_request(href)
        if response.status_code == 200:
            return Selector((await response.read()).decode()).css("h1::text").get("")
        if response.status_code < 500:
            break
    return ""


def items(context: ParselCrawlingContext, more: dict[str, Any]) -> list[dict[str, Any]]:
    """What the page lists."""
    title = context.selector.css("h1::text").get()
    here = place(context.request.loaded_url or context.request.url)
    return [
        {"page": here, "title": title, "n": n, "text": each.css("::text").get("")} | more
        for n, each in enumerate(context.selector.css("ul li"))
    ]


def links(context: ParselCrawlingContext) -> Any:
    """Where the page leads."""
    for link in context.selector.css("nav a"):
        kind, href = link.attrib["class"], urljoin(context.request.loaded_url or "", link.attrib["href"])
        if kind == "detail" or urlsplit(href).hostname not in HOSTS:
            continue
        if kind == "search":
            payload = urlencode({"q": link.css("::text").get("").removeprefix("Title ")}).encode()
            yield Request.from_url(href, method="POST", payload=payload, headers=FORM, max_retries=0)
        elif kind == "again":
            for time in range(AGAIN):
                yield Request.from_url(href, unique_key=f"{href} {time}", user_data={"time": time})
        else:
            yield Request.from_url(href, user_data={"kind": kind})


def place(url: str) -> str:
    """Host and path."""
    there = urlsplit(url)
    return f"{there.hostname}{there.path}"


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
