"""robots.txt on a real, bad web (faults 46, 47): what every answer means, once for an origin, for all traffic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from scraper import FetchError, Request, Response
from scraper.clock import FastClock
from scraper.reasons import Reason
from scraper.testing.answers import Answer
from scraper.testing.hits import spacing
from scraper.testing.raw import SCRIPTS, RawServer, refusing, says
from scraper.testing.resolve import Loopback
from scraper.testing.scripts import endless
from scraper.testing.site import Site
from tests.faults.web import Walk, hunt, page

SHUT = "User-agent: *\nDisallow: /private\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


def asked(site: Site, host: str | None = None) -> int:
    return len(site.hits_of(host, "/robots.txt"))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 451, 499])
async def test_a_missing_or_forbidden_file_allows_everything(site: Site, status: int) -> None:
    site.page("/robots.txt", "User-agent: *\nDisallow: /", status=status)
    site.page("/", page(["/private"]))
    site.page("/private", page())
    web = await hunt(site, Walk())
    assert web.result.report.stats.done == 2
    assert asked(site) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
async def test_a_file_that_cannot_be_had_forbids_everything_after_its_retries(site: Site, status: int) -> None:
    site.robots(status)
    site.page("/", page(["/more"]))
    web = await hunt(site, Walk(), retries=2)
    assert web.of("http://a.test/") is Reason.ROBOTS_UNREACHABLE
    assert asked(site) == (1 if status == 599 else 3)
    assert {hit.path for hit in site.hits} == {"/robots.txt"}
    assert web.result.report.exit_code == 1


async def test_a_file_that_comes_at_a_later_try_counts(site: Site) -> None:
    site.page("/robots.txt", SHUT, times=[Answer(503), Answer(500)])
    site.page("/", page(["/private", "/public"]))
    site.page("*", page())
    web = await hunt(site, Walk())
    assert web.reasons() == {
        "http://a.test/": Reason.OK, "http://a.test/public": Reason.OK, "http://a.test/private": Reason.ROBOTS,
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["silent", "close at once", "reset at once", "garbage", "short body", "stalled body", "status 1000"]
)
async def test_a_server_that_breaks_over_its_file_is_left_alone(site: Site, name: str) -> None:
    async with RawServer(SCRIPTS[name]) as server:
        web = await hunt(site, Walk(url=server.url("/")), retries=1, header_timeout=0.2, slow_after=0.2, timeout=2)
        assert web.of(server.url("/")) is Reason.ROBOTS_UNREACHABLE
        assert 1 <= server.connections <= 2


async def test_a_host_that_refuses_or_does_not_exist_is_given_up(site: Site) -> None:
    with refusing() as port:
        web = await hunt(site, Walk(url=f"http://a.test:{port}/"))
    assert web.of("http://a.test") is Reason.ROBOTS_UNREACHABLE
    web = await hunt(site, Walk(url="http://nx.test/"))
    assert web.of("http://nx.test/") is Reason.ROBOTS_UNREACHABLE


@pytest.mark.parametrize(("hops", "followed"), [(1, True), (5, True), (6, False)])
async def test_redirects_are_followed_five_times_also_to_other_hosts(site: Site, hops: int, followed: bool) -> None:
    site.redirect("/robots.txt", "http://r1.test/x")
    for number in range(1, hops):
        site.redirect("/x", f"http://r{number + 1}.test/x", host=f"r{number}.test")
    site.page("/x", SHUT, host=f"r{hops}.test", headers={"Content-Type": "text/plain"})
    site.page("/", page(["/private"]))
    site.page("/private", page())
    web = await hunt(site, Walk())
    assert web.of("http://a.test/private") is (Reason.ROBOTS if followed else Reason.OK)
    assert len([hit for hit in site.hits if hit.host.startswith("r")]) == min(hops, 5)


async def test_a_redirect_loop_is_no_file(site: Site) -> None:
    site.redirect("/robots.txt", "/robots.txt")
    site.page("/", page())
    web = await hunt(site, Walk())
    assert web.of("http://a.test/") is Reason.OK
    assert asked(site) <= 6


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0" * 5_000, page(["/x"]).encode() * 200, bytes(range(256)) * 100, b"Disallow: /\n",
        b"User-agent: *\nDisallow: /" + b"*a" * 40_000, b"User-agent: other\nDisallow: /\n",
        b"".join(b"User-agent: bot%d\nDisallow: /\n" % n for n in range(10_000)),
    ],
    ids=["empty", "nuls", "html", "binary", "no group", "wildcards", "another's", "10,000 groups"],
)  # fmt: skip
async def test_a_file_without_rules_for_us_allows_everything(site: Site, content: bytes) -> None:
    site.page("/robots.txt", content, headers={"Content-Type": "text/plain"})
    site.page("/", page(["/" + "a" * 3_000, "/b"]))
    site.page("*", page())
    async with asyncio.timeout(5):
        web = await hunt(site, Walk())
    assert web.result.report.stats.done == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
async def test_rules_are_read_in_any_unicode(site: Site, encoding: str) -> None:
    site.page("/robots.txt", SHUT.encode(encoding), headers={"Content-Type": "text/plain"})
    site.page("/", page(["/private", "/public"]))
    site.page("*", page())
    web = await hunt(site, Walk())
    assert web.of("http://a.test/private") is Reason.ROBOTS
    assert web.of("http://a.test/public") is Reason.OK


@pytest.mark.parametrize("piece", [b"# x\n" * 10_000, b"x" * 65_536], ids=["lines", "one line"])
async def test_of_an_endless_file_the_beginning_counts(site: Site, piece: bytes) -> None:
    head = PLAIN + b"Connection: close\r\n\r\n" + SHUT.encode()
    pages = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b"
    body = page(["/private", "/public"]).encode()

    async def script(reader: Any, writer: Any, n: int) -> None:
        if n == 0:
            await endless(head, piece)(reader, writer, n)
        await says(pages % (len(body), body))(reader, writer, n)

    async with RawServer(script) as server, asyncio.timeout(60):
        web = await hunt(site, Walk(url=server.url("/")))
    assert web.of(server.url("/private")) is Reason.ROBOTS
    assert web.of(server.url("/public")) is Reason.OK


@pytest.mark.parametrize(("asks", "least"), [("0.2", 0.2), ("0", 0.0), ("-5", 0.0), ("nan", 0.0), ("soon", 0.0)])
async def test_a_crawl_delay_is_honoured_from_the_first_page_on(site: Site, asks: str, least: float) -> None:
    site.robots(f"User-agent: *\nCrawl-delay: {asks}\n")
    site.page("/", page(f"/{n}" for n in range(4)))
    site.page("*", page())
    began = time.monotonic()
    await hunt(site, Walk())
    assert min(spacing(site.hits)) >= least
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("asks", ["1e9", "inf", "99999999999999999999"])
async def test_a_crawl_delay_is_clamped_to_half_a_minute(site: Site, asks: str) -> None:
    clock = FastClock(200)
    site.robots(f"User-agent: *\nCrawl-delay: {asks}\n")
    site.page("/", page(["/1", "/2"]))
    site.page("*", page())
    web = await hunt(site, Walk(), clock=clock)
    gaps = [gap * clock.factor for gap in spacing(site.hits)]
    assert len(gaps) == 3
    assert all(29.5 <= gap <= 120 for gap in gaps)
    assert web.result.report.proofs["a.test"].early == 0


async def test_two_hundred_first_requests_ask_for_it_once_an_origin(site: Site) -> None:
    class Many(Walk):
        async def start(self) -> AsyncIterator[Request | str]:
            for number in range(200):
                yield f"http://h{number % 4}.test/{number}"

    site.robots(SHUT, delay=0.2)
    site.page("*", page())
    web = await hunt(site, Many(), concurrency=200, per_host=50)
    assert web.result.report.stats.done == 200
    assert [asked(site, f"h{number}.test") for number in range(4)] == [1, 1, 1, 1]


async def test_ports_and_hosts_have_files_of_their_own(site: Site) -> None:
    site.robots("User-agent: *\nDisallow: /", host="shut.test")
    async with Site() as other:
        other.robots("User-agent: *\nDisallow: /")
        site.page("/", page(["http://shut.test/", "http://open.test/", other.url("/", "a.test")]))
        site.page("*", page())
        web = await hunt(site, Walk(), scope="any")
        assert {hit.path for hit in other.hits} == {"/robots.txt"}
    reasons = [
        web.of(url) for url in ("http://a.test/", "http://shut.test/", "http://open.test/", "http://a.test:")
    ]
    assert reasons == [Reason.OK, Reason.ROBOTS, Reason.OK, Reason.ROBOTS]


async def test_our_own_group_is_used_whatever_the_others_say(site: Site) -> None:
    site.robots("User-agent: *\nDisallow: /\n\nUser-agent: ShopBot\nDisallow: /private\nAllow: /private/open\n")
    site.page("/", page(["/private/x", "/private/open", "/public"]))
    site.page("*", page())
    web = await hunt(site, Walk(), user_agent="shopbot/2.0 (+http://me.test/)")
    assert {url for url, reason in web.reasons().items() if reason is Reason.ROBOTS} == {"http://a.test/private/x"}
    site.forget()
    web = await hunt(site, Walk(), user_agent="otherbot/1.0")
    assert web.of("http://a.test/") is Reason.ROBOTS
    assert {hit.path for hit in site.hits} == {"/robots.txt"}


async def test_without_robots_none_is_asked_for(site: Site) -> None:
    site.robots("User-agent: *\nDisallow: /")
    site.page("/", page(["/1", "http://b.test/"]))
    site.page("*", page())
    await hunt(site, Walk(), robots=False, scope="any", hosts={"b.test": {"robots": True}})
    assert [hit.host for hit in site.hits_of(path="/robots.txt")] == ["b.test"]
    assert {hit.path for hit in site.hits_of("a.test")} == {"/", "/1"}


@pytest.mark.parametrize("concurrency", [1, 16])
async def test_what_robots_forbid_is_dropped_and_takes_no_place(site: Site, concurrency: int) -> None:
    site.robots(SHUT)
    site.page("/", page([*(f"/private/{n}" for n in range(50)), *(f"/public/{n}" for n in range(50))]))
    site.page("*", page())
    web = await hunt(site, Walk(), max_pages=20, concurrency=concurrency)
    stats = web.result.report.stats
    assert (stats.done, web.result.report.why) == (20, "max_pages")
    assert [hit.path for hit in site.hits if hit.path.startswith("/private")] == []
    assert all(end == "dropped" for end, reason in web.ends().values() if reason is Reason.ROBOTS)
    assert web.result.report.exit_code == 0


async def test_a_redirect_into_what_is_forbidden_ends_there(site: Site) -> None:
    site.robots(SHUT)
    site.page("/", page(["/moved", "/away"]))
    site.redirect("/moved", "/private/x")
    site.redirect("/away", "http://b.test/private/y")
    web = await hunt(site, Walk(), scope="any")
    assert web.of("http://a.test/private/x") is web.of("http://b.test/private/y") is Reason.ROBOTS
    assert not any("private" in hit.path for hit in site.hits)


async def test_a_callbacks_own_fetches_obey_too(site: Site) -> None:
    class Fetches(Walk):
        async def parse(self, response: Response) -> Any:
            for url in (
                "http://a.test/private/1",
                "http://b.test/private/2",
                "http://down.test/",
                "http://b.test/ok",
            ):
                try:
                    yield {"url": (await self.fetch(url)).url}
                except FetchError as error:
                    yield {"url": url, "reason": error.reason.value}

    site.robots(SHUT)
    site.robots(500, host="down.test")
    site.page("*", page())
    web = await hunt(site, Fetches(), retries=1, concurrency=1, per_host=1)
    assert [item.get("reason") for item in web.result.items] == ["robots", "robots", "robots_unreachable", None]
    assert not any("private" in hit.path for hit in site.hits)
    assert [asked(site, host) for host in ("a.test", "b.test", "down.test")] == [1, 1, 2]


async def test_one_dead_host_holds_up_no_other(site: Site) -> None:
    async with AsyncExitStack() as stack:
        silent = await stack.enter_async_context(RawServer(SCRIPTS["silent"]))
        ports = {"a.test": site.port, "b.test": site.port, "dead.test": silent.port}
        site.page("/", page(["http://dead.test/", "http://b.test/", *(f"/{n}" for n in range(20))]))
        site.page("*", page())
        began = time.monotonic()
        web = await hunt(site, Walk(), resolver=Loopback(ports), scope="any", header_timeout=2.0, retries=0)
    assert web.of("http://dead.test/") is Reason.ROBOTS_UNREACHABLE
    assert max(hit.start for hit in site.hits) - began < 2.0
