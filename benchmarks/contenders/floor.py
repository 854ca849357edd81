"""The floor: fetch, parse, read every `a[href]`, nothing else. The list of URLs is given.

What a Python program on aiohttp and lexbor cannot be faster than: no queue, no set, no URL is resolved. Measured
and left out, as they gain nothing: `attributes` instead of `attrs.sget`, a connector with a limit, no cyclic
garbage collection. With `--items` it also writes what it saw, which is for the checker and not timed.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import aiohttp
from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser
from yarl import URL

from .lap import CONCURRENCY, run

AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
PARSED = LexborDocumentOptions.WO_EVENTS.value  # 1 to 2 % faster, and what ours does
M_TRIM_THRESHOLD, M_TOP_PAD = -1, -2  # of malloc.h
BUFFER = 2**20  # bytes of a body that are read without pausing the socket


async def main(given: argparse.Namespace) -> int:
    """Fetch every URL of the list."""
    _keep_memory()
    urls = given.urls.read_text(encoding="utf-8").splitlines()
    left = islice(urls, given.pages or None)
    seen: list[dict[str, object]] | None = [] if given.items else None
    async with _session() as session, asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(_worker(session, left, seen))
    if seen is not None:
        given.items.write_text("".join(json.dumps(item) + "\n" for item in seen), encoding="utf-8")
    return min(len(urls), given.pages or len(urls))


def _keep_memory() -> None:
    """Let glibc keep what a page needed for the next one.

    It gives the top of the heap back where it is free, and whether it is after a small page is luck: measured, 110
    or 220 us a page from one start to the next, with 28 page faults each.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, 2**28)
        mallopt(M_TOP_PAD, 2**26)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        skip_auto_headers=AUTOMATIC,
        read_bufsize=BUFFER,
    )


async def _worker(
    session: aiohttp.ClientSession, left: Iterator[str], seen: list[dict[str, object]] | None
) -> None:
    for url in left:
        async with session.get(URL(url, encoded=True), allow_redirects=False) as answer:
            body = await answer.read()
        page = LexborHTMLParser(body, options=PARSED)
        hrefs = [node.attrs.sget("href") for node in page.css("a[href]")]
        if seen is not None and answer.status == 200:
            title = page.css_first("title")
            seen.append({"url": url, "title": title.text() if title else "", "links": len(hrefs)})
            del title
        del page  # else 32 trees are kept while the next pages come


if __name__ == "__main__":
    run(main)
