"""The demo: a small invented book shop on loopback, to try a spider on.

    python -m scraper.testing.demo --port 8000      # look at it in a browser
    async with Demo() as url: ...                   # or in a program
    books()                                         # what a spider should bring home

The front page lists the shelves; a shelf shows six books a page with a link to the next one; each book has
a page. Besides, as on every site: a redirect, a link that leads nowhere, and a page robots.txt forbids.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from html import escape
from typing import Any

from .answers import Answer
from .site import Site

PER_PAGE = 6
SHELVES = {
    "poetry": """Salt on the Sill|Nine Kinds of Rain|The Orchard Keeps Its Books|Letters to a Lighthouse
        Slow Bells|What the Ferry Said|A Pocketful of Commas|Frost, Briefly|Under the Paper Moon Bridge
        Small Hours, Large Birds|The Moth Ledger""",
    "travel": """Twelve Trains and a Goat|The Long Way to Breakfast|Harbours I Have Missed
        Map of a Blank Valley|Walking the Old Salt Line|A Suitcase Called Hope
        Notes from the Back of the Bus|North by Bicycle|The Island with Two Mondays""",
    "science": """Why Puddles Shine|The Patient Life of Lichen|Counting Stars on Tuesdays|A Brief Guide to Mud
        How Bridges Hum|The Clockwork Tide|Bees in the Boardroom|Everything Leaks|The Weight of a Shadow
        Seven Experiments with Soup|Atoms at the Seaside|Where Echoes Go|The Second Law of Gardens""",
    "cooking": """Bread for the Impatient|One Pot, Many Neighbours|The Onion Diaries|Soup Weather
        Pickles & Other Promises|Cake by Candlelight|The Quiet Kitchen|A Year of Beans""",
    "history": """The Button Makers of Elm Street|Queens of the Canal|When the Post Came Twice
        A Wall and Its Town|The Great Umbrella Strike|Lamplighters|Ink, Rope and Ledger
        The Winter of the Borrowed Coats|Five Centuries of Doors|The Last Night Watchman
        Ships That Stayed Home|A History of Waiting""",
    "mystery": """The Clue in the Crumbs|Murder at the Seed Library|The Ninth Umbrella|A Parrot Saw It
        The Vanishing Vicar of Vole End|Death Returns a Library Book|The Locked Greenhouse""",
}
STYLE = """<style>
body { font: 16px/1.5 Georgia, serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #2b2620;
       background: #fbf8f2 }
a { color: #7a3b1d } nav a { margin-right: .8rem } h3 { margin: 0; font-size: 1rem }
.books { list-style: none; padding: 0; display: grid; grid-template-columns: 1fr 1fr; gap: 1rem }
.book { border: 1px solid #e2d9c8; border-radius: 6px; padding: .8rem; background: #fff }
.price { font-weight: bold } .rating { color: #c58a00 } .pager { list-style: none; display: flex; gap: 1rem }
footer { margin-top: 3rem; font-size: .85rem; color: #8a8072 }
</style>"""
ROBOTS = "User-agent: *\nDisallow: /basket\n"


@cache
def _table() -> tuple[dict[str, Any], ...]:
    rows = []
    for shelf, lines in SHELVES.items():
        for line in lines.splitlines():
            for title in line.strip().split("|"):
                draw = blake2b(title.encode(), digest_size=4).digest()  # the same book costs the same for ever
                rows.append(
                    {
                        "title": title,
                        "price": round(4 + draw[0] % 24 + (0.5, 0.95, 0.99, 0.0)[draw[1] % 4], 2),
                        "rating": 1 + draw[2] % 5,
                        "shelf": shelf,
                        "path": f"/book/{_slug(title)}",
                        "stock": draw[3] % 30,
                    }
                )
    return tuple(rows)


def _slug(title: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())


def books(url: str = "") -> list[dict[str, Any]]:
    """Every book of the shop: title, price (pounds), rating (1 to 5), shelf, url (under the shop's)."""
    return [
        {key: row[key] for key in ("title", "price", "rating", "shelf")} | {"url": url.rstrip("/") + row["path"]}
        for row in _table()
    ]


def _html(title: str, content: str) -> str:
    shelves = "".join(f'<a href="/{shelf}/">{shelf.title()}</a>' for shelf in SHELVES)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'{STYLE}</head>\n<body>\n<header><a href="/">The Corner Shelf</a></header>\n<nav>{shelves}</nav>\n'
        f"<h1>{escape(title)}</h1>\n{content}\n"
        '<footer><a href="/latest">Latest arrival</a> <a href="/newsletter">Newsletter</a> '
        '<a href="/basket">Basket</a><br>An invented shop. Nothing is for sale.</footer>\n</body>\n</html>\n'
    )


def _card(row: dict[str, Any]) -> str:
    return (
        f'<li class="book"><h3><a href="{row["path"]}">{escape(row["title"])}</a></h3>\n'
        f'<span class="price">£{row["price"]:.2f}</span> {_stars(row)}</li>'
    )


def _stars(row: dict[str, Any]) -> str:
    rating = row["rating"]
    return f'<span class="rating" data-stars="{rating}">{"★" * rating}{"☆" * (5 - rating)}</span>'


def _book(row: dict[str, Any]) -> str:
    shelf = row["shelf"]
    stock = f"{row['stock']} in stock" if row["stock"] else "sold out"
    return _html(
        row["title"],
        f'<p class="shelf">On the shelf <a href="/{shelf}/">{shelf}</a></p>\n'
        f'<p><span class="price">£{row["price"]:.2f}</span> {_stars(row)}</p>\n<p class="stock">{stock}</p>',
    )


def _shelf_pages(shelf: str) -> Iterable[tuple[str, str]]:
    rows = [row for row in _table() if row["shelf"] == shelf]
    last = -(-len(rows) // PER_PAGE)
    for number in range(1, last + 1):
        cards = "\n".join(map(_card, rows[(number - 1) * PER_PAGE : number * PER_PAGE]))
        steps = [f'<li class="here">Page {number} of {last}</li>']
        if number > 1:
            steps.insert(0, f'<li class="previous"><a href="{_shelf(shelf, number - 1)}">previous</a></li>')
        if number < last:
            steps.append(f'<li class="next"><a href="{_shelf(shelf, number + 1)}">next</a></li>')
        body = f'<ul class="books">\n{cards}\n</ul>\n<ul class="pager">{"".join(steps)}</ul>'
        yield _shelf(shelf, number), _html(shelf.title(), body)


def _shelf(shelf: str, number: int) -> str:
    return f"/{shelf}/" if number == 1 else f"/{shelf}/page-{number}"


def pages() -> dict[str, Answer]:
    """The whole shop: what each path answers."""
    table = _table()
    welcome = f"<p>{len(table)} books on {len(SHELVES)} shelves. Mind the step, and the cat.</p>"
    site = {
        "/": Answer(200, _html("The Corner Shelf", welcome)),
        "/basket": Answer(200, _html("Basket", "<p>Your basket is empty.</p>")),
        "/latest": Answer(302, headers={"Location": table[-1]["path"]}),
        "/newsletter": Answer(404, _html("Not found", "<p>There is no such page.</p>")),
        "/robots.txt": Answer(200, ROBOTS, {"Content-Type": "text/plain"}),
    }
    for shelf in SHELVES:
        site |= {path: Answer(200, text) for path, text in _shelf_pages(shelf)}
    return site | {row["path"]: Answer(200, _book(row)) for row in table}


class Demo:
    """The shop, open: `async with Demo() as url`. Its `site` has the record of every visit."""

    def __init__(self, port: int = 0, *, record: bool = True) -> None:
        self.site = Site(port=port, record=record)
        for path, answer in pages().items():
            self.site.page(path, answer.content, status=answer.status, headers=answer.headers)

    async def __aenter__(self) -> str:
        await self.site.__aenter__()
        return self.site.url("/")

    async def __aexit__(self, *exc: object) -> None:
        await self.site.__aexit__(*exc)


async def _stay_open(port: int) -> None:
    async with Demo(port, record=False) as url:
        print(f"The Corner Shelf is open at {url} (Ctrl-C closes it)", flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m scraper.testing.demo", description="The demo book shop.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    with suppress(KeyboardInterrupt):
        asyncio.run(_stay_open(parser.parse_args().port))
