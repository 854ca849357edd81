"""Spaces without end and pages without measure (faults 32 to 36, 41, 51): the crawl ends, its memory is bounded."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
import tracemalloc
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from scraper import Request, Response
from scraper.reasons import Reason
from scraper.testing.answers import Answer, Visit
from scraper.testing.raw import RawServer, says
from scraper.testing.site import Site
from tests.cli.command import ROOT
from tests.faults.web import Walk, hunt, page

FREE = {"robots": False, "concurrency": 16, "per_host": 16}


async def test_an_endless_space_ends_by_the_depth_of_its_paths(site: Site) -> None:
    site.endless("/deep", fanout=1)
    web = await hunt(site, Walk(url="http://a.test/deep"), **FREE)
    assert web.result.report.why == "finished"
    assert 3 <= len(site.hits) <= 70
    assert web.result.report.drops[Reason.OUT_OF_SCOPE] >= 1


@pytest.mark.parametrize("links", [["a/b/"], ["a/", "b/"], ["x/../y/a/", "../"], ["./a/b/c/"]])
async def test_relative_links_that_add_up_are_a_trap(site: Site, links: list[str]) -> None:
    site.page("*", page(links))
    web = await hunt(site, Walk(), **FREE, max_pages=400)
    assert web.result.report.why == "finished" or len(links) > 1
    assert max(hit.path.count("/a/b/a/b/a/b") for hit in site.hits) == 0
    assert len(site.hits) <= 400


@pytest.mark.parametrize(
    ("settings", "most"),
    [({"max_pages": 50}, 50), ({"max_depth": 4}, 1 + 3 + 9 + 27 + 81), ({"max_pages_per_host": 30}, 30),
     ({"max_items": 40}, 60), ({"max_run_bytes": 20_000}, 400), ({"max_seconds": 0.3}, 5_000)],
)  # fmt: skip
async def test_every_limit_ends_a_tarpit(site: Site, settings: dict[str, Any], most: int) -> None:
    def tarpit(visit: Visit) -> Answer:
        number = int(visit.path.rpartition("/")[2] or 0)
        return Answer(200, page(f"/{visit.headers['Host'][:1]}/{number * 3 + n}" for n in (1, 2, 3)))

    site.answer("*", tarpit)
    async with asyncio.timeout(5):
        web = await hunt(site, Walk(), **FREE, **settings)
    assert len(site.hits) <= most
    assert web.result.report.why in (*settings, "finished")


async def test_calendars_sessions_and_parameters_end_by_a_limit_and_stay_small(site: Site) -> None:
    def calendar(visit: Visit) -> Answer:
        number = int(re.sub(r"\D", "", visit.target) or 0) % 10**9
        ways = ["?month=%d", "?page=%d", "?sid=%032x", "/s-%d/", "?a=1&b=%d", "?b=%d&a=1"]
        return Answer(200, page(way % (number + step) for way in ways for step in range(1, 30)))

    site.answer("*", calendar)
    tracemalloc.start()
    web = await hunt(site, Walk(), **FREE, max_pages=100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert web.result.report.why == "max_pages"
    assert len(site.hits) == 100
    assert peak < 40_000_000


async def test_wildcard_subdomains_stay_within_the_pages_allowed(site: Site) -> None:
    count = iter(range(10**6))

    def farm(visit: Visit) -> Answer:
        return Answer(200, page(f"http://s{next(count)}.a.test/" for _ in range(20)))

    site.answer("*", farm)
    web = await hunt(site, Walk(), **FREE, max_pages=100)
    assert len(site.hits) == 100
    assert web.result.report.stats.done == 100


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("/" + "x" * 9_000, Reason.URL_TOO_LONG), ("/?q=" + "y" * 1_000_000, Reason.URL_TOO_LONG),
        ("/?" + "&".join(f"p{n}=1" for n in range(1_000)), Reason.OUT_OF_SCOPE), ("/d" * 100, Reason.OUT_OF_SCOPE),
        ("javascript:alert(1)", Reason.BAD_SCHEME), ("data:text/html,x", Reason.BAD_SCHEME),
        ("tel:112", Reason.BAD_SCHEME), ("blob:http://a.test/x", Reason.BAD_SCHEME),
        ("http://a.test:99999/", Reason.BAD_URL),
        ("http://[::1", Reason.BAD_URL), ("http://a..b.test/", None), ("http://", Reason.BAD_URL),
        ("file:///etc/passwd", Reason.BAD_SCHEME), ("\0http://b.test/", None),
    ],
    ids=lambda value: str(value)[:25],
)  # fmt: skip
async def test_odd_links_are_counted_and_left_out(site: Site, link: str, reason: Reason | None) -> None:
    class Takes(Walk):
        def parse(self, response: Response) -> Any:
            yield {"url": response.url}
            yield response.follow_all([link])

    site.page("/", page())
    web = await hunt(site, Takes(), **FREE)
    assert len(site.hits) == 1
    drops = web.result.report.drops
    assert (drops == {reason: 1}) if reason else sum(drops.values()) == 1


async def test_line_breaks_in_links_reach_no_header(site: Site) -> None:
    class Takes(Walk):
        def parse(self, response: Response) -> Any:
            if response.request.depth == 0:
                links = [
                    "/a\r\nX-Injected: 1",
                    "/b?c=\r\n\r\nGET /smuggled HTTP/1.1",
                    "/d%0d%0aX-Injected: 1",
                    "/e\0f",
                    "/g h",
                ]
                yield response.follow_all(links)

    site.page("*", page())
    web = await hunt(site, Takes(), **FREE)
    assert web.result.report.stats.done == 6
    assert not any("X-Injected" in hit.headers or hit.target == "/smuggled" for hit in site.hits)
    assert all(hit.target.isprintable() and " " not in hit.target for hit in site.hits)


async def test_of_half_a_million_links_the_first_are_taken(site: Site) -> None:
    site.page("/", "".join(f"<a href=/{n}>x</a>" for n in range(500_000)))
    site.page("*", page())
    web = await hunt(site, Walk(), **FREE, max_links=1_000, max_pages=5)
    assert sorted(hit.path for hit in site.hits) == ["/", "/0", "/1", "/2", "/3"]
    seen = web.crawl.intake._seen
    assert [Request(f"http://a.test/{n}").fingerprint in seen for n in (999, 1_000)] == [True, False]


async def test_of_as_many_requests_the_first_are_taken_and_the_others_counted(site: Site) -> None:
    class Asks(Walk):
        def parse(self, response: Response) -> Any:
            if response.request.depth == 0:
                yield response.follow_all(f"/{n}" for n in range(100_000))
                yield from (Request(f"http://a.test/x{n}") for n in range(1_000))

    site.page("*", page())
    web = await hunt(site, Asks(), **FREE, max_links=1_000, max_pages=5)
    assert len(site.hits) == 5
    assert web.result.report.drops[Reason.TOO_MANY_LINKS] == 100_000


async def test_the_cookies_of_a_bomb_are_capped_and_the_crawl_goes_on(site: Site) -> None:
    bomb = [("Set-Cookie", f"c{n}={'x' * 60}; Path=/") for n in range(400)]
    site.page("/", page(["/next"]), headers=bomb)
    site.page("/next", page())
    web = await hunt(site, Walk(), **FREE)
    [hit] = site.hits_of(path="/next")
    assert hit.headers["Cookie"].count("=") <= 180
    assert web.result.report.stats.done == 2


async def test_redirects_without_end_are_cut_and_leave_no_other_page_behind(site: Site) -> None:
    def onward(visit: Visit) -> Answer:
        return Answer(302, "", {"Location": f"/chain?{int(visit.target.partition('?')[2] or 0) + 1}"})

    site.answer("/chain", onward)
    site.redirect("/self", "/self")
    site.redirect("/ping", "/pong")
    site.redirect("/pong", "/ping")
    site.page("/", page(["/chain", "/self", "/ping", "/good"]))
    site.page("/good", page())
    web = await hunt(site, Walk(), **FREE)
    visits = Counter(hit.path for hit in site.hits)
    assert visits["/chain"] == 21
    assert visits["/self"] <= 4
    assert visits["/ping"] + visits["/pong"] <= 12
    assert web.result.report.stats.reasons["failed", Reason.TOO_MANY_REDIRECTS] >= 3  # type: ignore[index]
    assert web.result.report.stats.done == 2


async def test_no_redirects_are_followed_when_none_are_allowed(site: Site) -> None:
    site.redirect("/", "/next")
    web = await hunt(site, Walk(), **FREE, max_redirects=0)
    assert web.of("http://a.test/") is Reason.TOO_MANY_REDIRECTS
    assert len(site.hits) == 1


BIG = """
import asyncio, resource, sys
from scraper import Spider
from scraper.program import crawl

