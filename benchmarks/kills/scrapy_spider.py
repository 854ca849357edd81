"""The trial for Scrapy: `scrapy runspider scrapy_spider.py -a url=... -s JOBDIR=job -o a.jsonl`.

Its documented means of resuming are JOBDIR and the same command again; every request can be serialised. Members'
pages that come before the login of a resumed process are retried, a cookie wall is passed by hand (the duplicate
filter would drop its redirect to itself).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.http import FormRequest, Response
from scrapy.spidermiddlewares.httperror import HttpError

from scraper.testing.trial import AGAIN, HOSTS, LOGIN, MEMBERS, PASSWORD, SEEDS, USER


class Trial(scrapy.Spider):
    """Every page of the trial, each in the way it asks for."""

    name = "trial"
    allowed_domains = list(HOSTS)
    custom_settings = {
        "ROBOTSTXT_OBEY": True,
        "CONCURRENT_REQUESTS": 32,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 4,
        "DOWNLOAD_DELAY": 0,
        "RETRY_TIMES": 3,
        "TELNETCONSOLE_ENABLED": False,
        "LOG_LEVEL": "INFO",
        "DOWNLOADER_CLIENT_TLS_VERBOSE_LOGGING": False,
    }
    url: str

    async def start(self) -> AsyncIterator[Any]:
        """Run again by every process."""
        port = urlsplit(self.url).port
        yield FormRequest(
            f"http://{MEMBERS}:{port}{LOGIN}", formdata={"user": USER, "password": PASSWORD},
            meta={"cookiejar": "member"}, callback=self.welcome, dont_filter=True, priority=100,
        )  # fmt: skip
        for seed in SEEDS:
            host, _, path = seed.partition("/")
            yield scrapy.Request(f"http://{host}:{port}/{path}", errback=self.failed)
        yield scrapy.Request(self.url, errback=self.failed)

    def welcome(self, response: Response) -> None:
        """The login leads nowhere."""

    def parse(self, response: Response, time: int = -1) -> Iterator[Any]:
        """Links first."""
        if response.status == 302:  # the wall: once more, with its cookie
            yield response.request.replace(dont_filter=True, meta={})
            return
        if response.status == 403:
            if again := get_retry_request(response.request, spider=self, reason="403", max_retry_times=20):
                yield again
            return
        yield from self.links(response)
        kind = response.css("body::attr(class)").get()
        if kind == "raises":
            raise RuntimeError("as this page wants it")
        if kind != "skips":
            yield from self.items(response, {} if time < 0 else {"time": time})

    async def detailed(self, response: Response) -> AsyncIterator[Any]:
        """Half of the item is on another page."""
        for link in self.links(response):
            yield link
        detail = response.urljoin(response.css("a.detail::attr(href)").get(""))
        more = await self.crawler.engine.download_async(scrapy.Request(detail))
        if more.status == 200:
            for item in self.items(response, {"detail": more.css("h1::text").get()}):
                yield item

    def failed(self, failure: Any) -> Iterator[dict[str, Any]]:
        """A page that is gone is an item too."""
        if failure.check(HttpError):
            response = failure.value.response
            yield {"page": place(response.url), "error": response.status}

    def items(self, response: Response, more: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """What the page lists."""
        title = response.css("h1::text").get()
        for n, each in enumerate(response.css("ul li")):
            yield {"page": place(response.url), "title": title, "n": n, "text": each.css("::text").get("")} | more

    def links(self, response: Response) -> Iterator[scrapy.Request]:
        """Where the page leads."""
        for link in response.css("nav a"):
            kind, href = link.attrib["class"], response.urljoin(link.attrib["href"])
            if kind == "search":
                form = {"q": link.css("::text").get("").removeprefix("Title ")}
                yield FormRequest(href, formdata=form, errback=self.failed, meta={"dont_retry": True})
            elif kind == "again":
                for time in range(AGAIN):
                    yield scrapy.Request(href, dont_filter=True, cb_kwargs={"time": time}, errback=self.failed)
            elif kind in ("detailed", "lost"):
                yield scrapy.Request(href, callback=self.detailed, errback=self.failed)
            elif kind == "member":
                meta = {"cookiejar": "member", "handle_httpstatus_list": [403]}
                yield scrapy.Request(href, meta=meta, errback=self.failed)
            elif kind == "wall":
                yield scrapy.Request(href, meta={"handle_httpstatus_list": [302]}, errback=self.failed)
            elif kind != "detail":
                yield scrapy.Request(href, priority=9 if kind == "first" else 0, errback=self.failed)


def place(url: str) -> str:
    """Host and path."""
    there = urlsplit(url)
    return f"{there.hostname}{there.path}"
