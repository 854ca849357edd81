"""The demo shop: what a spider should find is what its pages show."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp
from selectolax.lexbor import LexborHTMLParser

from scraper.testing.demo import Demo, books, pages
from scraper.testing.walk import walk


async def test_every_book_can_be_found_and_read_by_following_links() -> None:
    async with Demo() as url, aiohttp.ClientSession() as client:
        waiting, seen, found = [url], {url}, []
        while waiting:
            here = waiting.pop()
            async with client.get(here) as response:
                page = LexborHTMLParser(await response.read())
            if "/book/" in here:
                found.append(_read(page, here))
            for node in page.css("nav a, h3 a, li.next a"):
                link = url.rstrip("/") + str(node.attributes["href"])
                if link not in seen:
                    seen.add(link)
                    waiting.append(link)
    assert sorted(found, key=lambda book: str(book["title"])) == sorted(
        books(url), key=lambda book: str(book["title"])
    )


def _read(page: LexborHTMLParser, url: str) -> dict[str, object]:
    def text(query: str) -> str:
        node = page.css_first(query)
        assert node is not None
        return node.text()

    stars = page.css_first(".rating")
    assert stars is not None
    assert len(page.css("h1, .price, .rating, .shelf a")) == 4  # one() of each finds just one
    return {
        "title": text("h1"),
        "price": float(text(".price").strip("£")),
        "rating": int(stars.attributes["data-stars"] or 0),
        "shelf": text(".shelf a"),
        "url": url,
    }


async def test_the_shop_has_a_redirect_a_dead_link_and_a_forbidden_page() -> None:
    demo = Demo()
    async with demo as url, aiohttp.ClientSession() as client:
        latest = await client.get(url + "latest")
        assert (latest.status, len(latest.history)) == (200, 1)
        assert (await client.get(url + "newsletter")).status == 404
        assert "Disallow: /basket" in await (await client.get(url + "robots.txt")).text()
        front = await (await client.get(url)).text()
    assert {"/latest", "/newsletter", "/basket"} <= set(re.findall(r'href="([^"]+)"', front))
    assert len(demo.site.hits) == 5


def test_the_shop_is_about_sixty_books_each_with_a_page_of_its_own() -> None:
    table = books("http://shop.test/")
    assert len(table) == 60
    assert len({book["url"] for book in table}) == 60
    assert {book["url"].removeprefix("http://shop.test") for book in table} <= pages().keys()
    assert {book["rating"] for book in table} == {1, 2, 3, 4, 5}


def test_a_walk_finds_what_a_crawler_of_a_folder_must_visit(tmp_path: Path) -> None:
    (tmp_path / "sub" / "bare").mkdir(parents=True)
    (tmp_path / "start.html").write_text(
        '<a href="#top">.</a><a href="sub">.</a><a href="a%20b.txt">.</a><a href="gone.html#x">.</a>'
        '<a href="http://other.test/">.</a><a href="mailto:a@b.c">.</a><a href="?q=1">.</a><a>.</a>'
        '<a href="http://[">.</a>'
    )
    (tmp_path / "a b.txt").write_text('<a href="never.html">not a page</a>')
    (tmp_path / "sub" / "index.html").write_text('<a href="bare/">.</a><a href="../start.html">.</a>')
    found = walk(tmp_path, "start.html", "http://h.test:81/")
    assert {url.removeprefix("http://h.test:81"): tuple(answer) for url, answer in found.items()} == {
        "/start.html": (200, "html"),
        "/start.html?q=1": (200, "html"),
        "/sub": (301, "directory"),
        "/sub/": (200, "html"),
        "/sub/bare/": (403, "bare"),
        "/a%20b.txt": (200, "file"),
        "/gone.html": (404, "missing"),
    }


def test_a_walk_heeds_a_base_element(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "index.html").write_text('<base href="/docs/deep/"><a href="x.html">.</a>')
    (tmp_path / "deep" / "x.html").write_text("end")
    assert walk(tmp_path, "", "http://h.test/docs/").keys() == {
        "http://h.test/docs/",
        "http://h.test/docs/deep/x.html",
    }
