"""What a good programmer writes in forty lines: aiohttp, selectolax, a set and urljoin."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TextIO
from urllib.parse import urldefrag, urljoin, urlsplit

import aiohttp
from selectolax.lexbor import LexborHTMLParser

from .lap import CONCURRENCY, run


class Crawl:
    """Every page of one site, or of all that it leads to, each once."""

    def __init__(self, start: str, out: TextIO, *, most: int = 0, any_host: bool = False) -> None:
        self.host = "" if any_host else urlsplit(start).netloc
        self.most = most
        self.seen = {start}
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.queue.put_nowait(start)
        self.out = out

    async def worker(self, session: aiohttp.ClientSession) -> None:
        """Fetch and read pages for ever."""
        while True:
            url = await self.queue.get()
            try:
                async with session.get(url) as answer:
                    body = await answer.read()
                if answer.status == 200:
                    self.read(url, body)
            finally:
                self.queue.task_done()

    def read(self, url: str, body: bytes) -> None:
        """Write the item of a page and queue its new links."""
        page = LexborHTMLParser(body)
        title = page.css_first("title")
        hrefs = [node.attributes["href"] or "" for node in page.css("a[href]")]
        item = {"url": url, "title": title.text() if title else "", "links": len(hrefs)}
        self.out.write(json.dumps(item) + "\n")
        for href in hrefs:
            link = urldefrag(urljoin(url, href)).url
            if link not in self.seen and (not self.host or urlsplit(link).netloc == self.host):
                if self.most and len(self.seen) >= self.most:
                    return
                self.seen.add(link)
                self.queue.put_nowait(link)


async def main(given: argparse.Namespace) -> int:
    """Crawl from the start page until the queue is empty."""
    with given.items.open("w", encoding="utf-8") as out:
        crawl = Crawl(given.start, out, most=given.pages, any_host=given.any_host)
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            workers = [group.create_task(crawl.worker(session)) for _ in range(CONCURRENCY)]
            await crawl.queue.join()
            for worker in workers:
                worker.cancel()
    return len(crawl.seen)


if __name__ == "__main__":
    run(main, fast_loop=False)
