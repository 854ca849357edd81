"""Scrapy with its fastest fair settings: no robots, no cookies, no delay, quiet, uvloop, everything in memory.

Titles and links by its own selectors, requests made from strings (its LinkExtractor is slower), the feed by its own
exporter. `--pages` and `--seconds` are its CloseSpider extension's limits.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import Response

from benchmarks.contenders.lap import CONCURRENCY, arguments, measured


class Docsite(scrapy.Spider):
    """Every page of a site, as spiders/docsite.py reads them."""

    name = "docsite"
    url: str

    async def start(self) -> AsyncIterator[Any]:
        """The first page; its own way of starting would fetch it again when a page leads to it."""
        yield scrapy.Request(self.url)

    def parse(self, response: Response) -> Iterator[Any]:
        """An item and the links of a page; what is no HTML page has none."""
        if not isinstance(response, scrapy.http.HtmlResponse):
            return
        hrefs = response.css("a::attr(href)").getall()
        yield {"url": response.url, "title": response.css("title::text").get(""), "links": len(hrefs)}
        for link in dict.fromkeys(response.urljoin(href).partition("#")[0] for href in hrefs):
            if link.startswith("http"):
                yield scrapy.Request(link)


def settings(given: argparse.Namespace) -> dict[str, Any]:
    """Scrapy's settings."""
    made: dict[str, Any] = {
        "CONCURRENT_REQUESTS": CONCURRENCY,
        "CONCURRENT_REQUESTS_PER_DOMAIN": CONCURRENCY,
        "DOWNLOAD_DELAY": 0,
        "AUTOTHROTTLE_ENABLED": False,
        "ROBOTSTXT_OBEY": False,
        "COOKIES_ENABLED": False,
        "RETRY_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "LOG_ENABLED": False,
        "ASYNCIO_EVENT_LOOP": "uvloop.Loop",
        "CLOSESPIDER_PAGECOUNT": given.pages,
        "CLOSESPIDER_TIMEOUT": given.seconds,
    }
    if given.items:
        made["FEEDS"] = {str(given.items): {"format": "jsonlines", "overwrite": True}}
    return made


def main() -> None:
    """One crawl, and its lap."""
    given = arguments()
    process = AsyncCrawlerProcess(settings(given))
    crawler = process.create_crawler(Docsite)
    domains = None if given.any_host else [urlsplit(given.start).hostname]
    with measured() as lap:
        process.crawl(crawler, url=given.start, allowed_domains=domains)
        process.start()
        stats = crawler.stats
        assert stats is not None
        lap["answered"] = stats.get_value("downloader/response_count", 0)
        lap["part"] = stats.get_value("finish_reason") != "finished"


if __name__ == "__main__":
    main()