class Big(Spider):
    name = "big"
    start_urls = [sys.argv[1] + "/%d" % n for n in range(4)]

    def parse(self, response):
        yield {"size": len(response.body), "links": len(response.links())}

settings = {"delay": 0, "max_wire": 2**27, "max_body": int(sys.argv[2]), "retries": 0, "robots": False}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = asyncio.run(crawl(Big(), settings=settings))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
reasons = [(str(reason), n) for (end, reason), n in result.report.stats.reasons.items()]
print(reasons, len(result.items), after - before)
"""


async def measured(url: str, max_body: int, folder: Path) -> tuple[str, int]:
    """A crawl of big pages in a process of its own: what it says, and what it added to its memory, in bytes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BIG, url, str(max_body),
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    said, _, grown = out.decode().strip().rpartition(" ")
    return said, int(grown) * 1024


def head(more: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{more}\r\n\r\n".encode()


@pytest.mark.parametrize("kind", ["one line", "bomb", "endless"])
async def test_pages_of_a_hundred_megabytes_cost_no_more_than_the_cap(tmp_path: Path, kind: str) -> None:
    async def endless(reader: Any, writer: Any, n: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head("Connection: close"))
        while True:
            writer.write(b"<a>x</a>" * 8192)
            await writer.drain()

    bomb = zlib.compress(b"<a>" + bytes(100_000_000), wbits=31)
    scripts = {
        "one line": says(head("Content-Length: 100000000") + b"x" * 20_000_000),
        "bomb": says(head(f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}") + bomb),
        "endless": endless,
    }
    async with RawServer(scripts[kind], receive_buffer=65536) as server:
        said, grown = await measured(server.url("").rstrip("/"), 4_000_000, tmp_path)
    assert said == "[('too_large', 4)] 0"
    assert grown < 120_000_000


async def test_a_line_of_twelve_megabytes_is_read(tmp_path: Path) -> None:
    line = head("Content-Length: 12000000") + (b"<p>" + b"word " * 2_400_000)[:12_000_000]
    async with RawServer(says(line), receive_buffer=65536) as server:
        said, grown = await measured(server.url("").rstrip("/"), 2**25, tmp_path)
    assert said == "[] 4"
    assert grown < 400_000_000


async def test_a_page_that_is_slow_to_parse_holds_up_no_other(site: Site) -> None:
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            began = time.process_time()  # a machine that gives us nothing holds up everybody, too
            await asyncio.sleep(0.01)
            worst = max(worst, time.process_time() - began)

    class Reads(Walk):
        def parse(self, response: Response) -> Any:
            if response.request.depth == 0:
                yield from (Request(f"http://a.test/{n}") for n in range(6))
            yield {"title": response.css("title::text").get()}

    shapes = [
        "<div>" * 8_000,
        "<p>x" * 60_000,
        "<table><tr><td>" * 20_000,
        "<!--" * 100_000,
        "<b>" * 50_000,
        "<a a=1 " * 50_000,
    ]
    site.page("/", page())
    for number, shape in enumerate(shapes):
        site.page(f"/{number}", shape)
    watching = asyncio.create_task(watch())
    web = await hunt(site, Reads(), **FREE)
    watching.cancel()
    assert web.result.report.stats.done + web.result.report.stats.failed == 7
    assert set(web.reasons().values()) <= {Reason.OK, Reason.HTML_BOMB}
    assert worst < 1.0
