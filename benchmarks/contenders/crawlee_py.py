"""crawlee for Python (ParselCrawler) with its fastest fair settings: storage in memory, no robots, no sessions.

32 tasks from the first moment (its pool grows slowly, and shrinks when a core is busy); items are written by hand,
as its dataset would also keep them; links are given as strings. Its own duplicate check decides what is new.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TextIO
from urllib.parse import urljoin, urlsplit

from crawlee import ConcurrencySettings
from crawlee.configuration import Configuration
from crawlee.crawlers import BasicCrawlingContext, ParselCrawler, ParselCrawlingContext
from crawlee.http_clients import ImpitHttpClient
from crawlee.storage_clients import MemoryStorageClient

from benchmarks.contenders.lap import CONCURRENCY, run

HOUR = timedelta(hours=1)


async def main(given: argparse.Namespace) -> dict[str, Any]:
    """Crawl until there is nothing left, or a limit is reached."""
    with given.items.open("w", encoding="utf-8") as out:
        return await Crawl(given, out).run()


class Crawl:
    """One crawl and what it counted."""

    def __init__(self, given: argparse.Namespace, out: TextIO) -> None:
        self.given = given
        self.out = out
        self.answered = 0
        self.part = False
        self.end = time.monotonic() + (given.seconds or 86400)
        self.host = "" if given.any_host else urlsplit(given.start).netloc
        self.crawler = ParselCrawler(
            configuration=Configuration(log_level="CRITICAL", available_memory_ratio=0.9),
            storage_client=MemoryStorageClient(),
            http_client=ImpitHttpClient(),
            concurrency_settings=ConcurrencySettings(
                min_concurrency=CONCURRENCY, desired_concurrency=CONCURRENCY, max_concurrency=CONCURRENCY
            ),
            max_request_retries=0,
            max_requests_per_crawl=given.pages or None,
            use_session_pool=False,
            retry_on_blocked=False,
            respect_robots_txt_file=False,
            configure_logging=False,
            status_message_logging_interval=HOUR,
        )
        self.crawler.router.default_handler(self.parse)
        self.crawler.failed_request_handler(self.failed)

    async def run(self) -> dict[str, Any]:
        """The whole crawl."""
        logging.disable(logging.CRITICAL)
        await self.crawler.run([self.given.start])
        return {"answered": self.answered, "part": self.part}

    async def parse(self, context: ParselCrawlingContext) -> None:
        """An item and the links of a page."""
        self.answered += 1
        if time.monotonic() > self.end and not self.part:
            self.part = True
            self.crawler.stop()
        here = context.request.loaded_url or context.request.url
        hrefs = context.selector.css("a::attr(href)").getall()
        item = {"url": here, "title": context.selector.css("title::text").get(""), "links": len(hrefs)}
        self.out.write(json.dumps(item) + "\n")
        await context.add_requests(list(self.links(here, hrefs)))

    def links(self, here: str, hrefs: list[str]) -> Iterator[str]:
        """Where a page leads, each once."""
        for link in dict.fromkeys(urljoin(here, href).partition("#")[0] for href in hrefs):
            if link.startswith("http") and (not self.host or urlsplit(link).netloc == self.host):
                yield link

    async def failed(self, context: BasicCrawlingContext, error: Exception) -> None:
        """Missing pages are answers too."""
        self.answered += 1


if __name__ == "__main__":
    run(main)
