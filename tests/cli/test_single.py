"""`scraper fetch`, `parse` and `shell`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scraper.testing.demo import Demo
from scraper.testing.site import Site
from tests.cli.command import BOOKS, FAST, scraper

BEES = "book/bees-in-the-boardroom"


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    shop = Demo()
    async with shop:
        yield shop


async def test_fetch_prints_the_body_and_tells_of_redirects(tmp_path: Path, demo: Demo) -> None:
    done = await scraper("fetch", demo.site.url("/latest"), "--headers", *FAST, cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out.startswith("<!doctype html>")
    assert "302 " in done.err
    assert "Content-Type: text/html" in done.err


async def test_fetch_prints_what_an_error_page_says_and_ends_with_1(tmp_path: Path, demo: Demo) -> None:
    done = await scraper("fetch", demo.site.url("/newsletter"), cwd=tmp_path)
    assert done.code == 1
    assert "There is no such page" in done.out
    assert done.err.endswith("status: 404\n")


async def test_fetch_names_the_kind_of_a_failure(tmp_path: Path) -> None:
    done = await scraper("fetch", "http://127.0.0.1:1/", cwd=tmp_path)
    assert (done.code, done.err) == (1, "error: http://127.0.0.1:1/: refused: 127.0.0.1:1\n")
    done = await scraper("fetch", "example.com", cwd=tmp_path)
    assert done.code == 2
    assert "did you mean https://example.com?" in done.err


async def test_fetch_follows_no_redirect_to_a_private_place(tmp_path: Path) -> None:
    async with Site() as site, Site() as other:
        site.redirect("/", other.url("/secret"))
        done = await scraper("fetch", site.url(), *FAST, cwd=tmp_path)
    assert done.code == 1
    assert "private_address" in done.err
    assert not other.hits


async def test_parse_prints_items_and_requests(tmp_path: Path, demo: Demo) -> None:
    words = ("--spider", BOOKS, "-a", "url=x")
    done = await scraper("parse", demo.site.url("/" + BEES), *words, "-c", "book", cwd=tmp_path)
    assert done.code == 0, done.err
    assert json.loads(done.out)["title"] == "Bees in the Boardroom"
    done = await scraper("parse", demo.site.url("/poetry/"), *words, "-a", "shelf=poetry", cwd=tmp_path)
    assert done.out == ""
    assert f"-> {demo.site.url('/book/slow-bells')}" not in done.out
    assert "parse: 0 items, 7 requests" in done.err


async def test_parse_reads_a_file_and_tells_where_a_callback_broke(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<h1>Empty</h1>")
    done = await scraper("parse", "page.html", "--spider", BOOKS, "-a", "url=x", "-c", "book", cwd=tmp_path)
    assert done.code == 1
    assert "books.py:" in done.err
    assert ".price::text" in done.err
    done = await scraper("parse", "page.html", "--spider", BOOKS, "-a", "url=x", "-c", "bok", cwd=tmp_path)
    assert done.code == 2
    assert "did you mean 'book'?" in done.err


async def test_shell_has_the_page_and_fetches_from_the_prompt(tmp_path: Path, demo: Demo) -> None:
    typed = f"print(css('h1::text').one())\nfetch({demo.site.url('/' + BEES)!r}) and print(css('h1::text').one())\n"
    done = await scraper("shell", demo.site.url("/"), *FAST, cwd=tmp_path, typed=typed)
    assert done.code == 0, done.err
    assert "The Corner Shelf" in done.out
    assert "Bees in the Boardroom" in done.out
