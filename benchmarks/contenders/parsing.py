"""Bytes to title and hrefs, nothing else: `python -m benchmarks.contenders.parsing WAY --urls FILE`.

WAY is `ours` (Response.css), `selectolax` (bare) or `parsel`; FILE names the pages, one path a line. They are
in memory before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.contenders.lap import arguments, measured

Way = Callable[[bytes], tuple[str, list[str]]]


def ours() -> Way:
    """As spiders/docsite.py reads a page."""
    from scraper.runner import settle
    from scraper.testing import response

    settle()

    def read(body: bytes) -> tuple[str, list[str]]:
        page = response("http://parse.test/", body)
        return page.css("title::text").get(""), page.css("a[href]::attr(href)").getall()

    return read


def selectolax() -> Way:
    """As the floor does, which reads no title in a crawl."""
    from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser

    options = LexborDocumentOptions.WO_EVENTS.value

    def read(body: bytes) -> tuple[str, list[str]]:
        page = LexborHTMLParser(body, options=options)
        title = page.css_first("title")
        return title.text() if title else "", [node.attrs.sget("href") or "" for node in page.css("a[href]")]

    return read


def parsel() -> Way:
    """As Scrapy does, of bytes whose encoding is known."""
    from parsel import Selector  # type: ignore[import-not-found]  # of the peers' environment

    def read(body: bytes) -> tuple[str, list[str]]:
        page = Selector(body=body, encoding="utf8", type="html")
        return page.css("title::text").get(""), page.css("a::attr(href)").getall()

    return read


WAYS = {"ours": ours, "selectolax": selectolax, "parsel": parsel}


def main() -> None:
    """One lap over all pages."""
    given = arguments()
    bodies = [Path(line).read_bytes() for line in given.urls.read_text(encoding="utf-8").splitlines()]
    read = WAYS[given.start]()
    read(bodies[0])
    with measured() as lap:
        links = titles = 0
        for body in bodies:
            title, hrefs = read(body)
            links += len(hrefs)
            titles += bool(title)
        lap |= {"answered": len(bodies), "links": links, "titles": titles}


if __name__ == "__main__":
    main()
